"""What keeps a message from leaving now: limits, tokens, channels, and the end of the service."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from libs.common.channels import ChannelStatus
from libs.common.events import ChannelTokenRejected
from services.sender.draining import DrainingError
from tests.unit.sender.stories import THREE_IDS, THREE_PARTS, delivered, play, seconds_between_posts
from tests.unit.sender.world import (
    CHANNEL,
    LIMITED,
    LIMITED_FOR_PERSON,
    LOST,
    PAGE,
    STARTED_AT,
    TOKEN_DEAD,
    UNREACHABLE,
    Conversation,
    Reply,
    World,
    clock,
    send_text,
)


def test_a_limit_keeps_the_place_and_the_time_meta_asks_for() -> None:
    world = delivered(LIMITED, LIMITED, text=THREE_PARTS)

    assert world.accepted() == THREE_IDS
    assert all(gap >= 7.0 for gap in seconds_between_posts(world)[:2])
    assert world.meta.reads == 0


def test_a_limit_of_one_page_stops_its_other_people_too() -> None:
    async def story(world: World) -> None:
        world.store.conversations[f"{PAGE}:201"] = Conversation()
        world.meta.script = [LIMITED]
        first = asyncio.create_task(world.deliver(send_text(command_id="c1")))
        await asyncio.sleep(1)
        began_at = clock()
        await world.deliver(send_text(command_id="c2", psid="201"))
        assert (clock() - began_at).total_seconds() >= 6.0
        await first

    assert sorted(play(story).accepted()) == ["c1:0", "c2:0"]


def test_who_has_waited_for_long_lets_those_go_before_who_wait_now_but_is_not_torn_apart() -> None:
    async def story(world: World) -> None:
        for psid in ("201", "202", "203"):
            world.store.conversations[f"{PAGE}:{psid}"] = Conversation()
        world.meta.script = [LIMITED]
        long_ago = STARTED_AT - timedelta(seconds=40)
        thinking: dict[str, Any] = {"waiting_since": long_ago, "model_s": 20.0}
        began_at = clock()
        async with asyncio.TaskGroup() as group:
            for command in (
                send_text(command_id="c1"),
                send_text(THREE_PARTS, "old", psid="201", waiting_since=long_ago),
                send_text(command_id="slow model", psid="202", **thinking),
                send_text(command_id="new", psid="203", waiting_since=STARTED_AT),
            ):
                group.create_task(world.deliver(command))
                await asyncio.sleep(0.5)
        assert (clock() - began_at).total_seconds() < 12

    accepted = play(story).accepted()
    assert set(accepted[:3]) == {"c1:0", "slow model:0", "new:0"}
    assert accepted[3:] == ["old:0", "old:1", "old:2"]


def test_a_limit_of_one_person_stops_nobody_else() -> None:
    async def story(world: World) -> None:
        world.store.conversations[f"{PAGE}:201"] = Conversation()
        world.meta.script = [LIMITED_FOR_PERSON]
        first = asyncio.create_task(world.deliver(send_text(command_id="c1")))
        await asyncio.sleep(0.1)
        await world.deliver(send_text(command_id="c2", psid="201"))
        assert world.accepted() == ["c2:0"]
        await first

    assert play(story).accepted() == ["c2:0", "c1:0"]


def test_a_takeover_during_a_limit_is_respected() -> None:
    async def story(world: World) -> None:
        world.meta.script = [LIMITED]
        sending = asyncio.create_task(world.deliver(send_text()))
        await asyncio.sleep(2)
        world.conversation.mode, world.conversation.epoch = "human", 1
        await sending

    world = play(story)

    assert world.accepted() == []
    assert world.store.deliveries["c1:0"].reason == "superseded_by_human"
    assert world.meta.reads == 0  # Meta said no: there is nothing to look for


def test_meta_out_of_reach_is_tried_again_without_doubt() -> None:
    world = delivered(UNREACHABLE, UNREACHABLE, UNREACHABLE)

    assert world.accepted() == ["c1:0"]
    assert world.meta.reads == 0


def test_a_refused_token_is_told_once_a_minute_and_probed_by_one_call_at_a_time() -> None:
    async def story(world: World) -> None:
        people = [str(number) for number in range(300, 310)]
        world.store.conversations |= {f"{PAGE}:{psid}": Conversation() for psid in people}
        world.meta.script = [TOKEN_DEAD] * 30
        sending = [
            asyncio.create_task(world.deliver(send_text(command_id=f"c{psid}", psid=psid)))
            for psid in people
        ]
        await asyncio.gather(*sending)
        at_first = len(world.meta.posts)
        assert len(world.kept.kept) == 10
        for _ in range(301):
            await world.wake()
            await asyncio.sleep(1)
        assert 4 <= len(world.meta.posts) - at_first <= 6
        told = [item for item in world.publisher.records if isinstance(item, ChannelTokenRejected)]
        assert 5 <= len(told) <= 7
        assert told[0].cause == "password_changed"
        world.meta.script = []
        world.reconnect()
        await world.until_nothing_is_kept(within_s=20)
        assert len(world.accepted()) == 10

    play(story)


@pytest.mark.parametrize("status", ["expired", "revoked"])
def test_an_expired_channel_waits_for_reconnect_and_sends_then(status: ChannelStatus) -> None:
    async def story(world: World) -> None:
        world.channels.known[PAGE] = CHANNEL.model_copy(update={"status": status})
        await world.deliver(send_text())
        for _ in range(3600):
            await world.wake()
            await asyncio.sleep(1)
        assert world.meta.posts == []
        world.channels.known[PAGE] = CHANNEL
        world.reconnect()
        await world.until_nothing_is_kept(within_s=5)
        assert world.accepted() == ["c1:0"]

    play(story)


def test_what_waits_for_reconnect_fails_when_its_window_closes() -> None:
    async def story(world: World) -> None:
        world.channels.known[PAGE] = CHANNEL.model_copy(update={"status": "expired"})
        await world.deliver(send_text())
        await world.until_nothing_is_kept()
        assert timedelta(hours=23) < clock() - STARTED_AT < timedelta(hours=24, minutes=1)

    assert play(story).store.deliveries["c1:0"].reason == "window_closed"


def test_what_waits_behind_a_refused_token_fails_when_its_window_closes() -> None:
    async def story(world: World) -> None:
        world.store.conversations[f"{PAGE}:201"] = Conversation(STARTED_AT - timedelta(hours=23))
        world.meta.otherwise = TOKEN_DEAD
        await world.deliver(send_text())
        await world.deliver(send_text("late", "c2", psid="201"))
        while "c2" in world.kept.kept:
            await world.wake()
            await asyncio.sleep(1)
        assert clock() - STARTED_AT < timedelta(hours=1, minutes=3)

    assert play(story).store.deliveries["c2:0"].reason == "window_closed"


def test_a_stop_finishes_the_part_on_its_way_and_begins_no_other() -> None:
    async def story(world: World) -> None:
        world.meta.otherwise = Reply(after_s=2.0)
        sending = asyncio.create_task(world.deliver(send_text(THREE_PARTS)))
        await asyncio.sleep(1)
        world.drain.begin()
        with pytest.raises(DrainingError):
            await sending
        assert world.outcomes() == [("c1:0", "message.sent")]
        world.start()
        await world.deliver(send_text(THREE_PARTS))

    assert play(story).accepted() == THREE_IDS


def test_a_cancelled_handler_records_what_meta_answers_before_it_ends() -> None:
    async def story(world: World) -> None:
        world.meta.otherwise = Reply(after_s=2.0)
        sending = asyncio.create_task(world.deliver(send_text()))
        await asyncio.sleep(1)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert world.outcomes() == [("c1:0", "message.sent")]

    play(story)


@pytest.mark.parametrize("reply", [LOST, LIMITED, UNREACHABLE])
def test_a_stop_does_not_wait_for_meta(reply: Reply) -> None:
    async def story(world: World) -> None:
        world.meta.otherwise = reply
        sending = asyncio.create_task(world.deliver(send_text()))
        await asyncio.sleep(13)
        began_at = clock()
        world.drain.begin()
        with pytest.raises(DrainingError):
            await sending
        assert (clock() - began_at).total_seconds() <= 10

    play(story)
