"""What the console will do with the takeover service, and how tests set a channel up."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
from pydantic import SecretStr

from deploy.local.seed import seed
from libs.common.events import ChannelUpdated, derived_id
from libs.common.kafka import open_publisher
from libs.common.mongo import Database, open_database
from libs.common.settings import KafkaSettings, MongoSettings
from simulator.client import Simulator
from tests.stack import LocalStack


class Console:
    """The takeover service's internal API."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = f"{url}/internal/v1"

    async def take(self, conversation: str, by: str = "user:ann", **more: Any) -> dict[str, Any]:  # noqa: ANN401
        """Take over; the state that is answered."""
        return await self._ok(f"/conversations/{conversation}/takeover", {"by": by, **more})

    async def resume(self, conversation: str, by: str = "user:ann") -> dict[str, Any]:
        return await self._ok(f"/conversations/{conversation}/takeover/resume", {"by": by})

    async def state(self, conversation: str) -> dict[str, Any]:
        status, answer = await self.call("GET", f"/conversations/{conversation}/takeover")
        assert status == 200, answer
        return answer

    async def write(
        self, conversation: str, text: str, key: str, by: str = "user:ann"
    ) -> tuple[int, dict[str, Any]]:
        body = {"by": by, "by_name": "Ann", "text": text}
        path = f"/conversations/{conversation}/messages"
        return await self.call("POST", path, body, {"Idempotency-Key": key})

    async def listed(self, page: str, **query: str) -> list[dict[str, Any]]:
        asked = "&".join(f"{name}={value}" for name, value in query.items())
        status, answer = await self.call("GET", f"/pages/{page}/takeovers?{asked}")
        assert status == 200, answer
        return list(answer["takeovers"])

    async def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        async with self._session.request(
            method, f"{self._url}{path}", json=body, headers=headers
        ) as response:
            return response.status, await response.json()

    async def _ok(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        status, answer = await self.call("POST", path, body)
        assert status == 200, answer
        return answer


@asynccontextmanager
async def open_console(stack: LocalStack) -> AsyncIterator[Console]:
    headers = {"Authorization": f"Bearer {stack.environment['SERVICE_TOKEN']}"}
    timeout = aiohttp.ClientTimeout(total=60)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        headers=headers, timeout=timeout, connector=connector
    ) as session:
        yield Console(session, stack.url("takeover"))


@asynccontextmanager
async def database_of(stack: LocalStack) -> AsyncIterator[Database]:
    env = stack.environment
    mongo = MongoSettings(uri=SecretStr(env["MONGODB_URI"]), database=env["MONGODB_DATABASE"])
    async with open_database(mongo, app_name="test") as database:
        yield database


async def new_page(stack: LocalStack, simulator: Simulator, **settings: Any) -> str:  # noqa: ANN401
    """A connected Page of the test's own, with these settings of its channel."""
    page = str((await simulator.add_page("Bakery of a test"))["id"])
    await seed(stack.environment)
    await set_channel(stack, page, **settings)
    return page


async def set_channel(stack: LocalStack, page: str, **settings: Any) -> None:  # noqa: ANN401
    """As the console does: the document, and everybody told."""
    env = stack.environment
    kafka = KafkaSettings(bootstrap_servers=env["KAFKA_BOOTSTRAP_SERVERS"], publish_timeout_s=10)
    now = datetime.now(UTC)
    async with database_of(stack) as database, open_publisher(kafka, client_id="test") as log:
        change = {f"settings.{name}": value for name, value in settings.items()}
        if change:
            await database["channels"].update_one({"_id": page}, {"$set": change})
        event_id = derived_id("channel.updated", page, now)
        await log.publish(ChannelUpdated(event_id=event_id, page_id=page, occurred_at=now))
