"""Order within a lane, one holder a lane, and memory that is counted to the byte."""

from collections import defaultdict

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from libs.common.kafka.queues import Backpressure, KeyQueues, Lane
from libs.common.kafka.records import ConsumedRecord
from tests.unit.common.kafka.records import record

KEYS = st.sampled_from([b"a", b"b", b"c"])


class QueueMachine(RuleBasedStateMachine):
    """Against a model of plain lists."""

    def __init__(self) -> None:
        super().__init__()
        self.queues = KeyQueues()
        self.offset = 0
        self.waiting: dict[Lane, list[ConsumedRecord]] = defaultdict(list)
        self.held: dict[Lane, list[ConsumedRecord]] = {}

    @rule(key=KEYS, partition=st.integers(0, 1), size=st.integers(0, 50))
    def put(self, key: bytes, partition: int, size: int) -> None:
        lane = Lane(partition, key)
        new = record(self.offset, key, partition=partition, value=b"x" * size)
        self.offset += 1
        assert self.queues.put(lane, new) == (lane in self.held)
        self.waiting[lane].append(new)

    @rule()
    def next_lane(self) -> None:
        lane = self.queues.next_lane()
        runnable = {lane for lane, records in self.waiting.items() if records} - set(self.held)
        if lane is None:
            assert not runnable
        else:
            assert lane in runnable
            self.held[lane] = []

    @precondition(lambda self: self.held)
    @rule(data=st.data(), limit=st.integers(1, 3))
    def take(self, data: st.DataObject, limit: int) -> None:
        lane = data.draw(st.sampled_from(sorted(self.held)))
        taken = self.queues.take(lane, limit)
        assert taken == self.waiting[lane][:limit]
        del self.waiting[lane][: len(taken)]
        self.held[lane].extend(taken)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        lane = data.draw(st.sampled_from(sorted(self.held)))
        if self.held[lane]:
            self.queues.finish(lane, [self.held[lane].pop(0)])

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        lane = data.draw(st.sampled_from(sorted(self.held)))
        self.queues.release(lane)
        del self.held[lane]

    @rule(partition=st.integers(0, 1))
    def drop(self, partition: int) -> None:
        self.queues.drop(partition)
        for lane in [lane for lane in self.waiting if lane.partition == partition]:
            del self.waiting[lane]

    @invariant()
    def memory_is_what_waits_and_what_is_held(self) -> None:
        everything = [*self.waiting.values(), *self.held.values()]
        assert self.queues.buffered_bytes == sum(r.size for group in everything for r in group)


TestQueues = QueueMachine.TestCase
TestQueues.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_lanes_take_turns() -> None:
    queues = KeyQueues()
    busy, quiet = Lane(0, b"busy"), Lane(0, b"quiet")
    for offset in range(10):
        queues.put(busy, record(offset, b"busy"))
    assert queues.next_lane() == busy
    queues.put(quiet, record(10, b"quiet"))
    queues.take(busy, 2)
    queues.release(busy)
    assert queues.next_lane() == quiet


def test_too_many_bytes_pause_everything_until_half_is_gone() -> None:
    pressure = Backpressure(max_bytes=100, max_span=10)
    spans = {0: 1, 1: 1}
    assert pressure.paused(100, spans) == frozenset()
    assert pressure.paused(101, spans) == {0, 1}
    assert pressure.paused(51, spans) == {0, 1}
    assert pressure.paused(50, spans) == frozenset()


def test_too_long_a_span_pauses_its_own_partition_until_half_is_done() -> None:
    pressure = Backpressure(max_bytes=100, max_span=10)
    assert pressure.paused(0, {0: 11, 1: 10}) == {0}
    assert pressure.paused(0, {0: 6, 1: 10}) == {0}
    assert pressure.paused(0, {0: 5, 1: 10}) == frozenset()
