"""Every event into the archive: the whole conversation, each message with its status.

A consumer of its own, beside the one that answers: a message can be read in the console while the
model still thinks about it, and hundreds of conversations share a round trip to the database.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

from libs.common.erasures import Erased, NobodyErased, is_of_erased
from libs.common.events import OF_HISTORY, ConversationRecord, decode
from libs.common.freshness import FRESH_S
from libs.common.kafka import ConsumedRecord, KeyBatch
from services.conversation.domain import archive
from services.conversation.domain.receive import Arrival
from services.conversation.domain.state import Position

WANTED = OF_HISTORY
MOST = 100  # records of a batch
REST, LONGEST_REST_S = 2.0, 1.0
"""So many times as long as a batch took is nothing done, where it is of before: somebody who writes
now wants the database more."""


class Store(Protocol):
    """What the archive needs of `ConversationStore`."""

    async def keep(self, entries: Iterable[archive.Entry]) -> None: ...

    async def note_activity(self, activities: Iterable[archive.Activity]) -> None: ...


class Inbox(Protocol):
    """What the archive needs of the rows' keeper."""

    async def note(self, arrivals: Mapping[str, Sequence[Arrival]]) -> None: ...


def wants(headers: Mapping[str, bytes]) -> bool:
    """Of the events topic, what is part of a conversation's history."""
    return headers.get("type") in WANTED and headers.get("version", b"").startswith(b"1.")


def whole_partition(_record: ConsumedRecord) -> bytes:
    """Archiving is quick: a partition's records are taken together, in their order."""
    return b""


class HistoryKeeper:
    """Writes what a batch says: into the archive, then into the inbox, so that whoever is told of a
    row finds its messages. Writing it again changes nothing."""

    def __init__(
        self,
        store: Store,
        own_app_id: str,
        erased: Erased | None = None,
        inbox: Inbox | None = None,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        """`wall_s`: the clock that records are stamped by, in seconds since 1970."""
        self._wall_s = wall_s
        self._store = store
        self._inbox = inbox
        self._own_app_id = own_app_id
        self._erased = erased or NobodyErased()

    async def handle(self, batch: KeyBatch) -> None:
        """Return when the batch is in the archive, but for what is of somebody who was erased."""
        began_at = _now()
        await self._keep(batch)
        if any(self._is_old(record) for record in batch.records[:1]):
            await asyncio.sleep(min(REST * (_now() - began_at), LONGEST_REST_S))

    def _is_old(self, record: ConsumedRecord) -> bool:
        stamp_s = record.timestamp_ms / 1000
        return stamp_s > 0 and self._wall_s() - stamp_s > FRESH_S

    async def _keep(self, batch: KeyBatch) -> None:
        arrivals = [arrival_of(record) for record in batch.records]
        arrivals = [each for each in arrivals if not is_of_erased(self._erased, each.event)]
        entries = [archive.entry_of(arrival, self._own_app_id) for arrival in arrivals]
        await self._store.keep([entry for entry in entries if entry is not None])
        by_conversation: dict[str, list[Arrival]] = {}
        for arrival in arrivals:
            if isinstance(arrival.event, ConversationRecord):
                by_conversation.setdefault(arrival.event.conversation_id, []).append(arrival)
        news = [
            archive.activity_of([arrival.event for arrival in each])
            for each in by_conversation.values()
        ]
        await self._store.note_activity([activity for activity in news if activity is not None])
        if self._inbox is not None and by_conversation:
            await self._inbox.note(by_conversation)


def arrival_of(record: ConsumedRecord) -> Arrival:
    """Raises: UndecodableRecordError."""
    return Arrival(
        decode(record.value),
        Position(partition=record.partition, offset=record.offset),
        logged_at=_moment(record.timestamp_ms),
    )


def _moment(timestamp_ms: int) -> datetime | None:
    """None: the record was put there without its time, or with one that is no time."""
    try:
        return datetime.fromtimestamp(timestamp_ms / 1000, UTC) if timestamp_ms > 0 else None
    except (ValueError, OverflowError, OSError):
        return None


def _now() -> float:
    return asyncio.get_running_loop().time()
