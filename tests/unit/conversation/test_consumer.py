"""The turn: one answer, whatever comes, whenever it comes, wherever the process dies."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from libs.common.errors import TransientError
from libs.common.events import AnyRecord, TakeoverRequested, TurnCompleted, TurnFailed
from services.conversation import answering, signs
from services.conversation.assistants.base import (
    AssistantRefusedError,
    AssistantUnavailableError,
    Handover,
    Reply,
)
from services.conversation.domain.receive import QUOTED_CHARACTERS, RECENT_EVENTS
from services.conversation.store import ConversationChangedError
from tests.unit.conversation import factories as make
from tests.unit.conversation.world import CHANNEL, Crash, World

SETTINGS = CHANNEL.settings


@pytest.fixture
def world() -> World:
    return World()


async def forever() -> None:
    await asyncio.Event().wait()


def with_settings(**changed: Any) -> Any:  # noqa: ANN401
    return CHANNEL.model_copy(update={"settings": SETTINGS.model_copy(update=changed)})


# --- what is answered, and with what


async def test_a_message_gets_one_answer(world: World) -> None:
    world.write(make.message(text="Do you bake?"))
    await world.handle()

    [command] = world.commands
    assert command.text == "Answer 1"
    assert (command.origin, command.epoch) == ("assistant", 0)
    assert world.facts == ["turn.completed"]
    assert world.prompts[0].question == "Do you bake?"
    assert world.prompts[0].instructions.startswith("You are Crumb.")
    assert world.shown == ["mark_seen", "typing_on"]


async def test_a_burst_gets_one_answer(world: World) -> None:
    world.write(*[make.message(f"m{n}", f"line {n}", n) for n in range(5)])
    await world.handle(at_first=2)  # the rest comes within the quiet window

    [command] = world.commands
    assert world.prompts[0].question == "line 0\nline 1\nline 2\nline 3\nline 4"
    assert world.committed == 5
    assert world.state.turn is not None
    assert world.state.turn.messages_answered == 5
    assert command.command_id == world.state.turn.command_id


async def test_the_next_turn_knows_what_was_said(world: World) -> None:
    world.write(make.message("m1", "Do you bake?"), make.echo(text="Anna here, we do"))
    await world.handle()
    world.write(make.message("m2", "On Sundays?"))
    await world.handle()

    history = [(line.role, line.text) for line in world.prompts[1].history]
    assert history == [
        ("person", "Do you bake?"),
        ("human", "Anna here, we do"),
        ("assistant", "Answer 1"),
    ]
    assert len({command.command_id for command in world.commands}) == 2


async def test_attachments_alone_get_the_text_only_reply_and_no_model(world: World) -> None:
    world.write(make.image("m1"), make.image("m2"))
    await world.handle()
    assert [command.text for command in world.commands] == [SETTINGS.text_only_reply]
    assert world.facts == ["turn.completed"]
    assert world.prompts == []


async def test_get_started_begins_a_session_with_a_welcome(world: World) -> None:
    world.write(make.message())
    await world.handle()
    session = world.state.session_id
    world.write(make.get_started())
    await world.handle()

    assert world.state.session_id != session
    assert world.prompts[1].kind == "welcome"
    assert world.prompts[1].question == SETTINGS.welcome_prompt
    assert world.prompts[1].history == ()
    assert len(world.commands) == 2


@pytest.mark.parametrize(
    "event",
    [
        make.reaction(),
        make.standby(),
        make.echo(app_id="7"),
        make.sent(origin="human"),
        make.unsent(),
        make.edited(),
    ],
    ids=lambda event: event.type,
)
async def test_what_is_no_message_to_us_is_remembered_and_not_answered(
    world: World, event: AnyRecord
) -> None:
    world.write(event)
    await world.handle()
    assert (world.commands, world.shown, world.prompts) == ([], [], [])
    assert world.stored.version == 1


@pytest.mark.parametrize(
    "event",
    [make.echo(app_id=make.APP), make.echo(send_id="c1:0"), make.sent(), make.delivered(1)],
    ids=["echo", "echo without an app", "sent", "delivered"],
)
async def test_what_comes_back_of_our_own_answer_costs_no_round_trip(
    world: World, event: AnyRecord
) -> None:
    world.write(event)
    await world.handle()
    assert (world.steps, world.stored.version, world.committed) == ([], 0, 1)


@pytest.mark.parametrize(
    "event", [make.sent(), make.takeover_started()], ids=lambda event: event.type
)
async def test_what_does_not_concern_the_memory_costs_nothing(
    world: World, event: AnyRecord
) -> None:
    world.write(event)
    await world.handle()
    assert world.steps == []


@pytest.mark.parametrize(
    "channel",
    [
        None,
        CHANNEL.model_copy(update={"enabled": False}),
        CHANNEL.model_copy(update={"status": "disconnected"}),
    ],
    ids=["unknown", "disabled", "disconnected"],
)
async def test_where_no_channel_answers_messages_are_kept(world: World, channel: Any) -> None:  # noqa: ANN401
    world.page = channel
    world.write(make.message())
    await world.handle()
    assert (world.commands, world.shown) == ([], [])
    assert world.state.inbound_count == 1
    assert len(world.state.history) == 1

    world.page = CHANNEL
    world.write(make.message("m2", "still there?"))
    await world.handle()
    assert world.prompts[0].question == "still there?"


@pytest.mark.parametrize("status", ["expired", "revoked"])
async def test_a_channel_that_waits_for_reconnect_is_answered_all_the_same(
    world: World, status: str
) -> None:
    world.page = CHANNEL.model_copy(update={"status": status})
    world.write(make.message())
    await world.handle()
    assert len(world.commands) == 1


async def test_a_human_has_it_so_the_assistant_is_silent(world: World) -> None:
    world.take_over()
    world.write(make.message("m1", "hello?"))
    await world.handle()
    assert (world.commands, world.shown, world.prompts) == ([], [], [])

    world.take_over(epoch=2, mode="ai")
    world.write(make.message("m2", "and now?"))
    await world.handle()
    [command] = world.commands
    assert command.epoch == 2
    assert world.prompts[0].question == "and now?"
    assert [line.text for line in world.prompts[0].history] == ["hello?"]


# --- what a message replies to


async def test_a_reply_is_read_with_what_it_replies_to(world: World) -> None:
    world.write(
        make.message("m1", "Is the rye vegan?"),
        make.message("m2", "this one", reply_to_mid="m1"),
    )
    await world.handle()
    assert world.prompts[0].quoted == "Is the rye vegan?"
    assert world.prompts[0].question == "Is the rye vegan?\nthis one"
    assert world.round_trips == {"load": 1, "save": 1}

    world.write(make.message("m3", "and then?"))
    await world.handle()
    assert [line.quoted for line in world.prompts[1].history] == ["", "Is the rye vegan?", ""]
    assert world.prompts[1].quoted == ""


async def test_what_only_the_archive_knows_is_looked_up_once(world: World) -> None:
    """The assistant's own messages, and those of earlier sessions."""
    world.archived_texts = {"ours": "We open at 8."}
    replies = [make.message(f"m{n}", "sure?", reply_to_mid="ours") for n in range(3)]
    world.write(*replies, make.message("m9", "or", reply_to_mid="nobody knows"))
    await world.handle()
    assert world.prompts[0].quoted == "We open at 8."
    assert world.round_trips == {"load": 1, "texts": 1, "save": 1}

    world.steps.clear()
    world.write(replies[0])  # Meta's copy
    await world.handle()
    assert world.round_trips == {"load": 1}


