"""Saturation is where more people bring no more answers."""

import pytest

from tests.soak.saturation import Level, is_saturated


@pytest.mark.parametrize(
    ("answers_per_s", "is_there"),
    [
        ([9.0], False),
        ([9.0, 9.0], False),
        ([9.0, 17.0, 18.0], False),  # 6 % more, once
        ([9.0, 17.0, 18.0, 18.5], True),
        ([9.0, 17.0, 12.0, 30.0], False),  # one bad moment
        ([9.0, 17.0, 12.0, 16.0], True),
        ([9.0, 8.0, 9.5], True),
    ],
)
def test_less_than_a_tenth_more_is_no_gain_if_it_is_so_twice(
    answers_per_s: list[float], is_there: bool
) -> None:
    levels = [Level(10 * 2**number, each) for number, each in enumerate(answers_per_s)]
    assert is_saturated(levels) is is_there
