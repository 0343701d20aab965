"""The topic of dead letters, read by position: nothing of it is committed, moved or removed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from libs.common.kafka import KafkaUnavailableError, open_publisher, put_back
from libs.common.kafka.connection import client_options
from libs.common.kafka.presence import require_topics
from libs.common.kafka.records import ConsumedRecord, from_fetched
from libs.common.settings import KafkaSettings
from libs.common.topics import DEAD_LETTERS
from services.console.domain.dead_letters import Letter, Place, letter_of

START_WITHIN_S = 5.0
STOP_WITHIN_S = 3.0
READ_WITHIN_S = 8.0
POLL_MS = 250
AT_ONCE = 200  # records of one answer, which may be large
READ_BYTES = 64 << 10  # of a partition at once; one record at least, however large
CLIENT = "dead-letters"


@dataclass(frozen=True)
class Found:
    """Letters, the latest first. `is_cut`: there are older ones that were not looked at."""

    letters: tuple[Letter, ...]
    is_cut: bool = False


class LetterLog(Protocol):
    """What is needed of `KafkaLetters`."""

    async def latest(self, most: int | None) -> Found: ...

    async def record(self, place: Place) -> ConsumedRecord | None: ...

    async def put_back(self, record: ConsumedRecord) -> None: ...


class KafkaLetters:
    """Opens a client for each question: there are few of them, and often none for days."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings

    async def latest(self, most: int | None) -> Found:
        """Of each partition at most so many; None: all of them.

        Raises:
            KafkaUnavailableError: not all could be read in time.
        """
        letters: list[Letter] = []

        def take(record: ConsumedRecord) -> None:
            letters.append(letter_of(place_of(record), record.key, record.value, record.headers))

        is_cut = False
        async with self._reader() as reader:
            partitions = reader.assignment()
            begins = await reader.beginning_offsets(partitions)
            ends = await reader.end_offsets(partitions)
            wanted: dict[TopicPartition, tuple[int, int]] = {}
            for each in partitions:
                begin = begins[each] if most is None else max(begins[each], ends[each] - most)
                is_cut = is_cut or begin > begins[each]
                if begin < ends[each]:
                    wanted[each] = (begin, ends[each])
            await _read(reader, wanted, take, within_s=READ_WITHIN_S if most is not None else None)
        letters.sort(key=lambda each: (each.place.timestamp_ms, each.id), reverse=True)
        return Found(tuple(letters), is_cut)

    async def record(self, place: Place) -> ConsumedRecord | None:
        """The letter with its record; None: it is not there, or not there any more.

        Raises: KafkaUnavailableError.
        """
        found: list[ConsumedRecord] = []
        partition = TopicPartition(DEAD_LETTERS, place.partition)
        async with self._reader() as reader:
            if partition not in reader.assignment():
                return None
            begin = (await reader.beginning_offsets([partition]))[partition]
            end = (await reader.end_offsets([partition]))[partition]
            if begin <= place.offset < end:
                span = {partition: (place.offset, place.offset + 1)}
                await _read(reader, span, found.append, within_s=READ_WITHIN_S)
        return found[0] if found and place_of(found[0]) == place else None

    async def put_back(self, record: ConsumedRecord) -> None:
        """The record as it was, at the end of the topic that it came from.

        Raises:
            KafkaUnavailableError, PublishError: it may be there, or not.
            UnpublishableError: Kafka does not take it.
        """
        async with open_publisher(self._settings, client_id=CLIENT) as publisher:
            await publisher.publish_messages([put_back(record)])

    @asynccontextmanager
    async def _reader(self) -> AsyncIterator[AIOKafkaConsumer]:
        """With all partitions, and no group. Raises: KafkaUnavailableError."""
        await require_topics(self._settings, (DEAD_LETTERS,))
        reader = AIOKafkaConsumer(
            DEAD_LETTERS,
            **client_options(self._settings, CLIENT),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=READ_BYTES,
        )
        try:
            async with asyncio.timeout(START_WITHIN_S):
                await reader.start()
            yield reader
        except (KafkaError, TimeoutError, OSError) as error:
            raise KafkaUnavailableError(type(error).__name__) from error
        finally:
            with suppress(KafkaError, TimeoutError, OSError):
                async with asyncio.timeout(STOP_WITHIN_S):
                    await reader.stop()


def place_of(record: ConsumedRecord) -> Place:
    return Place(record.partition, record.offset, record.timestamp_ms)


async def _read(
    reader: AIOKafkaConsumer,
    wanted: dict[TopicPartition, tuple[int, int]],
    take: Callable[[ConsumedRecord], None],
    *,
    within_s: float | None,
) -> None:
    """Each partition from an offset to before another one. Raises: TimeoutError."""
    for partition in reader.assignment() - wanted.keys():
        reader.pause(partition)
    for partition, (begin, _) in wanted.items():
        reader.seek(partition, begin)
    unread = set(wanted)
    async with asyncio.timeout(within_s):
        while unread:
            fetched = await reader.getmany(*unread, timeout_ms=POLL_MS, max_records=AT_ONCE)
            for partition, records in fetched.items():
                end = wanted[partition][1]
                for record in records:
                    if record.offset < end:
                        take(from_fetched(record))
            for partition in [*unread]:
                if await reader.position(partition) >= wanted[partition][1]:
                    unread.discard(partition)
                    reader.pause(partition)