async def test_a_long_quotation_is_shortened(world: World) -> None:
    world.write(make.message("m1", "x" * 3000), make.message("m2", "?", reply_to_mid="m1"))
    await world.handle()
    assert world.prompts[0].quoted == "x" * QUOTED_CHARACTERS


async def test_a_tapped_quick_reply_is_its_title(world: World) -> None:
    world.write(make.message("m1", "Opening hours", quick_reply_payload="HOURS_V2"))
    await world.handle()
    assert world.prompts[0].question == "Opening hours"
    assert "HOURS_V2" not in world.state.model_dump_json()


# --- sessions


@pytest.mark.parametrize(("idle_s", "remembers"), [(3599, True), (3601, False)])
async def test_a_session_ends_after_the_channels_idle_time(
    world: World, idle_s: int, remembers: bool
) -> None:
    world.page = with_settings(session_idle_s=3600)
    world.write(make.message("m1", "I am Ann"))
    await world.handle()
    session = world.state.session_id
    world.write(make.message("m2", "who am I?", idle_s))
    await world.handle()
    assert (world.state.session_id == session) is remembers
    assert bool(world.prompts[1].history) is remembers


async def test_the_history_fits_the_budget_and_names_the_human_agents_words() -> None:
    world = World(history_tokens=20)
    world.write(make.message("m1", "long ago " * 50), make.echo(text="Anna: we do", seconds=1))
    await world.handle()
    world.write(make.message("m2", "thanks", 2))
    await world.handle()
    assert [(line.role, line.text) for line in world.prompts[1].history] == [
        ("human", "Anna: we do"),
        ("assistant", "Answer 1"),
    ]


