"""Echoes that nobody heard: those on the log from the time when no sender ran.

Read only for parts in doubt, and only the minutes after each was sent. Parts that come into doubt
together, as after a crash, share one reading.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from prometheus_client import Counter

from libs.common.events import AnyRecord, MessageEchoed, UndecodableRecordError, decode, is_readable
from libs.common.kafka import KafkaUnavailableError
from libs.common.kafka.connection import client_options
from libs.common.settings import KafkaSettings

ECHO = b"message.echoed"
EARLIER = timedelta(seconds=5)  # clocks of two machines
WITHIN = timedelta(minutes=15)  # after a part was posted, its echo has come
GATHER_S = 0.05
START_WITHIN_S = 10.0
READ_WITHIN_S = 120.0

READINGS = Counter(
    "assistant_echo_readings_total",
    "Times the log was read back for echoes, by what came of it.",
    ["outcome"],  # done, failed
)

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class _Wish:
    send_id: str
    since: datetime
    done: "asyncio.Future[None]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class EchoHistory:
    """Reads the events topic back and tells `heard` of the echoes that somebody asks for."""

    def __init__(
        self, settings: KafkaSettings, topic: str, heard: Callable[[AnyRecord], None]
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._heard = heard
        self._wishes: list[_Wish] = []
        self._reader: asyncio.Task[None] | None = None

    async def recall(self, send_id: str, since: datetime) -> None:
        """Return when the echo of this part has been told, or was not there.

        Raises:
            KafkaUnavailableError: the log could not be read to the end.
        """
        wish = _Wish(send_id, since)
        self._wishes.append(wish)
        if self._reader is None:
            self._reader = asyncio.create_task(self._read_all(), name="echo-history")
        await asyncio.shield(wish.done)

    async def close(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    async def _read_all(self) -> None:
        try:
            while self._wishes:
                await asyncio.sleep(GATHER_S)
                group, self._wishes = together(self._wishes)
                await self._fulfil(group)
        finally:
            self._reader = None
            for wish in self._wishes:
                wish.done.cancel()

    async def _fulfil(self, group: "list[_Wish]") -> None:
        begin, end = group[0].since - EARLIER, group[-1].since + WITHIN
        error: BaseException | None = None
        try:
            async with asyncio.timeout(READ_WITHIN_S):
                await self._read(begin, end, {wish.send_id for wish in group})
            READINGS.labels("done").inc()
        except (KafkaError, TimeoutError, OSError, KafkaUnavailableError) as failure:
            error = KafkaUnavailableError(type(failure).__name__)
            READINGS.labels("failed").inc()
            log.warning("echoes_not_read", error=type(failure).__name__)
        except BaseException as failure:
            error = failure
            raise
        finally:
            for wish in group:
                if wish.done.done():
                    continue
                if error is None:
                    wish.done.set_result(None)
                elif isinstance(error, Exception):
                    wish.done.set_exception(error)
                    wish.done.exception()  # whoever asked may be gone
                else:
                    wish.done.cancel()

    async def _read(self, begin: datetime, end: datetime, wanted: Collection[str]) -> None:
        client = self._client()
        try:
            async with asyncio.timeout(START_WITHIN_S):
                await client.start()
                left = await self._take_up_position(client, begin)
            end_ms = end.timestamp() * 1000
            while left:
                fetched = await client.getmany(*left, timeout_ms=500)
                for partition, records in fetched.items():
                    for record in records:
                        self._look_at(record, wanted)
                    if records and records[-1].timestamp > end_ms:
                        left.pop(partition, None)
                        client.pause(partition)
                left = await _unread(client, left)
                await asyncio.sleep(0)
        finally:
            await client.stop()

    def _client(self) -> AIOKafkaConsumer:
        options: dict[str, Any] = client_options(self._settings, "sender-echo-history")
        return AIOKafkaConsumer(
            self._topic, **options, enable_auto_commit=False, auto_offset_reset="earliest"
        )

    async def _take_up_position(
        self, client: AIOKafkaConsumer, begin: datetime
    ) -> dict[TopicPartition, int]:
        """Go to where `begin` is; where to end, for each partition that has anything since."""
        partitions = list(client.assignment())  # without a group: all of the topic
        begin_ms = int(begin.timestamp() * 1000)
        found = await client.offsets_for_times(dict.fromkeys(partitions, begin_ms))
        ends: Mapping[TopicPartition, int] = await client.end_offsets(partitions)
        left = {}
        for partition, position in found.items():
            if position is not None and position.offset < ends[partition]:
                client.seek(partition, position.offset)
                left[partition] = ends[partition]
            else:
                client.pause(partition)
        return left

    def _look_at(self, record: Any, wanted: Collection[str]) -> None:  # noqa: ANN401 - aiokafka's
        headers = {name: value or b"" for name, value in record.headers}
        if headers.get("type") != ECHO or not is_readable(headers):
            return
        try:
            echo = decode(record.value)
        except UndecodableRecordError:
            return
        if isinstance(echo, MessageEchoed) and echo.send_id in wanted:
            self._heard(echo)


async def _unread(
    client: AIOKafkaConsumer, left: Mapping[TopicPartition, int]
) -> dict[TopicPartition, int]:
    return {
        partition: end for partition, end in left.items() if await client.position(partition) < end
    }


def together(wishes: "list[_Wish]") -> "tuple[list[_Wish], list[_Wish]]":
    """The oldest wish with all whose minutes overlap, and the others."""
    ordered = sorted(wishes, key=lambda wish: wish.since)
    group = [ordered[0]]
    for wish in ordered[1:]:
        if wish.since - EARLIER > group[-1].since + WITHIN:
            break
        group.append(wish)
    return group, ordered[len(group) :]
