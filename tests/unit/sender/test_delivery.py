"""One command: what is sent, what is refused, and that a copy changes nothing."""

import asyncio
from datetime import timedelta
from typing import Any, Literal

import pytest

from libs.common.channels import ChannelSettings
from libs.common.events import MessageFailed, MessageSent
from libs.common.events.outcomes import Origin
from services.sender.domain.claims import Claim
from tests.unit.sender.stories import THREE_IDS, THREE_PARTS, delivered, play
from tests.unit.sender.world import (
    BLOCKED,
    CHANNEL,
    CONVERSATION,
    PAGE,
    PSID,
    STARTED_AT,
    TOO_LONG,
    AwayError,
    Reply,
    World,
    send_text,
)

WINDOW_CLOSED = Reply(accepted=False, status=400, error=(10, 2018278))


def test_parts_go_out_in_order_at_two_round_trips_one_call_and_one_event_each() -> None:
    world = delivered(text=THREE_PARTS)

    assert world.accepted() == THREE_IDS
    assert world.store.round_trips == 6
    assert len(world.meta.posts) == 3
    assert world.outcomes() == [(send_id, "message.sent") for send_id in THREE_IDS]


def test_the_outcome_says_what_was_sent_and_why_it_was_allowed() -> None:
    world = delivered()

    (event,) = world.publisher.outcomes()
    assert isinstance(event, MessageSent)
    assert (event.mid, event.text, event.part, event.parts) == ("m_1", "hello", 0, 1)
    assert (event.messaging_type, event.tag) == ("RESPONSE", None)
    assert (event.rule, event.epoch) == ("standard_window", 0)
    assert event.window_expires_at == STARTED_AT + timedelta(hours=24)
    assert event.attempts == 1


@pytest.mark.parametrize("times", [1, 3])
def test_the_same_command_delivered_again_is_not_sent_again(times: int) -> None:
    async def story(world: World) -> None:
        for _ in range(1 + times):
            await world.deliver(send_text(THREE_PARTS), offset=7)

    world = play(story)

    assert world.accepted() == THREE_IDS
    assert world.outcomes() == [(send_id, "message.sent") for send_id in THREE_IDS]


@pytest.mark.parametrize(
    ("partition", "offset"),
    [(0, 9), (0, 2), (3, 1), (3, 900)],
    ids=["published again", "rewound", "topic made anew", "more partitions"],
)
def test_a_copy_from_elsewhere_on_the_log_is_not_sent_again(partition: int, offset: int) -> None:
    async def story(world: World) -> None:
        await world.deliver(send_text(THREE_PARTS), offset=5)
        await world.deliver(send_text("other", "c2"), offset=6)
        world.start()
        await world.deliver(send_text(THREE_PARTS), partition=partition, offset=offset)
        await world.deliver(send_text("last", "c3"), partition=partition, offset=offset + 1)

    assert play(story).accepted() == [*THREE_IDS, "c2:0", "c3:0"]


def test_an_old_copy_of_a_command_long_forgotten_is_not_sent_again() -> None:
    async def story(world: World) -> None:
        await world.deliver(send_text("first"), offset=1)
        for number in range(60):
            await world.deliver(send_text("more", f"d{number}"), offset=2 + number)
        assert "c1" not in world.conversation.sending.recent  # type: ignore[union-attr]
        await asyncio.sleep(301)
        await world.deliver(send_text("first"), offset=100)

    assert play(story).accepted().count("c1:0") == 1


def test_after_a_takeover_no_further_part_leaves() -> None:
    async def story(world: World) -> None:
        def take_over(claim: Claim) -> None:
            if claim.part == 1:
                world.conversation.mode, world.conversation.epoch = "human", 1

        world.store.before_claim = take_over
        await world.deliver(send_text(THREE_PARTS))

    world = play(story)

    assert world.accepted() == ["c1:0"]
    failed = [event for event in world.publisher.outcomes() if isinstance(event, MessageFailed)]
    assert [(event.send_id, event.reason) for event in failed] == [
        ("c1:1", "superseded_by_human"),
        ("c1:2", "earlier_part_failed"),
    ]


@pytest.mark.parametrize(("mode", "epoch"), [("human", 0), ("ai", 2), ("human", 1)])
def test_an_answer_of_another_epoch_is_not_sent(mode: Literal["ai", "human"], epoch: int) -> None:
    async def story(world: World) -> None:
        world.conversation.mode, world.conversation.epoch = mode, epoch
        await world.deliver(send_text())

    world = play(story)

    assert world.meta.posts == []
    assert world.conversation.sending is None
    assert world.store.deliveries["c1:0"].reason == "superseded_by_human"


def test_a_humans_message_passes_whoever_has_the_conversation_and_goes_as_typed() -> None:
    async def story(world: World) -> None:
        world.conversation.mode, world.conversation.epoch = "human", 4
        await world.deliver(send_text("**as typed**", origin="human", epoch=None))

    assert [item.text for item in play(story).meta.accepted] == ["**as typed**"]


