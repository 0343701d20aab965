"""Counted once, however often it comes: the latest ids of something, in little room."""

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal

Admission = Literal["new", "copy", "late"]


def hashed(text: str) -> int:
    """A signed 64-bit integer for an id."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)


@dataclass(slots=True)
class Window:
    """The latest `size` things that were counted, by their time; none older is counted any more.

    So a copy is recognised however late it comes: by its id, or because it is older than what has
    fallen out. What is refused with it is something new that comes after `size` newer ones.
    """

    size: int
    seen: dict[int, int] = field(default_factory=dict)  # id: milliseconds
    floor: tuple[int, int] | None = None  # time and id of the latest that has fallen out

    def admit(self, key: int, at_ms: int) -> Admission:
        if key in self.seen:
            return "copy"
        if self.floor is not None and (at_ms, key) <= self.floor:
            return "late"
        self.seen[key] = at_ms
        if len(self.seen) > self.size:
            at_of_oldest, oldest = min((at, key) for key, at in self.seen.items())
            del self.seen[oldest]
            self.floor = (at_of_oldest, oldest)
        return "new"

    def copy(self) -> "Window":
        return Window(self.size, dict(self.seen), self.floor)

    def to_fields(self) -> dict[str, Any] | None:
        """As it is stored; None: there is nothing in it."""
        if not self.seen and self.floor is None:
            return None
        seen = packed(number for pair in self.seen.items() for number in pair)
        return {"seen": seen} | ({} if self.floor is None else {"floor": list(self.floor)})

    def fill(self, fields: Mapping[str, Any] | None) -> None:
        """With what was stored."""
        if fields is None:
            return
        numbers = unpacked(fields["seen"])
        self.seen = dict(zip(numbers[::2], numbers[1::2], strict=True))
        self.floor = pair_of(fields.get("floor"))


def pair_of(numbers: list[int] | None) -> tuple[int, int] | None:
    return (numbers[0], numbers[1]) if numbers else None


def packed(numbers: Iterable[int]) -> bytes:
    """A row of 64-bit integers as bytes."""
    return array("q", numbers).tobytes()


def unpacked(stored: bytes | None) -> "array[int]":
    numbers = array("q")
    numbers.frombytes(stored or b"")
    return numbers
