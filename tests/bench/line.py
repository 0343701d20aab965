"""The whole line: gateway, conversation and sender as processes, from a webhook to the Send API.

Meta and the model are this process. They take everything at once, and note when, by the clock that
also noted when the webhook was posted. Nothing else of the system runs.
"""

import asyncio
import json
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any

import aiohttp
from aiohttp import web
from pydantic import SecretStr

from deploy.local.secrets_file import load_or_make
from libs.common.channels import (
    ASSISTANTS_COLLECTION,
    CHANNELS_COLLECTION,
    Assistant,
    Channel,
    ChannelSettings,
)
from libs.common.crypto import KeyRing
from libs.common.mongo import open_database
from libs.common.settings import MongoSettings
from simulator.completions import ModelSettings, SimulatedModel
from tests.bench import webhooks
from tests.bench.processes import HOST, server
from tests.ports import free_port
from tests.stack import Servers

SERVICES = ("gateway", "conversation", "sender")
WITHIN_S = 90.0
TEXT = "Do you have sourdough bread today, and until when are you open?"


class Outside:
    """Meta and the model: all that the services call."""

    def __init__(self) -> None:
        self.model = SimulatedModel()
        self.texts: dict[str, list[float]] = {}
        """When a text for this person arrived, by `time.perf_counter`."""
        self.news = asyncio.Event()

    @asynccontextmanager
    async def listening(self, port: int) -> AsyncIterator[None]:
        app = web.Application(client_max_size=1 << 24)
        app.router.add_post("/v1/chat/completions", self.model.complete)
        app.router.add_post("/{rest:.*}", self._post)
        app.router.add_get("/{rest:.*}", self._get)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, port).start()
            yield
        finally:
            await runner.cleanup()

    async def _post(self, request: web.Request) -> web.Response:
        came_at = time.perf_counter()
        body = await request.json()
        psid = body["recipient"]["id"]
        if "message" not in body:  # seen, typing
            return web.json_response({"recipient_id": psid})
        self.texts.setdefault(psid, []).append(came_at)
        self.news.set()
        return web.json_response({"recipient_id": psid, "message_id": f"m_{secrets.token_hex(8)}"})

    async def _get(self, request: web.Request) -> web.Response:
        return web.json_response({"id": request.path.rpartition("/")[2], "first_name": "Ada"})


@dataclass
class Line:
    """The line at work. `pids`, `ports`: of its processes."""

    outside: Outside
    session: aiohttp.ClientSession
    environment: dict[str, str]
    pids: dict[str, int] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    async def write(self, page_id: str, psid: str) -> float:
        """One message of somebody; when its webhook was posted.

        Raises:
            RuntimeError: it was not accepted.
        """
        content = message(page_id, psid)
        headers = {"X-Hub-Signature-256": webhooks.signature(content)}
        url = f"http://{HOST}:{self.ports['gateway']}{webhooks.PATH}"
        began_at = time.perf_counter()
        async with self.session.post(url, data=content, headers=headers) as answer:
            if answer.status != 200:
                raise RuntimeError(f"the gateway answered {answer.status}")
        return began_at

    async def waits_ms(
        self,
        writers: Sequence[tuple[str, str]],
        per_s: float,
        within_s: float = WITHIN_S,
        *,
        unanswered: bool = False,
    ) -> list[float]:
        """Let these (page, psid) write at a steady rate, each once; how long each waited for the
        first text, in their order.

        Args:
            unanswered: whether somebody may have none after `within_s`, and has waited until then.

        Raises:
            TimeoutError: somebody has none, and must have.
        """
        loop = asyncio.get_running_loop()
        for _, psid in writers:
            self.outside.texts.pop(psid, None)
        began = loop.time()
        async with asyncio.TaskGroup() as group:
            tasks = []
            for number, (page_id, psid) in enumerate(writers):
                await asyncio.sleep(max(0.0, began + number / per_s - loop.time()))
                tasks.append(group.create_task(self.write(page_id, psid)))
        with suppress(TimeoutError) if unanswered else nullcontext():
            await self.answered([psid for _, psid in writers], within_s)
        posted = [task.result() for task in tasks]
        given_up_at = time.perf_counter()
        return [
            (self.outside.texts.get(psid, [given_up_at])[0] - at) * 1000
            for (_, psid), at in zip(writers, posted, strict=True)
        ]

    async def turns_in_flight(self) -> int:
        """As the conversation service tells."""
        url = f"http://{HOST}:{self.ports['conversation']}/metrics"
        async with self.session.get(url) as answer:
            text = await answer.text()
        name = 'assistant_consumer_keys_in_flight{group="conversation"'
        lines = [each for each in text.splitlines() if each.startswith(name)]
        return int(float(lines[0].rpartition(" ")[2])) if lines else 0

    async def answered(self, psids: Iterable[str], within_s: float) -> None:
        """Wait until Meta has a text for each of them."""
        left = set(psids)
        async with asyncio.timeout(within_s):
            while left := left - self.outside.texts.keys():
                self.outside.news.clear()
                await self.outside.news.wait()


