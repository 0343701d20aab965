"""Pictures of figures: where bars, ticks and lines stand. Pure.

Sideways in per cent, so that a picture is as wide as its place; upwards in pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby

from services.console.domain.figures import Day

PLOT_HEIGHT = 200  # pixels, of the part in which the bars stand
TICKS = 4  # about so many above zero
MONDAY = 0
BAR_SHARE = 0.36  # of a day's place
LINE_WIDTH, LINE_HEIGHT = 100.0, 28.0
LINE_MARGIN = 2.0
HEAT_LEVELS = 5
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True)
class Bar:
    """`x` and `width` in per cent of the plot, `y` (from above) and `height` in pixels."""

    kind: str  # in, out
    value: int
    x: float
    width: float
    y: float
    height: float


@dataclass(frozen=True)
class DayBars:
    """A day's place on the plot, and what it says. `label` stands below it, if anything does."""

    day: Day
    x: float
    width: float
    centre: float
    bars: tuple[Bar, ...]
    words: str
    label: str
    anchor: str  # of the label: start, middle, end
    below: str = ""  # a second line of the label


@dataclass(frozen=True)
class Tick:
    """A line across the plot."""

    value: int
    y: float


@dataclass(frozen=True)
class Chart:
    """Inbound and outbound messages, a pair of bars a day."""

    days: tuple[DayBars, ...]
    ticks: tuple[Tick, ...]
    height: int = PLOT_HEIGHT


@dataclass(frozen=True)
class Heat:
    """An hour of a weekday: how many, and how much that is beside the busiest, 0 to 5."""

    value: int
    level: int


def ticks_up_to(highest: int) -> list[int]:
    """Round numbers from 0 to `highest` or just above, a step of 1, 2 or 5 times a power of ten."""
    if highest <= 0:
        return [0, 1]
    magnitude = 1
    while True:
        for step in (magnitude, 2 * magnitude, 5 * magnitude):
            if step * TICKS >= highest:
                count = -(-highest // step)
                return [step * number for number in range(count + 1)]
        magnitude *= 10


def daily_chart(days: Sequence[Day]) -> Chart:
    """Every day has its place, those with nothing as well."""
    ticks = ticks_up_to(max((max(each.inbound, each.outbound) for each in days), default=0))
    top = ticks[-1]
    width = 100 / len(days) if days else 100.0
    return Chart(
        tuple(_day_bars(each, number, len(days), width, top) for number, each in enumerate(days)),
        tuple(Tick(value, _y(value, top)) for value in ticks),
    )


def _day_bars(day: Day, number: int, count: int, width: float, top: int) -> DayBars:
    x = number * width
    centre = x + width / 2
    bar_width = width * BAR_SHARE
    bars = tuple(
        Bar(kind, value, round(left, 4), round(bar_width, 4), _y(value, top), _height(value, top))
        for kind, value, left in (
            ("in", day.inbound, centre - bar_width),
            ("out", day.outbound, centre),
        )
        if value > 0
    )
    position = centre / 100
    anchor = "start" if position < 0.03 else "end" if position > 0.97 else "middle"
    label, below = _label(day.day, count)
    return DayBars(
        day,
        round(x, 4),
        round(width, 4),
        round(centre, 4),
        bars,
        day_words(day),
        label,
        anchor,
        below,
    )


def _height(value: int, top: int) -> float:
    return round(PLOT_HEIGHT * value / top, 4)


def _y(value: int, top: int) -> float:
    return round(PLOT_HEIGHT - PLOT_HEIGHT * value / top, 4)


def _label(day: date, count: int) -> tuple[str, str]:
    """Each day of a week, in two lines; of more days the Mondays."""
    if count <= 7:
        return f"{day:%a}", str(day.day)
    return (short_date(day) if day.weekday() == MONDAY else ""), ""


def short_date(day: date) -> str:
    return f"{day.day} {day:%b}"


def long_date(day: date) -> str:
    return f"{day:%a} {day.day} {day:%b}"


def period_words(first: date, last: date) -> str:
    year = "" if first.year == last.year else f" {first.year}"
    return f"{short_date(first)}{year} to {short_date(last)} {last.year}"


def day_words(day: Day) -> str:
    so_far = " so far" if day.so_far else ""
    return f"{long_date(day.day)}{so_far}: {day.inbound:,} inbound, {day.outbound:,} outbound"


def sparkline(values: Sequence[float | None]) -> tuple[str, ...]:
    """The points of a line through a small box, of several lines where values are missing.

    0 stands at the foot, the highest value at the top.
    """
    known = [each for each in values if each is not None]
    if len(known) < 2:
        return ()
    highest = max(known)
    step = LINE_WIDTH / (len(values) - 1)
    scale = (LINE_HEIGHT - 2 * LINE_MARGIN) / highest if highest > 0 else 0.0
    lines = []
    numbered = enumerate(values)
    for is_known, run in groupby(numbered, key=lambda each: each[1] is not None):
        if is_known:
            points = [
                (number * step, LINE_HEIGHT - LINE_MARGIN - (value or 0.0) * scale)
                for number, value in run
            ]
            lines.append(_points(points))
    return tuple(lines)


def _points(points: list[tuple[float, float]]) -> str:
    if len(points) == 1:  # a line of one point would be none
        x, y = points[0]
        points = [(max(x - 1, 0.0), y), (min(x + 1, LINE_WIDTH), y)]
    return " ".join(f"{x:.2f},{y:.2f}" for x, y in points)


def heat(hours: Sequence[Sequence[int]]) -> list[tuple[str, list[Heat]]]:
    """Weekdays with their hours, shaded against the busiest hour."""
    busiest = max((value for row in hours for value in row), default=0)
    return [
        (name, [Heat(value, _level(value, busiest)) for value in row])
        for name, row in zip(WEEKDAYS, hours, strict=True)
    ]


def _level(value: int, busiest: int) -> int:
    return -(-HEAT_LEVELS * value // busiest) if busiest > 0 else 0


def busiest_hour(hours: Sequence[Sequence[int]]) -> str | None:
    """In words; None: nobody wrote."""
    value, weekday, hour = max(
        ((value, -day, -hour) for day, row in enumerate(hours) for hour, value in enumerate(row)),
        default=(0, 0, 0),
    )
    if value == 0:
        return None
    return f"{WEEKDAYS[-weekday]}s from {-hour:02}:00 to {(1 - hour) % 24:02}:00: {value:,} inbound"
