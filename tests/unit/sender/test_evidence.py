"""Whether the thread shows the part in doubt."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sender.domain.evidence import Absent, Evidence, Found, Seen, Unclear, judge

SINCE = datetime(2026, 3, 1, 12, tzinfo=UTC)
COVERS = 20


def seen(text: str = "hello", *, mid: str = "m", at_s: float = 1.0, from_page: bool = True) -> Seen:
    return Seen(mid, from_page, text, SINCE + timedelta(seconds=at_s))


def judged(
    *thread: Seen,
    recorded: tuple[str, ...] = (),
    held_alike: int = 0,
    by_meta: bool = True,
    earlier: tuple[str, ...] = (),
) -> Evidence:
    return judge(
        thread,
        "hello",
        SINCE,
        by_meta=by_meta,
        recorded_mids=recorded,
        held_alike=held_alike,
        covers=COVERS,
        earlier_mids=earlier,
    )


@pytest.mark.parametrize(
    "message",
    [
        seen(),
        seen("  hello\n"),
        seen(at_s=-5),  # Meta's clock, or its whole seconds
        seen(at_s=3600),
    ],
)
def test_the_pages_message_of_that_text_and_time_is_it(message: Seen) -> None:
    assert judged(seen("other", mid="x"), message) == Found("m")


@pytest.mark.parametrize(
    "message",
    [
        seen("hello!"),
        seen(from_page=False),
        seen(at_s=-61),
    ],
)
def test_another_text_another_sender_or_an_older_message_is_not_it(message: Seen) -> None:
    assert judged(message) == Absent()


@pytest.mark.parametrize(("by_meta", "at_s"), [(True, -6), (True, -60), (False, -6), (False, -900)])
def test_a_message_of_the_text_from_just_before_is_ours_if_a_clock_is_wrong(
    by_meta: bool, at_s: float
) -> None:
    assert judged(seen(at_s=at_s), by_meta=by_meta) == Unclear()
    assert judged(seen(at_s=at_s), recorded=("m",), by_meta=by_meta) == Absent()
    assert judged(seen(at_s=at_s), seen(mid="later"), by_meta=by_meta) == Found("later")


def test_a_message_from_before_any_clock_may_be_wrong_is_not_ours() -> None:
    assert judged(seen(at_s=-901), by_meta=False) == Absent()


def test_an_empty_thread_proves_nothing_for_the_person_has_written() -> None:
    assert judged() == Unclear()


def test_a_message_that_belongs_to_another_delivery_is_not_it() -> None:
    assert judged(seen(mid="m1"), recorded=("m1",)) == Absent()
    assert judged(seen(mid="m1"), seen(mid="m2", at_s=2), recorded=("m1",)) == Found("m2")


def test_a_held_part_of_the_same_text_makes_one_message_ambiguous() -> None:
    assert judged(seen(mid="m1"), held_alike=1) == Unclear()


def test_of_two_messages_and_one_held_part_the_later_one_is_ours() -> None:
    thread = [seen(mid="m2", at_s=9), seen(mid="m1")]
    assert judged(*thread, held_alike=1) == Found("m2")


def test_a_full_reading_that_does_not_reach_back_proves_nothing() -> None:
    busy = [seen("other", mid=str(number), at_s=number) for number in range(COVERS)]
    assert judged(*busy) == Unclear()
    assert judged(*busy[1:], seen("old", at_s=-61)) == Absent()
    assert judged(*busy[1:], seen("old", at_s=-61), by_meta=False) == Unclear()
    assert judged(*busy[1:], seen("old", at_s=-901), by_meta=False) == Absent()
    assert judged(*busy[1:]) == Absent()


def test_composed_and_decomposed_letters_are_the_same_text() -> None:
    thread = [seen("cafe\u0301")]
    facts = {"by_meta": True, "recorded_mids": (), "held_alike": 0, "covers": COVERS}
    assert judge(thread, "caf\u00e9", SINCE, **facts) == Found("m")  # type: ignore[arg-type]


messages = st.lists(
    st.builds(
        seen,
        st.sampled_from(["hello", "other"]),
        mid=st.uuids().map(str),
        at_s=st.floats(-100, 100),
        from_page=st.booleans(),
    ),
    max_size=COVERS - 1,
)


@given(messages, st.integers(0, 3), st.randoms())
def test_what_is_found_is_ours_and_the_order_of_reading_does_not_matter(
    thread: list[Seen], held_alike: int, random: st.DataObject
) -> None:
    recorded = tuple(message.mid for message in thread[::2])
    evidence = judged(*thread, recorded=recorded, held_alike=held_alike)
    random.shuffle(thread)  # type: ignore[attr-defined]
    assert judged(*thread, recorded=recorded, held_alike=held_alike) == evidence
    if isinstance(evidence, Found):
        (message,) = [message for message in thread if message.mid == evidence.mid]
        assert message.from_page
        assert message.text == "hello"
        assert message.mid not in recorded
        assert message.created_at >= SINCE - timedelta(seconds=5)


@given(messages, st.floats(0, 100), st.floats(-600, 600), st.integers(0, 2))
def test_a_message_that_is_there_is_never_called_absent_whatever_our_clock(
    thread: list[Seen], at_s: float, slow_s: float, held_alike: int
) -> None:
    ours = seen(mid="ours", at_s=at_s)
    assert judged(*thread, ours, held_alike=held_alike) != Absent()
    ours = seen(mid="ours", at_s=at_s + slow_s)
    assert judged(*thread, ours, held_alike=held_alike, by_meta=False) != Absent()


def hurried(*, answered_at: int, oldest_s: float = -19.0) -> list[Seen]:
    """A full reading of a thread that was written within less than what clocks may be wrong by."""
    thread = [
        seen("a question", mid=f"q{n}", at_s=oldest_s + n, from_page=False) for n in range(20)
    ]
    thread[answered_at] = seen("the answer before", mid="before", at_s=oldest_s + answered_at)
    return thread


@pytest.mark.parametrize("by_meta", [True, False])
def test_a_reading_that_holds_the_answer_before_holds_all_that_came_after_it(by_meta: bool) -> None:
    """Twenty messages within a minute are enough, if one of them is known to be older."""
    thread = hurried(answered_at=16)
    assert judged(*thread, by_meta=by_meta) == Unclear()
    assert judged(*thread, recorded=("before",), by_meta=by_meta) == Unclear()
    assert judged(*thread, by_meta=by_meta, earlier=("before",)) == Absent()
    assert judged(*thread, by_meta=by_meta, earlier=("of another thread",)) == Unclear()
    thread[18] = seen(mid="ours", at_s=-1)
    assert judged(*thread, earlier=("before",)) == Found("ours")


@pytest.mark.parametrize(("answered_at", "evidence"), [(2, Unclear()), (3, Absent())])
def test_something_clearly_older_than_the_answer_before_has_to_be_there_too(
    answered_at: int, evidence: Evidence
) -> None:
    """Else ours, of the same moment as that, may have fallen out of the reading."""
    assert judged(*hurried(answered_at=answered_at), earlier=("before",)) == evidence


def test_a_message_of_the_text_after_the_answer_before_stays_unclear_if_a_clock_is_wrong() -> None:
    thread = hurried(answered_at=5)
    thread[8] = seen(mid="like ours", at_s=-11)
    assert judged(*thread, earlier=("before",)) == Unclear()
