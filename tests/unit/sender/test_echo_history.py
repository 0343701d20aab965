"""Which parts in doubt share one reading of the log."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sender.echo_history import SPAN, Reach, _Wish, together

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def wish(minute: float) -> _Wish:
    begin = AT + timedelta(minutes=minute)
    return _Wish(str(minute), begin, begin + timedelta(minutes=20))


@pytest.mark.parametrize(
    ("minutes", "first"),
    [
        ([0], [0]),
        ([5, 0, 10], [0, 5, 10]),
        ([0, 14, 28, 50], [0, 14]),  # and no chain that grows without end
        ([*range(0, 600, 10)], [0, 10]),
        ([60, 0], [0]),
    ],
)
async def test_wishes_that_begin_within_the_minutes_of_the_oldest_are_fulfilled_together(
    minutes: list[int], first: list[int]
) -> None:
    wishes = [wish(minute) for minute in minutes]
    group, others = together(wishes)
    assert [int(each.send_id) for each in group] == first
    assert sorted(int(each.send_id) for each in (*group, *others)) == sorted(minutes)


@given(st.lists(st.floats(0, 10_000), min_size=1, max_size=30))
def test_no_reading_begins_more_than_a_quarter_of_an_hour_after_its_first(
    minutes: list[float],
) -> None:
    async def grouped() -> None:
        left = [wish(minute) for minute in minutes]
        while left:
            group, left = together(left)
            assert group[-1].begin - group[0].begin <= SPAN
            assert all(each.begin > group[-1].begin for each in left)

    asyncio.run(grouped())


def test_a_reading_has_come_as_far_as_its_slowest_partition() -> None:
    reach = Reach([1, 2])
    assert reach.ms() == float("-inf")
    reach.come_to(1, 50)
    reach.come_to(2, 10)
    assert reach.ms() == 10
    reach.leave(2)
    assert reach.ms() == 50
    reach.leave(1)
    assert reach.ms() == float("inf")