# --- budgets


async def test_a_turn_costs_two_round_trips_and_one_produce(world: World) -> None:
    for number in range(3):
        world.steps.clear()
        world.produces = 0
        world.write(make.message(f"m{number}"))
        await world.handle()
        assert world.round_trips == {"load": 1, "save": 1}
        assert world.produces == 1


async def test_a_burst_of_a_hundred_costs_as_much_as_one_message(world: World) -> None:
    world.write(*[make.message(f"m{number}") for number in range(100)])
    await world.handle(at_first=1)
    assert world.round_trips == {"load": 1, "save": 1}
    assert world.produces == len(world.prompts) == 1


async def test_a_duplicate_costs_one_round_trip_and_nothing_else(world: World) -> None:
    world.write(make.message())
    await world.handle()
    world.steps.clear()
    shown = list(world.shown)

    world.write(make.message())
    await world.handle()
    assert world.steps == ["load"]
    assert len(world.commands) == len(world.prompts) == 1
    assert world.shown == shown


async def test_a_copy_of_a_message_forgotten_long_ago_is_looked_up_in_the_archive(
    world: World,
) -> None:
    world.take_over()  # only to be quick about the many
    first = make.message("first", seconds=-1)
    world.write(first, *[make.message(f"m{n}", seconds=n) for n in range(RECENT_EVENTS)])
    await world.handle()
    world.take_over(epoch=2, mode="ai")
    world.archived = {f"{make.PAGE}:first": "0:0"}
    world.steps.clear()

    world.write(first)
    await world.handle()
    assert world.steps == ["load", "sources"]
    assert world.commands == []


@pytest.mark.parametrize(("days", "answers"), [(6.9, 1), (7.1, 0)])
async def test_a_dead_letter_that_the_archive_may_have_forgotten_is_not_answered_again(
    world: World, days: float, answers: int
) -> None:
    """It was answered, its workspace keeps messages for a week, and another service's dead letter
    of it is put back on the log."""
    world.take_over()
    week = days * 86_400
    world.write(*[make.message(f"m{n}", seconds=week + n) for n in range(RECENT_EVENTS + 1)])
    await world.handle()
    world.take_over(epoch=2, mode="ai")
    again = make.record(make.message("first", "are you open?"), offset=len(world.log))
    put_back_at = round(make.at(week).timestamp() * 1000)
    world.log.append(replace(again, timestamp_ms=put_back_at))
    await world.handle()
    assert len(world.prompts) == answers


async def test_an_old_message_that_comes_for_the_first_time_is_answered(world: World) -> None:
    """Meta tried for hours; the archive, which is quicker, has it from this very record."""
    world.take_over()
    world.write(*[make.message(f"m{n}", seconds=n) for n in range(RECENT_EVENTS + 1)])
    await world.handle()
    world.take_over(epoch=2, mode="ai")
    late = make.message("late", "are you open?", seconds=-3600)
    world.archived = {f"{make.PAGE}:late": f"0:{len(world.log)}"}
    world.write(late, late)
    await world.handle()
    assert [prompt.question for prompt in world.prompts] == ["are you open?"]


