"""The rules of a takeover: the table is the specification, the laws hold for any interleaving."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.events import TakeoverEnded, TakeoverExtended, TakeoverStarted
from services.takeover.domain.state import NOBODY, Takeover, Thread, timer
from services.takeover.domain.transitions import (
    OLDEST_REPLY,
    AutoResume,
    Changed,
    Command,
    Extend,
    FacebookReply,
    Refused,
    Resume,
    Take,
    ThreadControl,
    Unchanged,
    apply,
)

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
MINUTE, SECOND, MS = timedelta(minutes=1), timedelta(seconds=1), timedelta(milliseconds=1)
CONVERSATION = "100:200"
OTHER_APP = "263902037430900"

ANNS = Takeover(mode="human", epoch=3, revision=5, by="user:ann", by_name="Ann", since=NOW - MINUTE)
TIMED = ANNS.model_copy(update={"auto_resume_at": NOW + MINUTE})
FACEBOOKS = TIMED.model_copy(update={"by": "facebook", "by_name": None})
RESUMED = Takeover(mode="ai", epoch=4, revision=6, by="user:ann", since=NOW - MINUTE)


def changed(state: Takeover, command: Command, now: datetime = NOW) -> Changed:
    result = apply(CONVERSATION, state, command, now)
    assert isinstance(result, Changed)
    return result


def test_taking_over_says_who_why_and_until_when() -> None:
    result = changed(NOBODY, Take("user:ann", "Ann", 30))
    assert result.state == Takeover(
        mode="human",
        epoch=1,
        revision=1,
        by="user:ann",
        by_name="Ann",
        since=NOW,
        auto_resume_at=NOW + 30 * MINUTE,
        reason="taken",
    )
    fact = result.fact
    assert isinstance(fact, TakeoverStarted)
    assert (fact.epoch, fact.by, fact.by_name, fact.reason) == (1, "user:ann", "Ann", "taken")
    assert (fact.page_id, fact.psid, fact.occurred_at) == ("100", "200", NOW)
    assert fact.auto_resume_at == NOW + 30 * MINUTE


@pytest.mark.parametrize(
    ("state", "command", "expected"),
    [
        (ANNS, Take("user:ann", auto_resume_minutes=5), Unchanged()),
        (ANNS, Take("user:bob"), Refused("already_taken")),
        (ANNS, Take("user:bob", take_from="user:cid"), Refused("already_taken")),
        (NOBODY, Extend("user:ann", 30), Refused("not_taken_over")),
        (RESUMED, Extend("user:ann", 30), Refused("not_taken_over")),
        (RESUMED, Resume("user:bob"), Unchanged()),
        (NOBODY, Resume("user:bob"), Unchanged()),
        (NOBODY, AutoResume(), Unchanged()),
        (ANNS, AutoResume(), Unchanged()),
        (TIMED, AutoResume(), Unchanged()),
        (RESUMED, AutoResume(), Unchanged()),
        (ANNS, FacebookReply(NOW, 30), Unchanged()),
        (FACEBOOKS, FacebookReply(NOW - 30 * MINUTE, 30), Unchanged()),
        (FACEBOOKS, FacebookReply(NOW), Unchanged()),
        (RESUMED, FacebookReply(NOW - MINUTE), Unchanged()),
        (NOBODY, FacebookReply(NOW - OLDEST_REPLY - MS), Unchanged()),
        (NOBODY, FacebookReply(NOW - 30 * MINUTE, 30), Unchanged()),
    ],
)
def test_what_changes_nothing(
    state: Takeover, command: Command, expected: Refused | Unchanged
) -> None:
    assert apply(CONVERSATION, state, command, NOW) == expected


def test_an_admin_takes_over_from_facebook_and_from_whom_they_name() -> None:
    for state, take in [
        (FACEBOOKS, Take("user:bob")),
        (ANNS, Take("user:bob", take_from="user:ann")),
    ]:
        result = changed(state, take)
        assert (result.state.by, result.state.epoch) == ("user:bob", state.epoch + 1)
        assert (result.state.auto_resume_at, result.state.since) == (None, NOW)


def test_extending_moves_the_timer_and_leaves_the_hands() -> None:
    result = changed(TIMED, Extend("user:bob", 60, "Bob"))
    assert result.state == TIMED.model_copy(
        update={"auto_resume_at": NOW + 60 * MINUTE, "revision": 6}
    )
    fact = result.fact
    assert isinstance(fact, TakeoverExtended)
    assert (fact.epoch, fact.by, fact.by_name) == (3, "user:bob", "Bob")
    assert fact.auto_resume_at == NOW + 60 * MINUTE


def test_a_timer_ends_a_takeover_from_its_moment_on_and_not_before() -> None:
    due = NOW + MINUTE
    assert apply(CONVERSATION, TIMED, AutoResume(), due - MS) == Unchanged()
    result = changed(TIMED, AutoResume(), due)
    assert (result.state.mode, result.state.epoch) == ("ai", 4)
    assert (result.state.auto_resume_at, result.state.since) == (None, due)
    fact = result.fact
    assert isinstance(fact, TakeoverEnded)
    assert (fact.by, fact.reason, fact.epoch) == ("timer", "auto_resume", 4)


def test_resuming_hands_back_whoever_has_it() -> None:
    result = changed(ANNS, Resume("user:bob", "Bob"))
    assert (result.state.mode, result.state.epoch, result.state.by) == ("ai", 4, "user:bob")
    fact = result.fact
    assert isinstance(fact, TakeoverEnded)
    assert (fact.by, fact.by_name, fact.reason, fact.epoch) == ("user:bob", "Bob", "resumed", 4)


def test_a_reply_on_facebook_starts_a_takeover_from_its_own_moment() -> None:
    result = changed(RESUMED, FacebookReply(NOW - 10 * SECOND, 30))
    assert (result.state.mode, result.state.by, result.state.epoch) == ("human", "facebook", 5)
    assert result.state.auto_resume_at == NOW - 10 * SECOND + 30 * MINUTE
    assert isinstance(result.fact, TakeoverStarted)
    assert result.fact.reason == "facebook_reply"
    assert changed(NOBODY, FacebookReply(NOW)).state.auto_resume_at is None
    again = changed(result.state, FacebookReply(NOW, 30))
    assert again.state.auto_resume_at == NOW + 30 * MINUTE
    assert isinstance(again.fact, TakeoverExtended)
    assert again.fact.by == "facebook"


def test_a_reply_that_meta_dates_in_the_future_counts_as_now() -> None:
    assert changed(NOBODY, FacebookReply(NOW + MINUTE, 5)).state.auto_resume_at == NOW + 5 * MINUTE


THEIRS = Thread(ours=False, owner_app_id=OTHER_APP, since=NOW)


@pytest.mark.parametrize(
    ("before", "told", "after"),
    [
        (None, ThreadControl(NOW, ours=False, owner_app_id=OTHER_APP), THEIRS),
        (None, ThreadControl(NOW, ours=False, is_guess=True), Thread(ours=False, since=NOW)),
        (None, ThreadControl(NOW, ours=True), None),
        (THEIRS, ThreadControl(NOW + MS, ours=True), Thread(ours=True, since=NOW + MS)),
        (THEIRS, ThreadControl(NOW, ours=True), Thread(ours=True, since=NOW)),
        (THEIRS, ThreadControl(NOW - MS, ours=True), None),
        (THEIRS, ThreadControl(NOW, ours=False, owner_app_id=OTHER_APP), None),
        (THEIRS, ThreadControl(NOW + MS, ours=False, is_guess=True), None),
        (
            Thread(ours=True, since=NOW),
            ThreadControl(NOW + MS, ours=False, is_guess=True),
            Thread(ours=False, since=NOW + MS),
        ),
        (Thread(ours=True, since=NOW), ThreadControl(NOW, ours=False, is_guess=True), None),
    ],
)
def test_who_has_the_thread_is_what_was_told_last_by_metas_clock(
    before: Thread | None, told: ThreadControl, after: Thread | None
) -> None:
    state = ANNS.model_copy(update={"thread": before})
    result = apply(CONVERSATION, state, told, NOW)
    if after is None:
        assert result == Unchanged()
    else:
        assert isinstance(result, Changed)
        assert result.fact is None
        assert result.state == state.model_copy(update={"thread": after, "revision": 6})


@pytest.mark.parametrize("minutes", [-1, 0, 4, 10_081])
def test_a_timer_outside_of_five_minutes_and_seven_days_is_refused(minutes: int) -> None:
    with pytest.raises(ValueError, match="not within 5 and 10080"):
        apply(CONVERSATION, NOBODY, Take("user:ann", auto_resume_minutes=minutes), NOW)


people = st.sampled_from(["user:ann", "user:bob", "user:cid"])
minutes = st.none() | st.integers(5, 10_080)
moments = st.timedeltas(timedelta(days=-3), timedelta(days=3)).map(lambda age: NOW + age)
commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(Take, by=people, auto_resume_minutes=minutes, take_from=st.none() | people),
    st.builds(Extend, by=people, auto_resume_minutes=st.integers(5, 10_080)),
    st.builds(Resume, by=people),
    st.just(AutoResume()),
    st.builds(FacebookReply, at=moments, auto_resume_minutes=minutes),
    st.builds(
        ThreadControl,
        at=moments,
        ours=st.booleans(),
        owner_app_id=st.none() | st.just(OTHER_APP),
        is_guess=st.booleans(),
    ),
)
stories = st.lists(st.tuples(commands, st.timedeltas(timedelta(0), timedelta(days=8))), max_size=30)


@given(stories)
def test_laws_of_every_story(story: list[tuple[Command, timedelta]]) -> None:
    state, now = NOBODY, NOW
    ids = set()
    for command, pause in story:
        now += pause
        result = apply(CONVERSATION, state, command, now)
        if not isinstance(result, Changed):
            continue
        before, state = state, result.state
        hands = (before.mode, before.by) != (state.mode, state.by)
        assert state.revision == before.revision + 1
        assert state.epoch == before.epoch + (1 if hands or state.since != before.since else 0)
        if before.mode != state.mode:
            assert hands
        if state.mode == "ai":
            assert state.auto_resume_at is None
        if state.auto_resume_at is not None:
            assert state.auto_resume_at <= now + timedelta(minutes=10_080)
        if isinstance(command, Take | Extend) and state.auto_resume_at is not None:
            assert state.auto_resume_at >= now - MS + timedelta(minutes=5)
        if result.fact is not None:
            assert result.fact.event_id not in ids
            ids.add(result.fact.event_id)
            assert result.fact.epoch == state.epoch
        else:
            assert (before.mode, before.epoch, before.auto_resume_at) == (
                state.mode,
                state.epoch,
                state.auto_resume_at,
            )
        again = apply(CONVERSATION, state, command, now)
        assert not isinstance(again, Changed), "asked for again, nothing changes"


@given(st.lists(st.tuples(commands, st.integers(0, 3)), min_size=2, max_size=12))
def test_of_commands_that_saw_the_same_state_exactly_one_wins(
    asked: list[tuple[Command, int]],
) -> None:
    """A compare-and-set on epoch and revision: whoever read an older state starts again."""
    state = NOBODY
    seen: list[tuple[Command, Takeover]] = []
    wins: dict[int, int] = {}
    for command, reads_now in asked:
        seen.append((command, state))
        if reads_now == 0 and seen:
            for each, read in seen:
                result = apply(CONVERSATION, read, each, NOW)
                if not isinstance(result, Changed):
                    continue
                if (read.epoch, read.revision) == (state.epoch, state.revision):
                    wins[read.revision] = wins.get(read.revision, 0) + 1
                    assert result.state.epoch in (state.epoch, state.epoch + 1)
                    state = result.state
            seen = []
    assert all(count == 1 for count in wins.values())
    assert state.revision == len(wins)


@given(st.integers(5, 10_080), moments)
def test_a_timer_is_as_long_as_it_says(length: int, start: datetime) -> None:
    until = timer(start, length)
    assert timedelta(0) <= start + timedelta(minutes=length) - until < MS