def message(page_id: str, psid: str) -> bytes:
    """A webhook with one message."""
    now_ms = int(time.time() * 1000)
    event = {
        "sender": {"id": psid},
        "recipient": {"id": page_id},
        "timestamp": now_ms,
        "message": {"mid": f"m_{secrets.token_hex(12)}", "text": TEXT},
    }
    entry = {"id": page_id, "time": now_ms, "messaging": [event]}
    return json.dumps({"object": "page", "entry": [entry]}, separators=(",", ":")).encode()


@asynccontextmanager
async def line(
    servers: Servers,
    pages: Sequence[str],
    *,
    services: Sequence[str] = SERVICES,
    model: ModelSettings | None = None,
    **environment: str,
) -> AsyncIterator[Line]:
    """The line in a database of its own, ready.

    Args:
        pages: their channels; bursts are not waited for.
        services: what runs; others may be started later with `started`.
        model: that of this process; None: the offline assistant, which takes no time.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        outside = Outside()
        port = free_port()
        await stack.enter_async_context(outside.listening(port))
        shared = environment_of(servers, folder, port) | environment
        if model is not None:
            outside.model.settings = model
            shared["LLM_PROVIDER"] = "simulator"
        await _know(stack, servers, shared, pages)
        connector = aiohttp.TCPConnector(limit=0)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        made = Line(outside, session, shared)
        for name in services:
            await stack.enter_async_context(started(made, name))
        yield made


@asynccontextmanager
async def started(made: Line, name: str) -> AsyncIterator[None]:
    """One more service of the line, ready."""
    port = free_port()
    environment = {**made.environment, "HTTP_PORT": str(port)}
    async with server(f"services.{name}", environment) as pid:
        made.pids[name], made.ports[name] = pid, port
        yield


def environment_of(servers: Servers, folder: Path, outside_port: int) -> dict[str, str]:
    """What every service needs, with secrets of our own."""
    outside = f"http://{HOST}:{outside_port}"
    return load_or_make(folder / "env") | {
        "KAFKA_BOOTSTRAP_SERVERS": servers.bootstrap_servers,
        "MONGODB_URI": servers.mongodb_uri,
        "MONGODB_DATABASE": f"bench-{secrets.token_hex(4)}",
        "GRAPH_API_URL": outside,
        "FACEBOOK_DIALOG_URL": outside,
        "CONSOLE_URL": outside,
        "PUBLIC_URL": outside,
        "WEBHOOK_TARGET_URL": f"{outside}/webhooks",
        "LLM_PROVIDER": "offline",
        "LLM_BASE_URL": f"{outside}/v1",
        **{
            f"{name.upper()}_URL": outside
            for name in ("gateway", "conversation", "sender", "takeover", "analytics")
        },
        "FACEBOOK_APP_SECRET": webhooks.SECRET,
        "STATE_DIR": str(folder),
        "ENV": "development",
        "LOG_LEVEL": "error",
    }


async def _know(
    stack: AsyncExitStack, servers: Servers, shared: dict[str, str], pages: Sequence[str]
) -> None:
    """What the console would have written. The database goes when the line does."""
    keys = KeyRing.parse(shared["ENCRYPTION_KEYS"])
    settings = MongoSettings(
        uri=SecretStr(servers.mongodb_uri), database=shared["MONGODB_DATABASE"], timeout_s=30
    )
    database = await stack.enter_async_context(open_database(settings, app_name="bench"))
    stack.push_async_callback(database.client.drop_database, settings.database)
    assistant = Assistant(
        id="bench", workspace_id="bench", name="Crumb", system_prompt="Be brief."
    ).to_document()
    await database[ASSISTANTS_COLLECTION].insert_one(assistant)
    for page_id in pages:
        channel = Channel(
            id=page_id,
            workspace_id="bench",
            assistant_id="bench",
            page_name="Bakery",
            token=keys.encrypt("token", context=page_id),
            settings=ChannelSettings(quiet_window_s=0),
        ).to_document()
        channel["settings"]["loop_turns"] = 0  # the same people write again and again
        await database[CHANNELS_COLLECTION].insert_one(channel)


def p50(waits_ms: Sequence[float]) -> float:
    return quantiles(waits_ms, n=100)[49]


def p99(waits_ms: Sequence[float]) -> float:
    return quantiles(waits_ms, n=100)[98]


def rss_mb(pid: int, what: str = "VmRSS") -> float | None:
    """Memory of a process in MB (10^6 bytes), `VmHWM` its most; None where nobody tells."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    found: dict[str, Any] = dict(each.split(":", 1) for each in text.splitlines() if ":" in each)
    return float(found[what].split()[0]) * 1024 / 1e6
