"""Publisher, keyed consumer and broadcast reader on a real Kafka."""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from deploy.local.topics import ensure_topics
from libs.common.errors import PermanentError
from libs.common.events import AnyRecord, ChannelUpdated
from libs.common.kafka import (
    BroadcastReader,
    ConsumerStuckError,
    KafkaPublisher,
    KafkaUnavailableError,
    KeyBatch,
    KeyedConsumer,
    Message,
    Patience,
    PublishError,
    Times,
    UnpublishableError,
    open_publisher,
    presence,
)
from libs.common.kafka.errors import TopicsMissingError
from libs.common.settings import KafkaSettings
from libs.common.timeouts import SharedTimeout
from libs.common.topics import CHANNELS, DEAD_LETTERS
from tests.integration.conftest import MakeTopic

WITHIN_S = 60.0
QUICK = Times(drain_s=1.0, drain_grace_s=0.5, poll_s=0.05, look_every_s=0.2, stuck_after_s=1.0)
Handled = dict[bytes, list[int]]


@pytest.fixture
async def publisher(kafka: KafkaSettings) -> AsyncIterator[KafkaPublisher]:
    async with open_publisher(kafka, client_id="test") as opened:
        yield opened


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():
            await asyncio.sleep(0.02)


async def put(publisher: KafkaPublisher, topic: str, key: str, *numbers: int) -> None:
    for number in numbers:
        value = str(number).encode()
        await publisher.publish_messages([Message(topic, key.encode(), value, [("type", b"n")])])


def consumer_of(
    kafka: KafkaSettings,
    topic: str,
    handler: Callable[[KeyBatch], Any],
    publisher: KafkaPublisher,
    **options: Any,  # noqa: ANN401 - as KeyedConsumer takes them
) -> KeyedConsumer:
    return KeyedConsumer(
        kafka,
        topic=topic,
        group=topic,
        handler=handler,
        publisher=publisher,
        service="test",
        **{"times": QUICK, **options},
    )


@asynccontextmanager
async def running(consumer: KeyedConsumer, drain_s: float = 5) -> AsyncIterator[None]:
    task = asyncio.create_task(consumer.run())
    try:
        async with asyncio.timeout(WITHIN_S):
            while not await consumer.is_ready():
                await asyncio.sleep(0.02)
        yield
    finally:
        await consumer.stop(drain_s)
        await task


async def committed(kafka: KafkaSettings, topic: str, partitions: int) -> int:
    """How many records the group `topic` has committed, all partitions together."""
    client = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, group_id=topic)
    await client.start()
    try:
        offsets = [await client.committed(TopicPartition(topic, n)) for n in range(partitions)]
    finally:
        await client.stop()
    return sum(offset or 0 for offset in offsets)


async def test_each_key_in_order_and_once_and_everything_committed(
    kafka: KafkaSettings, topic: str, publisher: KafkaPublisher
) -> None:
    handled: Handled = defaultdict(list)
    await asyncio.gather(*(put(publisher, topic, f"k{n}", *range(5)) for n in range(100)))

    async def handler(batch: KeyBatch) -> None:
        await asyncio.sleep(random.uniform(0, 0.05))
        handled[batch.key].extend(int(r.value or b"") for r in batch.records)

    async with running(consumer_of(kafka, topic, handler, publisher)):
        await until(lambda: sum(map(len, handled.values())) >= 500)
    assert len(handled) == 100
    assert all(numbers == [0, 1, 2, 3, 4] for numbers in handled.values())
    assert await committed(kafka, topic, 3) == 500


async def test_what_was_not_finished_comes_again_and_what_was_does_not(
    kafka: KafkaSettings, make_topic: MakeTopic, publisher: KafkaPublisher
) -> None:
    topic = await make_topic(1)
    for number, key in enumerate(["done", "stuck", "later"]):
        await put(publisher, topic, key, number)
    first: list[bytes] = []

    async def stuck(batch: KeyBatch) -> None:
        if batch.key == b"stuck":
            await asyncio.sleep(1000)
        first.append(batch.key)

    async with running(consumer_of(kafka, topic, stuck, publisher), drain_s=0.2):
        await until(lambda: len(first) == 2)
    assert await committed(kafka, topic, 1) == 1
    second: list[bytes] = []

    async def handler(batch: KeyBatch) -> None:
        second.append(batch.key)

    async with running(consumer_of(kafka, topic, handler, publisher)):
        await until(lambda: len(second) == 2)
    assert second == [b"stuck", b"later"]
    assert await committed(kafka, topic, 1) == 3


