"""What a batch of events changes, document by document, so that nothing is ever applied twice.

A rollup carries for every partition the offset of the last record that it has taken in. What is
written expects that offset to be what was read, and moves it; where it is not, somebody else has
written, or it was we before a crash, and the same is worked out again from what is there.

A conversation's state says how many of its events it has folded, and up to which offset: of two
that are written, whoever writes them, the one that has come further stays.

Rollups are written first, and states only when all rollups have what they add. So a state is never
ahead of them: what a rollup misses can be made again from the log and the state, and what it has
already is told by its offset.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from libs.common.events import AnyRecord
from services.analytics.domain.fold import EVER, Counts, Increment, apply
from services.analytics.domain.slots import SLOTS_A_DAY, day_of
from services.analytics.domain.state import State

Offsets = Mapping[int, int]
"""Partition: offset of the last record taken in. Absent: none."""

NONE = -1


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event, and where it stands on the log.

    `called_before`: the conversation's own name, where its person was erased after the event.
    """

    partition: int
    offset: int
    conversation: str
    event: AnyRecord
    called_before: str | None = None


@dataclass(slots=True)
class Stored:
    """A conversation's state as the database has it, or will. `folded` counts its events."""

    folded: int = 0
    offsets: dict[int, int] = field(default_factory=dict)
    state: State = field(default_factory=State)


@dataclass(frozen=True, slots=True)
class RollupWrite:
    """Counters to add to, by path, if the offsets are as in `before`; they will be as in `after`.

    Both name the partitions concerned; `NONE`: there is no offset yet.
    """

    rollup_id: str
    before: Offsets
    after: Offsets
    counters: Mapping[str, int]


@dataclass(slots=True)
class Change:
    """What the records of a batch add to one rollup, each by its place on the log."""

    increments: dict[int, list[tuple[int, str, int]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def add(self, arrival: Arrival, increment: Increment) -> None:
        slot, name, number = increment
        path = path_of(slot, name)
        self.increments[arrival.partition].append((arrival.offset, path, number))

    def write(self, rollup_id: str, known: Offsets) -> RollupWrite | None:
        """What is to be written to a rollup with these offsets; None: it has everything."""
        counters: defaultdict[str, int] = defaultdict(int)
        before, after = {}, {}
        for partition, increments in self.increments.items():
            applied = known.get(partition, NONE)
            news = [each for each in increments if each[0] > applied]
            if news:
                before[partition] = applied
                after[partition] = max(offset for offset, _, _ in news)
                for _, path, number in news:
                    counters[path] += number
        if not after:
            return None
        changed = {path: number for path, number in counters.items() if number}
        return RollupWrite(rollup_id, before, after, changed)


@dataclass(slots=True)
class Advance:
    """One conversation taken forward over its records of a batch."""

    stored: Stored
    counted: list[tuple[Arrival, list[Increment]]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    folded: int = 0
    already: int = 0  # records that the state has taken in before


def advance(stored: Stored, arrivals: Iterable[Arrival], own_app_id: str) -> Advance:
    """Fold what the state does not have yet. `stored` is changed: it is whoever calls who owns it.

    Args:
        arrivals: in any order; a record may be among them twice.
    """
    done = Advance(stored)
    for arrival in sorted(arrivals, key=lambda each: (each.partition, each.offset)):
        if arrival.offset <= stored.offsets.get(arrival.partition, NONE):
            done.already += 1
            continue
        counts = Counts()
        apply(stored.state, arrival.event, own_app_id, counts)
        stored.offsets[arrival.partition] = arrival.offset
        stored.folded += 1
        done.folded += 1
        done.remarks += counts.remarks
        if counts.increments:
            done.counted.append((arrival, counts.increments))
    return done


def changes_of(advances: Iterable[Advance]) -> dict[str, Change]:
    """What they add, by rollup."""
    changes: defaultdict[tuple[str, int], Change] = defaultdict(Change)
    for each in advances:
        for arrival, increments in each.counted:
            page_id = arrival.event.page_id
            for increment in increments:
                changes[page_id, increment[0] // SLOTS_A_DAY].add(arrival, increment)
    return {
        rollup_id(page_id, day * SLOTS_A_DAY if day >= 0 else EVER): change
        for (page_id, day), change in changes.items()
    }


def by_conversation(arrivals: Iterable[Arrival]) -> dict[str, list[Arrival]]:
    found: defaultdict[str, list[Arrival]] = defaultdict(list)
    for arrival in arrivals:
        found[arrival.conversation].append(arrival)
    return dict(found)


def path_of(slot: int, name: str) -> str:
    """Where a counter stands in its rollup."""
    return name if slot == EVER else f"slots.{slot % SLOTS_A_DAY}.{name}"


def rollup_id(page_id: str, slot: int) -> str:
    """A Page's UTC day, or what it has for all time."""
    return total_id(page_id) if slot == EVER else daily_id(page_id, day_of(slot))


def daily_id(page_id: str, day: date) -> str:
    return f"{page_id}:{day.isoformat()}"


def total_id(page_id: str) -> str:
    return f"{page_id}:total"


def ids_for(pages: Sequence[str], days: Iterable[date]) -> list[str]:
    """Every daily rollup of these Pages and days."""
    every_day = list(days)
    return [daily_id(page_id, day) for page_id in pages for day in every_day]
