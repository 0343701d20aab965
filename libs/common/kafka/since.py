"""What a topic holds from a moment on, read once: for tools that mend what a database lacks."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable
from datetime import datetime
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from libs.common.events import AnyRecord, UndecodableRecordError, decode, is_readable
from libs.common.kafka.errors import KafkaUnavailableError
from libs.common.kafka.rewind import firsts, whole_topic
from libs.common.settings import KafkaSettings

SILENT_AFTER_S = 30.0


async def events_since(
    kafka: KafkaSettings, topic: str, since: datetime, wanted: Collection[bytes]
) -> AsyncIterator[AnyRecord]:
    """Events of these types that are there when this begins, in the order of each partition.

    Raises:
        KafkaUnavailableError: it is away, or falls silent.
    """
    try:
        async with whole_topic(kafka, topic) as client:
            partitions = client.assignment()
            ends = await client.end_offsets(partitions)
            left = set[TopicPartition]()
            for each, first in (await firsts(client, since)).items():
                if first is not None and first < ends[each]:
                    client.seek(each, first)
                    left.add(each)
            client.pause(*(partitions - left))
            while left:
                async with asyncio.timeout(SILENT_AFTER_S):
                    fetched = await client.getmany(timeout_ms=1000, max_records=2000)
                for each, records in fetched.items():
                    for event in _readable(records, wanted):
                        yield event
                    if await client.position(each) >= ends[each]:
                        left.discard(each)
    except (KafkaError, TimeoutError) as error:
        raise KafkaUnavailableError(type(error).__name__) from error


def _readable(records: Iterable[Any], wanted: Collection[bytes]) -> Iterable[AnyRecord]:
    for record in records:
        headers = dict(record.headers)
        if headers.get("type") in wanted and is_readable(headers):
            try:
                yield decode(record.value)
            except UndecodableRecordError:
                continue  # among the dead letters
