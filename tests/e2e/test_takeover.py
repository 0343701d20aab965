"""A human steps in: the story over the running system, with Facebook's record as the judge."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.common.events import (
    MessageFailed,
    MessageSent,
    TakeoverEnded,
    TakeoverExtended,
    TakeoverStarted,
)
from services.conversation.assistants.marks import by_colleague
from simulator.client import Call
from tests.e2e.shop import Shop, open_shop
from tests.stack import LocalStack

ANN = {"by": "user:ann", "by_name": "Ann"}
BO = {"by": "user:bo", "by_name": "Bo"}
INBOX = "263902037430900"
HOUR_MS = 3_600_000


@pytest.fixture
async def shop(modelled: LocalStack, request: pytest.FixtureRequest) -> AsyncIterator[Shop]:
    async with open_shop(modelled, request.node.name[:60]) as opened:
        yield opened


async def takes_over(shop: Shop, who: dict[str, str] = ANN, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """By the team's API, which has to allow it."""
    path = f"/conversations/{shop.name}/takeover"
    status, answer = await shop.ask("takeover", "POST", path, {**who, **more})
    assert status == 200, answer
    return answer


async def resumes(shop: Shop, who: dict[str, str] = ANN) -> None:
    path = f"/conversations/{shop.name}/takeover/resume"
    status, answer = await shop.ask("takeover", "POST", path, dict(who))
    assert status == 200, answer


async def says(shop: Shop, text: str, key: str, who: dict[str, str] = ANN) -> tuple[int, Any]:
    path = f"/conversations/{shop.name}/messages"
    return await shop.ask("takeover", "POST", path, {**who, "text": text}, Idempotency_Key=key)


async def is_taken_in(shop: Shop, inbound: int) -> None:
    """Wait until the assistant knows of so many messages: then it has decided about them."""
    await shop.conversation_when(lambda found: found["inbound_count"] == inbound)


async def answers(shop: Shop) -> list[dict[str, Any]]:
    """What really stands in the thread as written by the Page."""
    thread = await shop.simulator.thread(shop.page, shop.psid)
    return [message for message in thread["messages"] if message["from"] == "page"]


async def posts(shop: Shop) -> list[Call]:
    calls = await shop.simulator.calls(shop.page, shop.psid)
    return [call for call in calls if call["endpoint"] == "messages"]


async def asked_of_the_model(shop: Shop) -> list[dict[str, str]]:
    """The messages of its last request, without the system's."""
    last = (await shop.simulator.model())["requests"][-1]
    return [each for each in last["messages"] if each["role"] != "system"]


def long_ago(hours: float) -> int:
    """A moment as the simulator wants it."""
    return int(datetime.now(UTC).timestamp() * 1000 - hours * HOUR_MS)


