"""Somebody asks Facebook to be forgotten, and nothing of them is left, whatever comes late."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from pydantic import SecretStr

from libs.common.mongo import Database, open_database
from libs.common.settings import MongoSettings
from libs.common.topics import COMMANDS, EVENTS
from services.analytics.store import Generations
from services.analytics.worker import group_of
from services.console.erasures_store import counted
from services.conversation.domain.contacts import contact_id
from tests.e2e.shop import Shop, open_shop
from tests.stack import LocalStack

NAME, MAIL = "Zephyrine", "zephyrine@example.org"
QUESTION = f"Write to {MAIL}, quixotically: do you deliver?"
BY_HUMAN = "A colleague answers, perspicaciously."
WITHIN_S = 60.0
HANDLED_WITHIN_S = 180.0  # tests before this one may have left calls that take long
GROUPS = {
    EVENTS: (
        "conversation",
        "conversation-history",
        "conversation-contacts",
        "takeover",
    ),
    COMMANDS: ("sender",),
}


@asynccontextmanager
async def database_of(stack: LocalStack) -> AsyncIterator[Database]:
    env = stack.environment
    mongo = MongoSettings(uri=SecretStr(env["MONGODB_URI"]), database=env["MONGODB_DATABASE"])
    async with open_database(mongo, app_name="test") as database:
        yield database


async def holding(database: Database, *texts: str) -> dict[str, str]:
    """Every collection in which any of these stands, anywhere in any document."""
    found: dict[str, str] = {}
    names = await database.list_collection_names()
    assert {"conversations", "messages", "erasures", "deliveries", "receipts"} <= set(names)
    for name in names:
        async for document in database[name].find({}):
            shown = str(document)
            if hits := [text for text in texts if text in shown]:
                found[name] = f"{hits} in {shown[:300]}"
    return found


async def until_all_is_handled(stack: LocalStack, database: Database) -> None:
    """Every group has committed what is on the log now; the figures have one a generation."""
    figures = group_of(await Generations(database).live())
    servers = stack.environment["KAFKA_BOOTSTRAP_SERVERS"]
    client = AIOKafkaConsumer(*GROUPS, bootstrap_servers=servers)
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await client.start()
    await admin.start()
    try:
        ends = await client.end_offsets(list(client.assignment()))
        until = time.monotonic() + HANDLED_WITHIN_S
        for topic, groups in {**GROUPS, EVENTS: (*GROUPS[EVENTS], figures)}.items():
            wanted = {tp: end for tp, end in ends.items() if tp.topic == topic and end}
            for group in groups:
                while True:
                    known = await admin.list_consumer_group_offsets(group)
                    done = {tp: known[tp].offset for tp in wanted if tp in known}
                    late = {tp: end for tp, end in wanted.items() if done.get(tp, -1) < end}
                    if not late:
                        break
                    assert time.monotonic() < until, f"{group} is at {done}, not at {late}"
                    await asyncio.sleep(0.2)
    finally:
        await admin.close()
        await client.stop()


async def status_page(url: str, wanted: str) -> str:
    """What a stranger with the address reads, as soon as it says so."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(WITHIN_S):
        while True:
            try:
                async with session.get(url) as response:
                    text = await response.text()
                    if wanted in text:
                        return text
            except aiohttp.ClientError:
                pass  # the console was killed, and is on its way back
            await asyncio.sleep(0.1)


async def a_whole_story(shop: Shop) -> list[str]:
    """The person writes and is answered, is taken over, written to, answered; what was said."""
    await shop.write(QUESTION)
    (answer, *_) = await shop.texts(1)
    path = f"/conversations/{shop.name}"
    status, _ = await shop.ask("takeover", "POST", f"{path}/takeover", {"by": "user:ann"})
    assert status == 200
    body = {"by": "user:ann", "text": BY_HUMAN}
    status, _ = await shop.ask("takeover", "POST", f"{path}/messages", body, Idempotency_Key="k1")
    assert status == 202
    await shop.texts(2)
    await shop.lines(lambda found: BY_HUMAN in str(found) and "takeover.started" in str(found))
    await shop.conversation_when(lambda found: found["name"] is not None and found["contact_id"])
    return [QUESTION, answer, BY_HUMAN]


async def test_nothing_of_a_person_is_left_and_what_is_late_brings_nothing_back(
    stack: LocalStack,
) -> None:
    settings: dict[str, Any] = {"contact_matching": True, "auto_create_contacts": True}
    async with open_shop(stack, "Erasing", **settings) as opened, database_of(stack) as database:
        shop = await opened.newcomer(NAME)
        began_at = datetime.now(UTC)
        said = await a_whole_story(shop)
        private = (shop.psid, NAME, MAIL, contact_id("demo", shop.name), said[0], BY_HUMAN)
        before = await holding(database, *private)
        assert {"conversations", "messages", "people", "contacts", "deliveries"} <= set(before)

        wish = await shop.simulator.wants_deletion(shop.page, shop.psid)
        assert wish["status"] == 200
        answer = json.loads(wish["answer"])
        assert answer["url"] == (
            f"{stack.url('console')}/data-deletion/{answer['confirmation_code']}"
        )
        await status_page(answer["url"], "Being erased")
        restarts = stack.component("console")["restarts"]
        stack.kill("console")
        await asyncio.to_thread(stack.wait_until_back, "console", restarts + 1)
        page = await status_page(answer["url"], "Everything was erased")
        assert not any(text in page for text in private)
        await until_all_is_handled(stack, database)
        assert await holding(database, *private, wish["user_id"]) == {}
        (erasure,) = await database["erasures"].find({"pages": shop.page}).to_list(None)
        assert erasure["erased"][shop.page]["conversation"]["messages"] >= 4
        assert not any(counted(erasure["left"], [shop.page]).values())

        # what is late: receipts, a copy of the first message, an echo in Meta's own inbox of then
        await shop.simulator.read(shop.page, shop.psid)
        await shop.simulator.webhook(shop.page, a_copy(shop, QUESTION, began_at))
        written = [a_copy(shop, "Late, and by hand", began_at, echo=True)]
        for body in written:
            await shop.simulator.webhook(shop.page, body)
        await until_all_is_handled(stack, database)
        assert await holding(database, *private, "Late, and by hand") == {}

        # who writes again is somebody new
        await shop.write("Me again. How can I pay?")
        await shop.texts(3)
        found = await shop.conversation_when(lambda each: each["inbound_count"] > 0)
        assert (found["inbound_count"], found["mode"]) == (1, "ai")
        lines = await shop.lines(lambda each: len(each) >= 2)
        assert [line.get("direction") for line in lines] == ["in", "out"]
        assert await holding(database, MAIL, QUESTION, BY_HUMAN) == {}


def a_copy(shop: Shop, text: str, at: datetime, *, echo: bool = False) -> bytes:
    """A webhook of before, as Meta repeats them for hours."""
    at_ms = int(at.timestamp() * 1000)
    message: dict[str, Any] = {"mid": f"m_late_{'echo' if echo else 'copy'}", "text": text}
    sides = ({"id": shop.psid}, {"id": shop.page})
    if echo:
        message |= {"is_echo": True, "app_id": 263902037430900}
        sides = (sides[1], sides[0])
    event = {"sender": sides[0], "recipient": sides[1], "timestamp": at_ms, "message": message}
    entry = {"id": shop.page, "time": at_ms, "messaging": [event]}
    return json.dumps({"object": "page", "entry": [entry]}).encode()
