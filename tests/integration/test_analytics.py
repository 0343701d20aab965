"""The figures on the real database and log: replicas, a rebalance, a rewind, crashes."""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from libs.common.events import AnyRecord, encode, headers_of, key_of
from libs.common.kafka import KafkaPublisher, KeyedConsumer, Message, Times, open_publisher
from libs.common.mongo import ROUND_TRIPS, Database
from libs.common.settings import KafkaSettings
from services.analytics.consumer import EventCounter, wants, whole_partition
from services.analytics.domain.fold import EVER
from services.analytics.domain.rollups import Arrival, RollupWrite, Stored
from services.analytics.domain.slots import SLOTS_A_DAY, first_slot
from services.analytics.folding import Folder
from services.analytics.store import AnalyticsStore
from services.analytics.worker import group_of
from tests.integration.conftest import PARTITIONS
from tests.unit.analytics import factories as make
from tests.unit.analytics import reference
from tests.unit.analytics.factories import APP
from tests.unit.analytics.reference import Totals

W = TypeVar("W")
WITHIN_S = 60.0
PEOPLE = [str(number) for number in range(200, 230)]


def story(rounds: int = 4) -> list[AnyRecord]:
    """What thirty people and the Page say in a few hours, with copies, failures and takeovers."""
    events: list[AnyRecord] = []
    for number in range(rounds):
        for index, psid in enumerate(PEOPLE):
            begin = number * 2700 + index * 31
            name = f"{psid}-{number}"
            one: list[AnyRecord] = [
                make.message(f"m-{name}", begin, psid),
                make.sent(f"a-{name}", begin + 4, psid),
                make.echo(f"a-{name}", begin + 3, psid),
                make.delivered(begin + 5, f"m.a-{name}", psid=psid),
            ]
            if index % 2:
                one.append(make.read(begin + 60, psid=psid))
            if index % 7 == 0:
                failed = make.failed(f"f-{name}", begin + 70)
                one.append(failed.model_copy(update={"psid": psid}))
            if index % 5 == 0:
                one += [
                    make.started(2 * number + 1, begin + 80, psid=psid),
                    make.sent(f"h-{name}", begin + 90, psid, origin="human"),
                ]
            if index % 10 == 0:
                one.append(make.ended(2 * number + 2, begin + 99, psid=psid))
            events += one if index % 3 else [one[2], *one, *one[:2]]
    return events


async def totals(database: Database, rollups: str = "rollups") -> Totals:
    """As the reference counts."""
    found: defaultdict[tuple[int, str], int] = defaultdict(int)
    async for document in database[rollups].find({}):
        if document["day"] == "total":
            for name in ("conversations", "in_takeover"):
                found[EVER, name] += document.get(name, 0)
            continue
        year, month, day = map(int, document["day"].split("-"))
        first = first_slot(make.NOON.date().replace(year, month, day))
        for slot, counters in document["slots"].items():
            assert int(slot) < SLOTS_A_DAY
            for name, number in counters.items():
                parts = number.items() if isinstance(number, dict) else [("", number)]
                for part, count in parts:
                    found[first + int(slot), f"{name}.{part}" if part else name] += count
    return {key: number for key, number in found.items() if number}


def in_partitions(events: Sequence[AnyRecord]) -> list[Arrival]:
    """Each person in one partition, in the order of the list."""
    return [
        Arrival(int(psid) % 2, number, f"{make.PAGE}:{psid}", event)
        for number, event in enumerate(events)
        if (psid := getattr(event, "psid", ""))
    ]


class KilledError(Exception):
    """The process ends here."""


class Mortal(AnalyticsStore):
    """Dies before, within or after a write."""

    def __init__(self, database: Database, chance: random.Random) -> None:
        super().__init__(database)
        self._chance = chance

    async def write_rollups(self, writes: Sequence[RollupWrite]) -> set[str]:
        some = self._some(writes)
        refused = await super().write_rollups(some) if some else set()
        self._die(is_half_done=len(some) < len(writes))
        return refused

    async def write_states(self, states: Mapping[str, Stored]) -> None:
        some = self._some(list(states))
        await super().write_states({name: states[name] for name in some})
        self._die(is_half_done=len(some) < len(states))

    def _some(self, writes: Sequence[W]) -> list[W]:
        """All of them, or those of a bulk write that got through."""
        if self._chance.random() < 0.6:
            return list(writes)
        return [write for write in writes if self._chance.random() < 0.5]

    def _die(self, *, is_half_done: bool) -> None:
        if is_half_done or self._chance.random() < 0.2:
            raise KilledError


