"""Events in, figures out: what waits in all partitions shares one flush."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from prometheus_client import Counter, Histogram

from libs.common.errors import TransientError
from libs.common.events import ConversationRecord, UndecodableRecordError, decode
from libs.common.kafka import ConsumedRecord, KeyBatch
from services.analytics.domain.fold import COUNTED
from services.analytics.domain.rollups import Arrival

LOOK_EVERY_S = 0.05

FLUSHES = Counter("assistant_analytics_flushes_total", "Batches written to the figures.")
FLUSH_SECONDS = Histogram(
    "assistant_analytics_flush_seconds",
    "From the states that are read to the last one written.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


class Figures(Protocol):
    """What the consumer needs of `Folder`."""

    async def fold(self, arrivals: Iterable[Arrival]) -> None: ...


class FlushAbandonedError(TransientError):
    """Whoever was to write the batch has been stopped; the same again."""

    code = "flush_abandoned"


def wants(headers: Mapping[str, bytes]) -> bool:
    """Of the events topic, what changes a figure."""
    return headers.get("type") in COUNTED and headers.get("version", b"").startswith(b"1.")


def whole_partition(_record: ConsumedRecord) -> bytes:
    """A partition's records are taken together, in their order."""
    return b""


class _Member:
    """One partition's batch on its way into the database."""

    def __init__(self, batch: KeyBatch) -> None:
        self.arrivals: list[Arrival] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._batch = batch
        self._seen = 0

    def gather(self) -> int:
        """Let what waits join; how many records there are. Raises: UndecodableRecordError."""
        self._batch.take_more()
        news = self._batch.records[self._seen :]
        self._seen += len(news)
        self.arrivals += arrivals_of(news)
        return self._seen

    def end(self, error: BaseException | None = None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)
            self.done.exception()  # there may be nobody left who waits


class _Flush:
    """Batches that go together; the handler of the first one sees to it."""

    def __init__(self, closes_at: float) -> None:
        self.closes_at = closes_at
        self.members: list[_Member] = []

    def gather(self) -> int:
        """How many records there are. A batch that can't be read costs the others nothing."""
        total = 0
        for member in list(self.members):
            try:
                total += member.gather()
            except UndecodableRecordError as error:
                member.end(error)
                self.members.remove(member)
        return total


class EventCounter:
    """Gathers for a second, or until there are enough events, and has them folded.

    One flush at a time; what comes while one is under way makes up the next.
    """

    def __init__(self, figures: Figures, *, flush_events: int, flush_s: float) -> None:
        self._figures = figures
        self._flush_events = flush_events
        self._flush_s = flush_s
        self._next: _Flush | None = None
        self._writing = asyncio.Lock()

    async def handle(self, batch: KeyBatch) -> None:
        """Return when the batch is in the database.

        Raises:
            UndecodableRecordError: one of its records is not what its headers promise.
            TransientError: it may be there in part; the same again.
        """
        member = _Member(batch)
        if batch.is_alone:
            member.gather()
            async with self._writing:
                await self._write([member])
            return
        if self._next is not None:
            self._next.members.append(member)
        else:
            flush = self._next = _Flush(_now() + self._flush_s)
            flush.members.append(member)
            await self._lead(flush)
        await asyncio.shield(member.done)

    async def _lead(self, flush: _Flush) -> None:
        """The end of each member, whatever it is, is for that member's handler to raise."""
        error: Exception = FlushAbandonedError("stopped")
        try:
            await self._gather(flush)
            async with self._writing:
                self._next = None
                flush.gather()
                await self._write(flush.members)
            for member in flush.members:
                member.end()
        except Exception as failed:
            error = failed
        finally:
            if self._next is flush:
                self._next = None
            for member in flush.members:
                member.end(error)

    async def _gather(self, flush: _Flush) -> None:
        """Until there is enough, or it is time."""
        while flush.gather() < self._flush_events:
            if _now() >= flush.closes_at:
                return
            await asyncio.sleep(LOOK_EVERY_S)

    async def _write(self, members: Sequence[_Member]) -> None:
        with FLUSH_SECONDS.time():
            await self._figures.fold([each for member in members for each in member.arrivals])
        FLUSHES.inc()


def arrivals_of(records: Iterable[ConsumedRecord]) -> list[Arrival]:
    """Raises: UndecodableRecordError."""
    arrivals = []
    for record in records:
        event = decode(record.value)
        if isinstance(event, ConversationRecord):
            arrivals.append(Arrival(record.partition, record.offset, event.conversation_id, event))
    return arrivals


def _now() -> float:
    return asyncio.get_running_loop().time()
