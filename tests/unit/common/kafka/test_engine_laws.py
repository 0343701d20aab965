"""The engine under random keys, durations, failures and rebalances, in virtual time.

A simulated log hands out records from the committed offsets on, as Kafka would; partitions are
taken away and given back at random moments. What must hold is checked at every step.
"""

import asyncio
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from hypothesis import event, given, settings
from hypothesis import strategies as st

from libs.common.errors import PermanentError, TransientError
from libs.common.kafka.batch import KeyBatch
from libs.common.kafka.engine import KeyedEngine, Limits
from libs.common.kafka.handling import BatchRunner, Patience
from libs.common.kafka.records import OVERHEAD_BYTES, ConsumedRecord
from tests.unit.common.kafka.records import TOPIC, record
from tests.virtual_time import run_virtually

PARTITIONS = 2
FETCH = 8
NOW_MS = 1_700_000_000_000
FRESH_S = 30.0
RECORD_BYTES = OVERHEAD_BYTES + 2 + len("type") + 1
Place = tuple[int, int]  # partition, offset


@dataclass(frozen=True)
class Behaviour:
    """What the handler does with one record. Times in seconds."""

    duration_s: float = 0.0
    transient: int = 0  # so many times first
    fails: str = ""  # then "" it is handled, "error" or "permanent" for ever
    wanted: bool = True
    is_old: bool = False
    lingers_s: float = 0.0  # looks for more records that long


@dataclass(frozen=True)
class Story:
    log: list[list[tuple[bytes, Behaviour]]]  # by partition
    rebalances: list[tuple[float, set[int]]]  # after so long these partitions go, and come back
    commit_every_s: float
    max_keys: int
    max_batch: int
    max_bytes: int


@dataclass
class World:
    """The log, the offsets committed to it, and everything that handlers did."""

    story: Story
    position: list[int] = field(default_factory=lambda: [0] * PARTITIONS)
    committed: list[int] = field(default_factory=lambda: [0] * PARTITIONS)
    finished: set[Place] = field(default_factory=set)
    dead: set[Place] = field(default_factory=set)
    handled: dict[tuple[int, bytes], list[int]] = field(default_factory=lambda: defaultdict(list))
    working: Counter[tuple[int, bytes]] = field(default_factory=Counter)
    attempts: Counter[Place] = field(default_factory=Counter)

    def behaviour(self, r: ConsumedRecord) -> Behaviour:
        return self.story.log[r.partition][r.offset][1]

    def fetch(self, partition: int) -> list[ConsumedRecord]:
        start = self.position[partition]
        entries = self.story.log[partition][start : start + FETCH]
        self.position[partition] += len(entries)
        return [
            record(
                start + index,
                key,
                partition=partition,
                kind=b"w" if behaviour.wanted else b"u",
                value=b"",
                timestamp_ms=0 if behaviour.is_old else NOW_MS,
            )
            for index, (key, behaviour) in enumerate(entries)
        ]

    async def handle(self, batch: KeyBatch) -> None:
        lane = (batch.records[0].partition, batch.key)
        self.working[lane] += 1
        assert self.working[lane] == 1, "two handlers at work on one key"
        try:
            if lingers_s := max(self.behaviour(r).lingers_s for r in batch.records):
                await batch.wait_for_more(lingers_s)
                batch.take_more()
            assert len(batch.records) <= self.story.max_batch
            await asyncio.sleep(sum(self.behaviour(r).duration_s for r in batch.records))
            self._judge(batch)
            for r in batch.records:
                self.finished.add((r.partition, r.offset))
                self.handled[lane].append(r.offset)
        finally:
            self.working[lane] -= 1

    def _judge(self, batch: KeyBatch) -> None:
        for r in batch.records:
            place, behaviour = (r.partition, r.offset), self.behaviour(r)
            self.attempts[place] += 1
            if self.attempts[place] <= behaviour.transient:
                raise TransientError("not now")
            if behaviour.fails == "permanent":
                raise PermanentError("never")
            if behaviour.fails == "error":
                raise ValueError("a bug")

    async def bury(self, r: ConsumedRecord, _error: BaseException, _attempts: int) -> None:
        assert self.behaviour(r).fails, "a good record among the dead letters"
        self.dead.add((r.partition, r.offset))
        self.handled[r.partition, r.key].append(r.offset)

    def commit(self, engine: KeyedEngine) -> None:
        offsets = engine.committable()
        for partition, offset in offsets.items():
            assert offset >= self.committed[partition], "an offset went back"
            for earlier in range(offset):
                _, behaviour = self.story.log[partition][earlier]
                place = (partition, earlier)
                assert not behaviour.wanted or place in self.finished | self.dead, (
                    "committed before it was finished"
                )
            self.committed[partition] = offset
        engine.mark_committed(offsets)

    @property
    def is_done(self) -> bool:
        return all(
            offset == len(log) for offset, log in zip(self.committed, self.story.log, strict=True)
        )