def test_a_tag_that_meta_does_not_approve_is_named_with_the_failure() -> None:
    async def story(world: World) -> None:
        world.conversation.last_user_message_at = STARTED_AT - timedelta(hours=25)
        world.meta.script = [Reply(accepted=False, status=400, error=(100, 2018276))]
        await world.deliver(send_text(origin="human", epoch=None))

    [failed] = play(story).publisher.outcomes()
    assert isinstance(failed, MessageFailed)
    assert (failed.reason, failed.tag) == ("human_agent_not_approved", "HUMAN_AGENT")
    assert failed.window_expires_at == STARTED_AT + timedelta(days=7, hours=-25)


def test_a_human_whose_24_hours_are_over_by_what_meta_says_writes_with_the_tag() -> None:
    async def story(world: World) -> None:
        world.meta.script = [WINDOW_CLOSED]
        await world.deliver(send_text(origin="human", epoch=None))

    world = play(story)

    assert [item.tag for item in world.meta.accepted] == ["HUMAN_AGENT"]
    assert len(world.meta.posts) == 2
    [sent] = world.publisher.outcomes()
    assert isinstance(sent, MessageSent)
    assert (sent.rule, sent.tag) == ("human_agent_window", "HUMAN_AGENT")


@pytest.mark.parametrize(("origin", "refusals", "posts"), [("assistant", 1, 1), ("human", 2, 2)])
def test_a_window_that_meta_says_is_closed_stays_so(
    origin: Origin, refusals: int, posts: int
) -> None:
    async def story(world: World) -> None:
        world.meta.script = [WINDOW_CLOSED] * refusals
        await world.deliver(send_text(origin=origin, epoch=0 if origin == "assistant" else None))

    world = play(story)

    assert len(world.meta.posts) == posts
    assert world.store.deliveries["c1:0"].reason == "window_closed"


def test_a_message_that_comes_too_late_says_when_its_time_was_over() -> None:
    async def story(world: World) -> None:
        world.conversation.last_user_message_at = STARTED_AT - timedelta(days=8)
        await world.deliver(send_text(origin="human", epoch=None))

    [failed] = play(story).publisher.outcomes()
    assert isinstance(failed, MessageFailed)
    assert (failed.reason, failed.tag) == ("window_closed", None)
    assert failed.window_expires_at == STARTED_AT - timedelta(days=1)


@pytest.mark.parametrize("origin", ["assistant", "human"])
@pytest.mark.parametrize("known", ["before", "since the command"])
def test_nobody_writes_to_a_thread_that_another_app_has(origin: str, known: str) -> None:
    async def story(world: World) -> None:
        def taken(_claim: Claim) -> None:
            world.conversation.thread_is_ours = False

        if known == "before":
            world.conversation.thread_is_ours = False
        else:
            world.store.before_claim = taken
        await world.deliver(send_text(origin=origin))

    world = play(story)

    assert world.meta.posts == []
    [failed] = world.publisher.outcomes()
    assert isinstance(failed, MessageFailed)
    assert (failed.reason, failed.rule) == ("thread_owned_by_other_app", "thread_control")
    assert "Another app" in failed.explanation
    assert "give control back" in failed.advice


def test_what_a_human_wrote_bears_their_name_whatever_becomes_of_it() -> None:
    async def story(world: World) -> None:
        mine = {"origin": "human", "epoch": None, "by": "user:7", "by_name": "Ann"}
        await world.deliver(send_text("one", "c1", **mine), offset=1)
        world.conversation.last_user_message_at = STARTED_AT - timedelta(days=8)
        await world.deliver(send_text("two", "c2", **mine), offset=2)
        await world.deliver(send_text("three", "c3"), offset=3)

    world = play(story)

    told = [(event.type, event.by, event.by_name) for event in world.publisher.outcomes()]
    assert told == [
        ("message.sent", "user:7", "Ann"),
        ("message.failed", "user:7", "Ann"),
        ("message.failed", None, None),
    ]


@pytest.mark.parametrize(
    ("origin", "age", "expected"),
    [
        ("assistant", timedelta(hours=25), "window_closed"),
        ("human", timedelta(hours=25), "HUMAN_AGENT"),
        ("human", timedelta(days=8), "window_closed"),
    ],
)
def test_the_window_is_that_of_the_moment_of_sending(
    origin: str, age: timedelta, expected: str
) -> None:
    async def story(world: World) -> None:
        world.conversation.last_user_message_at = STARTED_AT - age
        await world.deliver(send_text(origin=origin))

    world = play(story)

    if expected == "HUMAN_AGENT":
        assert [item.tag for item in world.meta.accepted] == ["HUMAN_AGENT"]
    else:
        assert world.meta.posts == []
        assert world.store.deliveries["c1:0"].reason == expected
        assert world.store.round_trips == 2


