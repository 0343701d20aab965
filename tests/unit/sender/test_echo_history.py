"""Which parts in doubt share one reading of the log."""

from datetime import UTC, datetime, timedelta

import pytest

from services.sender.echo_history import _Wish, together

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("minutes", "first"),
    [
        ([0], [0]),
        ([5, 0, 10], [0, 5, 10]),
        ([0, 14, 28, 50], [0, 14, 28]),
        ([60, 0], [0]),
    ],
)
async def test_wishes_whose_minutes_overlap_are_fulfilled_together(
    minutes: list[int], first: list[int]
) -> None:
    wishes = [_Wish(str(minute), AT + timedelta(minutes=minute)) for minute in minutes]
    group, others = together(wishes)
    assert [int(wish.send_id) for wish in group] == first
    assert sorted(int(wish.send_id) for wish in (*group, *others)) == sorted(minutes)