@pytest.mark.parametrize("seed", range(4))
async def test_killed_between_and_within_writes_it_counts_everything_once(
    database: Database, seed: int
) -> None:
    chance, events = random.Random(seed), story()
    log, position, deaths = in_partitions(events), 0, 0
    while position < len(log):
        size = chance.randint(1, 200)
        folder = Folder(Mortal(database, chance), APP)  # a new process remembers nothing
        try:
            await folder.fold(log[position : position + size])
            position += size
        except KilledError:
            deaths += 1
            position = max(0, position - chance.randint(0, 50))  # what was not committed
    assert deaths > 3
    assert await totals(database) == reference.totals(events)


async def test_two_who_write_at_the_same_moment_are_both_counted_once(database: Database) -> None:
    events = story()
    log = in_partitions(events)
    await asyncio.gather(
        *[
            Folder(AnalyticsStore(database), APP).fold(
                [each for each in log if each.partition in p]
            )
            for p in ({0}, {1}, {0, 1}, {1})
        ]
    )
    assert await totals(database) == reference.totals(events)


async def test_a_batch_costs_three_round_trips(database: Database) -> None:
    log = in_partitions(story())[:500]
    folder = Folder(AnalyticsStore(database), APP)
    await folder.fold(log[:10])
    before = round_trips()
    await folder.fold(log[10:])
    assert (round_trips() - before) / len(log) <= 0.02
    again = Folder(AnalyticsStore(database), APP)
    before = round_trips()
    await again.fold(log)
    assert round_trips() - before == 1  # it sees that there is nothing new


def round_trips() -> float:
    return sum(
        sample.value
        for metric in ROUND_TRIPS.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    )


@asynccontextmanager
async def replica(
    kafka: KafkaSettings,
    database: Database,
    topic: str,
    publisher: KafkaPublisher,
    generation: int = 0,
) -> AsyncIterator[KeyedConsumer]:
    counter = EventCounter(
        Folder(AnalyticsStore(database, generation), APP), flush_events=100, flush_s=0.2
    )
    consumer = KeyedConsumer(
        kafka,
        topic=topic,
        group=group_of(generation) if generation else topic,
        handler=counter.handle,
        publisher=publisher,
        service="analytics",
        wants=wants,
        key_of=whole_partition,
        times=Times(drain_s=2.0, look_every_s=0.5),
    )
    task = asyncio.create_task(consumer.run())
    try:
        yield consumer
    finally:
        await consumer.stop(5)
        with suppress(asyncio.CancelledError):
            await task


async def until_committed(kafka: KafkaSettings, topic: str, group: str = "") -> None:
    """Everything on the topic is counted."""
    async with asyncio.timeout(WITHIN_S):
        while await committed(kafka, topic, group or topic) != await ends(kafka, topic):
            await asyncio.sleep(0.1)


async def committed(kafka: KafkaSettings, topic: str, group: str) -> list[int]:
    async with client(kafka, group) as opened:
        return [
            await opened.committed(TopicPartition(topic, number)) or 0
            for number in range(PARTITIONS)
        ]


async def ends(kafka: KafkaSettings, topic: str) -> list[int]:
    partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    async with client(kafka, topic) as opened:
        found = await opened.end_offsets(partitions)
    return [found[each] for each in partitions]


@asynccontextmanager
async def client(kafka: KafkaSettings, group: str) -> AsyncIterator[AIOKafkaConsumer]:
    opened = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, group_id=group)
    await opened.start()
    try:
        yield opened
    finally:
        await opened.stop()


async def publish(publisher: KafkaPublisher, topic: str, events: Sequence[AnyRecord]) -> None:
    await publisher.publish_messages(
        [
            Message(topic=topic, key=key_of(each), value=encode(each), headers=headers_of(each))
            for each in events
        ]
    )


async def rewind(kafka: KafkaSettings, topic: str) -> None:
    partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    async with client(kafka, topic) as opened:
        opened.assign(partitions)
        await opened.commit(dict.fromkeys(partitions, 0))


async def test_replicas_that_come_and_go_and_a_rewind_change_no_number(
    kafka: KafkaSettings, database: Database, topic: str
) -> None:
    events = story()
    third = len(events) // 3
    async with open_publisher(kafka, client_id="test") as publisher:
        async with replica(kafka, database, topic, publisher) as first:
            await publish(publisher, topic, events[:third])
            async with replica(kafka, database, topic, publisher) as second:
                await publish(publisher, topic, events[third : 2 * third])
                async with asyncio.timeout(WITHIN_S):
                    while not (first.assigned and second.assigned):
                        await asyncio.sleep(0.05)
                await publish(publisher, topic, events[2 * third :])
                await until_committed(kafka, topic)
            # the second one is gone: the first has all partitions again
            await publish(publisher, topic, events[:third])
            await until_committed(kafka, topic)
        found = await totals(database)
        assert found == reference.totals(events)
        receipts = [each async for each in database["receipts"].find({})]

        await rewind(kafka, topic)
        async with replica(kafka, database, topic, publisher):
            await until_committed(kafka, topic)
        assert await totals(database) == found
        assert [each async for each in database["receipts"].find({})] == receipts
