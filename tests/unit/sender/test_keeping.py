"""What waits for Reconnect or for Meta's allowance: put away, in order, and never lost."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from libs.common.channels import ChannelStatus
from services.sender.decisions import Decisions
from services.sender.domain.claims import Claim
from services.sender.domain.keeping import MOST_TRIES
from services.sender.keeper import BROKEN_AFTER
from services.sender.late import LateEvidence
from services.sender.part import MAX_ATTEMPTS
from tests.unit.sender.stories import THREE_IDS, THREE_PARTS, play
from tests.unit.sender.test_again import FakeReview
from tests.unit.sender.world import (
    BARRED,
    BLOCKED,
    CHANNEL,
    LIMITED,
    LIMITED_FOR_PERSON,
    LOST,
    OK,
    PAGE,
    STARTED_AT,
    TAKEN_UNSEEN,
    TOKEN_DEAD,
    Conversation,
    CrashError,
    Reply,
    World,
    clock,
    send_text,
)

DAY_S = 24 * 3600


def expire(world: World, status: ChannelStatus = "expired") -> None:
    channel = world.channels.known[PAGE]
    world.channels.known[PAGE] = channel.model_copy(update={"status": status})
    world.reconnect()


async def pass_time(world: World, seconds: float, step_s: float = 1.0) -> None:
    for _ in range(int(seconds / step_s)):
        await world.wake()
        await asyncio.sleep(step_s)


def test_what_waits_holds_up_nobody_and_takes_no_task() -> None:
    async def story(world: World) -> None:
        expire(world)
        tasks = len(asyncio.all_tasks())
        for number in range(500):
            psid = f"3{number}"
            world.store.conversations[f"{PAGE}:{psid}"] = Conversation()
            await world.deliver(send_text(command_id=f"c{number}", psid=psid), offset=number)
        assert (clock() - STARTED_AT).total_seconds() < 5  # each at once: its offset is committed
        assert len(asyncio.all_tasks()) == tasks
        assert len(world.kept.kept) == 500

    play(story)


def test_an_expired_channel_for_a_day_loses_nothing_and_calls_nobody() -> None:
    """Virtual time: messages of every hour, one person who writes again, one human agent."""

    async def story(world: World) -> None:
        world.store.conversations |= {f"{PAGE}:{psid}": Conversation() for psid in ("201", "202")}
        expire(world)
        for hour in range(24):
            now = clock()
            quiet = send_text(f"q{hour}", f"quiet{hour:02}", occurred_at=now)
            again = send_text(f"a{hour}", f"again{hour:02}", psid="201", occurred_at=now)
            human = send_text(
                f"h{hour}", f"human{hour:02}", psid="202", origin="human", occurred_at=now
            )
            for number, command in enumerate((quiet, again, human)):
                await world.deliver(command, offset=hour * 3 + number)
            if hour == 20:
                world.store.conversations[f"{PAGE}:201"].last_user_message_at = now
            await pass_time(world, 3600, step_s=30)
            if hour % 5 == 0:
                world.start()  # the service is restarted now and then
        await pass_time(world, 600, step_s=30)
        assert world.meta.posts == []
        world.channels.known[PAGE] = CHANNEL
        world.reconnect()
        await world.until_nothing_is_kept(within_s=120)

    world = play(story)

    reasons = {key: item.reason for key, item in world.store.deliveries.items()}
    quiet = [f"quiet{hour:02}:0" for hour in range(24)]
    again = [f"again{hour:02}:0" for hour in range(24)]
    human = [f"human{hour:02}:0" for hour in range(24)]
    assert [reasons[each] for each in quiet] == ["window_closed"] * 24
    assert [item.send_id for item in world.meta.accepted if item.psid == "201"] == again
    assert [item.send_id for item in world.meta.accepted if item.psid == "202"] == human
    assert {item.tag for item in world.meta.accepted if item.psid == "202"} == {"HUMAN_AGENT"}
    assert len(world.outcomes()) == 72


@pytest.mark.parametrize(
    ("reply", "at_most", "cause"),
    [(TOKEN_DEAD, 61, "password_changed"), (BARRED, 5, "page_restricted")],
)
def test_an_hour_with_a_refused_token_costs_a_call_a_minute_and_a_bar_fewer(
    reply: Reply, at_most: int, cause: str
) -> None:
    async def story(world: World) -> None:
        world.meta.otherwise = reply
        for number in range(60):
            psid = f"3{number}"
            world.store.conversations[f"{PAGE}:{psid}"] = Conversation()
            await world.deliver(send_text(command_id=f"c{number}", psid=psid), offset=number)
            await pass_time(world, 60)
        assert 3 <= len(world.meta.posts) <= at_most
        told = [item for item in world.publisher.records if item.type == "channel.token_rejected"]
        assert {item.cause for item in told} == {cause}  # type: ignore[attr-defined]
        world.meta.otherwise = OK
        world.reconnect()
        await world.until_nothing_is_kept(within_s=30)

    world = play(story)

    assert len(world.accepted()) == 60
    assert world.meta.reads == 0


def test_a_page_that_is_mended_while_it_is_looked_at_is_looked_at_again_at_once() -> None:
    async def story(world: World) -> None:
        expire(world)
        await world.deliver(send_text())
        expired = world.kept.expired

        async def mended_meanwhile(page: str, now: datetime, after: str, limit: int) -> list[str]:
            found = await expired(page, now, after, limit)
            world.channels.known[PAGE] = CHANNEL
            world.reconnect()
            return found

        world.kept.expired = mended_meanwhile  # type: ignore[method-assign, assignment]
        await world.wake()
        assert world.accepted() == []
        await world.until_nothing_is_kept(within_s=3)

    assert len(play(story).accepted()) == 1


def test_a_bar_that_is_lifted_is_found_out_without_anybodys_help() -> None:
    async def story(world: World) -> None:
        world.meta.script = [BARRED, BARRED]
        await world.deliver(send_text())
        await world.until_nothing_is_kept(within_s=2000)

    assert play(story).accepted() == ["c1:0"]


def test_a_restart_forgets_neither_a_stop_nor_that_nothing_was_sent() -> None:
    async def story(world: World) -> None:
        world.meta.script = [replace(LIMITED, retry_after_s=3600.0)]
        await world.deliver(send_text())
        await pass_time(world, 60)
        world.start()
        await pass_time(world, 3400)
        assert len(world.meta.posts) == 1
        await world.until_nothing_is_kept(within_s=200)

    world = play(story)

    assert world.accepted() == ["c1:0"]
    assert world.meta.reads == 0  # no doubt: Meta had said no
    assert world.store.deliveries["c1:0"].attempts == 1


def test_later_messages_of_the_person_wait_behind_and_follow_in_order() -> None:
    async def story(world: World) -> None:
        world.meta.script = [OK, TOKEN_DEAD]
        await world.deliver(send_text(THREE_PARTS), offset=1)
        for number in range(2, 5):
            await world.deliver(send_text(f"text {number}", f"c{number}"), offset=number)
        assert [kept.why for kept in world.kept.kept.values()] == ["token", *["behind"] * 3]
        world.reconnect()  # and a message that comes before anything was taken up
        await world.deliver(send_text("text 5", "c5"), offset=5)
        assert world.kept.kept == {}
        await world.deliver(send_text("text 6", "c6"), offset=6)

    world = play(story)

    assert world.accepted() == [*THREE_IDS, *[f"c{number}:0" for number in range(2, 7)]]
    assert world.conversation.kept is None


def test_a_limit_of_one_person_for_long_holds_up_nobody_else() -> None:
    async def story(world: World) -> None:
        world.store.conversations[f"{PAGE}:201"] = Conversation()
        world.meta.script = [replace(LIMITED_FOR_PERSON, retry_after_s=900.0)]
        await world.deliver(send_text(), offset=1)
        await world.deliver(send_text("next", "c2"), offset=2)
        await world.deliver(send_text("other", "c3", psid="201"), offset=3)
        assert world.accepted() == ["c3:0"]
        await pass_time(world, 890)
        assert world.accepted() == ["c3:0"]
        await world.until_nothing_is_kept(within_s=60)

    assert play(story).accepted() == ["c3:0", "c1:0", "c2:0"]


@pytest.mark.parametrize(("reply", "posts"), [(TAKEN_UNSEEN, 1), (LOST, 2)])
def test_a_doubt_that_meets_a_dead_token_is_settled_after_reconnect(
    reply: Reply, posts: int
) -> None:
    async def story(world: World) -> None:
        world.meta.script, world.meta.readable = [reply], False
        sending = asyncio.create_task(world.deliver(send_text()))
        await asyncio.sleep(12)
        expire(world)
        await sending
        await pass_time(world, 3600, step_s=10)
        world.start()
        assert world.outcomes() == []
        world.meta.readable = True
        world.channels.known[PAGE] = CHANNEL
        world.reconnect()
        await world.until_nothing_is_kept(within_s=60)

    world = play(story)

    assert world.accepted() == ["c1:0"]
    assert len(world.meta.posts) == posts


def test_a_doubt_that_nobody_can_settle_in_time_is_held() -> None:
    async def story(world: World) -> None:
        world.meta.script, world.meta.readable = [TAKEN_UNSEEN], False
        sending = asyncio.create_task(world.deliver(send_text()))
        await asyncio.sleep(12)
        expire(world)
        await sending
        await pass_time(world, DAY_S + 600, step_s=30)

    assert play(story).outcomes() == [("c1:0", "message.held")]


def test_a_takeover_meanwhile_is_respected() -> None:
    async def story(world: World) -> None:
        expire(world)
        await world.deliver(send_text())
        world.conversation.mode, world.conversation.epoch = "human", 1
        world.channels.known[PAGE] = CHANNEL
        world.reconnect()
        await world.until_nothing_is_kept(within_s=10)

    world = play(story)

    assert world.accepted() == []
    assert world.store.deliveries["c1:0"].reason == "superseded_by_human"


def test_a_page_that_is_disconnected_for_good_lets_what_waits_fail() -> None:
    async def story(world: World) -> None:
        expire(world)
        await world.deliver(send_text())
        expire(world, "disconnected")
        await world.until_nothing_is_kept(within_s=10)

    assert play(story).store.deliveries["c1:0"].reason == "channel_disabled"


def test_our_own_mistake_with_one_is_tried_again_later_and_lost_never() -> None:
    async def story(world: World) -> None:
        expire(world)
        await world.deliver(send_text())
        (kept,) = world.kept.kept.values()
        world.kept.kept[kept.id] = kept.model_copy(update={"command": "{"})
        world.channels.known[PAGE] = CHANNEL
        world.reconnect()
        await pass_time(world, 60)
        assert world.kept.kept[kept.id].why == "broken"
        world.kept.kept[kept.id] = world.kept.kept[kept.id].model_copy(
            update={"command": kept.command}
        )
        await world.until_nothing_is_kept(within_s=BROKEN_AFTER.total_seconds() + 60)

    assert play(story).accepted() == ["c1:0"]


async def put_away_two(world: World) -> None:
    """One of three parts, and another behind it, at an open Page."""
    expire(world)
    await world.deliver(send_text(THREE_PARTS), offset=1)
    await world.deliver(send_text("next", "c2"), offset=2)
    world.channels.known[PAGE] = CHANNEL.model_copy(
        update={"settings": CHANNEL.settings.model_copy(update={"max_message_length": 60})}
    )
    world.reconnect()


HOURS_S = BROKEN_AFTER.total_seconds() * MOST_TRIES + 600


def test_what_breaks_time_and_again_fails_in_the_end_and_what_waits_behind_it_goes_out() -> None:
    async def story(world: World) -> None:
        def poison(claim: Claim) -> None:
            if claim.command_id == "c1":
                raise ValueError("a mistake of ours")

        world.store.before_claim = poison
        await put_away_two(world)
        world.conversation.last_user_message_at = clock()
        await world.until_nothing_is_kept(within_s=HOURS_S, step_s=10)

    world = play(story)

    assert world.accepted() == ["c2:0"]
    failed = [(each, "message.failed") for each in THREE_IDS]
    assert world.outcomes() == [*failed, ("c2:0", "message.sent")]
    assert {world.store.deliveries[each].reason for each in THREE_IDS} == {"internal"}
    assert world.conversation.kept is None


def test_what_cannot_be_read_fails_in_the_end_too() -> None:
    async def story(world: World) -> None:
        await put_away_two(world)
        world.kept.kept["c1"] = world.kept.kept["c1"].model_copy(update={"command": "{"})
        world.conversation.last_user_message_at = clock()
        await world.until_nothing_is_kept(within_s=HOURS_S, step_s=10)

    world = play(story)

    assert world.accepted() == ["c2:0"]
    assert world.outcomes() == [("c1:0", "message.failed"), ("c2:0", "message.sent")]


def test_what_breaks_is_given_up_when_its_window_closes() -> None:
    async def story(world: World) -> None:
        world.conversation.last_user_message_at = STARTED_AT - timedelta(hours=23, minutes=45)
        await put_away_two(world)
        world.kept.kept["c1"] = world.kept.kept["c1"].model_copy(update={"command": "{"})
        await world.until_nothing_is_kept(within_s=1500, step_s=10)

    reasons = {key: each.reason for key, each in play(story).store.deliveries.items()}
    assert reasons == {"c1:0": "internal", "c2:0": "window_closed"}


def test_what_may_have_been_sent_before_it_broke_is_held_and_not_called_failed() -> None:
    async def story(world: World) -> None:
        await put_away_two(world)
        world.meta.script = [TAKEN_UNSEEN]
        world.meta.thread_error = ValueError("a mistake of ours")
        world.conversation.last_user_message_at = clock()
        await world.until_nothing_is_kept(within_s=HOURS_S, step_s=10)

    world = play(story)

    assert world.accepted() == ["c1:0", "c2:0"]
    states = {key: each.state for key, each in world.store.deliveries.items()}
    assert states == {"c1:0": "held", "c1:1": "failed", "c1:2": "failed", "c2:0": "sent"}
    assert len(world.outcomes()) == 4


@pytest.mark.parametrize("opened", [False, True])
def test_what_was_to_be_sent_again_and_breaks_is_listed_again(opened: bool) -> None:
    async def story(world: World) -> None:
        world.meta.script = [BLOCKED]
        await world.deliver(send_text())
        failed = world.store.deliveries["c1:0"]
        mistake = ValueError("a mistake of ours")
        review = FakeReview(world.store)
        decisions = Decisions(world.desk, review, LateEvidence(world.desk, review))  # type: ignore[arg-type]
        await decisions.send_again("c1:0", None)
        assert failed.state == "failed"

        def poison(_claim: Claim) -> None:
            raise mistake

        world.store.before_claim = poison
        if not opened:
            (kept,) = world.kept.kept.values()
            world.kept.kept[kept.id] = kept.model_copy(update={"command": "{"})
        await world.until_nothing_is_kept(within_s=HOURS_S, step_s=10)

    world = play(story)

    recorded = world.store.deliveries["c1:0"]
    assert (recorded.state, recorded.generation) == ("failed", int(opened))
    assert world.accepted() == []
    assert len(world.outcomes()) == 1 + opened


kinds = st.sampled_from([OK, TOKEN_DEAD, LOST, TAKEN_UNSEEN, replace(LIMITED, retry_after_s=600.0)])


@settings(max_examples=80, deadline=None)
@given(
    script=st.lists(kinds, max_size=5),
    crashes=st.lists(st.integers(0, 60), max_size=5),
    expired_for_s=st.sampled_from([0, 30, 4000]),
    people=st.integers(1, 3),
    commands=st.integers(1, 4),
)
def test_whatever_stops_a_page_and_wherever_we_end_order_is_kept_and_all_arrives_once(
    script: list[Reply], crashes: list[int], expired_for_s: int, people: int, commands: int
) -> None:
    # a part with doubt about so many attempts is held, and that is another story
    assume(sum(reply == LOST for reply in script) + len(crashes) < MAX_ATTEMPTS)
    names = [f"3{number}" for number in range(people)]

    async def story(world: World) -> None:
        world.store.conversations = {f"{PAGE}:{psid}": Conversation() for psid in names}
        world.meta.script = list(script)
        if expired_for_s:
            expire(world)
        left, reconnect_at = list(crashes), clock() + timedelta(seconds=expired_for_s)
        waiting = [
            send_text(f"text {number}", f"{psid}-{number}", psid=psid)
            for number in range(commands)
            for psid in names
        ]
        offset = 0
        while waiting or world.kept.kept:
            world.start(crash_at=[left.pop(0)] if left else [])
            with suppress(CrashError):
                while waiting:  # what is not finished comes again
                    await world.deliver(waiting[0], offset=offset)
                    waiting.pop(0)
                    offset += 1
                while world.kept.kept:
                    if clock() >= reconnect_at:
                        world.channels.known[PAGE] = CHANNEL
                        world.reconnect()
                    for conversation in sorted(world.store.conversations):
                        await world.keeper.take_up(conversation)
                    await asyncio.sleep(10)

    world = play(story)

    accepted = world.accepted()
    assert len(accepted) == len(set(accepted)) == people * commands
    for psid in names:
        theirs = [item.send_id for item in world.meta.accepted if item.psid == psid]
        assert theirs == [f"{psid}-{number}:0" for number in range(commands)]
    assert len(world.outcomes()) == people * commands
    assert all(kind == "message.sent" for _, kind in world.outcomes())
