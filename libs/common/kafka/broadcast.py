"""A topic that every process reads whole, from now on: something has changed."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from libs.common.events import AnyRecord, UndecodableRecordError, decode, is_readable
from libs.common.kafka.connection import client_options
from libs.common.kafka.errors import KafkaUnavailableError
from libs.common.kafka.presence import require_topics
from libs.common.kafka.records import ConsumedRecord, from_fetched
from libs.common.settings import KafkaSettings

START_WITHIN_S = 10.0
STOP_WITHIN_S = 5.0
POLL_S = 1.0
CHECK_EVERY_S, CHECK_WITHIN_S = 5.0, 5.0
LONGEST_PAUSE_S = 5.0

log = structlog.get_logger(__name__)


class BroadcastRecords:
    """Calls back for every record that comes after the block is entered, as bytes.

    No group and no offsets: each process hears everything, and one that was not there has nothing
    cached. After an interruption it goes on where it was.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topic: str,
        heard: Callable[[ConsumedRecord], None],
        *,
        checked: bool = False,
    ) -> None:
        """`checked`: while nothing comes, Kafka is asked now and then, so that `is_heard` knows.

        aiokafka's consumer says nothing of a broker that is away: it only has no records.
        """
        self._settings = settings
        self._topic = topic
        self._heard = heard
        self._checked = checked
        self._positions: dict[TopicPartition, int] = {}
        self._task: asyncio.Task[None] | None = None
        self._asked_at = 0.0
        self.is_heard = False

    async def __aenter__(self) -> Self:
        """Raises: KafkaUnavailableError."""
        client = await self._open()
        self._task = asyncio.create_task(self._read(client), name=f"broadcast-{self._topic}")
        return self

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self.is_heard = False

    async def _open(self) -> AIOKafkaConsumer:
        """A client at the end of the log at first; later where the last one was."""
        if not self._positions:
            await require_topics(self._settings, (self._topic,))
        client = AIOKafkaConsumer(
            self._topic,
            **client_options(self._settings, f"broadcast-{self._topic}"),
            enable_auto_commit=False,
            auto_offset_reset="latest",
        )
        try:
            async with asyncio.timeout(START_WITHIN_S):
                await client.start()
                await self._take_up_position(client)
        except BaseException as error:
            await _stop(client)
            if isinstance(error, KafkaError | TimeoutError | OSError):
                raise KafkaUnavailableError(type(error).__name__) from error
            raise
        self.is_heard = True
        self._asked_at = asyncio.get_running_loop().time()
        return client

    async def _take_up_position(self, client: AIOKafkaConsumer) -> None:
        partitions = client.assignment()
        if not partitions:
            raise KafkaUnavailableError(f"there is no topic {self._topic}")
        if unknown := [tp for tp in partitions if tp not in self._positions]:
            self._positions |= await client.end_offsets(unknown)
        for partition in partitions:
            client.seek(partition, self._positions[partition])

    async def _read(self, client: AIOKafkaConsumer | None) -> None:
        pause_s = 0.2
        try:
            while True:
                try:
                    client = client or await self._open()
                    await self._poll(client)
                    pause_s = 0.2
                except (KafkaError, KafkaUnavailableError, OSError, TimeoutError) as error:
                    self.is_heard = False
                    log.warning("broadcast_lost", topic=self._topic, error=type(error).__name__)
                    if client is not None:
                        await _stop(client)
                        client = None
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        finally:
            if client is not None:
                await _stop(client)

    async def _poll(self, client: AIOKafkaConsumer) -> None:
        fetched = await client.getmany(timeout_ms=int(POLL_S * 1000))
        for partition, records in fetched.items():
            for record in records:
                self._tell(from_fetched(record))
                self._positions[partition] = record.offset + 1
        if self._checked:
            await self._check(client, something_came=bool(fetched))

    async def _check(self, client: AIOKafkaConsumer, *, something_came: bool) -> None:
        """Raises: KafkaError, TimeoutError: nobody is there to hear anything from."""
        now = asyncio.get_running_loop().time()
        if something_came:
            self._asked_at = now
        elif now - self._asked_at >= CHECK_EVERY_S:
            async with asyncio.timeout(CHECK_WITHIN_S):
                await client.end_offsets(client.assignment())
            self._asked_at = asyncio.get_running_loop().time()

    def _tell(self, record: ConsumedRecord) -> None:
        try:
            self._heard(record)
        except UndecodableRecordError as error:
            log.error("broadcast_undecodable", offset=record.offset, reason=str(error))
        except Exception as error:
            log.exception("broadcast_failed", error=type(error).__name__)


class BroadcastReader(BroadcastRecords):
    """The same, parsed: records that we know, and that are wanted."""

    def __init__(
        self,
        settings: KafkaSettings,
        topic: str,
        heard: Callable[[AnyRecord], None],
        wants: Callable[[Mapping[str, bytes]], bool] = is_readable,
    ) -> None:
        """`wants`: by a record's headers, whether it is worth parsing."""

        def hear(record: ConsumedRecord) -> None:
            if is_readable(record.headers) and wants(record.headers):
                heard(decode(record.value))

        super().__init__(settings, topic, hear)


async def _stop(client: AIOKafkaConsumer) -> None:
    with suppress(KafkaError, TimeoutError, OSError):
        async with asyncio.timeout(STOP_WITHIN_S):
            await client.stop()
