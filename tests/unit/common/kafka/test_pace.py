"""Old work begins as fast as the loop and the database can bear, and never not at all."""

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.kafka.pace import (
    AT_ONCE,
    FEWEST_PLACES,
    FIRST_PLACES,
    LEAST_PER_S,
    MOST_PER_S,
    TOO_LATE_S,
    TOO_LONG_S,
    Pace,
    Places,
    at_once,
)

LOOKS = st.lists(st.tuples(st.floats(0.001, 0.1), st.floats(0, 0.2)), max_size=200)


@given(LOOKS)
def test_what_is_granted_is_bounded_from_both_sides(looks: list[tuple[float, float]]) -> None:
    pace, granted, passed_s = Pace(), 0, 0.0
    for asked_s, late_s in looks:
        passed_s += asked_s + late_s
        granted += pace.grant(asked_s + late_s, late_s)
        assert LEAST_PER_S * passed_s - 1.001 <= granted <= MOST_PER_S * passed_s + 0.001


def test_a_loop_in_time_bears_more_and_more_and_a_late_one_halves_it() -> None:
    pace = Pace()
    early = sum(pace.grant(0.01, 0.0) for _ in range(100))
    later = sum(pace.grant(0.01, 0.0) for _ in range(100))
    assert later > early > 0
    before = pace.grant(1.0, 0.0)
    assert pace.grant(1.0, TOO_LATE_S * 2) in range(before // 2 - 1, before // 2 + 2)


def test_something_may_always_begin_and_more_where_the_loop_is_in_time() -> None:
    assert at_once(0.0, 0) == AT_ONCE
    assert at_once(60.0, 0) == 1


@given(st.floats(0, 60), st.integers(0, 2000))
def test_a_late_loop_has_as_many_at_work_as_before_and_is_not_flooded(
    late_s: float, ended: int
) -> None:
    begun = at_once(late_s, ended)
    assert min(ended, AT_ONCE) <= begun <= AT_ONCE
    assert begun > 0


@given(st.integers(1, 1500), st.lists(st.tuples(*[st.floats(0, 2)] * 2, st.booleans())))
def test_there_are_always_some_places_and_never_too_many(
    most: int, ended: list[tuple[float, float, bool]]
) -> None:
    places, now = Places(most), 0.0
    for took_s, away_s, is_full in ended:
        now += took_s + away_s
        places.note(now - took_s - away_s, now, away_s, is_full=is_full)
        assert min(most, FEWEST_PLACES) <= places.get() <= most


def rounds(places: Places, number: int, own_s: Callable[[int], float], away_s: float) -> list[int]:
    """How many places there are, round by round. `own_s`: what the n-th of all takes of our own."""
    now, found, count = 0.0, [], 0
    for _ in range(number):
        ends = []
        for _ in range(places.get()):
            ends.append(now + away_s + own_s(count))
            count += 1
        for end in sorted(ends):
            places.note(now, end, away_s, is_full=True)
        now = max(ends)
        found.append(places.get())
    return found


def test_as_many_places_as_the_database_bears_are_found_and_kept() -> None:
    """It does a thousand turns a second, one after the other."""
    places = Places(1500)
    found = rounds(places, 60, lambda _: 0.02 + places.get() / 1000, away_s=1.0)
    bearable = 1000 * TOO_LONG_S
    assert min(found[20:]) >= bearable / 3
    assert max(found) <= bearable * 3


@pytest.mark.parametrize("away_s", [1.0, 6.0])
@pytest.mark.parametrize("own_s", [0.02, 0.06, 0.3])
def test_single_turns_that_take_long_for_reasons_of_their_own_cost_no_places(
    own_s: float, away_s: float
) -> None:
    chance = Random(1)
    found = rounds(
        Places(1500), 40, lambda _: own_s + (0.7 if chance.random() < 0.05 else 0.0), away_s
    )
    assert min(found[20:]) >= 1000


def test_a_slow_model_is_not_taken_for_a_slow_database() -> None:
    places = Places(1500)
    for number in range(2000):
        away_s = 0.1 if number % 2 else 60.0
        places.note(0.0, 0.05 + away_s, away_s, is_full=True)
    assert places.get() == 1500


def test_what_began_before_a_change_is_not_blamed_for_again() -> None:
    places = Places(1500)
    places.note(0.0, 0.01, 0.0, is_full=True)
    before = places.get()
    for _ in range(100):
        places.note(1.0, 3.0, 0.0, is_full=True)
    assert places.get() == before // 2


def test_places_that_nobody_uses_become_no_more() -> None:
    places = Places(1500)
    for number in range(2000):
        places.note(float(number), number + 0.02, 0.0, is_full=False)
    assert places.get() == FIRST_PLACES


def test_after_a_while_without_trouble_more_is_tried_as_in_the_beginning() -> None:
    places = Places(1500)
    places.note(0.0, 0.01, 0.0, is_full=True)
    for _ in range(100):
        places.note(1.0, 3.0, 0.0, is_full=True)
    few = places.get()
    for number in range(100):
        places.note(4.0, 4.01 + number / 1000, 0.0, is_full=True)
    later = places.get()
    assert few < later < few + 100 * 0.5
    for number in range(100):
        places.note(100.0, 100.01 + number / 10_000, 0.0, is_full=True)
    assert places.get() >= later + 99
