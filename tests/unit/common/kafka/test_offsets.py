"""What may be committed, whatever the order in which records finish."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.kafka.offsets import OffsetTracker


@st.composite
def offsets_and_order(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    offsets = sorted(draw(st.sets(st.integers(0, 1000), min_size=1, max_size=40)))
    return offsets, draw(st.permutations(offsets))


@given(offsets_and_order())
def test_commits_reach_exactly_to_the_first_unfinished_record(
    case: tuple[list[int], list[int]],
) -> None:
    offsets, order = case
    tracker = OffsetTracker()
    for offset in offsets:
        tracker.start(offset)
    finished: set[int] = set()
    for offset in order:
        before = tracker.committable
        moved = tracker.finish(offset)
        finished.add(offset)
        prefix = [o for o in offsets if all(e in finished for e in offsets if e <= o)]
        expected = prefix[-1] + 1 if prefix else None
        assert tracker.committable == expected
        assert moved == (expected != before)
        assert tracker.span == len(offsets) - len(prefix)
        assert tracker.in_flight == len(offsets) - len(finished)
        assert tracker.oldest == next((o for o in offsets if o not in prefix), None)


def test_an_offset_begins_once_and_in_order() -> None:
    tracker = OffsetTracker()
    tracker.start(5)
    for again in (5, 4):
        with pytest.raises(ValueError, match="after 5"):
            tracker.start(again)


def test_finishing_what_has_not_begun_or_finishing_twice_changes_nothing() -> None:
    tracker = OffsetTracker()
    tracker.start(1)
    assert not tracker.finish(7)
    assert tracker.committable is None
    assert tracker.finish(1)
    assert not tracker.finish(1)
    assert tracker.committable == 2
