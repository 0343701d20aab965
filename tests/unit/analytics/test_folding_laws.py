"""Whatever happens between reading an event and having counted it: it counts once."""

import asyncio
from collections import defaultdict
from collections.abc import Coroutine
from itertools import cycle

from hypothesis import given
from hypothesis import strategies as st

from libs.common.events import AnyRecord, ConversationRecord
from services.analytics.domain.rollups import Arrival
from services.analytics.folding import Folder
from tests.unit.analytics import reference
from tests.unit.analytics.factories import APP, PATIENTLY
from tests.unit.analytics.memory import DeadError, Memory
from tests.unit.analytics.strategies import logs

PEOPLE = ("200", "201", "202", "203")
PARTITIONS = 2
Log = dict[int, list[Arrival]]


def on_the_log(events: list[AnyRecord]) -> Log:
    """Each conversation in a partition of its own choice; offsets have gaps."""
    log: defaultdict[int, list[Arrival]] = defaultdict(list)
    for number, event in enumerate(events):
        assert isinstance(event, ConversationRecord)
        partition = int(event.psid) % PARTITIONS
        log[partition].append(Arrival(partition, 3 * number, event.conversation_id, event))
    return dict(log)


def run(coroutine: Coroutine[None, None, None]) -> None:
    """Nothing in it waits for anything real."""
    asyncio.run(coroutine)


class Replica:
    """A consumer: reads from where was committed, and commits what is written."""

    def __init__(self, log: Log, memory: Memory, committed: dict[int, int]) -> None:
        self._log = log
        self._folder = Folder(memory, APP)
        self._committed = committed
        self._positions = dict(committed)
        self.memory = memory

    def rejoin(self) -> None:
        """Partitions were dealt out anew; the process, and what it has in memory, is the same."""
        self._positions = dict(self._committed)

    def crash(self) -> None:
        self._folder = Folder(self.memory, APP)
        self.rejoin()

    async def step(self, sizes: dict[int, int], lives: int | None) -> None:
        """A batch of several partitions; the database may die on the way."""
        batch, after = [], {}
        for partition, size in sizes.items():
            begin = self._positions.get(partition, 0)
            records = self._log.get(partition, [])[begin : begin + size]
            batch += records
            after[partition] = begin + len(records)
        if lives is not None:
            self.memory.lives = lives
        try:
            await self._folder.fold(batch)
        except DeadError:
            return
        finally:
            self.memory.lives = None
        self._positions.update(after)
        # a commit never goes back: whoever lost the partition is refused
        for partition, position in after.items():
            self._committed[partition] = max(position, self._committed.get(partition, 0))

    async def finish(self) -> None:
        while any(
            self._positions.get(partition, 0) < len(records)
            for partition, records in self._log.items()
        ):
            await self.step(dict.fromkeys(self._log, 7), None)


SIZES = st.dictionaries(st.integers(0, PARTITIONS - 1), st.integers(1, 6), min_size=1)
STEPS = st.lists(
    st.tuples(
        st.integers(0, 1),  # which replica
        SIZES,
        st.none() | st.integers(0, 8),  # single writes until the database dies
        st.sampled_from(["go on", "go on", "rejoin", "crash"]),
    ),
    max_size=25,
)


@PATIENTLY
@given(logs(PEOPLE, max_size=60), STEPS)
def test_crashes_rebalances_and_two_owners_at_once_count_everything_once(
    events: list[AnyRecord], steps: list[tuple[int, dict[int, int], int | None, str]]
) -> None:
    async def story() -> None:
        log, memory = on_the_log(events), Memory()
        committed: dict[int, int] = {}
        replicas = [Replica(log, memory, committed) for _ in range(2)]
        for who, sizes, lives, then in steps:
            await replicas[who].step(sizes, lives)
            if then == "rejoin":
                replicas[who].rejoin()
            if then == "crash":
                replicas[who].crash()
        for replica in replicas:
            replica.rejoin()
            await replica.finish()
        assert memory.totals() == reference.totals(events)

    run(story())


@PATIENTLY
@given(logs(PEOPLE, max_size=60), STEPS, st.lists(st.integers(0, 4), min_size=1, max_size=9))
def test_two_who_work_on_the_same_records_at_the_same_moment_count_them_once(
    events: list[AnyRecord],
    steps: list[tuple[int, dict[int, int], int | None, str]],
    pauses: list[int],
) -> None:
    async def story() -> None:
        log, memory = on_the_log(events), Memory(pauses=cycle(pauses))
        replicas = [Replica(log, memory, {}) for _ in range(2)]  # neither hears of the other
        for who, sizes, lives, then in steps:
            await asyncio.gather(
                replicas[who].step(sizes, lives),
                replicas[1 - who].step({1: 3, 0: 2}, None),
            )
            if then == "crash":
                replicas[who].crash()
        await asyncio.gather(*[replica.finish() for replica in replicas])
        assert memory.totals() == reference.totals(events)

    run(story())


@PATIENTLY
@given(logs(PEOPLE, max_size=60), SIZES)
def test_the_whole_topic_once_more_changes_no_number_and_writes_nothing(
    events: list[AnyRecord], sizes: dict[int, int]
) -> None:
    async def story() -> None:
        log, memory = on_the_log(events), Memory()
        await Replica(log, memory, {}).finish()
        counters, kept = dict(memory.counters), dict(memory.kept)
        memory.lives = 0  # a single write would end it
        replica = Replica(log, memory, {})
        for _ in range(len(events) + 1):
            await replica.step(sizes, 0)
        assert (memory.counters, memory.kept) == (counters, kept)

    run(story())


@PATIENTLY
@given(logs(PEOPLE, max_size=60), st.lists(st.integers(1, 9), min_size=1, max_size=30))
def test_how_the_log_is_cut_into_batches_makes_no_difference(
    events: list[AnyRecord], cuts: list[int]
) -> None:
    async def story() -> None:
        log = on_the_log(events)
        whole, pieces = Memory(), Memory()
        await Folder(whole, APP).fold([each for part in log.values() for each in part])
        replica = Replica(log, pieces, {})
        for cut in cuts:
            await replica.step(dict.fromkeys(log, cut), None)
        await replica.finish()
        assert pieces.totals() == whole.totals()
        assert pieces.kept == whole.kept

    run(story())


@PATIENTLY
@given(logs(PEOPLE, max_size=60))
def test_a_batch_costs_at_most_four_round_trips(events: list[AnyRecord]) -> None:
    async def story() -> None:
        memory = Memory()
        log = on_the_log(events)
        await Folder(memory, APP).fold([each for part in log.values() for each in part])
        assert memory.trips <= 4

    run(story())
