"""Hand-over all the way: what the person reads, the log says, and the Page's webhook hears."""

import asyncio
import hashlib
import hmac
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from deploy.local.seed import SYSTEM_PROMPT
from libs.common.channels import ChannelSettings
from libs.common.events import TurnFailed
from libs.common.mongo import open_database
from libs.common.settings import MongoSettings
from tests.e2e.live import text_of
from tests.e2e.shop import Shop, open_shop
from tests.stack import LocalStack

PROMISED_S = 5.0  # from the request to the notification
SECRET = "the-webhooks-own-secret"
TEXTS = ChannelSettings()
MOST_TURNS, CALLS_A_TURN = 4, 3


@dataclass
class Inbox:
    """The Page's own webhook: what it heard, and when."""

    url: str = ""
    status: int = 200
    got: list[tuple[float, bytes, dict[str, str]]] = field(default_factory=list)
    taken: int = 0
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.Response:
        self.got.append((time.monotonic(), await request.read(), dict(request.headers)))
        self.taken += self.status == 200
        self.came.set()
        return web.Response(status=self.status)

    async def wait_for(
        self, count: int, taken: int = 0, within_s: float = 15.0
    ) -> list[dict[str, Any]]:
        """What it heard, once it heard so many and answered 200 to so many of them."""
        async with asyncio.timeout(within_s):
            while len(self.got) < count or self.taken < taken:
                self.came.clear()
                await self.came.wait()
        return [json.loads(body) for _, body, _ in self.got]


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    inbox = Inbox()
    app = web.Application()
    app.router.add_post("/hook", inbox.handle)
    async with TestServer(app) as server:
        inbox.url = f"http://127.0.0.1:{server.port}/hook"
        yield inbox


# --- without a model


async def test_a_plain_request_reaches_person_log_badge_and_webhook(
    stack: LocalStack, inbox: Inbox
) -> None:
    hook = {"notification_url": inbox.url, "notification_secret": SECRET}
    async with open_shop(stack, "Plain", **hook) as shop:
        started = time.monotonic()
        await shop.write("My cake is wrong. I want to talk to a human")
        (told,) = await inbox.wait_for(1)
        assert inbox.got[0][0] - started < PROMISED_S
        assert await shop.texts(1) == [TEXTS.handover_text]

        (request,) = await shop.requests()
        assert request.reason == "asked"
        assert request.summary == "My cake is wrong. I want to talk to a human"
        badge = await shop.badge()
        assert badge is not None
        assert badge["summary"] == request.summary

        _, body, headers = inbox.got[0]
        signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        assert headers["X-Signature-256"] == f"sha256={signature}"
        assert told["id"] == headers["X-Notification-Id"] == request.event_id
        assert told["text"].startswith("A human is wanted on “Plain”")


async def test_a_webhook_that_fails_at_first_hears_all_the_same_and_delays_no_answer(
    stack: LocalStack, inbox: Inbox
) -> None:
    async with open_shop(stack, "Flaky", notification_url=inbox.url) as shop:
        inbox.status = 503
        await shop.write("agent please")
        assert await shop.texts(1) == [TEXTS.handover_text]
        await inbox.wait_for(2)
        inbox.status = 200
        await shop.write("When are you open on Sunday?")
        assert "8:00 to 13:00" in (await shop.texts(2))[1]
        bodies = await inbox.wait_for(3, taken=1, within_s=60)
        assert inbox.taken == 1
        assert len({body["id"] for body in bodies}) == 1
        assert "X-Signature-256" not in inbox.got[0][2]


async def test_killed_at_the_request_it_is_made_once(stack: LocalStack, inbox: Inbox) -> None:
    async with open_shop(stack, "Killed", notification_url=inbox.url) as shop:
        restarts = stack.component("conversation")["restarts"]
        await shop.write("human please")
        await asyncio.sleep(0.02)  # the moment of the fault: somewhere in the turn
        stack.kill("conversation")
        await asyncio.to_thread(stack.wait_until_back, "conversation", restarts + 1)
        bodies = await inbox.wait_for(1, within_s=60)
        assert await shop.texts(1) == [TEXTS.handover_text]
        (request,) = await shop.requests()
        assert {body["id"] for body in bodies} == {request.event_id}
        await shop.write("Do you deliver?")
        assert len(await shop.texts(2)) == 2


# --- with the simulator's model


async def test_a_model_that_is_down_gives_the_fallback_and_calls_a_human_once(
    modelled: LocalStack,
) -> None:
    async with open_shop(modelled, "Down") as shop:
        await shop.simulator.set_model(status=500)
        for number in range(1, 4):
            await shop.write(f"Do you deliver? ({number})")
            await shop.texts(number)
        assert await shop.texts(3) == [TEXTS.fallback_text] * 3
        assert [request.reason for request in await shop.requests()] == ["model_failed"]
        await shop.write("Do you deliver? (4)")  # the log has everything of the third by then
        await shop.texts(4)
        log = await shop.log()
        assert sum(isinstance(event, TurnFailed) for event in log) >= 3
        assert not any(SYSTEM_PROMPT in event.model_dump_json() for event in log)

        await shop.write("human")  # works with the model down
        assert (await shop.texts(5))[4] == TEXTS.handover_text
        reasons = [request.reason for request in await shop.requests(2)]
        assert sorted(reasons) == ["asked", "model_failed"]
        await shop.simulator.set_model()