async def test_members_come_and_go_under_load_and_nothing_is_lost_or_reordered(
    kafka: KafkaSettings, make_topic: MakeTopic, publisher: KafkaPublisher
) -> None:
    topic = await make_topic(6)
    keys, each = 40, 30
    handled: Handled = defaultdict(list)
    at_work: set[bytes] = set()
    overlaps: list[bytes] = []

    async def handler(batch: KeyBatch) -> None:
        if batch.key in at_work:
            overlaps.append(batch.key)
        at_work.add(batch.key)
        try:
            await asyncio.sleep(random.uniform(0, 0.03))
            handled[batch.key].extend(int(r.value or b"") for r in batch.records)
        finally:
            at_work.discard(batch.key)

    async def write(key: str) -> None:
        for number in range(each):
            await put(publisher, topic, key, number)
            await asyncio.sleep(random.uniform(0, 0.2))

    async with running(consumer_of(kafka, topic, handler, publisher)):
        writing = asyncio.gather(*(write(f"k{n}") for n in range(keys)))
        for _ in range(3):
            async with running(consumer_of(kafka, topic, handler, publisher)):
                await asyncio.sleep(0.3)  # some load meanwhile; nothing depends on how much
        await writing
        await until(lambda: len(handled) == keys and all(each - 1 in n for n in handled.values()))
    for numbers in handled.values():
        assert list(dict.fromkeys(numbers)) == list(range(each))
    assert overlaps == []
    assert await committed(kafka, topic, 6) == keys * each


@pytest.mark.parametrize("leaves", [True, False])
async def test_a_member_with_a_name_leaves_when_it_is_stopped_only_if_it_is_not_expected_back(
    kafka: KafkaSettings, publisher: KafkaPublisher, make_topic: MakeTopic, leaves: bool
) -> None:
    topic = await make_topic(1)
    named = kafka.model_copy(update={"instance_id": "pod-1", "leave_on_stop": leaves})
    async with running(consumer_of(named, topic, ignore, publisher)):
        assert await members(kafka, topic) == 1
    assert await members(kafka, topic) == (0 if leaves else 1)


async def ignore(_batch: KeyBatch) -> None:
    """Handled."""


