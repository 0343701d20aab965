"""What was measured: values of several rounds, their middle, their noise, and what they should be.

Absolute numbers depend on the machine and on what else it does; two things measured in turns, in
the same minute, do so together. Therefore a figure is the median of the ratios of single rounds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

Kind = Literal["at least", "at most", "exactly"]


@dataclass(frozen=True)
class Goal:
    """What a figure should be."""

    kind: Kind
    value: float

    def is_met_by(self, value: float) -> bool:
        if self.kind == "exactly":
            return value == self.value
        return value >= self.value if self.kind == "at least" else value <= self.value

    def __str__(self) -> str:
        sign = {"at least": "≥", "at most": "≤", "exactly": "="}[self.kind]
        return f"{sign} {short(self.value)}"


@dataclass(frozen=True)
class Figure:
    """One line of the table. `values`: one a round."""

    name: str
    values: tuple[float, ...]
    unit: str = "x"
    goal: Goal | None = None
    note: str = ""

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def noise(self) -> float:
        """The median distance of a round from the median, as a share of it; 0 for one round."""
        middle = self.median
        distance = median(abs(value - middle) for value in self.values)
        return distance / abs(middle) if middle else 0.0

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is; None: there is none."""
        return None if self.goal is None else self.goal.is_met_by(self.median)

    @property
    def is_broken_promise(self) -> bool:
        """Counters don't depend on the machine: one that is off is a fault, not noise."""
        return self.goal is not None and self.goal.kind == "exactly" and not self.is_met

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "unit": self.unit,
            "median": round(self.median, 4),
            "lowest": round(min(self.values), 4),
            "highest": round(max(self.values), 4),
            "noise": round(self.noise, 4),
            "values": [round(value, 4) for value in self.values],
            "goal": str(self.goal) if self.goal else None,
            "met": self.is_met,
            "note": self.note,
        }


def ratios(name: str, ours: Sequence[float], theirs: Sequence[float], **facts: Any) -> Figure:  # noqa: ANN401
    """Ours to theirs, round by round."""
    return Figure(name, tuple(a / b for a, b in zip(ours, theirs, strict=True)), **facts)


def table(figures: Sequence[Figure]) -> str:
    """The figures for people: aligned, one a line."""
    rows = [("figure", "median", "noise", "lowest … highest", "goal", "")]
    rows += [_row(figure) for figure in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
             for row in rows]  # fmt: skip
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def _row(figure: Figure) -> tuple[str, str, str, str, str, str]:
    several = len(figure.values) > 1
    return (
        figure.name,
        f"{short(figure.median)} {figure.unit}",
        f"±{figure.noise:.1%}" if several else "",
        f"{short(min(figure.values))} … {short(max(figure.values))}" if several else "",
        str(figure.goal) if figure.goal else "",
        " ".join(filter(None, (_verdict(figure), figure.note))),
    )


def _verdict(figure: Figure) -> str:
    return {None: "", True: "met", False: "NOT MET"}[figure.is_met]


def short(value: float) -> str:
    """As few digits as tell it."""
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