async def test_the_model_hands_over_with_its_tool(modelled: LocalStack, inbox: Inbox) -> None:
    async with open_shop(modelled, "Tool", notification_url=inbox.url) as shop:
        arguments = {"reason": "angry", "summary": "The cake said Bob."}
        await shop.simulator.set_model(tool_call={"name": "request_human", "arguments": arguments})
        await shop.write("This is outrageous!!")
        (told,) = await inbox.wait_for(1)
        assert (told["reason"], told["summary"]) == ("angry", "The cake said Bob.")
        assert await shop.texts(1) == [TEXTS.handover_text]
        await shop.simulator.set_model(tool_call={"name": "delete_all", "always": True})
        await shop.write("And now?")
        assert (await shop.texts(2))[1] == TEXTS.fallback_text  # no such tool: no answer
        await shop.simulator.set_model()


async def test_over_the_daily_limit_the_model_is_left_alone_also_after_a_restart(
    modelled: LocalStack,
) -> None:
    async with open_shop(modelled, "Limit", daily_model_calls=2) as shop:
        for number in range(1, 4):
            await shop.write(f"Question {number}?")
            await shop.texts(number)
        texts = await shop.texts(3)
        assert [text == TEXTS.fallback_text for text in texts] == [False, False, True]
        assert [request.reason for request in await shop.requests()] == ["limit_reached"]

        await spending_is_stored(modelled, shop.page, calls=2)
        restarts = modelled.component("conversation")["restarts"]
        modelled.kill("conversation")
        await asyncio.to_thread(modelled.wait_until_back, "conversation", restarts + 1)
        await shop.write("Question 4?")
        assert (await shop.texts(4, within_s=60))[3] == TEXTS.fallback_text


async def spending_is_stored(stack: LocalStack, page: str, calls: int) -> None:
    env = stack.environment
    mongo = MongoSettings(uri=SecretStr(env["MONGODB_URI"]), database=env["MONGODB_DATABASE"])
    async with open_database(mongo, app_name="test") as database, asyncio.timeout(15):
        while True:
            found = await database["spending"].find({"page_id": page}).to_list(None)
            if sum(each["calls"] for each in found) == calls:
                return
            await asyncio.sleep(0.1)


async def test_a_thousand_lines_in_ten_seconds_cost_little(modelled: LocalStack) -> None:
    async with open_shop(modelled, "Flood", quiet_window_s=2) as shop:
        await shop.simulator.set_model(delay_ms=1000)
        asked = (await model_of(shop))["calls"]
        memory = await resident_bytes(modelled)
        await shop.write("line 0")
        pace = asyncio.get_running_loop().time()
        for number in range(0, 1000, 50):
            await shop.simulator.webhook(shop.page, lines(shop, number, number + 50))
            pace += 0.5
            await asyncio.sleep(max(0.0, pace - asyncio.get_running_loop().time()))
        await shop.write("last line")
        thread = await shop.simulator.wait_for_thread(
            shop.page, shop.psid, lambda found: "last line" in "".join(text_of(found)[-1:]), 60
        )
        answers = len(text_of(thread))
        assert answers <= MOST_TURNS
        assert (await model_of(shop))["calls"] - asked <= MOST_TURNS * CALLS_A_TURN
        assert await resident_bytes(modelled) - memory < 64 * 1024 * 1024
        metadata = Counter(
            call["body"]["message"]["metadata"]
            for call in await shop.simulator.calls(shop.page, shop.psid)
            if call["endpoint"] == "messages" and call["outcome"] == "accepted"
        )
        assert set(metadata.values()) == {1}
        await shop.simulator.set_model()


def lines(shop: Shop, first: int, last: int) -> bytes:
    """A webhook with so many lines of the person."""
    now = int(time.time() * 1000)
    messaging = [
        {
            "sender": {"id": shop.psid},
            "recipient": {"id": shop.page},
            "timestamp": now,
            "message": {"mid": f"m_flood_{shop.psid}_{number}", "text": f"line {number}"},
        }
        for number in range(first, last)
    ]
    entry = [{"id": shop.page, "time": now, "messaging": [each]} for each in messaging]
    return json.dumps({"object": "page", "entry": entry}).encode()


async def model_of(shop: Shop) -> dict[str, Any]:
    url = f"{shop.simulator.url}/simulator/api/model"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        model: dict[str, Any] = await response.json()
        return model


async def resident_bytes(stack: LocalStack) -> float:
    url = f"{stack.url('conversation')}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        for line in (await response.text()).splitlines():
            if line.startswith("process_resident_memory_bytes "):
                return float(line.split()[1])
    raise AssertionError("no such metric")
