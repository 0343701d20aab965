"""Who waits, who is at work, how much memory that takes, and what has to wait outside.

Pure bookkeeping: no tasks, no clock. Order within a key, one holder a key, turns for everybody.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from libs.common.kafka.records import ConsumedRecord

OLD_EVERY = 4
"""So many lanes are handed out for one old one, where both wait: fresh ones first, and yet nobody
for ever last."""


class Lane(NamedTuple):
    """Where order is kept: one key in one partition."""

    partition: int
    key: bytes


class KeyQueues:
    """Records by lane, first in first out; a lane has at most one holder.

    A lane's life: records are `put`; once nobody holds it, `next_lane` hands it out and it is held;
    the holder may `take` records as they come, `finish`es them, and `release`s the lane, which
    queues up again behind the others if records wait. `buffered_bytes` counts a record until it is
    finished, its lane released, or its partition dropped while it waited.

    A lane in which an old record waits, and nothing newer, is old. It is handed out only where that
    is asked for, and when no other lane waits, or as every `OLD_EVERY`th. `grow_old` has those join
    them that have waited here for too long.
    """

    def __init__(self) -> None:
        self._waiting: dict[Lane, deque[ConsumedRecord]] = {}
        # an ordered set; a plain dict would search for its first entry longer and longer
        self._runnable: OrderedDict[Lane, None] = OrderedDict()
        self._old: OrderedDict[Lane, None] = OrderedDict()  # runnable as well
        self._fresh: set[Lane] = set()  # of those where something waits
        self._since_old = 0
        self._held_bytes: dict[Lane, int] = {}
        self._buffered_bytes = 0

    def put(self, lane: Lane, record: ConsumedRecord, *, is_old: bool = False) -> bool:
        """Append a record; True if the lane is held, so that its holder may want to know."""
        self._buffered_bytes += record.size
        queue = self._waiting.get(lane)
        if queue is None:
            queue = self._waiting[lane] = deque()
        queue.append(record)
        if not is_old:
            self._fresh.add(lane)
        if lane in self._held_bytes:
            return True
        self._make_runnable(lane)
        return False

    def _make_runnable(self, lane: Lane) -> None:
        if lane in self._fresh:
            self._old.pop(lane, None)
            self._runnable.setdefault(lane)
        else:
            self._old.setdefault(lane)

    def grow_old(self, before_ms: int) -> None:
        """Lanes whose newest record was stamped before that are old, from the one on that has been
        runnable for longest."""
        while self._runnable:
            lane = next(iter(self._runnable))
            if self._waiting[lane][-1].timestamp_ms >= before_ms:
                return
            self._fresh.discard(lane)
            del self._runnable[lane]
            self._old.setdefault(lane)

    def next_lane(self, *, may_be_old: bool = True) -> Lane | None:
        """The lane that has been runnable for longest; from now on it is held."""
        is_olds_turn = not self._runnable or self._since_old >= OLD_EVERY - 1
        if self._old and may_be_old and is_olds_turn:
            self._since_old = 0
            lane, _ = self._old.popitem(last=False)
        elif self._runnable:
            self._since_old += 1
            lane, _ = self._runnable.popitem(last=False)
        else:
            return None
        self._held_bytes[lane] = 0
        return lane

    def take(self, lane: Lane, limit: int) -> list[ConsumedRecord]:
        """Up to `limit` of the records that wait in a held lane, in order."""
        queue = self._waiting.get(lane)
        if queue is None:
            return []
        if len(queue) <= limit:
            taken = list(queue)
            del self._waiting[lane]
            self._fresh.discard(lane)
        else:
            taken = [queue.popleft() for _ in range(limit)]
        self._held_bytes[lane] += sum(record.size for record in taken)
        return taken

    def finish(self, lane: Lane, records: Iterable[ConsumedRecord]) -> None:
        """The holder is done with these records."""
        size = sum(record.size for record in records)
        self._held_bytes[lane] -= size
        self._buffered_bytes -= size

    def release(self, lane: Lane) -> None:
        """The holder leaves; what it took and did not finish is forgotten here."""
        self._buffered_bytes -= self._held_bytes.pop(lane)
        if lane in self._waiting:
            self._make_runnable(lane)

    def drop(self, partition: int) -> None:
        """Forget what waits in a partition. Holders keep their lanes until they release them."""
        for lane in [lane for lane in self._waiting if lane.partition == partition]:
            self._buffered_bytes -= sum(record.size for record in self._waiting.pop(lane))
            self._runnable.pop(lane, None)
            self._old.pop(lane, None)
            self._fresh.discard(lane)

    def has_waiting(self, lane: Lane) -> bool:
        return lane in self._waiting

    @property
    def has_runnable(self) -> bool:
        return bool(self._runnable or self._old)

    @property
    def has_old(self) -> bool:
        """Whether an old lane is runnable."""
        return bool(self._old)

    def is_old(self, lane: Lane) -> bool:
        """Whether what waits in a lane is old; false where nothing waits."""
        return lane in self._waiting and lane not in self._fresh

    @property
    def buffered_bytes(self) -> int:
        return self._buffered_bytes


class Backpressure:
    """Which partitions must not be fetched from for now.

    Too many bytes stop all partitions, too long an uncommitted span stops its own. Both resume at a
    share of that, so that a partition is not stopped and started with every record.
    """

    def __init__(self, max_bytes: int, max_span: int, resume_share: float) -> None:
        self._max_bytes, self._bytes_to_resume = max_bytes, int(max_bytes * resume_share)
        self._max_span, self._span_to_resume = max_span, int(max_span * resume_share)
        self._too_many_bytes = False
        self._too_long: frozenset[int] = frozenset()

    def paused(self, buffered_bytes: int, spans: Mapping[int, int]) -> frozenset[int]:
        """The partitions to pause, of those in `spans` (partition: records not committable)."""
        limit = self._bytes_to_resume if self._too_many_bytes else self._max_bytes
        self._too_many_bytes = buffered_bytes > limit
        self._too_long = frozenset(
            partition for partition, span in spans.items() if span > self._limit(partition)
        )
        return frozenset(spans) if self._too_many_bytes else self._too_long

    def _limit(self, partition: int) -> int:
        return self._span_to_resume if partition in self._too_long else self._max_span
