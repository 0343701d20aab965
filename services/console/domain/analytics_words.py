"""Figures and their changes in words: per cents that don't exaggerate, more and fewer. Pure."""

from dataclasses import dataclass
from typing import Literal

NONE = "–"
NARROW = "\N{NARROW NO-BREAK SPACE}"

Direction = Literal["up", "down", "same", "unknown"]
Better = Literal["more", "less"]
Verdict = Literal["better", "worse"]


@dataclass(frozen=True)
class Change:
    """Against the period before. The words say it all; arrow and colour repeat them."""

    direction: Direction
    words: str
    verdict: Verdict | None = None


def number(value: int) -> str:
    return f"{value:,}"


def percent(part: int, whole: int) -> str:
    """One decimal. 100 % are all and 0 % none: what is nearly so is told as nearly so."""
    if whole <= 0:
        return NONE
    tenths = (2000 * part + whole) // (2 * whole)  # of a per cent, rounded half up
    if 0 < part < whole:
        tenths = min(max(tenths, 1), 999)
    whole_part, tenth = divmod(tenths, 10)
    return f"{whole_part}.{tenth}{NARROW}%" if tenth else f"{whole_part}{NARROW}%"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return NONE
    if seconds < 9.95:
        return f"{seconds:.1f}{NARROW}s"
    whole = round(seconds)
    for size, unit, smaller_size, smaller in (
        (86_400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // smaller_size
            tail = f" {rest}{NARROW}{smaller}" if rest else ""
            return f"{whole // size}{NARROW}{unit}{tail}"
    return f"{whole}{NARROW}s"


def change_of_count(now: int, before: int, period: str, better: Better | None) -> Change:
    """`period`: what is compared with, as in "the 7 days before"."""
    if now == before:
        return Change("same", f"as many as {period}" if now else f"none in {period} either")
    if before == 0:
        return Change("up", f"none in {period}", _verdict(now > before, better))
    words = _relative(now, before, "more", "fewer")
    return Change(_direction(now, before), f"{words} {period}", _verdict(now > before, better))


def change_of_share(
    now: tuple[int, int], before: tuple[int, int], period: str, better: Better | None
) -> Change:
    """Of parts and wholes, in points of a per cent."""
    if before[1] == 0:
        return Change("unknown", f"nothing to compare in {period}")
    if now[1] == 0:
        return Change("unknown", f"{percent(*before)} in {period}")
    left, right = now[0] * before[1], before[0] * now[1]
    if left == right:
        return Change("same", f"as in {period}")
    tenths = round(1000 * abs(left - right) / (now[1] * before[1]))
    points = "under 0.1" if tenths == 0 else f"{tenths / 10:g}"
    unit = "point" if tenths <= 10 else "points"
    words = f"{points} {unit} {'higher' if left > right else 'lower'} than {period}"
    return Change(_direction(left, right), words, _verdict(left > right, better))


def change_of_duration(
    now: float | None, before: float | None, period: str, better: Better | None
) -> Change:
    if before is None:
        return Change("unknown", f"nothing to compare in {period}")
    if now is None:
        return Change("unknown", f"{duration(before)} in {period}")
    if before == 0 or abs(now - before) / before < 0.005:
        return Change("same", f"as long as {period}")
    words = _relative(now, before, "longer", "shorter")
    return Change(_direction(now, before), f"{words} {period}", _verdict(now > before, better))


def _relative(now: float, before: float, up: str, down: str) -> str:
    if now >= 10 * before:
        word = {"more": "many", "longer": "long"}[up]
        return f"{round(now / before):,} times as {word} as"
    per_cent = round(100 * abs(now - before) / before)
    if now > 0:
        per_cent = min(per_cent, 99) if now < before else per_cent
    amount = f"{per_cent}{NARROW}%" if per_cent else f"under 1{NARROW}%"
    return f"{amount} {up if now > before else down} than"


def _direction(now: float, before: float) -> Direction:
    return "up" if now > before else "down"


def _verdict(is_more: bool, better: Better | None) -> Verdict | None:
    if better is None:
        return None
    return "better" if is_more == (better == "more") else "worse"
