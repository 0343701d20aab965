"""What something takes when nothing is in its way."""

from hypothesis import given
from hypothesis import strategies as st

from libs.common.shortest import Shortest

LEAST = 50


@given(st.lists(st.floats(0.001, 5), min_size=1, max_size=40), st.floats(0, 15))
def test_the_shortest_time_is_that_of_the_last_seconds(took: list[float], apart_s: float) -> None:
    shortest = Shortest(10.0, LEAST)
    for _ in range(LEAST - 1):
        shortest.note(-100.0, 9.0)
        assert shortest.get() == 0.0
    for number, took_s in enumerate(took):
        shortest.note(number * apart_s, took_s)
        assert shortest.get() in [9.0, *took[: number + 1]]
        recent = [t for n, t in enumerate(took[: number + 1]) if (number - n) * apart_s <= 10]
        assert shortest.get() <= min(recent)
