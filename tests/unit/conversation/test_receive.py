"""What an event does to a conversation."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.events import AnyRecord
from services.conversation.domain import receive
from services.conversation.domain.archive import activity_of
from services.conversation.domain.receive import (
    HISTORY_LINES,
    LINE_CHARACTERS,
    PENDING_MESSAGES,
    RECENT_EVENTS,
)
from services.conversation.domain.state import Pending, State
from tests.unit.conversation import factories as make
from tests.unit.conversation.factories import PATIENTLY, arrivals, rules

DAY_S = 24 * 3600
EVENTS: dict[str, AnyRecord] = {
    "message": make.message(),
    "image": make.image(),
    "image with text": make.image(text="look"),
    "unsent": make.unsent(),
    "edited": make.edited(),
    "get started": make.get_started(),
    "other button": make.get_started(payload="MENU"),
    "echo of ours": make.echo(app_id=make.APP),
    "echo of others": make.echo(app_id="7"),
    "echo of Meta's inbox": make.echo(app_id=None),
    "reaction": make.reaction(),
    "reaction taken back": make.reaction("unreact"),
    "link": make.referral(),
    "ad": make.referral("ADS"),
    "standby": make.standby(),
    "standby echo": make.standby(is_echo=True),
    "sent by a human": make.sent(origin="human"),
    "failed": make.failed(),
    "sent by the assistant": make.sent(),
    "delivered": make.delivered(1),
    "read": make.read(1),
    "held": make.held(),
    "takeover": make.takeover_started(),
}


def taken_in(*events: AnyRecord, state: State | None = None, **more: Any) -> State:  # noqa: ANN401
    return receive.receive(state or State(), arrivals(*events), rules(**more))


@pytest.mark.parametrize(
    ("name", "pending", "line", "inbound", "window_opens"),
    [
        ("message", "text", ("person", "hello"), 1, True),
        ("image", "attachment", ("person", "[image]"), 1, True),
        ("image with text", "text", ("person", "look [image]"), 1, True),
        ("unsent", None, None, 0, False),
        ("edited", None, None, 0, False),
        ("get started", "get_started", ("person", "Get started"), 1, True),
        ("other button", "text", ("person", "Get started"), 1, True),
        ("echo of ours", None, None, 0, False),
        ("echo of others", None, ("human", "written by hand"), 0, False),
        ("echo of Meta's inbox", None, ("human", "written by hand"), 0, False),
        ("reaction", None, None, 0, True),
        ("reaction taken back", None, None, 0, False),
        ("link", None, None, 0, True),
        ("ad", None, None, 0, False),
        ("standby", None, ("person", "hi"), 0, True),
        ("standby echo", None, ("human", "hi"), 0, False),
        ("sent by a human", None, ("human", "an answer"), 0, False),
    ],
)
def test_events_are_remembered_counted_and_wait_for_an_answer(
    name: str,
    pending: str | None,
    line: tuple[str, str] | None,
    inbound: int,
    window_opens: bool,
) -> None:
    state = taken_in(EVENTS[name])
    assert [waiting.kind for waiting in state.pending] == ([pending] if pending else [])
    assert [(known.role, known.text) for known in state.history] == ([line] if line else [])
    assert state.inbound_count == inbound
    assert state.last_user_message_at == (make.NOON if window_opens else None)
    assert state.last_activity_at == make.NOON
    assert bool(state.session_id) is bool(inbound)


FOR_THE_ARCHIVE = {
    "echo of ours",
    "sent by the assistant",
    "delivered",
    "read",
    "held",
    "takeover",
}


@pytest.mark.parametrize("name", EVENTS)
def test_what_is_not_about_the_memory_is_left_to_the_archive(name: str) -> None:
    assert receive.changes_state(EVENTS[name], make.APP) is (name not in FOR_THE_ARCHIVE)


@pytest.mark.parametrize("name", ["message", "image", "get started", "other button"])
def test_where_nobody_answers_messages_are_remembered_and_do_not_wait(name: str) -> None:
    state = taken_in(EVENTS[name], answers=False)
    assert state.pending == ()
    assert len(state.history) == 1
    assert state.inbound_count == 1


@pytest.mark.parametrize("source", ["ADS", "ads", "CUSTOMER_CHAT_PLUGIN"])
def test_a_click_on_an_ad_opens_the_window_only_with_what_the_person_writes(source: str) -> None:
    state = taken_in(make.message(), make.referral(source, seconds=DAY_S))
    assert state.last_user_message_at == make.NOON
    assert state.last_direct_message_at == make.at(DAY_S)  # it came to us: the thread is ours
    assert taken_in(make.referral(source)).last_user_message_at is None
    both = taken_in(make.referral(source), make.message(seconds=5))
    assert both.last_user_message_at == make.at(5)


@pytest.mark.parametrize("source", ["SHORTLINK", "MESSENGER_CODE", None])
def test_a_link_into_the_thread_opens_the_window_at_once(source: str | None) -> None:
    assert taken_in(make.referral(source)).last_user_message_at == make.NOON


@PATIENTLY
@given(st.lists(st.sampled_from(list(EVENTS.values())), max_size=6))
def test_memory_and_archive_agree_on_when_the_person_last_opened_the_window(
    events: list[AnyRecord],
) -> None:
    events = [
        event.model_copy(update={"event_id": f"{index}", "occurred_at": make.at(index)})
        for index, event in enumerate(events)
    ]
    activity = activity_of(events)
    shown = activity.last_user_message_at if activity else None
    assert taken_in(*events).last_user_message_at == shown


def test_an_empty_message_opens_the_window_and_needs_no_answer() -> None:
    state = taken_in(make.message(text="  \n"))
    assert (state.pending, state.history, state.inbound_count) == ((), (), 1)
    assert state.last_user_message_at == make.NOON


@pytest.mark.parametrize(
    ("seconds", "same"), [(0, True), (DAY_S, True), (DAY_S + 1, False), (-DAY_S, True)]
)
def test_a_session_ends_after_a_day_of_silence(seconds: float, same: bool) -> None:
    before = taken_in(make.message())
    after = receive.receive(
        before, arrivals(make.message("m2", "again", seconds), first=1), rules()
    )
    assert (after.session_id == before.session_id) is same
    assert after.session_started_at == (make.NOON if same else make.at(seconds))


def test_get_started_begins_a_session_and_forgets_the_last_one() -> None:
    before = taken_in(make.message()).model_copy(update={"pending": ()})
    state = receive.receive(before, arrivals(make.get_started(), first=1), rules())
    assert state.session_id != before.session_id
    assert [line.text for line in state.history] == ["Get started"]
    assert state.inbound_count == 2


def test_a_question_asked_just_before_get_started_is_not_lost() -> None:
    state = taken_in(make.message(text="are you open?"), make.get_started())
    assert [waiting.kind for waiting in state.pending] == ["text", "get_started"]
    assert [line.text for line in state.history] == ["are you open?", "Get started"]


def test_an_unsent_message_is_forgotten_and_needs_no_answer() -> None:
    state = taken_in(make.message("m1"), make.message("m2", "second"), make.unsent("m1"))
    assert [line.text for line in state.history] == ["second"]
    assert [waiting.text for waiting in state.pending] == ["second"]
    assert state.inbound_count == 2


def test_an_edited_message_says_what_it_says_now() -> None:
    state = taken_in(make.message("m1", "at 5"), make.message("m2"), make.edited("m1", "at 6"))
    assert [line.text for line in state.history] == ["at 6", "hello"]
    assert [waiting.text for waiting in state.pending] == ["at 6", "hello"]


def test_an_edit_that_removes_the_text_changes_nothing() -> None:
    assert [line.text for line in taken_in(make.message(), make.edited(text=" ")).history] == [
        "hello"
    ]


def test_the_window_only_moves_forward() -> None:
    state = taken_in(make.message("m1", seconds=60), make.message("m2", seconds=-60))
    assert state.last_user_message_at == make.at(60)
    assert state.last_activity_at == make.at(60)


# --- copies


messages = st.lists(st.tuples(st.integers(0, 30), st.integers(-50, 50)), max_size=60).map(
    lambda items: [make.message(f"m{number}", f"t{number}", at) for number, at in items]
)


@PATIENTLY
@given(messages, st.integers(0, 60))
def test_copies_change_nothing_wherever_they_stand(events: list[Any], cut: int) -> None:
    log = arrivals(*events)
    once = receive.receive(State(), log, rules())
    repeated = receive.receive(once, log[cut:], rules())
    assert repeated == once
    further_on = arrivals(*events, first=len(log))
    assert receive.receive(once, further_on, rules()) == once
    assert once.inbound_count == len({event.mid for event in events})


@PATIENTLY
@given(messages, st.integers(0, 60))
def test_it_does_not_matter_how_the_log_is_cut_into_batches(events: list[Any], cut: int) -> None:
    log = arrivals(*events)
    whole = receive.receive(State(), log, rules())
    half = receive.receive(State(), log[:cut], rules())
    assert receive.receive(half, log[cut:], rules()) == whole


@PATIENTLY
@given(messages)
def test_messages_keep_their_order(events: list[Any]) -> None:
    firsts = list(dict.fromkeys(event.mid for event in events))
    state = taken_in(*events)
    assert [waiting.text for waiting in state.pending] == [f"t{mid[1:]}" for mid in firsts]


def many(count: int, *, first: int = 0) -> Sequence[Any]:
    return [make.message(f"m{n}", f"t{n}", n) for n in range(first, first + count)]


def test_what_is_remembered_is_bounded() -> None:
    state = taken_in(*[make.message(f"m{n}", "x" * 9999, n) for n in range(1000)])
    assert len(state.recent) == RECENT_EVENTS
    assert len(state.history) == HISTORY_LINES
    assert len(state.pending) == PENDING_MESSAGES
    assert {len(line.text) for line in state.history} == {LINE_CHARACTERS}
    assert {len(waiting.text) for waiting in state.pending} == {LINE_CHARACTERS}
    assert state.inbound_count == 1000


def test_a_rewound_log_changes_nothing_however_long_it_is() -> None:
    log = arrivals(*many(1000))
    state = receive.receive(State(), log, rules())
    assert receive.receive(state, log, rules()) == state
    assert not any(receive.has_to_be_looked_up(state, arrival) for arrival in log)


def test_only_what_may_have_been_forgotten_is_looked_up() -> None:
    state = taken_in(*many(RECENT_EVENTS))
    assert state.recent_since is None
    [old] = arrivals(make.message("late", "x", -1000), first=500)
    assert not receive.has_to_be_looked_up(state, old)  # nothing has been forgotten yet

    state = receive.receive(
        state, arrivals(*many(1, first=RECENT_EVENTS), first=RECENT_EVENTS), rules()
    )
    [copy] = arrivals(make.message("m0", "t0", 0), first=500)
    [recent] = arrivals(make.message("m9", "t9", 9), first=501)
    [new] = arrivals(make.message("new", "new", 1000), first=502)
    assert receive.has_to_be_looked_up(state, copy)
    assert receive.has_to_be_looked_up(state, old)
    assert not receive.has_to_be_looked_up(state, recent)
    assert not receive.has_to_be_looked_up(state, new)


def test_a_key_that_moved_to_another_partition_goes_on() -> None:
    state = taken_in(*many(5))
    moved = arrivals(make.message("next", "next", 100), first=0, partition=7)
    state = receive.receive(state, moved, rules())
    assert state.inbound_count == 6
    assert state.position == moved[0].position


def test_a_log_made_anew_does_not_swallow_new_messages() -> None:
    """Offsets begin at 0 again; what is new is newer than anything that was forgotten."""
    state = receive.receive(State(), arrivals(*many(1000), first=5000), rules())
    state = receive.receive(state, arrivals(make.message("new", "new", 2000), first=0), rules())
    assert state.inbound_count == 1001


def test_pending_keeps_the_newest() -> None:
    state = taken_in(*many(PENDING_MESSAGES + 5))
    assert state.pending[0] == Pending(
        message=receive.short_id("m5"), kind="text", text="t5", at=make.at(5)
    )


@pytest.mark.parametrize(
    ("again", "noticed"),
    [
        (make.message("m1", "hello"), False),
        (make.message("m1", "goodbye"), True),
        (make.image("m1", "hello"), True),
        (make.message("m1", None), True),
        (make.unsent("m1"), False),
        (make.message("m2", "goodbye"), False),
    ],
)
def test_a_message_that_comes_again_with_another_content_is_noticed_and_changes_nothing(
    again: AnyRecord, noticed: bool
) -> None:
    state = taken_in(make.message("m1", "hello"))
    heard: list[AnyRecord] = []
    after = receive.receive(state, arrivals(again, first=1), rules(), heard.append)
    assert heard == ([again] if noticed else [])
    if noticed:
        assert after == state
    assert receive.receive(state, arrivals(again, first=1), rules()) == after


def test_an_edited_message_that_comes_again_as_it_was_contradicts_nothing() -> None:
    state = taken_in(make.message("m1", "hello"), make.edited("m1", "changed"))
    assert not receive.contradicts(state, make.message("m1", "hello"))
    assert [line.text for line in state.history] == ["changed"]


def test_of_what_was_edited_no_more_is_known_than_of_what_was_said() -> None:
    """An edit of a message that is not remembered leaves nothing either."""
    state = taken_in(make.edited("m0"), *many(HISTORY_LINES), make.edited("m3"), make.edited("m5"))
    assert len(state.edited) == 2
    later = taken_in(
        *many(HISTORY_LINES, first=HISTORY_LINES), make.edited(f"m{HISTORY_LINES}"), state=state
    )
    assert len(later.edited) == 1
