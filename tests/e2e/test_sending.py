"""Sending against a Meta that refuses, limits, hides and forgets; judged by the simulator."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr

from deploy.local.seed import seed
from libs.common.events import ChannelConnected, derived_id
from libs.common.kafka import open_publisher
from libs.common.mongo import open_database
from libs.common.settings import KafkaSettings, MongoSettings
from simulator.client import Simulator
from tests.e2e.live import Verdict, judge, text_of
from tests.stack import LocalStack

SUNDAY = "When are you open on Sunday?"


@pytest.fixture
async def page(simulator: Simulator, stack: LocalStack) -> str:
    """A Page of the test's own, connected."""
    page = await simulator.add_page("Bakery of a test")
    await seed(stack.environment)
    return str(page["id"])


@pytest.fixture
async def psid(simulator: Simulator, page: str) -> str:
    return await simulator.add_person(page, "Ann", "Lee")


def mongo_of(stack: LocalStack) -> MongoSettings:
    env = stack.environment
    return MongoSettings(uri=SecretStr(env["MONGODB_URI"]), database=env["MONGODB_DATABASE"])


async def set_status(stack: LocalStack, page: str, status: str) -> None:
    """What the console does: Reconnect writes the document and tells everybody."""
    kafka = KafkaSettings(
        bootstrap_servers=stack.environment["KAFKA_BOOTSTRAP_SERVERS"], publish_timeout_s=10
    )
    async with (
        open_database(mongo_of(stack), app_name="test") as database,
        open_publisher(kafka, client_id="test") as publisher,
    ):
        await database["channels"].update_one({"_id": page}, {"$set": {"status": status}})
        now = datetime.now(UTC)
        event_id = derived_id("channel.connected", page, now)
        await publisher.publish(ChannelConnected(event_id=event_id, page_id=page, occurred_at=now))


async def sends(simulator: Simulator, page: str) -> list[dict[str, Any]]:
    return [call for call in await simulator.calls(page) if call["endpoint"] == "messages"]


async def until_sends(simulator: Simulator, page: str, count: int, within_s: float = 30) -> None:
    async with asyncio.timeout(within_s):
        while len(await sends(simulator, page)) < count:
            await asyncio.sleep(0.1)


async def until_kept(stack: LocalStack, page: str, count: int, within_s: float = 60) -> None:
    """Until so many answers of the Page are put away."""
    async with open_database(mongo_of(stack), app_name="test") as database:
        async with asyncio.timeout(within_s):
            while await database["kept"].count_documents({"page_id": page}) < count:
                await asyncio.sleep(0.1)


