"""A Page of a test's own, what happens in it, and what the team's APIs say of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import aiohttp
from aiokafka import AIOKafkaConsumer, TopicPartition
from pydantic import SecretStr

from deploy.local.seed import ASSISTANT_ID, insert_once, seeded_assistant
from libs.common.channels import (
    ASSISTANTS_COLLECTION,
    CHANNELS_COLLECTION,
    Channel,
    ChannelSettings,
)
from libs.common.crypto import KeyRing
from libs.common.events import AnyRecord, Record, TakeoverRequested, decode
from libs.common.mongo import open_database
from libs.common.settings import MongoSettings
from libs.common.topics import EVENTS
from simulator.client import Simulator
from tests.e2e.live import text_of
from tests.stack import LocalStack

PARTITIONS = 12
WITHIN_S = 20.0
POLL_S = 0.1

R = TypeVar("R", bound=Record)


@dataclass
class Shop:
    """A Page of the test's own with one person who writes to it."""

    stack: LocalStack
    simulator: Simulator
    page: str
    psid: str

    async def write(self, text: str) -> None:
        await self.simulator.write(self.page, self.psid, text)

    async def texts(self, count: int, within_s: float = 20.0) -> list[str]:
        """What the Page wrote, once there are so many messages."""
        thread = await self.simulator.wait_for_thread(
            self.page, self.psid, lambda found: len(text_of(found)) >= count, within_s
        )
        return text_of(thread)

    async def log(self, *, whole_page: bool = False) -> list[AnyRecord]:
        """The conversation's events, or those of all on the Page; a copy counted once."""
        wanted = f"{self.page}:{'' if whole_page else self.psid}".encode()
        client = AIOKafkaConsumer(
            bootstrap_servers=self.stack.environment["KAFKA_BOOTSTRAP_SERVERS"],
            enable_auto_commit=False,
        )
        client.assign([TopicPartition(EVENTS, number) for number in range(PARTITIONS)])
        found: dict[str, AnyRecord] = {}
        await client.start()
        try:
            ends = await client.end_offsets(list(client.assignment()))
            begins = await client.beginning_offsets(list(client.assignment()))
            for partition, begin in begins.items():
                client.seek(partition, begin)  # a reset to the end may be on its way
            for partition, end in ends.items():
                while await client.position(partition) < end:
                    batch = await client.getmany(partition, timeout_ms=500)
                    for record in batch.get(partition, ()):
                        key = record.key or b""
                        if key == wanted or (whole_page and key.startswith(wanted)):
                            event = decode(record.value)
                            found[event.event_id] = event
        finally:
            await client.stop()
        return list(found.values())

    async def told(self, kind: type[R], count: int = 1, *, whole_page: bool = False) -> list[R]:
        """The events of this kind, once there are so many: a reply may be quicker than its own."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                log = await self.log(whole_page=whole_page)
                found: list[R] = [event for event in log if isinstance(event, kind)]
                if len(found) >= count:
                    return found
                await asyncio.sleep(POLL_S)

    async def requests(self, count: int = 1) -> list[TakeoverRequested]:
        """The calls for a human."""
        return await self.told(TakeoverRequested, count)

    async def badge(self) -> dict[str, Any] | None:
        """What the console's list of conversations shows."""
        badge: dict[str, Any] | None = (await self.conversation())["human_requested"]
        return badge

    async def conversation(self) -> dict[str, Any]:
        """The person's entry in the list of conversations."""
        (found,) = await self._listed()
        return found

    async def conversation_when(self, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The same, as soon as it is there and as wanted."""
        async with asyncio.timeout(WITHIN_S):
            while not (found := await self._listed()) or not is_so(found[0]):
                await asyncio.sleep(POLL_S)
        return found[0]

    async def _listed(self) -> list[dict[str, Any]]:
        path = f"/pages/{self.page}/conversations"
        _, answer = await self.ask("conversation", "GET", path)
        return [each for each in answer["conversations"] if each["psid"] == self.psid]

    async def lines(self, is_so: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """The thread as the console shows it, the oldest line first, once it is as wanted."""
        path = f"/conversations/{self.name}/messages"
        async with asyncio.timeout(WITHIN_S):
            while True:
                _, answer = await self.ask("conversation", "GET", path)
                found = list(reversed(answer.get("messages", [])))
                if is_so(found):
                    return found
                await asyncio.sleep(POLL_S)

    @property
    def name(self) -> str:
        """How the services call the conversation."""
        return f"{self.page}:{self.psid}"

    async def newcomer(self, first_name: str) -> "Shop":
        """The same Page with another person."""
        psid = await self.simulator.add_person(self.page, first_name, "Lee")
        return replace(self, psid=psid)

    async def ask(
        self,
        service: str,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        **headers: str,
    ) -> tuple[int, dict[str, Any]]:
        """An internal API's status and answer."""
        token = self.stack.environment["SERVICE_TOKEN"]
        url = f"{self.stack.url(service)}/internal/v1{path}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
            session.request(method, url, json=body, headers=named) as response,
        ):
            return response.status, await response.json()


@asynccontextmanager
async def open_shop(stack: LocalStack, name: str, **settings: Any) -> AsyncIterator[Shop]:  # noqa: ANN401
    """A new Page, connected as the console does it: nobody has anything of it in a cache."""
    env = stack.environment
    keys = KeyRing.parse(env["ENCRYPTION_KEYS"])
    mongo = MongoSettings(uri=SecretStr(env["MONGODB_URI"]), database=env["MONGODB_DATABASE"])
    async with AsyncExitStack() as opened:
        session = await opened.enter_async_context(
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))
        )
        database = await opened.enter_async_context(open_database(mongo, app_name="test"))
        simulator = Simulator(session, stack.url("simulator"))
        page = await simulator.add_page(name)
        if "notification_secret" in settings:
            sealed = keys.encrypt(settings["notification_secret"], context=page["id"])
            settings["notification_secret"] = sealed
        channel = Channel(
            id=page["id"],
            workspace_id="demo",
            assistant_id=ASSISTANT_ID,
            page_name=name,
            token=keys.encrypt(page["access_token"], context=page["id"]),
            settings=ChannelSettings.model_validate(settings),
        )
        await insert_once(database, ASSISTANTS_COLLECTION, seeded_assistant("demo").to_document())
        await database[CHANNELS_COLLECTION].insert_one(channel.to_document())
        psid = await simulator.add_person(page["id"], "Ann", "Lee")
        yield Shop(stack, simulator, page["id"], psid)
