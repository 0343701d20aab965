"""The sender beside Meta: how near it keeps to the rate that is allowed, and who waits for whom.

A sender and a simulator as processes, the Page and its people made up front. What is measured is
what the simulator noted, by its own clock.
"""

import asyncio
import base64
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median, quantiles
from typing import Any

import aiohttp
from pydantic import SecretStr

from libs.common.channels import CHANNELS_COLLECTION, Channel
from libs.common.crypto import KeyRing
from libs.common.events import SendText, derived_id
from libs.common.kafka import KafkaPublisher, open_publisher
from libs.common.mongo import open_database
from libs.common.settings import MongoSettings
from simulator.client import Call, Simulator
from tests.bench.figures import Figure, Goal, ratios
from tests.bench.processes import HOST, server
from tests.bench.rounds import Say, interleaved
from tests.bench.system import kafka_settings
from tests.ports import free_port
from tests.stack import Servers

PEOPLE = 200
ALLOWED_PER_S = 100  # far below what the machine could do: the limit is measured, not the machine
SECONDS = 6
LATENCIES_MS = {"": 0, ", Meta takes 150 ms": 150}
RAMP_S = 1.0  # at first a burst goes out, which is no steady state
WITHIN_S = 60.0
MAX_RATE_ROUNDS = 3
PACE_S = 0.025  # between two commands, when nobody shall wait for the limit
PACED = 300
STUCK_WITHIN_S = 30.0
NEAR = Goal("at least", 0.95)
UNMOVED = Goal("at most", 1.05)


@dataclass(frozen=True)
class Page:
    """One Page with people, a sender at work for it, and Meta's own record."""

    id: str
    people: Sequence[str]
    simulator: Simulator
    publisher: KafkaPublisher

    async def order(self, run: str, numbers: range, people: Sequence[str]) -> None:
        """Commands, person after person."""
        await self.publisher.publish(
            *[
                _command(self.id, people[number % len(people)], f"{run}-{number}")
                for number in numbers
            ]
        )

    async def last_call(self) -> int:
        calls = await self.simulator.calls(self.id)
        return int(calls[-1]["n"]) if calls else 0

    async def accepted(self, since: int, psids: Sequence[str], count: int) -> list[Call]:
        """Messages of these people that Meta took after the call `since`: all `count` of them."""
        wanted = set(psids)
        async with asyncio.timeout(WITHIN_S):
            while True:
                found = [
                    call
                    for call in await self.simulator.calls(self.id, since=since)
                    if call["endpoint"] == "messages"
                    and call["outcome"] == "accepted"
                    and call["psid"] in wanted
                ]
                if len(found) >= count:
                    return found
                await asyncio.sleep(0.2)


async def measure(servers: Servers, rounds: int, say: Say) -> list[Figure]:
    async with _page(servers) as page:
        rate = await _rate(page, min(rounds, MAX_RATE_ROUNDS), say)
        return [*rate, *await _stuck(page, rounds, say)]


async def _rate(page: Page, rounds: int, say: Say) -> list[Figure]:
    """Everything waits at once; Meta counts the calls of every second."""
    await page.simulator.behave(page.id, rate_limit_per_s=ALLOWED_PER_S)
    runs: dict[str, list[_Run]] = {}
    for name, latency_ms in LATENCIES_MS.items():
        await page.simulator.behave(page.id, send_latency_ms=latency_ms)
        for _ in range(rounds):
            run = await _run_at_full_rate(page)
            runs.setdefault(name, []).append(run)
            say(f"sender{name}: {run.share:.1%} of the allowed rate, {run.errors} errors")
    await page.simulator.behave(page.id, rate_limit_per_s=1000, send_latency_ms=0)
    errors = sum(run.errors for each in runs.values() for run in each)
    most = tuple(float(run.most) for each in runs.values() for run in each)
    return [
        *[
            Figure(
                f"sender : allowed rate, steady{name}", tuple(run.share for run in each), goal=NEAR
            )
            for name, each in runs.items()
        ],
        Figure("sender: rate errors", (errors,), "", Goal("exactly", 0)),
        Figure(f"  most calls in one second, of {ALLOWED_PER_S}", most, ""),
    ]


