"""Echoes that nobody heard: those on the log from the time when no sender ran.

Read only for parts in doubt, and only the minutes after each was sent. Parts that come into doubt
together, as after a crash, share one reading; each is done as soon as its own minutes are.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from prometheus_client import Counter

from libs.common.events import AnyRecord, MessageEchoed, UndecodableRecordError, decode, is_readable
from libs.common.kafka import KafkaUnavailableError
from libs.common.kafka.connection import client_options
from libs.common.metrics import from_zero
from libs.common.settings import KafkaSettings

ECHO = b"message.echoed"
SPAN = timedelta(minutes=15)  # of the beginnings of what is read together
GATHER_S = 0.05
START_WITHIN_S = 10.0
READ_WITHIN_S = 120.0

READINGS = from_zero(
    Counter(
        "assistant_echo_readings_total",
        "Times the log was read back for echoes, by what came of it.",
        ["outcome"],
    ),
    ["done", "failed"],
)

P = TypeVar("P")

log = structlog.get_logger(__name__)


class Reach(Generic[P]):
    """How far a reading of several partitions has come. Pure."""

    def __init__(self, partitions: Iterable[P]) -> None:
        self._at_ms = dict.fromkeys(partitions, float("-inf"))

    def come_to(self, partition: P, timestamp_ms: float) -> None:
        self._at_ms[partition] = timestamp_ms

    def leave(self, partition: P) -> None:
        """There is nothing more in it that anybody wants."""
        self._at_ms.pop(partition, None)

    def partitions(self) -> set[P]:
        return set(self._at_ms)

    def ms(self) -> float:
        """Everything before has been read, in all of them."""
        return min(self._at_ms.values(), default=float("inf"))


@dataclass(eq=False)
class _Wish:
    send_id: str
    begin: datetime
    end: datetime
    done: "asyncio.Future[None]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def until_ms(self) -> float:
        return self.end.timestamp() * 1000

    def fulfil(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


class EchoHistory:
    """Reads the events topic back and tells `heard` of the echoes that somebody asks for."""

    def __init__(
        self, settings: KafkaSettings, topic: str, heard: Callable[[AnyRecord], None]
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._heard = heard
        self._wishes: list[_Wish] = []
        self._open: dict[str, _Wish] = {}  # those, and the ones that are being fulfilled
        self._reader: asyncio.Task[None] | None = None

    async def recall(self, send_id: str, begin: datetime, end: datetime) -> None:
        """Return when the echo of this part has been told, or was not there at that time. Whoever
        gives up waiting may ask again: the reading goes on.

        Raises:
            KafkaUnavailableError: the log could not be read to the end.
        """
        wish = self._open.get(send_id)
        if wish is None:
            wish = self._open[send_id] = _Wish(send_id, begin, end)
            wish.done.add_done_callback(lambda _done: self._open.pop(send_id, None))
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
        error: BaseException | None = None
        try:
            async with asyncio.timeout(READ_WITHIN_S):
                await self._read(group)
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
                if isinstance(error, Exception):
                    wish.done.set_exception(error)
                    wish.done.exception()  # whoever asked may be gone
                else:
                    wish.done.cancel()

    async def _read(self, group: "list[_Wish]") -> None:
        """The minutes of these, each of which is done as soon as its own have been read."""
        wanted = {wish.send_id for wish in group}
        end_ms = max(wish.until_ms for wish in group)
        client = self._client()
        try:
            async with asyncio.timeout(START_WITHIN_S):
                await client.start()
                left = await self._take_up_position(client, group[0].begin)
            reach = Reach(left)
            while left:
                fetched = await client.getmany(*left, timeout_ms=500)
                for partition, records in fetched.items():
                    for record in records:
                        self._look_at(record, wanted)
                    if records:
                        reach.come_to(partition, records[-1].timestamp)
                    if records and records[-1].timestamp > end_ms:
                        left.pop(partition, None)
                        client.pause(partition)
                unread = await _unread(client, left)
                for partition in reach.partitions() - unread.keys():
                    reach.leave(partition)
                left = unread
                for wish in group:
                    if wish.until_ms < reach.ms():
                        wish.fulfil()
                await asyncio.sleep(0)
            for wish in group:
                wish.fulfil()
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
    """The oldest wish with all that begin in the same quarter of an hour, and the others.

    No longer than that, however many follow each other: what has to be read within one time limit
    must not grow with the number of wishes.
    """
    ordered = sorted(wishes, key=lambda wish: wish.begin)
    last = ordered[0].begin + SPAN
    group = [wish for wish in ordered if wish.begin <= last]
    return group, ordered[len(group) :]
