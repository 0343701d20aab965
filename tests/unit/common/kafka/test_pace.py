"""Old work begins as fast as the loop can bear, and never not at all."""

from hypothesis import given
from hypothesis import strategies as st

from libs.common.kafka.pace import AT_ONCE, LEAST_PER_S, MOST_PER_S, TOO_LATE_S, Pace, at_once

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