async def _tell(story: Story) -> World:
    world = World(story)
    engine = KeyedEngine(
        BatchRunner(
            world.handle,
            world.bury,
            Patience(max_attempts=2, brake_after=10_000, first_pause_s=0.01, longest_pause_s=0.5),
            topic=TOPIC,
            group="g",
        ),
        topic=TOPIC,
        group="g",
        wants=lambda headers: headers["type"] == b"w",
        key_of=lambda r: r.key,
        limits=Limits(
            story.max_keys, story.max_batch, story.max_bytes, max_span=20, fresh_s=FRESH_S
        ),
        wall_s=lambda: NOW_MS / 1000,
    )
    engine.assign(range(PARTITIONS))
    async with asyncio.timeout(1000):
        rebalancing = asyncio.create_task(_rebalance(world, engine))
        committing = asyncio.create_task(_commit(world, engine))
        while not (world.is_done and rebalancing.done()):
            assert engine.failure is None
            _poll(world, engine)
            for task in (rebalancing, committing):
                if task.done():
                    task.result()
            await asyncio.sleep(0.05)
        committing.cancel()
    await engine.drain(0, 0)
    engine.forget()
    assert engine.buffered_bytes == 0
    assert engine.keys_in_flight == 0
    return world


def _poll(world: World, engine: KeyedEngine) -> None:
    paused = engine.paused()
    for partition in sorted(engine.assigned):
        if partition not in paused:
            engine.add(partition, world.fetch(partition))
    # what is there beyond the limit came with one poll; then everything is paused
    assert engine.buffered_bytes <= world.story.max_bytes + PARTITIONS * FETCH * RECORD_BYTES
    assert engine.keys_in_flight <= world.story.max_keys


async def _commit(world: World, engine: KeyedEngine) -> None:
    while True:
        await engine.moved.wait()
        engine.moved.clear()
        world.commit(engine)
        await asyncio.sleep(world.story.commit_every_s)


async def _rebalance(world: World, engine: KeyedEngine) -> None:
    for after_s, partitions in world.story.rebalances:
        await asyncio.sleep(after_s)
        await engine.drain(0.3, 0.1, partitions)
        world.commit(engine)
        engine.forget(partitions)
        await asyncio.sleep(0.2)
        for partition in partitions:
            world.position[partition] = world.committed[partition]
        engine.assign(partitions)


DURATIONS = st.sampled_from([0.0, 0.0, 0.01, 0.1, 0.4, 2.0])
BEHAVIOURS = st.builds(
    Behaviour,
    duration_s=DURATIONS,
    transient=st.sampled_from([0, 0, 0, 0, 1, 3]),
    fails=st.sampled_from(["", "", "", "", "", "error", "permanent"]),
    wanted=st.sampled_from([True, True, True, False]),
    is_old=st.booleans(),
    lingers_s=st.sampled_from([0.0, 0.0, 0.3]),
)
LOG = st.lists(st.tuples(st.sampled_from([b"k1", b"k2", b"k3"]), BEHAVIOURS), max_size=25)
STORIES = st.builds(
    Story,
    log=st.lists(LOG, min_size=PARTITIONS, max_size=PARTITIONS),
    rebalances=st.lists(
        st.tuples(st.floats(0, 2), st.sets(st.integers(0, PARTITIONS - 1), min_size=1)), max_size=4
    ),
    commit_every_s=st.sampled_from([0.01, 0.1, 1.0]),
    max_keys=st.integers(1, 6),
    max_batch=st.integers(1, 5),
    max_bytes=st.sampled_from([3 * RECORD_BYTES, 10 * RECORD_BYTES, 1 << 20]),
)


@given(STORIES)
@settings(max_examples=150, deadline=None)
def test_nothing_is_lost_or_reordered_or_committed_early_and_memory_stays_bounded(
    story: Story,
) -> None:
    world = run_virtually(_tell(story))
    if story.rebalances:
        event("rebalanced")
    for partition, log in enumerate(story.log):
        for offset, (_, behaviour) in enumerate(log):
            place = (partition, offset)
            if not behaviour.wanted:
                assert place not in world.finished | world.dead
            elif behaviour.fails:
                assert place in world.dead
                assert place not in world.finished
            else:
                assert place in world.finished
                assert place not in world.dead
    for offsets in world.handled.values():
        first_times = list(dict.fromkeys(offsets))
        assert first_times == sorted(first_times), "order within a key"
        if not story.rebalances:
            assert offsets == first_times, "handled twice without a rebalance"
