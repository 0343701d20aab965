"""What is left of a conversation without what is older than a moment."""

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.conversation.domain.expiring import (
    latest_of,
    oldest_of,
    row_without_old,
    without_old,
)
from services.conversation.domain.inbox_rows import Asked, Last, empty_row
from services.conversation.domain.state import Line, Pending, Requested, State, Turn
from tests.unit.conversation.factories import CONVERSATION, NOON, PATIENTLY, at

MOMENTS = st.integers(0, 60).map(at)


def line(moment: datetime) -> Line:
    return Line(message="m", role="person", text="words", at=moment)


def turn(moment: datetime) -> Turn:
    return Turn(
        turn_id="t",
        command_id="c",
        kind="answer",
        text="an answer",
        epoch=0,
        answered=("m",),
        messages_answered=1,
        answered_at=moment,
        model="m",
        duration_s=1,
    )


STATES = st.builds(
    State,
    history=st.lists(MOMENTS.map(line)).map(tuple),
    pending=st.lists(
        MOMENTS.map(lambda moment: Pending(message="m", kind="text", text="words", at=moment))
    ).map(tuple),
    turn=st.none() | MOMENTS.map(turn),
    requested=st.none()
    | MOMENTS.map(lambda moment: Requested(reason="asked", summary="words", at=moment, epoch=0)),
    recent=st.just(("m1", "m2")),
    inbound_count=st.just(7),
)


@PATIENTLY
@given(STATES, MOMENTS)
def test_nothing_older_is_left_and_nothing_newer_goes(state: State, until: datetime) -> None:
    left = without_old(state, until)
    moments = [each.at for each in left.history] + [each.at for each in left.pending if each.at]
    moments += [left.turn.answered_at] if left.turn else []
    moments += [left.requested.at] if left.requested else []
    assert all(moment >= until for moment in moments)
    assert [each for each in state.history if each.at >= until] == list(left.history)
    assert (left.turn is None) == (state.turn is None or state.turn.answered_at < until)
    assert (left.recent, left.inbound_count) == (state.recent, 7), "copies are told as before"
    assert without_old(left, until) == left
    assert oldest_of(left) is None or oldest_of(left) == min(each.at for each in left.history)


def test_what_waits_without_a_moment_stays() -> None:
    waiting = Pending(message="m", kind="get_started")
    assert without_old(State(pending=(waiting,)), NOON).pending == (waiting,)


def test_a_row_loses_words_and_not_that_somebody_waits() -> None:
    row = empty_row(CONVERSATION)
    row.last = Last(1, "in", "person", "text", "words", NOON)
    row.asked = Asked("asked", "a summary", NOON)
    left = row_without_old(row, NOON + timedelta(seconds=1))
    assert left.last is None
    assert left.asked == Asked("asked", "", NOON)
    assert row_without_old(row, NOON) == row


def test_what_came_without_its_message_is_as_old_as_its_latest() -> None:
    assert latest_of({}) is None
    reactions = {"a": {"at": at(5)}, "b": {"at": at(9)}}
    assert latest_of({"said": {"at": at(7)}, "reactions": reactions}) == at(9)