class Api:
    """The sender's internal API."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = f"{url}/internal/v1"

    async def deliveries(self, page: str, **query: str) -> list[dict[str, Any]]:
        url = f"{self._url}/pages/{page}/deliveries"
        async with self._session.get(url, params=query) as response:
            assert response.status == 200, await response.text()
            return list((await response.json())["deliveries"])

    async def until(self, page: str, state: str, within_s: float = 60) -> dict[str, Any]:
        async with asyncio.timeout(within_s):
            while not (found := await self.deliveries(page, state=state)):
                await asyncio.sleep(0.2)
        return found[0]

    async def post(
        self, send_id: str, action: str, body: Mapping[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        url = f"{self._url}/deliveries/{send_id}/{action}"
        async with self._session.post(url, json=body or {}) as response:
            return response.status, await response.json()


@asynccontextmanager
async def sender_api(stack: LocalStack) -> AsyncIterator[Api]:
    headers = {"Authorization": f"Bearer {stack.environment['SERVICE_TOKEN']}"}
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        yield Api(session, stack.url("sender"))


async def test_a_token_that_expires_and_comes_back_loses_nothing_and_keeps_order(
    simulator: Simulator, stack: LocalStack, page: str
) -> None:
    people = [await simulator.add_person(page, "Person", str(n)) for n in range(5)]
    await simulator.set_token(page, "expired")
    for psid in people:
        await simulator.write(page, psid, SUNDAY)
    await until_kept(stack, page, len(people))
    before = await simulator.calls(page)
    for psid in people:
        await simulator.write(page, psid, "Do you deliver?")
    await until_kept(stack, page, 2 * len(people))
    refused = await simulator.calls(page)
    assert {call["outcome"] for call in refused} == {"refused"}
    # signs and answers that were under way together with the first refused one, and then nothing
    # for a minute, but for one that finds out
    assert len(before) <= 2 * len(people)
    assert len(refused) - len(before) <= 1
    stack.kill("sender")
    await simulator.set_token(page, "valid")
    await set_status(stack, page, "active")
    for psid in people:
        await simulator.wait_for_answers(page, psid, 2, within_s=120)
        texts = text_of(await simulator.thread(page, psid))
        assert "8:00 to 13:00" in texts[0]
        assert "8 kilometres" in texts[1]
    verdict = await judge(simulator, page, people, rounds=2)
    assert (verdict.sent_twice, verdict.unanswered, verdict.answered_twice) == ([], [], [])


async def test_a_channel_marked_expired_is_not_called_at_all_and_others_go_on(
    simulator: Simulator, stack: LocalStack, page: str, psid: str
) -> None:
    await set_status(stack, page, "expired")
    await simulator.write(page, psid, SUNDAY)
    other = str((await simulator.pages())[0]["id"])
    neighbour = await simulator.add_person(other, "Bob", "Ray")
    await simulator.write(other, neighbour, SUNDAY)
    await simulator.wait_for_answers(other, neighbour)
    await asyncio.sleep(3)
    assert await sends(simulator, page) == []
    await set_status(stack, page, "active")
    await simulator.wait_for_answers(page, psid)
    assert await judge(simulator, page, [psid], rounds=1) == Verdict(answers=1)


async def test_a_rate_limit_is_ridden_out(simulator: Simulator, page: str) -> None:
    people = [await simulator.add_person(page, "Person", str(n)) for n in range(10)]
    error = {"code": 613, "message": "Calls to this api have exceeded the rate limit."}
    await simulator.add_fault(endpoint="messages", page=page, times=3, status=400, error=error)
    for psid in people:
        await simulator.write(page, psid, SUNDAY)
    for psid in people:
        await simulator.wait_for_answers(page, psid, within_s=60)
    assert await judge(simulator, page, people, rounds=1) == Verdict(answers=len(people))


@pytest.mark.parametrize(
    "fault",
    [
        {"drop": "after_accept"},
        {"truncate": True},
        {"status": 502, "body": "<html>Bad gateway</html>", "accept": True},
        {"status": 500, "error": {"code": 2, "message": "try again"}, "accept": True},
        {"status": 429, "body": "slow down", "accept": True},
    ],
    ids=["cut", "truncated", "502", "code 2", "429 without a word of Meta's"],
)
async def test_what_was_taken_without_a_clear_answer_is_not_sent_again(
    simulator: Simulator, page: str, psid: str, fault: dict[str, Any]
) -> None:
    await simulator.add_fault(endpoint="messages", page=page, **fault)
    await simulator.write(page, psid, SUNDAY)
    await simulator.wait_for_answers(page, psid)
    await simulator.write(page, psid, "Do you deliver?")
    await simulator.wait_for_answers(page, psid, 2, within_s=60)
    assert await judge(simulator, page, [psid], rounds=2) == Verdict(answers=2)


async def test_an_echo_that_came_while_no_sender_ran_settles_what_the_crash_left_in_doubt(
    simulator: Simulator, stack: LocalStack, page: str, psid: str
) -> None:
    """The thread cannot be read: only the log knows."""
    unreadable = {"code": 2, "message": "try again"}
    await simulator.add_fault(
        endpoint="conversations", page=page, times=1000, status=500, error=unreadable
    )
    await simulator.add_fault(endpoint="messages", page=page, delay_ms=8000)
    await simulator.write(page, psid, SUNDAY)
    await until_sends(simulator, page, 1)  # taken, and echoed at once; the answer is on its way
    restarts = stack.component("sender")["restarts"]
    stack.kill("sender")
    await asyncio.to_thread(stack.wait_until_back, "sender", restarts)
    await simulator.write(page, psid, "Do you deliver?")
    await simulator.wait_for_answers(page, psid, 2, within_s=60)
    await simulator.clear_faults()
    assert await judge(simulator, page, [psid], rounds=2) == Verdict(answers=2)
    async with sender_api(stack) as api:
        assert await api.deliveries(page) == []


async def test_a_receipt_names_the_message_where_neither_echo_nor_thread_shows_it(
    simulator: Simulator, stack: LocalStack, page: str, psid: str
) -> None:
    await simulator.behave(
        page, echoes={"enabled": False}, delivery_receipts={"enabled": True, "delay_ms": 2000}
    )
    error = {"code": 2, "message": "try again"}
    await simulator.add_fault(
        endpoint="conversations", page=page, times=1000, status=500, error=error
    )
    await simulator.add_fault(endpoint="messages", page=page, drop="after_accept")
    await simulator.write(page, psid, SUNDAY)
    await simulator.wait_for_answers(page, psid)
    await simulator.write(page, psid, "Do you deliver?")
    await simulator.wait_for_answers(page, psid, 2, within_s=60)
    await simulator.clear_faults()
    assert await judge(simulator, page, [psid], rounds=2) == Verdict(answers=2)
    async with sender_api(stack) as api:
        assert await api.deliveries(page) == []