async def test_a_human_takes_over_writes_and_hands_back(shop: Shop) -> None:
    await shop.simulator.set_model(reply="From the assistant")
    await shop.write("Is my cake ready?")
    assert await shop.texts(1) == ["From the assistant"]
    await shop.told(MessageSent)  # what comes now comes after it by our own clock, too

    began = datetime.now(UTC)
    state = await takes_over(shop, auto_resume_minutes=60)
    assert (state["mode"], state["by"], state["by_name"]) == ("human", "user:ann", "Ann")
    until = datetime.fromisoformat(state["auto_resume_at"])
    assert timedelta(minutes=59) < until - began < timedelta(minutes=61)
    path = f"/conversations/{shop.name}/takeover"
    status, refused = await shop.ask("takeover", "POST", path, dict(BO))
    assert status == 409
    assert refused["error"]["code"] == "already_taken"
    assert (await says(shop, "me too", "bo-1", BO))[0] == 409

    await shop.write("Hello? Is anybody there?")
    await is_taken_in(shop, 2)
    assert [message["text"] for message in await answers(shop)] == ["From the assistant"]
    listed = await shop.conversation()
    assert listed["mode"] == "human"
    assert listed["takeover"]["by_name"] == "Ann"
    assert datetime.fromisoformat(listed["takeover"]["auto_resume_at"]) == until

    typed = "  **Ready** at 5 pm \n- with 2*3 candles "
    first = await says(shop, typed, "key-1")
    again = await says(shop, typed, "key-1")
    assert first[0] == again[0] == 202
    assert first[1]["command_id"] == again[1]["command_id"]
    assert first[1]["window"]["rule"] == "standard_window"
    assert (await shop.texts(2))[1] == typed
    await shop.told(MessageSent, 2)
    written = (await answers(shop))[1]
    assert (written["messaging_type"], written.get("tag")) == ("RESPONSE", None)

    extended = {**ANN, "auto_resume_minutes": 120}
    status, _ = await shop.ask("takeover", "POST", f"{path}/extend", extended)
    assert status == 200
    await resumes(shop)

    await shop.write("Thank you!")
    assert (await shop.texts(3))[2] == "From the assistant"
    assert [(each["role"], each["content"]) for each in await asked_of_the_model(shop)] == [
        ("user", "Is my cake ready?"),
        ("assistant", "From the assistant"),
        ("user", "Hello? Is anybody there?"),
        ("assistant", by_colleague(typed.strip())),
        ("user", "Thank you!"),
    ]
    assert len(await posts(shop)) == 3

    lines = await shop.lines(lambda found: len(found) == 9)
    assert [line.get("event") or line["origin"] for line in lines] == [
        "person",
        "assistant",
        "takeover.started",
        "person",
        "human",
        "takeover.extended",
        "takeover.ended",
        "person",
        "assistant",
    ]
    started, by_hand, ended = lines[2], lines[4], lines[6]
    assert (started["by_name"], started["reason"]) == ("Ann", "taken")
    assert datetime.fromisoformat(started["auto_resume_at"]) == until
    assert (by_hand["by"], by_hand["by_name"], by_hand["text"]) == ("user:ann", "Ann", typed)
    assert (ended["by_name"], ended["reason"]) == ("Ann", "resumed")
    log = await shop.log()
    kinds = (TakeoverStarted, TakeoverExtended, TakeoverEnded)
    assert [sum(isinstance(event, kind) for event in log) for kind in kinds] == [1, 1, 1]


async def test_after_a_day_a_human_still_may_and_after_a_week_nobody(shop: Shop) -> None:
    for hours, first_name in ((25, "Cleo"), (6 * 24, "Dora")):
        late = await shop.newcomer(first_name)
        await late.simulator.write(late.page, late.psid, "Hello!", timestamp=long_ago(hours))
        (failed,) = await late.told(MessageFailed)  # the assistant comes too late
        assert (failed.origin, failed.reason) == ("assistant", "window_closed")
        await takes_over(late)
        status, answer = await says(late, "Sorry, we are late", f"late-{hours}")
        assert (status, answer["window"]["tag"]) == (202, "HUMAN_AGENT")
        assert await late.texts(1) == ["Sorry, we are late"]
        (written,) = await answers(late)
        assert (written["messaging_type"], written["tag"]) == ("MESSAGE_TAG", "HUMAN_AGENT")
        (sent,) = await late.told(MessageSent)
        assert (sent.origin, sent.by_name, sent.tag) == ("human", "Ann", "HUMAN_AGENT")

    gone = await shop.newcomer("Eli")
    wrote_at = long_ago(8 * 24)
    await gone.simulator.write(gone.page, gone.psid, "Hello!", timestamp=wrote_at)
    await is_taken_in(gone, 1)
    await takes_over(gone)
    status, answer = await says(gone, "Much too late", "too-late")
    assert (status, answer["error"]["code"]) == (409, "window_closed")
    closed_at = datetime.fromtimestamp(wrote_at / 1000, UTC) + timedelta(days=7)
    assert f"{closed_at:%Y-%m-%d %H:%M} UTC" in answer["error"]["message"]
    assert await posts(gone) == []