async def test_a_rewound_log_asks_nobody_and_sends_nothing_new(world: World) -> None:
    for number in range(RECENT_EVENTS + 20):
        world.write(make.message(f"m{number}", seconds=number))
        await world.handle()
    asked, known = len(world.prompts), {command.command_id for command in world.commands}

    world.committed = 0
    await world.handle_all()
    assert len(world.prompts) == asked
    assert {command.command_id for command in world.commands} == known


# --- while the model writes


async def test_new_text_while_the_model_writes_starts_the_turn_over(world: World) -> None:
    async def interrupted(asked: int) -> None:
        if asked == 1:
            world.write(make.message("m2", "and on Mondays?"))
            await forever()

    world.on_ask = interrupted
    world.write(make.message("m1", "Sundays?"))
    await world.handle()
    assert [command.text for command in world.commands] == ["Answer 2"]
    assert world.prompts[1].question == "Sundays?\nand on Mondays?"
    assert world.committed == 2


async def test_a_turn_starts_over_twice_at_most_and_what_comes_then_is_the_next_turn(
    world: World,
) -> None:
    async def interrupted(asked: int) -> None:
        world.write(make.message(f"more{asked}", f"more {asked}"))
        if asked <= answering.MAX_RESTARTS:
            await forever()
        for _ in range(20):  # time enough to be heard
            await asyncio.sleep(0)

    world.on_ask = interrupted
    world.write(make.message("m1", "one"))
    await world.handle()
    assert [prompt.question for prompt in world.prompts] == [
        "one",
        "one\nmore 1",
        "one\nmore 1\nmore 2",
        "more 3",  # a turn of its own, in which nothing more joins
    ]
    assert [command.text for command in world.commands] == ["Answer 3", "Answer 4"]
    assert world.committed == len(world.log) - 1

    world.on_ask = None
    await world.handle()
    assert world.prompts[-1].question == "more 4"
    assert len({command.command_id for command in world.commands}) == 3


@pytest.mark.parametrize(
    "event",
    [make.reaction(), make.sent(), make.echo(app_id=make.APP), make.message("m1", "hello")],
    ids=["reaction", "sent", "echo", "copy"],
)
async def test_what_asks_nothing_does_not_start_the_turn_over(
    world: World, event: AnyRecord
) -> None:
    async def disturbed(asked: int) -> None:
        world.write(event)
        for _ in range(20):  # the handler takes it in meanwhile
            await asyncio.sleep(0)

    world.on_ask = disturbed
    world.write(make.message("m1", "hello"))
    await world.handle()
    assert len(world.prompts) == len(world.commands) == 1
    assert world.committed == 2


async def test_an_edit_while_the_model_writes_is_answered_as_it_reads_now(world: World) -> None:
    async def interrupted(asked: int) -> None:
        if asked == 1:
            world.write(make.edited("m1", "at six?"))
            await forever()

    world.on_ask = interrupted
    world.write(make.message("m1", "at five?"))
    await world.handle()
    assert [prompt.question for prompt in world.prompts] == ["at five?", "at six?"]
    assert len(world.commands) == 1


async def test_a_message_taken_back_while_the_model_writes_gets_no_answer(world: World) -> None:
    async def interrupted(asked: int) -> None:
        world.write(make.unsent("m1"))
        await forever()

    world.on_ask = interrupted
    world.write(make.message("m1"))
    await world.handle()
    assert (world.commands, world.state.history) == ([], ())
    assert world.shown == ["mark_seen", "typing_on", "typing_off"]


async def test_typing_is_shown_again_while_the_model_takes_its_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signs, "TYPING_EVERY_S", 0.01)

    async def slowly(asked: int) -> None:
        while world.shown.count("typing_on") < 4:
            await asyncio.sleep(0.001)

    world.on_ask = slowly
    world.write(make.message())
    await world.handle()
    assert len(world.commands) == 1
    assert "typing_off" not in world.shown  # the answer itself ends it