def test_a_person_we_know_nothing_of_gets_nothing() -> None:
    async def story(world: World) -> None:
        del world.store.conversations[CONVERSATION]
        await world.deliver(send_text())

    world = play(story)

    assert world.store.deliveries["c1:0"].reason == "no_user_message"
    assert world.outcomes() == [("c1:0", "message.failed")]


@pytest.mark.parametrize("text", ["", "  \n "])
def test_a_text_with_nothing_in_it_fails_visibly(text: str) -> None:
    world = delivered(text=text)

    (event,) = world.publisher.outcomes()
    assert isinstance(event, MessageFailed)
    assert (event.reason, event.parts) == ("empty", 1)


@pytest.mark.parametrize("change", [{"enabled": False}, {"status": "disconnected"}, None])
def test_a_channel_that_is_off_or_gone_sends_nothing(change: dict[str, Any] | None) -> None:
    async def story(world: World) -> None:
        world.channels.known.pop(PAGE)
        if change is not None:
            world.channels.known[PAGE] = CHANNEL.model_copy(update=change)
        await world.deliver(send_text())

    world = play(story)

    assert world.meta.posts == []
    assert world.store.deliveries["c1:0"].reason == "channel_disabled"


def test_what_meta_refuses_is_told_with_its_code_and_ends_the_command() -> None:
    world = delivered(BLOCKED, text=THREE_PARTS)

    first, *rest = world.publisher.outcomes()
    assert isinstance(first, MessageFailed)
    assert first.reason == "person_unavailable"
    assert (first.error_code, first.error_subcode, first.fbtrace_id) == (551, 1545041, "trace")
    assert first.explanation
    assert [event.reason for event in rest if isinstance(event, MessageFailed)] == [
        "earlier_part_failed",
        "earlier_part_failed",
    ]
    assert len(world.meta.posts) == 1


def test_a_part_that_is_too_long_for_meta_is_split_further() -> None:
    text = "One sentence of words. " * 40

    async def story(world: World) -> None:
        world.channels.known[PAGE] = CHANNEL  # 2000 characters
        world.meta.max_length = 300
        await world.deliver(send_text(text))

    world = play(story)

    texts = [item.text for item in world.meta.accepted]
    assert "".join("".join(texts).split()) == "".join(text.split())
    assert all(len(part) <= 300 for part in texts)
    assert [event.send_id for event in world.publisher.outcomes()] == [
        f"c1:{number}" for number in range(len(texts))
    ]


def test_a_short_part_that_is_too_long_for_meta_fails() -> None:
    world = delivered(TOO_LONG)

    assert world.store.deliveries["c1:0"].reason == "too_long"
    assert len(world.meta.posts) == 1


def test_a_text_that_meta_refuses_whatever_its_length_fails_soon() -> None:
    async def story(world: World) -> None:
        world.channels.known[PAGE] = CHANNEL  # 2000 characters
        world.meta.max_length = 0
        await world.deliver(send_text("One sentence of words. " * 80))

    world = play(story)

    assert len(world.meta.posts) <= 6
    assert {kind for _, kind in world.outcomes()} == {"message.failed"}
    assert world.store.deliveries["c1:0"].reason == "too_long"


def test_a_changed_length_limit_neither_repeats_nor_loses_text() -> None:
    text = "\n\n".join(f"Paragraph {number} " + "x" * 30 for number in range(6))

    async def story(world: World) -> None:
        def interrupt(claim: Claim) -> None:
            if claim.part == 2:
                raise AwayError("database")

        world.store.before_claim = interrupt
        with pytest.raises(AwayError):
            await world.deliver(send_text(text))
        world.store.before_claim = lambda _claim: None
        world.start()
        longer = ChannelSettings(max_message_length=150)
        world.channels.known[PAGE] = CHANNEL.model_copy(update={"settings": longer})
        await world.deliver(send_text(text))

    world = play(story)

    sent = "".join(item.text for item in world.meta.accepted)
    assert "".join(sent.split()) == "".join(text.split())


def test_a_persons_text_goes_to_that_person() -> None:
    assert {item.psid for item in delivered().meta.accepted} == {PSID}


def test_a_thread_that_a_flow_of_metas_has_is_tried_again_a_few_times() -> None:
    busy = Reply(accepted=False, status=400, error=(10, 2018321))
    world = delivered(busy, busy)
    assert world.accepted() == ["c1:0"]

    world = delivered(*[busy] * 9)
    assert len(world.meta.posts) == 5
    assert world.store.deliveries["c1:0"].reason == "thread_busy"


def test_an_attachment_that_was_not_fetched_is_tried_once_more() -> None:
    world = delivered(*[Reply(accepted=False, status=400, error=(100, 2018008))] * 9)
    assert len(world.meta.posts) == 2
    assert world.store.deliveries["c1:0"].reason == "attachment_not_fetched"
