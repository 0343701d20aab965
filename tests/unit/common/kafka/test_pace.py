"""Old work begins as fast as the loop and the database can bear, and never not at all."""

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


@given(st.integers(1, 1500), LOOKS)
def test_there_are_always_some_places_and_never_too_many(
    most: int, looks: list[tuple[float, float]]
) -> None:
    places, now = Places(most), 0.0
    for took_s, away_s in looks:
        now += took_s + away_s
        places.note(now - took_s - away_s, now, away_s)
        assert min(most, FEWEST_PLACES) <= places.get() <= most


def settled(places: Places, per_s: float, rounds: int, away_s: float = 1.0) -> list[int]:
    """How many places there are, round by round: all work passes a database that does `per_s`."""
    now, found = 0.0, []
    for _ in range(rounds):
        count = places.get()
        took_s = 0.02 + count / per_s
        for _ in range(count):
            places.note(now, now + away_s + took_s, away_s)
        now += away_s + took_s
        found.append(places.get())
    return found


def test_as_many_places_as_the_database_bears_are_found_and_kept() -> None:
    found = settled(Places(1500), per_s=1000, rounds=60)
    assert max(found) <= 2 * FIRST_PLACES + 1000 * TOO_LONG_S * 2
    late = found[20:]
    assert min(late) >= 1000 * TOO_LONG_S / 3
    assert max(late) <= 1000 * TOO_LONG_S * 2


def test_a_slow_model_is_not_taken_for_a_slow_database() -> None:
    places = Places(1500)
    for number in range(2000):
        away_s = 0.1 if number % 2 else 60.0
        places.note(0.0, 0.05 + away_s, away_s)
    assert places.get() == 1500


def test_a_database_that_is_far_away_is_no_reason_to_wait() -> None:
    places = Places(1500)
    for number in range(2000):
        places.note(float(number), number + 3.5, 3.0)  # half a second, always
    assert places.get() == 1500


def test_what_began_before_a_change_is_not_blamed_for_again() -> None:
    places = Places(1500)
    places.note(0.0, 0.01, 0.0)
    before = places.get()
    for _ in range(100):
        places.note(1.0, 3.0, 0.0)
    assert places.get() == before // 2