async def test_the_time_with_the_model_is_told_apart_from_our_own(world: World) -> None:
    async def slowly(asked: int) -> None:
        await asyncio.sleep(0.2)

    world.on_ask = slowly
    world.write(make.message())
    await world.handle()
    assert sum(world.away_s) >= 0.2


# --- the fence


async def test_no_answer_is_published_after_a_takeover(world: World) -> None:
    async def taken_over(asked: int) -> None:
        world.take_over()

    world.on_ask = taken_over
    world.write(make.message())
    with pytest.raises(ConversationChangedError):
        await world.handle()
    assert world.shown[-1] == "typing_off"

    await world.handle()
    assert (world.commands, len(world.prompts)) == ([], 1)
    assert world.state.inbound_count == 1


async def test_a_takeover_stops_the_model_at_once(world: World) -> None:
    async def taken_over(asked: int) -> None:
        world.take_over()
        world.write(make.takeover_started())
        await forever()

    world.on_ask = taken_over
    world.write(make.message())
    with pytest.raises(ConversationChangedError):
        await world.handle()
    assert world.shown[-1] == "typing_off"
    await world.handle()
    assert world.commands == []
    assert world.committed == 2


async def test_a_takeover_that_is_over_already_stops_nothing(world: World) -> None:
    world.take_over(epoch=2, mode="ai")
    world.write(make.message(), make.takeover_started(epoch=1))
    await world.handle(at_first=1)
    assert len(world.commands) == 1


async def test_another_replica_wrote_meanwhile(world: World) -> None:
    async def overtaken(asked: int) -> None:
        if asked == 1:
            await world.save(world.stored, world.stored.state)

    world.on_ask = overtaken
    world.write(make.message())
    with pytest.raises(ConversationChangedError):
        await world.handle()
    await world.handle()
    assert len(world.commands) == 1


# --- when there is no answer


@pytest.mark.parametrize(
    ("error", "reason", "asked"),
    [
        (AssistantUnavailableError("overloaded"), "assistant_unavailable", 2),
        (AssistantUnavailableError("overloaded", 3600.0), "assistant_unavailable", 1),
        (AssistantRefusedError("bad key"), "assistant_refused", 1),
        (RuntimeError("a fault of ours"), "assistant_failed", 1),
        (TimeoutError(), "assistant_failed", 1),
    ],
)
async def test_the_fallback_is_sent_once_and_the_failure_told(
    monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str, asked: int
) -> None:
    monkeypatch.setattr("services.conversation.asking.FIRST_BACKOFF_S", 0.0)
    world = World(model_attempts=2)
    world.answers = [error, error]
    world.write(make.message())
    await world.handle()

    assert [command.text for command in world.commands] == [SETTINGS.fallback_text]
    assert world.facts == ["turn.failed", "takeover.requested"]
    assert len(world.prompts) == asked
    assert world.state.turn is not None
    assert world.state.turn.failure == reason
    assert world.state.turn.failed_attempts == asked

    world.committed = 0
    await world.handle()
    assert len(world.prompts) == asked
    assert len({command.command_id for command in world.commands}) == 1


async def test_a_second_attempt_may_bring_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.conversation.asking.FIRST_BACKOFF_S", 0.0)
    world = World(model_attempts=3)
    world.answers = [AssistantUnavailableError("overloaded")]
    world.write(make.message())
    await world.handle()
    assert [command.text for command in world.commands] == ["Answer 2"]


async def test_a_model_that_says_nothing_is_left_at_the_deadline() -> None:
    world = World(turn_deadline_s=0.01)

    async def silent(asked: int) -> None:
        await forever()

    world.on_ask = silent
    world.write(make.message())
    await world.handle()
    assert [command.text for command in world.commands] == [SETTINGS.fallback_text]
    assert world.state.turn is not None
    assert world.state.turn.failure == "deadline"