async def members(kafka: KafkaSettings, group: str) -> int:
    """How many a group has, as Kafka knows."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    try:
        (answer,) = await admin.describe_consumer_groups([group])
        (described,) = answer.groups
    finally:
        await admin.close()
    return len(described[5])


async def test_a_poisoned_record_becomes_a_dead_letter_and_the_rest_goes_on(
    kafka: KafkaSettings, topic: str, publisher: KafkaPublisher
) -> None:
    await ensure_topics(kafka.bootstrap_servers)
    handled: list[int] = []

    async def handler(batch: KeyBatch) -> None:
        numbers = [int(r.value or b"") for r in batch.records]
        if 1 in numbers:
            raise PermanentError("poison")
        handled.extend(numbers)

    letters = AIOKafkaConsumer(
        DEAD_LETTERS, bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest"
    )
    await letters.start()
    try:
        await put(publisher, topic, "k", 0, 1, 2)
        async with running(consumer_of(kafka, topic, handler, publisher)):
            await until(lambda: handled == [0, 2])
        async with asyncio.timeout(WITHIN_S):
            async for letter in letters:
                headers = dict(letter.headers)
                if headers["dead-letter-topic"] == topic.encode():
                    break
    finally:
        await letters.stop()
    assert (letter.key, letter.value, headers["type"]) == (b"k", b"1", b"n")
    assert headers["dead-letter-error"] == b"PermanentError/permanent"
    assert await committed(kafka, topic, 3) == 3


class _DeafClient(AIOKafkaConsumer):  # type: ignore[misc]
    """Alive, with its partitions, and without a single record."""

    async def getmany(self, *_partitions: object, **_options: object) -> dict[Any, Any]:
        await asyncio.sleep(0.05)
        return {}


@pytest.mark.parametrize("deaf_clients", [1, 2])
async def test_a_client_that_is_stuck_is_replaced_once(
    kafka: KafkaSettings,
    topic: str,
    publisher: KafkaPublisher,
    monkeypatch: pytest.MonkeyPatch,
    deaf_clients: int,
) -> None:
    made: list[type] = []

    def make(**options: object) -> AIOKafkaConsumer:
        kind = _DeafClient if len(made) < deaf_clients else AIOKafkaConsumer
        made.append(kind)
        return kind(**options)

    monkeypatch.setattr("libs.common.kafka.session.AIOKafkaConsumer", make)
    handled: list[bytes] = []

    async def handler(batch: KeyBatch) -> None:
        handled.append(batch.key)

    await put(publisher, topic, "k", 1)
    consumer = consumer_of(kafka, topic, handler, publisher)
    if deaf_clients == 1:
        async with running(consumer):
            await until(lambda: handled == [b"k"])
    else:
        with pytest.raises(ConsumerStuckError):
            await asyncio.wait_for(consumer.run(), WITHIN_S)
        assert handled == []
    assert len(made) == 2


async def test_stopping_ends_a_consumer_that_never_got_to_kafka(
    kafka: KafkaSettings, publisher: KafkaPublisher
) -> None:
    async def handler(_batch: KeyBatch) -> None: ...

    nowhere = kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:1"})
    consumer = consumer_of(nowhere, "none", handler, publisher)
    task = asyncio.create_task(consumer.run())
    await asyncio.sleep(0.5)  # in the middle of its attempts, whichever
    assert not await consumer.is_ready()
    async with asyncio.timeout(10):
        await consumer.stop(1)
        await task


async def test_a_brake_ends_the_consumer_with_its_reason(
    kafka: KafkaSettings, topic: str, publisher: KafkaPublisher
) -> None:
    await ensure_topics(kafka.bootstrap_servers)

    async def handler(_batch: KeyBatch) -> None:
        raise PermanentError

    await asyncio.gather(*(put(publisher, topic, f"k{n}", n) for n in range(5)))
    patience = Patience(brake_after=3)
    consumer = consumer_of(kafka, topic, handler, publisher, patience=patience)
    with pytest.raises(Exception, match="3 dead letters in a row"):
        await asyncio.wait_for(consumer.run(), WITHIN_S)


async def test_without_kafka_a_publisher_says_so_at_once(kafka: KafkaSettings) -> None:
    nowhere = kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:1"})
    async with asyncio.timeout(10):
        with pytest.raises(KafkaUnavailableError):
            async with open_publisher(nowhere, client_id="test"):
                pass


async def test_a_topic_that_is_missing_or_too_small_is_waited_for_and_not_made(
    kafka: KafkaSettings, make_topic: MakeTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, small = await make_topic(3), await make_topic(1)
    monkeypatch.setitem(presence._PARTITIONS, small, 3)
    await presence.require_topics(kafka, [there])
    for missing in ("test-nowhere", small):
        with pytest.raises(TopicsMissingError, match=missing):
            async with open_publisher(kafka, client_id="test", topics=[there, missing]):
                pass
        with pytest.raises(TopicsMissingError, match=missing):
            async with BroadcastReader(kafka, missing, print):
                pass
    assert "test-nowhere" not in await presence.partition_counts(kafka)


async def test_a_record_larger_than_kafka_takes_is_refused_for_good(
    topic: str, publisher: KafkaPublisher
) -> None:
    for size in (1_500_000, 3_000_000):  # the broker's limit, and ours
        with pytest.raises(UnpublishableError):
            await publisher.publish_messages([Message(topic, b"k", b"x" * size, [])])
    await put(publisher, topic, "k", 1)


async def test_a_publisher_that_failed_is_replaced_and_meanwhile_refuses_at_once(
    kafka: KafkaSettings, topic: str, publisher: KafkaPublisher
) -> None:
    producer = publisher._producer
    assert producer is not None
    producer._sender.sender_task.cancel()  # as dead as after a fatal error
    hasty = replace_timeout(publisher, 0.3)
    with pytest.raises(PublishError):
        await put(hasty, topic, "k", 1)
    async with asyncio.timeout(WITHIN_S):
        while publisher._producer is None:
            with pytest.raises(PublishError, match="not reachable"):
                await put(publisher, topic, "k", 2)
            await asyncio.sleep(0.01)
    await put(replace_timeout(publisher, 15), topic, "k", 3)


def replace_timeout(publisher: KafkaPublisher, seconds: float) -> KafkaPublisher:
    publisher._timeout = SharedTimeout(seconds)
    return publisher


async def test_broadcasts_reach_everybody_from_when_they_listen(
    kafka: KafkaSettings, publisher: KafkaPublisher
) -> None:
    await ensure_topics(kafka.bootstrap_servers)
    page = f"page-{random.randrange(10**9)}"
    heard: list[list[AnyRecord]] = [[], []]

    def changed(number: int) -> ChannelUpdated:
        return ChannelUpdated(
            event_id=f"{page}:{number}", page_id=page, occurred_at=datetime.now(UTC)
        )

    def ours(records: list[AnyRecord]) -> list[str]:
        return [record.event_id for record in records if record.page_id == page]

    await publisher.publish(changed(0))
    async with (
        BroadcastReader(kafka, CHANNELS, heard[0].append),
        BroadcastReader(kafka, CHANNELS, heard[1].append),
    ):
        await publisher.publish_messages([Message(CHANNELS, b"x", b"{", [("type", b"nonsense")])])
        await publisher.publish(changed(1), changed(2))
        await until(lambda: all(len(ours(records)) == 2 for records in heard))
    assert ours(heard[0]) == ours(heard[1]) == [f"{page}:1", f"{page}:2"]
