"""What the console will do with the takeover service, for many conversations at a time."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from pydantic import SecretStr

from libs.common.mongo import Database, open_database
from libs.common.settings import MongoSettings
from tests.stack import LocalStack

WITHIN_S = 60.0


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
        """As often as the service asks for: all that is asked so may be asked again."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                status, answer = await self.call("POST", path, body)
                if status != 503:
                    assert status == 200, answer
                    return answer
                await asyncio.sleep(0.2)


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