async def test_a_missing_human_agent_feature_is_explained_and_remembered(shop: Shop) -> None:
    await shop.simulator.behave(shop.page, human_agent="not_granted")
    await shop.simulator.write(shop.page, shop.psid, "Hello!", timestamp=long_ago(25))
    await shop.told(MessageFailed)
    await takes_over(shop)
    status, answer = await says(shop, "Sorry, we are late", "late-1")
    assert (status, answer["human_agent"]) == (202, None)
    _, failed = await shop.told(MessageFailed, 2)
    assert (failed.reason, failed.tag, failed.error_subcode) == (
        "human_agent_not_approved",
        "HUMAN_AGENT",
        2018276,
    )
    assert "Human Agent" in failed.explanation
    path = f"/conversations/{shop.name}/takeover"
    async with asyncio.timeout(20):
        while True:
            _, state = await shop.ask("takeover", "GET", path)
            if state["human_agent"] is not None:
                break
            await asyncio.sleep(0.1)
    assert state["human_agent"]["explanation"] == failed.explanation
    assert await answers(shop) == []


async def test_an_answer_in_metas_inbox_silences_the_assistant(modelled: LocalStack) -> None:
    settings = {"auto_resume_minutes": 30}
    async with open_shop(modelled, "Inbox", **settings) as shop:
        await shop.simulator.set_model(reply="From the assistant")
        await shop.write("Is my cake ready?")
        await shop.texts(1)
        await shop.simulator.write_in_inbox(shop.page, shop.psid, "It is, says Carl")
        listed = await shop.conversation_when(lambda found: found["mode"] == "human")
        assert (listed["takeover"]["by"], listed["takeover"]["reason"]) == (
            "facebook",
            "facebook_reply",
        )
        assert listed["takeover"]["auto_resume_at"] is not None
        await shop.write("Great, with candles?")
        await is_taken_in(shop, 2)
        await resumes(shop)
        await shop.write("How many candles?")
        assert await shop.texts(3) == [
            "From the assistant",
            "It is, says Carl",
            "From the assistant",
        ]
        asked = [each["content"] for each in await asked_of_the_model(shop)]
        assert asked == [
            "Is my cake ready?",
            f"From the assistant\n{by_colleague('It is, says Carl')}",
            "Great, with candles?\nHow many candles?",
        ]


async def test_where_the_channel_says_so_an_answer_in_metas_inbox_changes_nothing(
    modelled: LocalStack,
) -> None:
    async with open_shop(modelled, "Chatty", pause_on_facebook_reply=False) as shop:
        await shop.simulator.set_model(reply="From the assistant")
        await shop.write("Is my cake ready?")
        await shop.texts(1)
        await shop.simulator.write_in_inbox(shop.page, shop.psid, "It is")
        await shop.lines(lambda found: "human_facebook" in [line["origin"] for line in found])
        await shop.write("With candles?")
        assert (await shop.texts(3))[2] == "From the assistant"
        assert (await shop.conversation())["takeover"] is None


async def test_nobody_of_ours_writes_where_another_app_has_the_thread(shop: Shop) -> None:
    await shop.simulator.set_model(reply="From the assistant")
    await shop.write("Is my cake ready?")
    await shop.texts(1)
    await shop.simulator.give_thread(shop.page, shop.psid, "inbox")
    listed = await shop.conversation_when(lambda found: not found["thread"]["ours"])
    assert listed["thread"]["owner_app_id"] == INBOX

    await shop.write("With candles?")  # comes on standby
    await takes_over(shop)
    status, answer = await says(shop, "Let me see", "key-1")
    assert (status, answer["error"]["code"]) == (409, "thread_owned_by_other_app")
    await resumes(shop)

    await shop.simulator.give_thread(shop.page, shop.psid, "ours")
    await shop.write("Hello?")
    assert await shop.texts(2) == ["From the assistant"] * 2
    asked = [each["content"] for each in await asked_of_the_model(shop)]
    assert asked == ["Is my cake ready?", "From the assistant", "With candles?\nHello?"]
    assert [call["outcome"] for call in await posts(shop)] == ["accepted", "accepted"]
    lines = await shop.lines(lambda found: len([line for line in found if "event" in line]) == 4)
    assert [line["event"] for line in lines if "event" in line] == [
        "handover.changed",
        "takeover.started",
        "takeover.ended",
        "handover.changed",
    ]
