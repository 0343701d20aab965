"""Records onto the log: idempotent, acknowledged by all replicas, and never waited for in vain.

aiokafka's producer can hang for ever when Kafka is away, and is dead for good after some errors
(its issues 517, 759, 1017 and 1101). So every wait here has a deadline of its own, and a producer
that fails is replaced by a new one. What the old one still brings onto the log is then there twice,
with one `event_id`: readers dedupe.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import cache, lru_cache
from typing import NamedTuple, Protocol

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)
from aiokafka.partitioner import murmur2
from prometheus_client import Counter

from libs.common import tracing
from libs.common.events import Record, encode, headers_of, key_of, topic_of
from libs.common.kafka.connection import client_options
from libs.common.kafka.errors import KafkaUnavailableError, PublishError, UnpublishableError
from libs.common.kafka.presence import ALL, require_topics
from libs.common.kafka.traces import producing
from libs.common.metrics import from_zero
from libs.common.settings import KafkaSettings
from libs.common.timeouts import SharedTimeout
from libs.common.topics import CHANNELS, COMMANDS, DEAD_LETTERS, EVENTS

CONNECT_WITHIN_S = 5.0
STOP_WITHIN_S = 5.0
ANSWER_WITHIN_S = 2.0  # for the readiness check
REQUEST_TIMEOUT_S = 10.0  # of one request; longer than any caller waits
LONGEST_RECONNECT_PAUSE_S = 2.0
MAX_SOON = 1000
MAX_RECORD_BYTES = 2 * 1024 * 1024  # dead letters are as large as records, and a little more
MAX_BATCH_BYTES = 512 * 1024
"""Of one request to one partition, half of what Kafka takes. aiokafka's default of 16 KiB makes
thousands of callers wait for one another where many records go to one partition: a busy Page."""

PRODUCED = from_zero(
    Counter(
        "assistant_kafka_records_produced_total",
        "Records handed to Kafka, by what became of them.",
        ["topic", "outcome"],
    ),
    [EVENTS, COMMANDS, CHANNELS, DEAD_LETTERS],
    ["acknowledged", "failed", "dropped"],
)
PRODUCERS = Counter("assistant_kafka_producers_total", "Producers made, the first one included.")

log = structlog.get_logger(__name__)


class Message(NamedTuple):
    """One record as it goes out."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Publisher(Protocol):
    """What services need of a publisher; tests record what is published."""

    async def publish(self, *records: Record) -> None: ...

    def publish_soon(self, record: Record) -> None: ...


def message_of(record: Record) -> Message:
    headers = headers_of(record, tracing.traceparent())
    return Message(topic_of(record), key_of(record), encode(record), headers)


@asynccontextmanager
async def open_publisher(
    settings: KafkaSettings, *, client_id: str, topics: Iterable[str] = ALL
) -> AsyncIterator["KafkaPublisher"]:
    """A publisher that is connected, to a Kafka that has our topics.

    Args:
        topics: those that it will need. Kafka shows nobody a topic that they may not use.

    Raises:
        KafkaUnavailableError: Kafka does not answer within 5 s, or a topic is missing.
    """
    await require_topics(settings, topics)
    publisher = KafkaPublisher(settings, client_id)
    await publisher.start()
    try:
        yield publisher
    finally:
        await publisher.close()


