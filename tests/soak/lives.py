"""What was seen of each process, and what to say about it. Pure.

A process that was killed begins a new life: its first minutes, in which everything is loaded and
caches fill, say nothing about leaks, nor do its last seconds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from types import MappingProxyType
from typing import Any

from tests.processes import MIB, Usage
from tests.soak.trend import Point, Trend, thinned, trend

DYING_S = 10.0


@dataclass(frozen=True)
class Sample:
    """One look at a process. What only its own metrics tell is None while it does not answer."""

    at_s: float
    pid: int
    usage: Usage
    tasks: float | None = None
    """Besides those that only serve an open connection: callers keep connections as they like."""
    lag: float | None = None
    in_flight: float | None = None


@dataclass(frozen=True)
class Measure:
    """Something that must not grow: how to read it, and from which growth on it is a leak."""

    name: str
    unit: str
    read: Callable[[Sample], float | None]
    most_per_hour: float
    most_at_rest: float
    """By how much more there may be when all is done than there was before all began."""


MEASURES = (
    Measure("memory", "MiB", lambda each: each.usage.anonymous_bytes / MIB, 32.0, 96.0),
    # at rest the database's client keeps all connections that it has opened, up to 100
    Measure("descriptors", "", lambda each: each.usage.descriptors, 40.0, 160.0),
    Measure("threads", "", lambda each: each.usage.threads, 20.0, 20.0),
    Measure("tasks", "", lambda each: each.tasks, 60.0, 20.0),
)


@dataclass(frozen=True)
class Reading:
    """How long to look before something is said. Seconds."""

    warm_up_s: float = 180.0
    span_s: float = 30.0
    least_s: float = 900.0
    """Of warm life, before a slope is more than the end of warming up."""


@dataclass(frozen=True)
class Growth:
    """What one measure did in all lives of a process."""

    measure: Measure
    trend: Trend | None
    first: float | None
    """The median of the spans before the load began; None: nobody looked."""
    last: float | None
    """The same when all had been answered and nobody wrote any more."""
    most: float
    is_long_enough: bool
    """To complain about the trend."""

    def complaints(self) -> list[str]:
        measure, found = self.measure, []
        if (
            self.trend is not None
            and self.is_long_enough
            and self.trend.lowest > measure.most_per_hour
        ):
            found.append(
                f"{measure.name} grow by {self.trend.per_hour:.0f} {measure.unit}/h, at least by "
                f"{self.trend.lowest:.0f}; at most {measure.most_per_hour:g} are allowed"
            )
        if self.first is not None and self.last is not None:
            more = self.last - self.first
            if more > measure.most_at_rest:
                found.append(
                    f"{measure.name} at rest: {self.first:.0f} before, {self.last:.0f} after; "
                    f"{measure.most_at_rest:g} more are allowed"
                )
        return found

    def to_json(self) -> dict[str, Any]:
        told = {"first": self.first, "last": self.last, "most": self.most}
        if self.trend is not None:
            told |= {
                "per_hour": self.trend.per_hour,
                "lowest": self.trend.lowest,
                "highest": self.trend.highest,
            }
        return {name: None if value is None else round(value, 2) for name, value in told.items()}


@dataclass
class Process:
    """All samples of one component, those at rest apart."""

    samples: list[Sample] = field(default_factory=list)
    before: list[Sample] = field(default_factory=list)
    after: list[Sample] = field(default_factory=list)

    def lives(self) -> list[list[Sample]]:
        """Of each process in turn; a pid is not given twice in so short a time."""
        by_pid: dict[int, list[Sample]] = {}
        for sample in self.samples:
            by_pid.setdefault(sample.pid, []).append(sample)
        return list(by_pid.values())

    def growth(self, measure: Measure, reading: Reading) -> Growth:
        told = [value for each in self.samples if (value := measure.read(each)) is not None]
        return Growth(
            measure,
            trend(self._warm(measure, reading)),
            _middle(self.before, measure),
            _middle(self.after, measure),
            max(told, default=0.0),
            self.warm_s(reading) >= reading.least_s,
        )

    def warm_s(self, reading: Reading) -> float:
        """How long there was something to see."""
        lives = self._warm(MEASURES[0], reading)
        return sum(life[-1][0] - life[0][0] for life in lives if life)

    def _warm(self, measure: Measure, reading: Reading) -> list[list[Point]]:
        lives = self.lives()
        return [
            thinned(_points(life, measure, reading, is_last=life is lives[-1]), reading.span_s)
            for life in lives
        ]


def _points(
    life: Sequence[Sample], measure: Measure, reading: Reading, *, is_last: bool
) -> list[Point]:
    since = life[0].at_s + reading.warm_up_s
    until = life[-1].at_s - (0.0 if is_last else DYING_S)
    return [
        (each.at_s, value)
        for each in life
        if since <= each.at_s <= until and (value := measure.read(each)) is not None
    ]


def _middle(samples: Sequence[Sample], measure: Measure) -> float | None:
    told = [value for each in samples if (value := measure.read(each)) is not None]
    return median(told) if told else None


@dataclass(frozen=True)
class Judgement:
    """What is said about one component."""

    growths: Mapping[str, Growth]
    lives: int
    warm_s: float
    lag_most: float
    lag_at_rest: float | None
    complaints: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "lives": self.lives,
            "warm_minutes": round(self.warm_s / 60, 1),
            "lag_most": self.lag_most,
            "lag_at_rest": self.lag_at_rest,
            **{name: growth.to_json() for name, growth in self.growths.items()},
        }


def judged(process: Process, reading: Reading, *, only_told: bool = False) -> Judgement:
    """`only_told`: somebody else's program, which we measure and don't judge."""
    growths = {each.name: process.growth(each, reading) for each in MEASURES}
    lags = [each.lag for each in process.samples if each.lag is not None]
    rest = [each.lag for each in process.after if each.lag is not None]
    lag_at_rest = rest[-1] if rest else None
    found = [text for growth in growths.values() for text in growth.complaints()]
    if lag_at_rest:
        found.append(f"{lag_at_rest:.0f} records are not finished though nobody writes any more")
    return Judgement(
        MappingProxyType(growths),
        len(process.lives()),
        process.warm_s(reading),
        max(lags, default=0.0),
        lag_at_rest,
        () if only_told else tuple(found),
    )
