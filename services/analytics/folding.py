"""A batch of events into the database: read the states, fold, write the rollups, write the states.

Three round trips, however many events there are. `domain/rollups.py` says why it may end anywhere.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Protocol

from prometheus_client import Counter

from libs.common.erasures import Erased, NobodyErased, is_of_erased, name_of
from libs.common.errors import TransientError
from libs.common.events import MessageDelivered, MessageRead
from libs.common.metrics import from_zero
from services.analytics.domain.rollups import (
    Advance,
    Arrival,
    Change,
    Offsets,
    RollupWrite,
    Stored,
    advance,
    by_conversation,
    changes_of,
)
from services.analytics.page_counts import PageCounts

ATTEMPTS = 20
RECEIPTS = (MessageDelivered, MessageRead)
KNOWN_ROLLUPS = 20_000

EVENTS = from_zero(
    Counter(
        "assistant_analytics_events_total",
        "Events folded into the figures, by what became of them.",
        ["outcome"],
    ),
    ["counted", "changed", "replayed"],
)
REMARKS = Counter(
    "assistant_analytics_remarks_total",
    "Events that were not counted, or not fully, by why: copies, and what came too late.",
    ["remark"],
)
CONFLICTS = Counter(
    "assistant_analytics_conflicts_total",
    "Rollups that somebody else had written: worked out again.",
)


class Store(Protocol):
    """What folding needs of `AnalyticsStore`."""

    async def states(self, conversations: Iterable[str]) -> dict[str, Stored]: ...

    async def offsets(self, rollup_ids: Iterable[str]) -> dict[str, Offsets]: ...

    async def write_rollups(self, writes: Sequence[RollupWrite]) -> set[str]: ...

    async def write_states(self, states: Mapping[str, Stored]) -> None: ...


class ConflictError(TransientError):
    """Others write the same documents faster than we can."""

    code = "analytics_conflict"


def nameless(conversation: str) -> str:
    """What the state of somebody who was erased is kept as."""
    return f"erased:{name_of(conversation)}"


class Folder:
    """Takes events into the figures, once each, however often they come."""

    def __init__(self, store: Store, own_app_id: str, erased: Erased | None = None) -> None:
        self._store = store
        self._own_app_id = own_app_id
        self._erased = erased or NobodyErased()
        # only a guess that saves a round trip: a write expects it, and is refused if it is wrong
        self._known: OrderedDict[str, Offsets] = OrderedDict()
        self._page_counts = PageCounts()

    async def fold(self, arrivals: Iterable[Arrival]) -> None:
        """Return when all of it is in the database.

        Raises:
            TransientError: some of it may be there; the same again takes in the rest.
        """
        self._trim()
        news = by_conversation(map(self._without_name, arrivals))
        stored = await self._states(news)
        self._move_late_receipts(news, stored)
        advances = {
            conversation: advance(stored.get(conversation) or Stored(), arrivals, self._own_app_id)
            for conversation, arrivals in news.items()
        }
        await self._write_rollups(changes_of(advances.values()))
        # not before every rollup has what these states say was counted
        further = {name: each.stored for name, each in advances.items() if each.folded}
        if further:
            await self._store.write_states(further)
        _measure(advances.values())
        self._page_counts.count(advances.values())

    def _without_name(self, arrival: Arrival) -> Arrival:
        """What was before an erasure counts as it would have, and not as that person's."""
        if not is_of_erased(self._erased, arrival.event):
            return arrival
        return replace(
            arrival, conversation=nameless(arrival.conversation), called_before=arrival.conversation
        )

    async def _states(self, news: Mapping[str, Sequence[Arrival]]) -> dict[str, Stored]:
        """Those that there are; of who is just being erased, the state may still have its name."""
        called = {name: arrivals[0].called_before for name, arrivals in news.items()}
        before = {name: old for name, old in called.items() if old is not None}
        erased = [name for name in news if self._erased.erased_at(name) is not None]
        wanted = dict.fromkeys([*news, *before.values(), *map(nameless, erased)])
        stored = await self._store.states(wanted)
        for name, old in before.items():
            if name not in stored and old in stored:
                known = stored[old]
                stored[name] = Stored(known.folded, dict(known.offsets), known.state.copy())
        return stored

    def _move_late_receipts(
        self, news: dict[str, list[Arrival]], stored: Mapping[str, Stored]
    ) -> None:
        """Of who was erased and is nobody new yet, a receipt is about a message of before."""
        for name in [each for each in news if self._erased.erased_at(each) is not None]:
            if name in stored:
                continue
            arrivals = sorted(news[name], key=lambda each: (each.partition, each.offset))
            late = list(takewhile(lambda each: isinstance(each.event, RECEIPTS), arrivals))
            if late:
                news.setdefault(nameless(name), []).extend(late)
                news[name] = arrivals[len(late) :]
            if not news[name]:
                del news[name]

    async def _write_rollups(self, changes: Mapping[str, Change]) -> None:
        await self._look_up([rollup for rollup in changes if rollup not in self._known])
        wanted: Iterable[str] = changes
        for _ in range(ATTEMPTS):
            made = [changes[rollup].write(rollup, self._known[rollup]) for rollup in wanted]
            writes = [write for write in made if write is not None]
            if not writes:
                return
            guesses = {write.rollup_id: self._known.pop(write.rollup_id) for write in writes}
            refused = await self._store.write_rollups(writes)
            for write in writes:
                if write.rollup_id not in refused:
                    self._know(write.rollup_id, {**guesses[write.rollup_id], **write.after})
            if not refused:
                return
            CONFLICTS.inc(len(refused))
            await self._look_up(refused)
            wanted = refused
        raise ConflictError(f"{ATTEMPTS} attempts")

    async def _look_up(self, rollups: Sequence[str] | set[str]) -> None:
        if rollups:
            found = await self._store.offsets(rollups)
            for rollup in rollups:
                self._know(rollup, found.get(rollup, {}))

    def _know(self, rollup: str, offsets: Offsets) -> None:
        self._known[rollup] = offsets
        self._known.move_to_end(rollup)

    def _trim(self) -> None:
        while len(self._known) > KNOWN_ROLLUPS:
            self._known.popitem(last=False)


def _measure(advances: Iterable[Advance]) -> None:
    for each in advances:
        EVENTS.labels("counted").inc(len(each.counted))
        EVENTS.labels("changed").inc(each.folded - len(each.counted))
        EVENTS.labels("replayed").inc(each.already)
        for remark in each.remarks:
            REMARKS.labels(remark).inc()