async def test_a_channel_whose_assistant_is_missing_gets_the_fallback(world: World) -> None:
    world.profile = None
    world.write(make.message())
    await world.handle()
    assert [command.text for command in world.commands] == [SETTINGS.fallback_text]


async def test_a_channel_without_a_text_only_reply_sends_none_and_ends_typing(
    world: World,
) -> None:
    world.page = with_settings(text_only_reply="")
    world.write(make.image())
    await world.handle()
    assert (world.published, world.produces) == ([], 0)
    assert world.shown[-1] == "typing_off"


# --- crashes


Setup = Callable[[World], None]


def a_message(world: World) -> None:
    world.write(make.message())


def a_burst(world: World) -> None:
    world.write(*[make.message(f"m{number}") for number in range(3)])


def a_welcome(world: World) -> None:
    world.write(make.get_started())


def an_image(world: World) -> None:
    world.write(make.image())


def a_failure(world: World) -> None:
    world.answers = [AssistantRefusedError("bad key")] * 2
    world.write(make.message())


def an_interruption(world: World) -> None:
    async def interrupted(asked: int) -> None:
        if len(world.log) == 1:
            world.write(make.message("m2", "more"))
            await forever()

    world.on_ask = interrupted
    world.write(make.message())


def a_request(world: World) -> None:
    world.write(make.message("m1", "human"))


def a_handover_by_the_model(world: World) -> None:
    world.answers = [Reply("", "small", 0.1, 3, 2, Handover("angry", "upset"))] * 2
    world.write(make.message())


def a_limit(world: World) -> None:
    world.page = with_settings(daily_model_calls=0)
    world.write(make.message())


def a_line_too_late(world: World) -> None:
    """Two turns in one run: the second for what came while the first one could not start over."""

    async def interrupted(asked: int) -> None:
        if (known := len(world.log)) <= answering.MAX_RESTARTS + 1:
            world.write(make.message(f"m{known + 1}", f"more {known}"))
            if known <= answering.MAX_RESTARTS:
                await forever()
            for _ in range(20):
                await asyncio.sleep(0)

    world.on_ask = interrupted
    world.write(make.message())


STORIES = [
    a_message,
    a_burst,
    a_welcome,
    an_image,
    a_failure,
    an_interruption,
    a_request,
    a_handover_by_the_model,
    a_limit,
]


def crash() -> None:
    raise Crash


def broken() -> None:
    raise TransientError


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
@pytest.mark.parametrize("end", [crash, broken, "cancel"], ids=["crash", "error", "cancel"])
async def test_wherever_it_ends_there_is_one_answer_and_one_command_id(
    story: Setup, end: Callable[[], None] | str
) -> None:
    calm = World()
    story(calm)
    await calm.handle_all()
    [expected] = calm.commands

    for fatal in range(1, len(calm.steps) + 1):
        world = World()
        story(world)
        await _end_at(world, fatal, end)
        stored_answer, asked = world.state.turn, len(world.prompts)

        world.at_step = lambda number: None
        await world.handle_all()

        where = f"{calm.steps[fatal - 1]} ({fatal})"
        assert {command.command_id for command in world.commands} == {expected.command_id}, where
        texts = {command.model_dump_json() for command in world.commands}
        assert len(texts) == 1, where
        if end is not broken or calm.steps[fatal - 1] not in ("ask", "answered"):
            told = {each.event_id for each in world.requested}
            assert told == {each.event_id for each in calm.requested}, where
        requested = [each for each in world.published if isinstance(each, TakeoverRequested)]
        assert len({each.model_dump_json() for each in requested}) == len(world.requested), where
        if stored_answer is not None:
            assert len(world.prompts) == asked, where
        assert world.state.inbound_count == len(world.log), where
        assert len(world.state.history) == len(world.log) + 1, where
        assert world.committed == len(world.log), where


