"""A database that may die between any two writes, in the middle of a bulk write as well."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import cycle

from libs.common.errors import TransientError
from services.analytics.domain.fold import EVER
from services.analytics.domain.rollups import (
    NONE,
    Offsets,
    RollupWrite,
    Stored,
)
from services.analytics.domain.slots import first_slot
from services.analytics.domain.state import from_fields, to_fields
from tests.unit.analytics.reference import Totals


class DeadError(TransientError):
    """The process or the database ends here."""


@dataclass
class Memory:
    """What `AnalyticsStore` keeps. `lives`: writes of single documents until it dies."""

    counters: dict[str, Counter[str]] = field(default_factory=dict)
    applied: dict[str, dict[int, int]] = field(default_factory=dict)
    kept: dict[str, tuple[int, dict[int, int], dict[str, object]]] = field(default_factory=dict)
    lives: int | None = None
    pauses: Iterator[int] = field(default_factory=lambda: cycle([0]))  # turns before it answers
    trips: int = 0
    refused: int = 0

    async def states(self, conversations: Iterable[str]) -> dict[str, Stored]:
        await self._answer()
        return {
            each: Stored(
                self.kept[each][0], dict(self.kept[each][1]), from_fields(self.kept[each][2])
            )
            for each in conversations
            if each in self.kept
        }

    async def offsets(self, rollup_ids: Iterable[str]) -> dict[str, Offsets]:
        await self._answer()
        return {each: dict(self.applied[each]) for each in rollup_ids if each in self.applied}

    async def write_rollups(self, writes: Sequence[RollupWrite]) -> set[str]:
        await self._answer()
        refused = set()
        for write in writes:
            offsets = self.applied.get(write.rollup_id, {})
            if any(offsets.get(p, NONE) != o for p, o in write.before.items()):
                refused.add(write.rollup_id)
                continue
            self._live()
            self.applied[write.rollup_id] = {**offsets, **write.after}
            self.counters.setdefault(write.rollup_id, Counter()).update(write.counters)
        self.refused += len(refused)
        return refused

    async def write_states(self, states: Mapping[str, Stored]) -> None:
        await self._answer()
        for name, stored in states.items():
            self._live()
            if name not in self.kept or self.kept[name][0] < stored.folded:
                self.kept[name] = (stored.folded, dict(stored.offsets), to_fields(stored.state))

    async def _answer(self) -> None:
        self.trips += 1
        for _ in range(next(self.pauses)):
            await asyncio.sleep(0)

    def _live(self) -> None:
        if self.lives is not None:
            if self.lives == 0:
                raise DeadError
            self.lives -= 1

    def totals(self) -> Totals:
        """As the reference counts: by slot and counter, without zeros."""
        found: Counter[tuple[int, str]] = Counter()
        for rollup, counters in self.counters.items():
            day = rollup.partition(":")[2]
            for path, number in counters.items():
                if day == "total":
                    found[EVER, path] += number
                else:
                    _, slot, name = path.split(".", 2)
                    found[_first(day) + int(slot), name] += number
        return {key: number for key, number in found.items() if number}


def _first(day: str) -> int:

    return first_slot(date.fromisoformat(day))
