"""The engine of every consumer: keys side by side, each in order, offsets only when it is safe.

No broker and no clock of its own: it takes records and a handler, runs tasks, and says what may be
committed and what must not be fetched for now. `consumer.py` connects it to Kafka.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import structlog
from prometheus_client import Counter

from libs.common.kafka.batch import KeyBatch
from libs.common.kafka.handling import BatchRunner, EndingError
from libs.common.kafka.offsets import OffsetTracker
from libs.common.kafka.pace import AT_ONCE, TOO_LATE_S, Pace, Places, at_once
from libs.common.kafka.queues import Backpressure, KeyQueues, Lane
from libs.common.kafka.records import ConsumedRecord

LOOK_EVERY_S = 0.01  # whether more may begin
HALF, SOON_SHARE = 0.5, 0.9
"""Of what may be in hand, to read on. Soon, where who writes now waits for it."""

RECORDS = Counter(
    "assistant_consumer_records_total",
    "Records taken from Kafka, by what became of them.",
    ["topic", "group", "outcome"],  # outcome: ok, skipped, dead_letter
)

Wants = Callable[[Mapping[str, bytes]], bool]
KeyOf = Callable[[ConsumedRecord], bytes]

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Limits:
    """What one consumer may have in its hands at once."""

    max_keys_in_flight: int = 2000
    max_batch: int = 500
    max_buffered_bytes: int = 64 * 1024 * 1024
    max_span: int = 20_000  # records of one partition begun and not yet committable
    fresh_s: float | None = None
    """What is older than this waits for what is not, and begins as fast as the loop can bear.
    None: everything in the order of the log."""

    max_old_in_flight: int | None = None
    """Of the keys, at most. None: as many as seems right, and three quarters of all, so that a
    place is free when somebody comes who is waiting for an answer."""

    @property
    def most_old(self) -> int:
        three_quarters = max(1, self.max_keys_in_flight - self.max_keys_in_flight // 4)
        return min(self.max_old_in_flight or three_quarters, three_quarters)


@dataclass(eq=False)
class _Partition:
    """One assignment of a partition. Assigned again it is another object, so that whoever still
    works for this one finishes into nothing."""

    number: int
    tracker: OffsetTracker = field(default_factory=OffsetTracker)
    is_open: bool = True
    committed: int | None = None


class KeyedEngine:
    """Runs a handler over records: one task an active key, never two at work on the same key.

    A partition is assigned, gets records, is drained and forgotten; all but `drain` are immediate.
    When something inside fails for good, `failed` is set, `failure` says why, and nothing new
    begins.
    """

    def __init__(
        self,
        runner: BatchRunner,
        *,
        topic: str,
        group: str,
        wants: Wants,
        key_of: KeyOf,
        limits: Limits,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        """`wall_s`: the clock that records are stamped by, in seconds since 1970."""
        self._runner = runner
        self._wants = wants
        self._key_of = key_of
        self._limits = limits
        self._queues = KeyQueues()
        resume_share = HALF if limits.fresh_s is None else SOON_SHARE
        self._backpressure = Backpressure(limits.max_buffered_bytes, limits.max_span, resume_share)
        self._partitions: dict[int, _Partition] = {}
        self._workers: dict[Lane, _Worker] = {}
        self._wall_s = wall_s
        self._old_in_flight = 0
        self._may_begin_old = 0
        self._places = Places(limits.most_old)
        self._is_held = False  # more waits than may begin at once
        self._begun_now = 0  # in this pass of the loop
        self._ended = 0  # workers since the last look at the pace
        self._pacing: asyncio.Task[None] | None = None
        self._counted = {
            outcome: RECORDS.labels(topic, group, outcome)
            for outcome in ("ok", "skipped", "dead_letter")
        }
        self.moved = asyncio.Event()
        """Set when more may be committed; whoever commits clears it."""
        self.failed = asyncio.Event()
        self.failure: BaseException | None = None

    def assign(self, partitions: Iterable[int]) -> None:
        """Begin with these partitions anew."""
        for number in partitions:
            if number in self._partitions:
                self.forget([number])
            self._partitions[number] = _Partition(number)

    def add(self, partition: int, records: Sequence[ConsumedRecord]) -> None:
        """Take records of an assigned partition, in the order of the log.

        Those of a partition that is being drained are ignored: they will come again.

        Raises:
            KeyError: the partition is not assigned.
        """
        assigned = self._partitions[partition]
        if not assigned.is_open or not records:
            return
        last = assigned.tracker.last
        if last is not None and records[0].offset <= last:
            # the log was cut or made anew, and the client began again from what there is
            log.error("offsets_went_back", partition=partition, last=last, now=records[0].offset)
            self.assign([partition])
            assigned = self._partitions[partition]
        old_ms = self._old_ms()
        skipped = sum(not self._accept(assigned, record, old_ms) for record in records)
        if skipped:
            self._counted["skipped"].inc(skipped)
        self._start_workers()

    def _accept(self, partition: _Partition, record: ConsumedRecord, old_ms: int) -> bool:
        """False: nobody wants it, so it is finished already. What was stamped before `old_ms` is
        old."""
        partition.tracker.start(record.offset)
        if not self._wants(record.headers):
            self._finish_offset(partition, record.offset)
            return False
        lane = Lane(partition.number, self._key_of(record))
        if self._queues.put(lane, record, is_old=record.timestamp_ms < old_ms):
            self._workers[lane].arrived.set()
        return True

    def _old_ms(self) -> int:
        """What was stamped before that is old."""
        fresh_s = self._limits.fresh_s
        return 0 if fresh_s is None else int((self._wall_s() - fresh_s) * 1000)

    def _start_workers(self) -> None:
        """Begin what may begin; where that is more than the loop should be given at once, the rest
        follows pass by pass."""
        if not self._is_held:
            self._begin(AT_ONCE)
        if self._pacing is None and self._is_waited_for():
            self._pacing = asyncio.create_task(self._keep_beginning(), name="pace")
            self._pacing.add_done_callback(self._paced)

    def _is_waited_for(self) -> bool:
        """Old work keeps its share also where each place that is left goes to fresh work."""
        return self._could_begin() or (self.failure is None and self._queues.has_old)

    def _could_begin(self) -> bool:
        has_room = len(self._workers) < self._limits.max_keys_in_flight
        return self.failure is None and has_room and self._queues.has_runnable

    def _begin(self, most: int) -> None:
        """Begin so many at most, with those that have begun in this pass of the loop."""
        most, begun = max(0, most - self._begun_now), 0
        if self._limits.fresh_s is not None:
            self._queues.grow_old(self._old_ms())
        while begun < most and self._could_begin():
            lane = self._queues.next_lane(may_be_old=self._may_begin_old_now())
            if lane is None:
                break
            worker = _Worker(self, lane, self._partitions[lane.partition])
            if worker.is_old:
                self._old_in_flight += 1
                self._may_begin_old -= 1
            self._workers[lane] = worker
            worker.task = asyncio.create_task(self._work(worker), name="key")
            worker.task.add_done_callback(partial(self._worker_done, worker))
            begun += 1
        if begun and not self._begun_now:
            asyncio.get_running_loop().call_soon(self._next_pass)
        self._begun_now += begun
        self._is_held = begun == most and self._could_begin()

    def _next_pass(self) -> None:
        self._begun_now = 0

    def _may_begin_old_now(self) -> bool:
        return self._may_begin_old > 0 and self._old_in_flight < self._places.get()

    async def _keep_beginning(self) -> None:
        """Pass by pass, as much as the loop can bear, until nothing waits, or there is no room and
        nothing old waits."""
        pace = Pace()
        if not self._old_in_flight:
            self._places.begin_anew()
        pause_s = 0.0
        self._ended = 0
        while self._is_waited_for():
            began_at = _now()
            await asyncio.sleep(pause_s)
            passed_s = _now() - began_at
            late_s = passed_s - pause_s
            kept = min(self._may_begin_old, 1)
            self._may_begin_old = max(kept, pace.grant(passed_s, late_s))
            ended, self._ended = self._ended, 0
            self._begin(at_once(late_s, ended))
            pause_s = 0.0 if self._is_held and late_s <= TOO_LATE_S else LOOK_EVERY_S

    def _paced(self, task: "asyncio.Task[None]") -> None:
        self._pacing = None
        self._may_begin_old = 0
        self._is_held = False
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)
        self._start_workers()  # something may have come since it looked

    async def _work(self, worker: "_Worker") -> None:
        """Handle one lane until nothing waits in it, or another lane has waited for its turn."""
        with suppress(EndingError):  # what is not finished will come again
            while records := worker.take(self._limits.max_batch):
                worker.begin()
                batch = KeyBatch(worker.lane.key, records, worker, self._limits.max_batch)
                await self._runner.run(batch, worker)
                if worker.away_s is not None and not worker.was_hindered:
                    is_full = self._old_in_flight >= self._places.get() // 2
                    self._places.note(worker.since, _now(), worker.away_s, is_full=is_full)
                if self._queues.has_runnable:
                    break

    def _worker_done(self, worker: "_Worker", task: "asyncio.Task[None]") -> None:
        """Also of one that was cancelled before its first step, so nothing of this can be its."""
        self._queues.release(worker.lane)
        self._old_in_flight -= worker.is_old
        del self._workers[worker.lane]
        self._ended += 1
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)
        self._start_workers()

    def _fail(self, error: BaseException) -> None:
        if self.failure is None:
            self.failure = error
            self.failed.set()

    def finish(self, worker: "_Worker", records: Sequence[ConsumedRecord], outcome: str) -> None:
        """A worker is done with records; if its assignment is over, that moves no offset."""
        self._queues.finish(worker.lane, records)
        for record in records:
            self._finish_offset(worker.partition, record.offset)
        self._counted[outcome].inc(len(records))

    def _finish_offset(self, partition: _Partition, offset: int) -> None:
        if partition.tracker.finish(offset):
            self.moved.set()

    def queued(self, lane: Lane) -> bool:
        return self._queues.has_waiting(lane)

    def is_old(self, lane: Lane) -> bool:
        return self._queues.is_old(lane)

    def take(self, lane: Lane, limit: int) -> list[ConsumedRecord]:
        return self._queues.take(lane, limit)

    async def drain(
        self, timeout_s: float, grace_s: float, partitions: Iterable[int] | None = None
    ) -> None:
        """Begin nothing new in these partitions (default: all); let what has begun end.

        Args:
            timeout_s: how long handlers may go on before they are cancelled.
            grace_s: how long cancelled handlers may take; whoever takes longer is left alone, and
                its key stays blocked until it ends.
        """
        numbers = set(self._partitions if partitions is None else partitions)
        self._close(numbers)
        tasks = self._tasks(numbers)
        if tasks:
            _, tasks = await asyncio.wait(tasks, timeout=timeout_s)
        for task in tasks:
            task.cancel()
        if tasks:
            _, tasks = await asyncio.wait(tasks, timeout=grace_s)
        if tasks:
            log.error("handlers_do_not_end", number=len(tasks))

    def forget(self, partitions: Iterable[int] | None = None) -> None:
        """End these assignments (default: all). Handlers still at work are cancelled."""
        numbers = set(self._partitions if partitions is None else partitions)
        self._close(numbers)
        for number in numbers:
            self._partitions.pop(number, None)
        for task in self._tasks(numbers):
            task.cancel()
        if self._pacing is not None and not self._partitions:
            self._pacing.cancel()

    def _close(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            if number in self._partitions:
                self._partitions[number].is_open = False
            self._queues.drop(number)
        for worker in self._workers.values():
            worker.end_pause_if_closed()

    def _tasks(self, numbers: Iterable[int]) -> "set[asyncio.Task[None]]":
        wanted = set(numbers)
        return {
            worker.task
            for lane, worker in self._workers.items()
            if lane.partition in wanted and worker.task is not None
        }

    def committable(self) -> dict[int, int]:
        """What to commit: for each partition that moved, the offset to go on from."""
        return {
            number: offset
            for number, partition in self._partitions.items()
            if (offset := partition.tracker.committable) is not None
            and offset != partition.committed
        }

    def mark_committed(self, offsets: Mapping[int, int]) -> None:
        for number, offset in offsets.items():
            if number in self._partitions:
                self._partitions[number].committed = offset

    def paused(self) -> frozenset[int]:
        """The partitions that must not be fetched from for now."""
        spans = {
            number: partition.tracker.span
            for number, partition in self._partitions.items()
            if partition.is_open
        }
        return self._backpressure.paused(self._queues.buffered_bytes, spans)

    def finished_up_to(self) -> dict[int, int | None]:
        """For each partition the offset before which everything is finished; None: unknown yet."""
        return {
            number: partition.tracker.committable for number, partition in self._partitions.items()
        }

    @property
    def assigned(self) -> frozenset[int]:
        return frozenset(self._partitions)

    @property
    def keys_in_flight(self) -> int:
        return len(self._workers)

    @property
    def buffered_bytes(self) -> int:
        return self._queues.buffered_bytes

    def oldest_age_s(self) -> float:
        """How long the handler that has been at its batch for longest has been at it."""
        if not self._workers:
            return 0.0
        return max(0.0, _now() - min(worker.since for worker in self._workers.values()))


class _Worker:
    """One task at work on one lane, for one assignment of its partition."""

    def __init__(self, engine: KeyedEngine, lane: Lane, partition: _Partition) -> None:
        self.lane = lane
        self.partition = partition
        self.task: asyncio.Task[None] | None = None
        self.begin()
        self.is_old = engine.is_old(lane)
        self.arrived = asyncio.Event()
        self._engine = engine
        self._pause: asyncio.Future[None] | None = None

    def begin(self) -> None:
        self.since = _now()
        self.away_s: float | None = None  # since then, where anybody says so
        self.was_hindered = False  # had to try again: how long that took says nothing

    def has_more(self) -> bool:
        """Records that came for a later assignment are not this worker's."""
        return self.partition.is_open and self._engine.queued(self.lane)

    def take(self, limit: int) -> list[ConsumedRecord]:
        return self._engine.take(self.lane, limit) if self.partition.is_open else []

    async def wait_for_more(self, timeout_s: float) -> bool:
        if timeout_s <= 0:
            await asyncio.sleep(0)  # what arrives at this very moment counts; no timer for that
            return self.has_more()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not self.has_more():
                    self.arrived.clear()
                    await self.arrived.wait()
        return self.has_more()

    def note_away(self, seconds: float) -> None:
        self.away_s = (self.away_s or 0.0) + seconds

    def finish(self, records: Sequence[ConsumedRecord], outcome: str) -> None:
        self._engine.finish(self, records, outcome)

    def check(self) -> None:
        self.was_hindered = True
        if not self.partition.is_open or self._engine.failure is not None:
            raise EndingError

    async def pause(self, seconds: float) -> None:
        self.check()
        self._pause = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                await self._pause
        except TimeoutError:
            pass
        finally:
            self._pause = None
        self.check()

    def end_pause_if_closed(self) -> None:
        """Nobody is in the middle of anything during a pause between attempts."""
        if not self.partition.is_open and self._pause is not None and not self._pause.done():
            self._pause.set_result(None)


def _now() -> float:
    return asyncio.get_running_loop().time()
