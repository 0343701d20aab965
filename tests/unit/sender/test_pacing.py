"""How many calls a Page's allowance lets through, whatever happens to it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sender.pacing import (
    LOWEST_PACE,
    SECOND_S,
    Allowance,
    Shortest,
    Window,
    ceiling_for,
)


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

    def call() -> None:
        times.append(now)
        allowance.let_out(now, now)

    for passed_s, what, percent in story:
        now += passed_s
        if what == "give way":
            allowance.give_way(now)
        elif what == "cap":
            allowance.cap(now, ceiling_for(percent))
        while allowance.take(now):
            call()
        wait_s = allowance.wait_s(now)
        assert wait_s > 0
        now += wait_s + 1e-6
        assert allowance.take(now)  # who waits as told gets a call
        call()
        assert LOWEST_PACE <= allowance.pace(now) <= 1.0
    for start in times:
        assert sum(start <= time < start + 0.999 for time in times) <= per_s


@dataclass
class Network:
    """Calls on their way: each is counted at Meta's some time after it begins, and answered some
    time after that. What it takes at least, all of them take."""

    there_s: float
    back_s: float
    delays: Iterator[float]
    on_the_way: list[tuple[float, float]] = field(default_factory=list)
    counted: list[float] = field(default_factory=list)

    def begin(self, now: float) -> None:
        counted_at = now + self.there_s + next(self.delays)
        self.counted.append(counted_at)
        self.on_the_way.append((counted_at + self.back_s + next(self.delays), now))
        self.on_the_way.sort()


stalls = st.lists(st.sampled_from([0.0, 0.001, 0.02, 0.1, 0.5]), max_size=10)


@given(st.sampled_from([1.0, 3.0, 20.0]), st.floats(0.001, 0.4), st.floats(0.001, 0.4), stalls)
def test_however_calls_bunch_on_the_way_metas_end_sees_no_more_than_allowed_in_any_second(
    per_s: float, there_s: float, back_s: float, stalls: list[float]
) -> None:
    window, now = Window(per_s), 1000.0
    network = Network(there_s, back_s, cycle([0.0, 0.0, *stalls]))  # one is quick
    while len(network.counted) < 4 * per_s + 10:
        if not window.is_full(now):
            window.let_in()
            network.begin(now)
            continue
        free_s = window.wait_s(now)
        answered_at = network.on_the_way[0][0] if network.on_the_way else float("inf")
        now = min(now + free_s + 1e-6, answered_at)
        if now == answered_at:
            _, begun_at = network.on_the_way.pop(0)
            window.let_out(now, begun_at)
    for start in network.counted:
        assert sum(start <= time < start + 1 for time in network.counted) <= per_s


@given(st.floats(0, 2))
def test_a_call_that_always_takes_the_same_time_costs_nothing_of_the_rate(took_s: float) -> None:
    window, now = Window(1), 0.0
    window.let_in()
    assert window.wait_s(now) == float("inf")
    window.let_out(now + took_s, now)
    assert window.wait_s(now + took_s) == pytest.approx(max(0.0, SECOND_S - took_s))


def test_a_call_that_never_began_takes_up_no_place() -> None:
    window = Window(1)
    window.let_in()
    window.let_out(0.0, None)
    assert not window.is_full(0.0)


@given(st.lists(st.floats(0.001, 5), min_size=1, max_size=40), st.floats(0, 15))
def test_the_shortest_time_is_that_of_the_last_seconds(took: list[float], apart_s: float) -> None:
    shortest = Shortest()
    assert shortest.get() == 0.0
    for number, took_s in enumerate(took):
        shortest.note(number * apart_s, took_s)
        assert shortest.get() in took[: number + 1]
        recent = [t for n, t in enumerate(took[: number + 1]) if (number - n) * apart_s <= 10]
        assert shortest.get() <= min(recent)


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
        allowance.let_out(100.0, 100.0)
    assert not allowance.take(50.0)
    assert not allowance.take(50.01)