@dataclass(frozen=True)
class _Run:
    """`share` of the allowed rate, once it is steady; `most` calls in one second."""

    share: float
    errors: int
    most: int


async def _run_at_full_rate(page: Page) -> _Run:
    since, count = await page.last_call(), ALLOWED_PER_S * SECONDS
    await page.order(secrets.token_hex(4), range(count), page.people)
    accepted = [call["at"] for call in await page.accepted(since, page.people, count)]
    calls = await page.simulator.calls(page.id, since=since)
    return _Run(
        _steady_per_s(accepted) / ALLOWED_PER_S,
        sum("error" in call for call in calls),
        _most_in_a_second([call["at"] for call in calls]),
    )


def _steady_per_s(moments_ms: Sequence[float]) -> float:
    """Calls a second from the end of the ramp to the last of them."""
    begin, end = min(moments_ms) + RAMP_S * 1000, max(moments_ms)
    count = sum(at > begin for at in moments_ms)
    return count / (end - begin) * 1000


def _most_in_a_second(moments_ms: Sequence[int]) -> int:
    """As Meta counts: in any second, wherever it begins."""
    most = first = 0
    for last, at in enumerate(moments_ms):
        while moments_ms[first] <= at - 1000:
            first += 1
        most = max(most, last - first + 1)
    return most


async def _stuck(page: Page, rounds: int, say: Say) -> list[Figure]:
    """The same messages with and without one conversation that nobody knows the state of."""
    stuck, others = page.people[0], page.people[1:]

    async def run(name: str) -> list[float]:
        if name == "stuck":
            await _get_stuck(page, stuck)
        waits_ms = await _waits_ms(page, others)
        if name == "stuck":
            await _get_free(page, stuck)
        say(f"{name}: p99 {_p99(waits_ms):.1f} ms")
        return waits_ms

    await _waits_ms(page, others)  # whatever is slow only once is over
    runs = await interleaved(["free", "stuck"], rounds, run)
    beside, without = [[_p99(waits) for waits in runs[which]] for which in ("stuck", "free")]
    halves = [[median(waits) for waits in runs[which]] for which in ("stuck", "free")]
    name = "others' p99 beside a stuck conversation : without"
    return [
        ratios(name, beside, without, goal=UNMOVED),
        ratios("  the same, median", *halves),
        Figure("  p99, one is stuck", tuple(beside), "ms"),
        Figure("  p99, none is", tuple(without), "ms"),
    ]


def _p99(waits_ms: Sequence[float]) -> float:
    return quantiles(waits_ms, n=100)[98]


async def _waits_ms(page: Page, people: Sequence[str]) -> list[float]:
    """From the command at hand to Meta's yes, at a pace at which nobody waits for the limit."""
    since, run = await page.last_call(), secrets.token_hex(4)
    ordered_ms: dict[str, float] = {}
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        began = loop.time()
        for number in range(PACED):
            await asyncio.sleep(max(0.0, began + number * PACE_S - loop.time()))
            ordered_ms[f"{run}-{number}"] = time.time() * 1000
            group.create_task(page.order(run, range(number, number + 1), people))
    accepted = await page.accepted(since, people, PACED)
    return [float(call["at"]) - ordered_ms[call["body"]["message"]["text"]] for call in accepted]


async def _get_stuck(page: Page, psid: str) -> None:
    """Meta took a message and said nothing, there is no echo, and the thread can't be read."""
    await page.simulator.add_fault(
        endpoint="conversations", page=page.id, times=100_000, status=500
    )
    await page.simulator.add_fault(endpoint="messages", page=page.id, drop="after_accept")
    since = await page.last_call()
    await page.order(secrets.token_hex(4), range(1), [psid])
    await page.accepted(since, [psid], 1)


