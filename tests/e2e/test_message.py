"""One message all the way, and everything that may come with it, judged by the simulator."""

import asyncio
import json

import aiohttp
import pytest

from simulator.client import Simulator
from tests.e2e.live import text_of
from tests.e2e.shop import open_shop
from tests.stack import LocalStack

SUNDAY = "When are you open on Sunday?"
UNHURRIED_S = 3  # within which a busy machine takes in what is written at once


@pytest.fixture
async def page(simulator: Simulator) -> str:
    """The Page that is connected on a fresh stack."""
    return str((await simulator.pages())[0]["id"])


@pytest.fixture
async def psid(simulator: Simulator, page: str) -> str:
    return await simulator.add_person(page, "Ann", "Lee")


async def test_a_question_is_answered_from_the_knowledge_text(stack: LocalStack) -> None:
    async with open_shop(stack, "Sundays", quiet_window_s=UNHURRIED_S) as shop:
        await shop.write(SUNDAY)
        (answer,) = await shop.simulator.wait_for_answers(shop.page, shop.psid)
        assert "8:00 to 13:00" in answer["text"]
        assert answer["messaging_type"] == "RESPONSE"
        thread = await shop.simulator.thread(shop.page, shop.psid)
        assert thread["seen"]
        assert not thread["typing"]
        shown = [
            call["body"]["sender_action"]
            for call in await shop.simulator.calls(shop.page)
            if call["endpoint"] == "actions" and call["psid"] == shop.psid
        ]
        assert shown == ["mark_seen", "typing_on"]


async def test_a_burst_gets_one_answer(stack: LocalStack) -> None:
    async with open_shop(stack, "Bursts", quiet_window_s=UNHURRIED_S) as shop:
        for line in ("Hi!", "I have a question", SUNDAY):
            await shop.write(line)
        await shop.texts(1)
        await shop.write("Do you deliver?")  # what came before would be there by then
        texts = await shop.texts(2)
        assert len(texts) == 2
        assert "8:00 to 13:00" in texts[0]
        assert "8 kilometres" in texts[1]


async def test_copies_of_a_webhook_are_answered_once(
    simulator: Simulator, page: str, psid: str
) -> None:
    await simulator.write(page, psid, SUNDAY, copies=3)
    await simulator.wait_for_answers(page, psid)
    await simulator.write(page, psid, "Do you deliver?")
    texts = text_of(await simulator.wait_for_thread(page, psid, lambda t: len(text_of(t)) >= 2))
    assert len(texts) == 2
    assert "8 kilometres" in texts[1]


async def test_an_image_gets_the_text_only_reply(
    simulator: Simulator, page: str, psid: str
) -> None:
    image = {"type": "image", "payload": {"url": "https://example.org/cake.jpg"}}
    await simulator.write(page, psid, attachments=[image])
    (answer,) = await simulator.wait_for_answers(page, psid)
    assert "only read text" in answer["text"]


async def test_get_started_is_welcomed(simulator: Simulator, page: str, psid: str) -> None:
    await simulator.tap(page, psid, "GET_STARTED", "Get Started")
    (answer,) = await simulator.wait_for_answers(page, psid)
    assert "Crumb" in answer["text"]


async def test_the_conversation_can_be_read_with_the_status_of_each_message(
    simulator: Simulator, stack: LocalStack, page: str, psid: str
) -> None:
    await simulator.write(page, psid, SUNDAY)
    await simulator.wait_for_answers(page, psid)
    await simulator.read(page, psid)
    token = stack.environment["SERVICE_TOKEN"]
    url = f"{stack.url('conversation')}/internal/v1/conversations/{page}:{psid}/messages"
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
        asyncio.timeout(20),
    ):
        while True:
            async with session.get(url) as response:
                assert response.status == 200, await response.text()
                messages = (await response.json())["messages"]
            if len(messages) == 2 and any(m.get("status") == "read" for m in messages):
                break
            await asyncio.sleep(0.1)
        async with session.get(url, headers={"Authorization": "Bearer wrong"}) as response:
            assert response.status == 401


async def test_a_forged_webhook_is_refused_and_leads_to_nothing(
    simulator: Simulator, stack: LocalStack, page: str, psid: str
) -> None:
    event = {
        "sender": {"id": psid},
        "recipient": {"id": page},
        "timestamp": 1,
        "message": {"mid": "m_forged", "text": SUNDAY},
    }
    body = json.dumps({"object": "page", "entry": [{"id": page, "time": 1, "messaging": [event]}]})
    headers = {"X-Hub-Signature-256": "sha256=" + "0" * 64, "Content-Type": "application/json"}
    async with aiohttp.ClientSession() as session:
        url = f"{stack.url('gateway')}/webhooks/messenger"
        async with session.post(url, data=body, headers=headers) as response:
            assert response.status == 403
    await simulator.write(page, psid, "Do you deliver?")
    (answer,) = await simulator.wait_for_answers(page, psid)
    assert "8 kilometres" in answer["text"]


async def test_events_nobody_knows_cost_nothing_but_a_200(
    simulator: Simulator, page: str, psid: str
) -> None:
    event = {"sender": {"id": psid}, "recipient": {"id": page}, "timestamp": 1, "dream": {"of": 1}}
    body = {"object": "page", "entry": [{"id": page, "time": 1, "messaging": [event]}]}
    assert (await simulator.webhook(page, json.dumps(body).encode()))["status"] == 200
    assert (await simulator.webhook(page, b"{"))["status"] == 400
    await simulator.write(page, psid, SUNDAY)
    assert len(await simulator.wait_for_answers(page, psid)) == 1
