"""Order within a lane, one holder a lane, and memory that is counted to the byte."""

from collections import defaultdict

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from libs.common.kafka.queues import OLD_EVERY, Backpressure, KeyQueues, Lane
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
        self.fresh: set[Lane] = set()
        self.passed_over = 0  # lanes that were handed out since an old one was, or none waited

    @rule(key=KEYS, partition=st.integers(0, 1), size=st.integers(0, 50), is_old=st.booleans())
    def put(self, key: bytes, partition: int, size: int, is_old: bool) -> None:
        lane = Lane(partition, key)
        new = record(self.offset, key, partition=partition, value=b"x" * size)
        self.offset += 1
        assert self.queues.put(lane, new, is_old=is_old) == (lane in self.held)
        self.waiting[lane].append(new)
        if not is_old:
            self.fresh.add(lane)

    @rule(may_be_old=st.booleans())
    def next_lane(self, may_be_old: bool) -> None:
        runnable = {lane for lane, records in self.waiting.items() if records} - set(self.held)
        old = runnable - self.fresh
        assert self.queues.has_old == bool(old)
        lane = self.queues.next_lane(may_be_old=may_be_old)
        if lane is None:
            assert not (runnable if may_be_old else runnable - old)
            return
        assert lane in runnable
        assert may_be_old or lane not in old
        self.passed_over = 0 if lane in old or not old or not may_be_old else self.passed_over + 1
        assert self.passed_over < OLD_EVERY, "old ones are forgotten"
        self.held[lane] = []

    @precondition(lambda self: self.held)
    @rule(data=st.data(), limit=st.integers(1, 3))
    def take(self, data: st.DataObject, limit: int) -> None:
        lane = data.draw(st.sampled_from(sorted(self.held)))
        taken = self.queues.take(lane, limit)
        assert taken == self.waiting[lane][:limit]
        del self.waiting[lane][: len(taken)]
        self._forget_fresh()
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
        self._forget_fresh()

    def _forget_fresh(self) -> None:
        self.fresh = {lane for lane in self.fresh if self.waiting.get(lane)}

    @invariant()
    def a_lane_is_old_where_nothing_fresh_waits(self) -> None:
        for lane, records in self.waiting.items():
            assert self.queues.is_old(lane) == (bool(records) and lane not in self.fresh)

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


def test_a_fresh_lane_goes_before_old_ones_but_for_every_fourth() -> None:
    queues = KeyQueues()
    for number in range(3):
        queues.put(Lane(0, b"old%d" % number), record(number, b"o"), is_old=True)
    for number in range(6):
        queues.put(Lane(0, b"new%d" % number), record(3 + number, b"n"))
    order = [lane.key[:3] for _ in range(9) if (lane := queues.next_lane()) is not None]
    assert order == [b"new", b"new", b"new", b"old", b"new", b"new", b"new", b"old", b"old"]


def test_who_writes_again_is_served_with_those_who_write_now() -> None:
    queues = KeyQueues()
    for number, key in enumerate((b"a", b"b")):
        queues.put(Lane(0, key), record(number, key), is_old=True)
    queues.put(Lane(0, b"b"), record(2, b"b"))
    assert queues.next_lane(may_be_old=False) == Lane(0, b"b")
    assert [each.offset for each in queues.take(Lane(0, b"b"), 9)] == [1, 2]
    assert queues.next_lane(may_be_old=False) is None


def test_too_many_bytes_pause_everything_until_half_is_gone() -> None:
    pressure = Backpressure(max_bytes=100, max_span=10, resume_share=0.5)
    spans = {0: 1, 1: 1}
    assert pressure.paused(100, spans) == frozenset()
    assert pressure.paused(101, spans) == {0, 1}
    assert pressure.paused(51, spans) == {0, 1}
    assert pressure.paused(50, spans) == frozenset()


def test_where_told_so_they_go_on_as_soon_as_there_is_a_little_room() -> None:
    pressure = Backpressure(max_bytes=100, max_span=10, resume_share=0.9)
    assert pressure.paused(101, {0: 11}) == {0}
    assert pressure.paused(91, {0: 10}) == {0}
    assert pressure.paused(90, {0: 10}) == {0}  # by its span
    assert pressure.paused(90, {0: 9}) == frozenset()


def test_too_long_a_span_pauses_its_own_partition_until_half_is_done() -> None:
    pressure = Backpressure(max_bytes=100, max_span=10, resume_share=0.5)
    assert pressure.paused(0, {0: 11, 1: 10}) == {0}
    assert pressure.paused(0, {0: 6, 1: 10}) == {0}
    assert pressure.paused(0, {0: 5, 1: 10}) == frozenset()
