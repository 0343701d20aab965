"""How fast something grows, from noisy samples of several lives of a process. Pure.

The slope is the median of the slopes between all pairs of samples of the same life (Theil and
Sen): an outlier changes nothing, and what a process begins with anew is no growth. Its bounds
follow from the variance of Kendall's S, added up over the lives (Hirsch and Slack, as for seasons).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import median

Point = tuple[float, float]
"""Seconds and a value."""

CONFIDENCE_Z = 1.96  # 95 %
FEWEST_POINTS = 4  # of a life: fewer say nothing about a slope


@dataclass(frozen=True)
class Trend:
    """By how much a value grows in an hour; with 95 % confidence between `lowest` and `highest`."""

    per_hour: float
    lowest: float
    highest: float
    points: int


def trend(lives: Iterable[Sequence[Point]]) -> Trend | None:
    """None: there are too few points to tell."""
    known = [life for life in lives if len(life) >= FEWEST_POINTS]
    slopes = sorted(slope for life in known for slope in _slopes(life))
    if not slopes:
        return None
    points = [len(life) for life in known]
    spread = CONFIDENCE_Z * sqrt(sum(n * (n - 1) * (2 * n + 5) for n in points) / 18)
    last = len(slopes) - 1
    below = max(0, int((len(slopes) - spread) / 2))
    above = min(last, int((len(slopes) + spread) / 2) + 1)
    return Trend(median(slopes), slopes[below], slopes[above], sum(points))


def _slopes(life: Sequence[Point]) -> Iterable[float]:
    for index, (since, before) in enumerate(life):
        for at, now in life[index + 1 :]:
            yield (now - before) / (at - since) * 3600


def thinned(life: Sequence[Point], every_s: float) -> list[Point]:
    """The medians of spans of so many seconds: neighbours among the samples know of each other,
    and would pretend to a certainty that is not there."""
    spans: dict[int, list[Point]] = {}
    for point in life:
        spans.setdefault(int(point[0] // every_s), []).append(point)
    return [
        (median(at for at, _ in span), median(value for _, value in span))
        for span in spans.values()
    ]
