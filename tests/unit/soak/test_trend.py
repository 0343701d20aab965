"""How fast something grows: right without noise, sure of itself with little, and not misled."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.soak.trend import Point, thinned, trend

HOUR_S = 3600.0


def line(per_hour: float, start: float = 50.0, points: int = 40, noise: float = 0.0) -> list[Point]:
    chance = random.Random(1)
    return [
        (at * 30.0, start + per_hour * at * 30.0 / HOUR_S + chance.uniform(-noise, noise))
        for at in range(points)
    ]


@settings(max_examples=30)
@given(st.floats(-1000, 1000), st.floats(0, 1000), st.integers(4, 30))
def test_of_a_straight_line_it_is_the_slope(per_hour: float, start: float, points: int) -> None:
    found = trend([line(per_hour, start, points)])
    assert found is not None
    for value in (found.lowest, found.per_hour, found.highest):
        assert value == pytest.approx(per_hour, abs=1e-6)


def test_several_lives_have_one_slope_and_what_lies_between_them_is_none() -> None:
    found = trend([line(12, start=90), line(12, start=10), line(12, start=50)])
    assert found is not None
    assert found.per_hour == pytest.approx(12)


def test_noise_around_nothing_is_no_growth() -> None:
    found = trend([line(0, noise=3)])
    assert found is not None
    assert found.lowest < 0 < found.highest


def test_growth_is_seen_through_noise() -> None:
    found = trend([line(30, noise=1)])
    assert found is not None
    assert 20 < found.lowest < 30 < found.highest < 40


def test_outliers_change_little() -> None:
    points = line(0)
    for index in (5, 17, 30):
        points[index] = (points[index][0], 500.0)
    found = trend([points])
    assert found is not None
    assert found.per_hour == 0


def test_few_points_say_nothing() -> None:
    assert trend([]) is None
    assert trend([line(10, points=3), line(10, points=2)]) is None


def test_thinned_keeps_the_median_of_each_span() -> None:
    assert thinned([(1, 5), (2, 100), (9, 6), (12, 7), (35, 1)], every_s=10) == [
        (2, 6),
        (12, 7),
        (35, 1),
    ]
