"""How many calls a Page's allowance lets through, whatever happens to it."""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import chain, cycle, repeat
from math import log
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sender.pacing import (
    LOWEST_PACE,
    SECOND_S,
    SHORTEST_OF,
    Allowance,
    Window,
    ceiling_for,
)

chance = Random()


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
        nonlocal now
        now += allowance.window.room_in_s(now) + 1e-6
        times.append(now)
        allowance.window.end(now, allowance.window.begin(now))

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
    time after that."""

    there_s: Iterator[float]
    back_s: Iterator[float]
    window: Window
    now: float = 1000.0
    waiting: int = 0
    answers: list[tuple[float, int]] = field(default_factory=list)
    counted: list[float] = field(default_factory=list)

    def run(self, calls: int) -> None:
        """As many calls as the window lets through at each moment."""
        while len(self.counted) < calls:
            while not self.window.is_full(self.now):
                self.window.let_in()
                self.waiting += 1
            if self.waiting and self.window.has_room(self.now):
                self.waiting -= 1
                number = self.window.begin(self.now)
                self.counted.append(self.now + next(self.there_s))
                heappush(self.answers, (self.counted[-1] + next(self.back_s), number))
                continue
            free_at = self.now + self.window.room_in_s(self.now) + 1e-6
            answered_at = self.answers[0][0] if self.answers else float("inf")
            self.now = min(free_at, answered_at)
            if self.now == answered_at:
                self.window.end(self.now, heappop(self.answers)[1])

    def most_in_a_second(self) -> int:
        counted = sorted(self.counted)
        return max(bisect_left(counted, at + 1) - number for number, at in enumerate(counted))


stalls = st.lists(st.sampled_from([0.0, 0.001, 0.02, 0.1, 0.5]), max_size=10)


@given(st.sampled_from([1.0, 3.0, 20.0]), st.floats(0.001, 0.4), st.floats(0.001, 0.4), stalls)
def test_however_calls_bunch_on_the_way_metas_end_sees_no_more_than_allowed_in_any_second(
    per_s: float, there_s: float, back_s: float, stalls: list[float]
) -> None:
    delays = cycle([0.0, 0.0, *stalls])  # some are quick
    network = Network(
        (there_s + stall for stall in delays),
        (back_s + stall for stall in delays),
        Window(per_s, patience_s=float("inf")),
    )
    network.run(int(4 * per_s + 10))
    assert network.most_in_a_second() <= per_s


@given(st.lists(st.sampled_from([0.0, 0.05, 0.2]), min_size=1, max_size=20))
def test_what_is_saved_up_is_enough_for_a_time_of_stalls(stalls: list[float]) -> None:
    there = chain(repeat(0.01, 100), (0.01 + stall for stall in stalls), repeat(0.01))
    network = Network(there, repeat(0.01), Window(100))
    network.run(500)
    assert network.most_in_a_second() <= 100


@pytest.mark.parametrize(
    "took_s",
    [
        lambda: 0.05,
        lambda: chance.uniform(0.06, 0.14),
        lambda: 0.06 + chance.lognormvariate(log(0.2), 0.6),
        lambda: 0.1 + chance.expovariate(1 / 0.3),
        lambda: 10.0 if chance.random() < 0.02 else 0.1,
        lambda: 5.0 if chance.random() < 0.05 else 0.1,
    ],
    ids=["even", "some spread", "Meta's usual spread", "wide spread", "2 % time out", "5 % slow"],
)
def test_however_long_meta_takes_nearly_the_whole_rate_is_used(
    took_s: Callable[[], float],
) -> None:
    chance.seed(7)
    network = Network(repeat(0.02), iter(took_s, None), Window(300))
    network.run(300 * 60)
    later = [at for at in network.counted if at > network.counted[0] + 30]
    assert len(later) / (later[-1] - later[0]) >= 0.96 * 300
    assert network.most_in_a_second() <= 300


@given(st.floats(0, 2))
def test_a_call_that_always_takes_the_same_time_costs_nothing_of_the_rate(took_s: float) -> None:
    window, now = Window(1), 0.0
    for _ in range(SHORTEST_OF):
        now += 10.0
        window.let_in()
        assert window.wait_s(now) == float("inf")
        number = window.begin(now)
        window.end(now + took_s, number)
    assert window.wait_s(now + took_s) == pytest.approx(max(0.0, SECOND_S - took_s))


def test_a_call_that_never_began_takes_up_no_place_and_costs_nothing() -> None:
    allowance = Allowance(1)
    assert allowance.take(0.0)
    assert not allowance.take(0.0)
    allowance.give_back(0.0)
    assert allowance.take(0.0)


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
        allowance.window.begin(100.0)
    assert not allowance.take(50.0)
    assert not allowance.take(50.01)
