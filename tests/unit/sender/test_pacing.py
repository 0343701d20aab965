"""How many calls a Page's allowance lets through, whatever happens to it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sender.pacing import LOWEST_PACE, Allowance, Window, ceiling_for


@pytest.mark.parametrize(
    ("percent", "share"),
    [(0, 1.0), (74.9, 1.0), (75, 1.0), (82.5, 0.75), (90, 0.5), (95, 0.3), (100, 0.1), (208, 0.1)],
)
def test_the_nearer_to_metas_limit_the_slower(percent: float, share: float) -> None:
    assert ceiling_for(percent) == pytest.approx(share)


@given(st.floats(0, 300), st.floats(0, 300))
def test_more_use_never_means_more_calls(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert ceiling_for(low) >= ceiling_for(high)


steps = st.tuples(
    st.floats(0, 3),
    st.sampled_from(["take", "take", "take", "give way", "cap"]),
    st.floats(0, 120),
)


@given(st.sampled_from([2.0, 10.0, 300.0]), st.lists(steps, max_size=60))
def test_no_second_sees_more_calls_than_allowed_whatever_happens(
    per_s: float, story: list[tuple[float, str, float]]
) -> None:
    allowance, now, times = Allowance(per_s), 1000.0, list[float]()
    for passed_s, what, percent in story:
        now += passed_s
        if what == "give way":
            allowance.give_way(now)
        elif what == "cap":
            allowance.cap(now, ceiling_for(percent))
        while allowance.take(now):
            times.append(now)
        wait_s = allowance.wait_s(now)
        assert wait_s > 0
        now += wait_s
        assert allowance.take(now + 1e-6)  # who waits as told gets a call
        times.append(now)
        assert LOWEST_PACE <= allowance.pace(now) <= 1.0
    for start in times:
        assert sum(start <= time < start + 0.999 for time in times) <= per_s


@given(st.floats(0, 60))
def test_the_pace_comes_back_by_two_percent_a_second(passed_s: float) -> None:
    allowance = Allowance(300)
    for _ in range(20):
        allowance.give_way(0.0)
    assert allowance.pace(0.0) == LOWEST_PACE
    assert allowance.pace(passed_s) == pytest.approx(min(1.0, LOWEST_PACE + 0.02 * passed_s))


def test_the_pace_stays_under_its_ceiling_until_told_otherwise() -> None:
    allowance = Allowance(300)
    allowance.cap(0.0, 0.5)
    assert allowance.pace(1000.0) == 0.5
    allowance.cap(1000.0, 1.0)
    assert allowance.pace(1025.0) == 1.0


def test_a_clock_that_goes_back_gives_no_calls_away() -> None:
    allowance = Allowance(10)
    while allowance.take(100.0):
        pass
    assert not allowance.take(50.0)
    assert not allowance.take(50.01)


@given(st.sampled_from([1.0, 2.0, 10.0, 100.0]), st.lists(st.floats(0, 0.5), max_size=300))
def test_calls_that_something_has_bunched_leave_no_faster_than_allowed(
    per_s: float, pauses_s: list[float]
) -> None:
    window, now, times = Window(per_s), 1000.0, list[float]()
    for pause_s in pauses_s:
        now += pause_s if pause_s > 0.4 else 0.0  # most come together
        now += window.wait_s(now) + 1e-6
        assert window.wait_s(now) == 0.0
        window.note(now)
        times.append(now)
    for start in times:
        assert sum(start <= time < start + 0.999 for time in times) <= per_s