class KafkaPublisher:
    """Publishes records; every one in its own topic, under its own key."""

    def __init__(self, settings: KafkaSettings, client_id: str) -> None:
        self._settings = settings
        self._client_id = client_id
        self._timeout = SharedTimeout(settings.publish_timeout_s)
        self._producer: AIOKafkaProducer | None = None
        self._acknowledged = 0  # calls of which every record was
        self._broken = asyncio.Event()
        self._mending: asyncio.Task[None] | None = None
        self._background: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Raises: KafkaUnavailableError."""
        self._producer = await self._connect()
        self._mending = asyncio.create_task(self._mend(), name="kafka-producer")

    async def publish(self, *records: Record) -> None:
        """Return when every record is on the log, acknowledged by all replicas in sync.

        Raises:
            PublishError: that has not happened within `KAFKA_PUBLISH_TIMEOUT_S`; some or all of
                the records may be on the log, or get there later.
            UnpublishableError: a record is larger than Kafka takes.
        """
        with producing(records):
            await self.publish_messages([message_of(record) for record in records])

    async def publish_messages(self, messages: Sequence[Message]) -> None:
        """As `publish`, for records that are not ours to encode."""
        producer = self._producer
        if producer is None:
            raise PublishError("Kafka is not reachable")
        acknowledged = self._acknowledged
        try:
            with self._timeout.wait():
                await _send(producer, messages)
        except (MessageSizeTooLargeError, RecordListTooLargeError) as error:
            raise UnpublishableError(type(error).__name__) from error
        except (TimeoutError, KafkaTimeoutError):
            _count(messages, "failed")
            if self._acknowledged == acknowledged:  # nobody's record went through meanwhile
                self._give_up(producer, "timeout")
            raise PublishError("not acknowledged in time") from None
        except KafkaError as error:
            _count(messages, "failed")
            self._give_up(producer, type(error).__name__)
            raise PublishError(type(error).__name__) from error
        self._acknowledged += 1
        _count(messages, "acknowledged")

    def publish_soon(self, record: Record) -> None:
        """Publish what is worth a try and not worth waiting for. Failures are only counted."""
        if self._producer is None or len(self._background) >= MAX_SOON:
            _produced(topic_of(record), "dropped").inc()
            return
        self._in_background(self._try(record))

    async def ready(self) -> bool:
        """Whether Kafka answers, over the connection that publishing would take."""
        producer = self._producer
        if producer is None:
            return False
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await producer.client.fetch_all_metadata()
        except (KafkaError, TimeoutError, OSError):
            return False
        return True

    async def close(self) -> None:
        """Let what is on its way arrive, for a few seconds."""
        if self._mending is not None:
            self._mending.cancel()
            with suppress(asyncio.CancelledError):
                await self._mending
        producer, self._producer = self._producer, None
        if self._background:
            await asyncio.wait(self._background, timeout=self._settings.publish_timeout_s)
        if producer is not None:
            await _stop(producer)
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    async def _try(self, record: Record) -> None:
        with suppress(PublishError, UnpublishableError):
            await self.publish(record)

    def _give_up(self, producer: AIOKafkaProducer, reason: str) -> None:
        """From here on publishing fails at once, until there is a new producer."""
        if producer is not self._producer:
            return
        log.warning("producer_given_up", reason=reason)
        self._producer = None
        self._broken.set()
        self._in_background(_stop(producer))

    async def _mend(self) -> None:
        while True:
            await self._broken.wait()
            self._broken.clear()
            pause_s = 0.1
            while self._producer is None:
                try:
                    self._producer = await self._connect()
                except KafkaUnavailableError:
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, LONGEST_RECONNECT_PAUSE_S)
            log.info("producer_connected")

    async def _connect(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            **client_options(self._settings, self._client_id),
            acks="all",
            enable_idempotence=True,
            partitioner=partition_of,
            linger_ms=0,
            max_batch_size=MAX_BATCH_BYTES,
            max_request_size=MAX_RECORD_BYTES,
            request_timeout_ms=int(REQUEST_TIMEOUT_S * 1000),
        )
        try:
            async with asyncio.timeout(CONNECT_WITHIN_S):
                await producer.start()
        except (KafkaError, TimeoutError, OSError) as error:
            await _stop(producer)
            raise KafkaUnavailableError(type(error).__name__) from error
        except BaseException:
            await _stop(producer)
            raise
        PRODUCERS.inc()
        return producer

    def _in_background(self, work: "asyncio.Coroutine[None, None, None]") -> None:  # type: ignore[name-defined]
        task = asyncio.create_task(work, name="kafka-background")
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def partition_of(key: bytes | None, every: Sequence[int], available: Sequence[int]) -> int:
    """Where a record goes: as Kafka's clients have it, and remembered for who writes often."""
    if key is None:
        return random.choice(available or every)
    return every[_hash_of(key) % len(every)]


@lru_cache(maxsize=10_000)
def _hash_of(key: bytes) -> int:
    """Written in Python, and therefore dear; who wrote once is heard of several times."""
    return int(murmur2(key)) & 0x7FFFFFFF


async def _send(producer: AIOKafkaProducer, messages: Sequence[Message]) -> None:
    """Hand over in order, then wait for all. Cancelling the wait does not take a record back."""
    futures = [
        await producer.send(message.topic, message.value, message.key, headers=message.headers)
        for message in messages
    ]
    try:
        for future in futures:  # most come together: the first is waited for, the others are there
            await future
    except BaseException:
        for future in futures:
            if not future.cancel() and not future.cancelled():
                future.exception()  # seen: else asyncio complains of each when it is forgotten
        raise


async def _stop(producer: AIOKafkaProducer) -> None:
    """Stop within a time, flushed or not."""
    try:
        async with asyncio.timeout(STOP_WITHIN_S):
            await producer.stop()
    except (KafkaError, TimeoutError, OSError) as error:
        log.warning("producer_abandoned", error=type(error).__name__)
        # `stop` gave up half-way: without this its tasks and sockets would stay for ever
        with suppress(Exception):
            async with asyncio.timeout(1):
                await producer._sender.close()
        with suppress(Exception):
            await producer.client.close()


_produced = cache(PRODUCED.labels)  # finding a metric by its labels costs more than counting


def _count(messages: Sequence[Message], outcome: str) -> None:
    topics = [message.topic for message in messages]
    for topic in set(topics):
        _produced(topic, outcome).inc(topics.count(topic))