@pytest.mark.parametrize("end", [crash, broken, "cancel"], ids=["crash", "error", "cancel"])
async def test_wherever_it_ends_two_turns_of_one_run_answer_each_message_once(
    end: Callable[[], None] | str,
) -> None:
    calm = World()
    a_line_too_late(calm)
    await calm.handle_all()
    assert len({command.command_id for command in calm.commands}) == 2

    for fatal in range(1, len(calm.steps) + 1):
        world = World()
        a_line_too_late(world)
        await _end_at(world, fatal, end)
        world.at_step = lambda number: None
        await world.handle_all()

        where = f"{calm.steps[fatal - 1]} ({fatal})"
        outcomes = [
            each for each in world.published if isinstance(each, TurnCompleted | TurnFailed)
        ]
        turns = {each.turn_id for each in outcomes}
        texts = {command.model_dump_json() for command in world.commands}
        assert len(texts) == len({command.command_id for command in world.commands}), where
        assert {command.turn_id for command in world.commands} == turns, where
        assert world.state.pending == (), where
        answered = {each.turn_id: each for each in outcomes if isinstance(each, TurnCompleted)}
        failed = len(turns) - len(answered)
        assert failed == 0 or end is broken, where
        if not failed:
            total = sum(each.messages_answered for each in answered.values())
            assert total == len(world.log), where
        assert world.state.inbound_count == len(world.log), where


async def _end_at(world: World, fatal: int, end: Callable[[], None] | str) -> None:
    """Handle, and end at this step: by a crash, an error of a server, or a cancellation."""
    task = asyncio.create_task(world.handle(at_first=1))

    def at_step(number: int) -> None:
        if number == fatal:
            _ = task.cancel() if isinstance(end, str) else end()

    world.at_step = at_step
    await asyncio.wait({task})
    if task.cancelled():
        assert end == "cancel"
        assert world.commands or world.shown[-1:] != ["typing_on"]
    else:
        task.exception()


async def test_a_cancelled_turn_ends_even_if_the_model_is_slow_to_let_go(world: World) -> None:
    """Two cancellations: the second one, while the model is being ended, must not be lost."""
    let_go = asyncio.Event()

    async def stubborn(asked: int) -> None:
        world.write(make.message("m2", "more"))
        try:
            await forever()
        finally:
            await let_go.wait()

    world.on_ask = stubborn
    world.write(make.message())
    task = asyncio.create_task(world.handle())
    while world.committed == 0 and len(world.prompts) == 0:
        await asyncio.sleep(0)
    for _ in range(20):  # until the turn starts over, and so ends the model's first answer
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task}, timeout=5)
    let_go.set()
    assert task.cancelled()
    assert len(world.prompts) == 1
    assert world.shown[-1] == "typing_off"


@given(st.data())
@hypothesis_settings(max_examples=150, deadline=None)
def test_whatever_happens_every_message_is_answered_once(data: st.DataObject) -> None:
    """Random batches, copies and crashes against one promise."""
    numbers = data.draw(st.lists(st.integers(0, 12), min_size=1, max_size=20), label="mids")
    crashes = data.draw(st.lists(st.integers(1, 12), max_size=6), label="steps to each crash")
    cuts = data.draw(st.lists(st.integers(1, 5), min_size=8, max_size=8), label="first records")
    world = World()
    world.write(*[make.message(f"m{number}", f"<{number}>", number) for number in numbers])

    async def play() -> None:
        turn = 0
        while world.committed < len(world.log):
            fatal = len(world.steps) + crashes.pop() if crashes else -1
            world.at_step = lambda number, fatal=fatal: crash() if number == fatal else None  # type: ignore[misc]
            left = len(world.log) - world.committed
            with suppress(Crash):
                await world.handle(min(cuts[turn % len(cuts)], left))
            turn += 1

    asyncio.run(play())
    assert world.state.inbound_count == len(set(numbers))
    answered = [line.text for line in world.state.history if line.role == "person"]
    assert answered == [f"<{number}>" for number in dict.fromkeys(numbers)]
    texts: dict[str, set[str]] = {}
    for command in world.commands:
        texts.setdefault(command.command_id, set()).add(command.text)
    assert all(len(versions) == 1 for versions in texts.values())
    said = [line for line in world.state.history if line.role == "assistant"]
    assert {line.message for line in said} == set(texts)
    assert world.state.pending == ()
