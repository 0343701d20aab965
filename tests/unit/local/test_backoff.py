from itertools import repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.local.backoff import FORGIVEN_AFTER_S, LONGEST_S, Backoff


def test_pauses_double_up_to_half_a_minute() -> None:
    backoff = Backoff()
    assert [backoff.pause_s(0) for _ in repeat(None, 7)] == [1, 2, 4, 8, 16, 30, 30]


@pytest.mark.parametrize(("healthy_s", "pause_s"), [(59.9, 8), (60, 1), (3600, 1)])
def test_a_minute_of_health_is_forgiven(healthy_s: float, pause_s: float) -> None:
    backoff = Backoff()
    for _ in range(3):
        backoff.pause_s(0)
    assert backoff.pause_s(healthy_s) == pause_s


@given(st.lists(st.floats(0, 200)))
def test_pause_is_never_none_and_never_too_long(lives: list[float]) -> None:
    backoff = Backoff()
    for healthy_s in lives:
        pause_s = backoff.pause_s(healthy_s)
        assert 1 <= pause_s <= LONGEST_S
        if healthy_s >= FORGIVEN_AFTER_S:
            assert pause_s == 1
