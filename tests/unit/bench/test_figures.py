"""Medians of ratios, noise, goals, and the table."""

import pytest

from tests.bench.figures import Figure, Goal, Kind, ratios, table


def test_a_ratio_is_the_median_of_the_rounds_ratios_not_the_ratio_of_medians() -> None:
    figure = ratios("a : b", [1.0, 20.0, 9.0], [1.0, 10.0, 3.0])
    assert figure.values == (1.0, 2.0, 3.0)
    assert figure.median == 2.0


def test_noise_is_the_usual_distance_from_the_median_and_one_wild_round_does_not_matter() -> None:
    assert Figure("f", (10.0, 9.0, 11.0, 10.0, 90.0)).noise == pytest.approx(0.1)
    assert Figure("f", (3.0,)).noise == 0
    assert Figure("f", (0.0, 1.0, 0.0)).noise == 0


@pytest.mark.parametrize(
    ("kind", "value", "met"),
    [
        ("at least", 0.9, True),
        ("at least", 0.89, False),
        ("at most", 1.15, True),
        ("at most", 1.16, False),
        ("exactly", 2, True),
        ("exactly", 2.05, False),
    ],
)
def test_goals(kind: Kind, value: float, met: bool) -> None:
    goal = Goal(kind, {"at least": 0.9, "at most": 1.15, "exactly": 2}[kind])
    figure = Figure("f", (value,), goal=goal)
    assert figure.is_met is met
    assert figure.is_broken_promise is (kind == "exactly" and not met)
    assert ("NOT MET" in table([figure])) is not met


def test_the_table_is_aligned_and_names_every_figure() -> None:
    figures = [Figure("short", (1.0,)), Figure("a longer name", (1234.5, 2.0), "/s", note="why")]
    head, rule, first, second = table(figures).splitlines()
    assert first.index("1 x") == second.index("618 /s") == head.index("median")
    assert set(rule) == {"-"}
    assert second.endswith("why")