async def _get_free(page: Page, psid: str) -> None:
    """The thread can be read again: what is stuck is found, and the next message goes out."""
    await page.simulator.clear_faults()
    since = await page.last_call()
    await page.order(secrets.token_hex(4), range(1), [psid])
    async with asyncio.timeout(STUCK_WITHIN_S):
        await page.accepted(since, [psid], 1)


def _command(page: str, psid: str, text: str) -> SendText:
    return SendText(
        event_id=derived_id("bench", page, psid, text),
        page_id=page,
        psid=psid,
        occurred_at=datetime.now(UTC),
        origin="assistant",
        text=text,
        epoch=0,
    )


@asynccontextmanager
async def _page(servers: Servers) -> AsyncIterator[Page]:
    """A Page of a simulator of our own, and a sender that has a database of its own."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
        key = base64.b64encode(secrets.token_bytes(32)).decode()
        ports = {"simulator": free_port(), "sender": free_port()}
        shared = {
            "KAFKA_BOOTSTRAP_SERVERS": servers.bootstrap_servers,
            "MONGODB_URI": servers.mongodb_uri,
            "MONGODB_DATABASE": f"bench-{secrets.token_hex(4)}",
            "GRAPH_API_URL": f"http://{HOST}:{ports['simulator']}",
            "FACEBOOK_APP_ID": "1",
            "FACEBOOK_APP_SECRET": secrets.token_hex(16),
            "WEBHOOK_VERIFY_TOKEN": secrets.token_hex(16),
            "WEBHOOK_TARGET_URL": f"http://{HOST}:1",  # the Page subscribes to nothing
            "ENCRYPTION_KEYS": f"bench:{key}",
            "SERVICE_TOKEN": secrets.token_hex(16),
            "SENDER_TEXT_PER_S": str(ALLOWED_PER_S),
            "SENDER_EVIDENCE_GAP_S": "1",
            "STATE_DIR": folder,
            "ENV": "test",
            "LOG_LEVEL": "error",
        }

        async def start(name: str, module: str) -> None:
            environment = {**shared, "HTTP_PORT": str(ports[name])}
            await stack.enter_async_context(server(module, environment))

        await start("simulator", "simulator")
        session = await stack.enter_async_context(aiohttp.ClientSession())
        simulator = Simulator(session, shared["GRAPH_API_URL"])
        page = await simulator.add_page("Bench", subscribed=False)
        people = await _people(simulator, page["id"])
        await _know(servers, shared, page, people)
        publisher = await stack.enter_async_context(
            open_publisher(kafka_settings(servers), client_id="bench")
        )
        await start("sender", "services.sender")
        yield Page(page["id"], people, simulator, publisher)


async def _people(simulator: Simulator, page: str) -> list[str]:
    """Each has written, so that they may be answered."""
    people = [await simulator.add_person(page, "Person", str(number)) for number in range(PEOPLE)]
    for psid in people:
        await simulator.write(page, psid, "Hello?")
    return people


async def _know(
    servers: Servers, shared: dict[str, str], page: dict[str, Any], people: Sequence[str]
) -> None:
    """What the console and the conversation service would have written."""
    keys = KeyRing.parse(shared["ENCRYPTION_KEYS"])
    channel = Channel(
        id=page["id"],
        workspace_id="bench",
        assistant_id="bench",
        page_name="Bench",
        token=keys.encrypt(page["access_token"], context=page["id"]),
    )
    settings = MongoSettings(
        uri=SecretStr(servers.mongodb_uri), database=shared["MONGODB_DATABASE"], timeout_s=30
    )
    async with open_database(settings, app_name="bench") as database:
        await database[CHANNELS_COLLECTION].insert_one(channel.to_document())
        now = datetime.now(UTC)
        await database["conversations"].insert_many(
            [
                {
                    "_id": f"{page['id']}:{psid}",
                    "page_id": page["id"],
                    "psid": psid,
                    "last_user_message_at": now,
                }
                for psid in people
            ]
        )
