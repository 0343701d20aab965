"""The keyed consumer: a handler over a topic, keys side by side, each in order.

The poll loop never waits for work, so that a long turn costs no membership (aiokafka issue 848).
Partitions that are taken away are drained first, for a few seconds, and committed; what remains
comes again to whoever has them next. When the client fails, another one is made; when it is stuck
and the next one is too, the process ends, and whoever supervises it starts it again.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Protocol

import structlog

from libs.common.kafka.dead_letters import dead_letter
from libs.common.kafka.engine import KeyedEngine, KeyOf, Limits, Wants
from libs.common.kafka.errors import ConsumerStuckError
from libs.common.kafka.handling import BatchRunner, Handler, Patience
from libs.common.kafka.publisher import Message
from libs.common.kafka.records import ConsumedRecord
from libs.common.kafka.session import Membership, Session, StuckClientError, Times
from libs.common.kafka.traces import Traced
from libs.common.settings import KafkaSettings

FIRST_PAUSE_S = 0.2

log = structlog.get_logger(__name__)


class Publisher(Protocol):
    """Where dead letters go, and a second opinion on whether Kafka answers."""

    async def publish_messages(self, messages: list[Message]) -> None: ...

    async def ready(self) -> bool: ...


def wants_all(_headers: Mapping[str, bytes]) -> bool:
    return True


def record_key(record: ConsumedRecord) -> bytes:
    return record.key


class KeyedConsumer:
    """Runs `handler` over a topic; nothing is committed before it is finished.

    At least once: a record whose handler has not returned when the process dies comes again.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        topic: str,
        group: str,
        handler: Handler,
        publisher: Publisher,
        service: str,
        wants: Wants = wants_all,
        key_of: KeyOf = record_key,
        max_keys_in_flight: int = 2000,
        limits: Limits | None = None,
        patience: Patience | None = None,
        times: Times | None = None,
        traced: Traced = "batch",
    ) -> None:
        self._settings = settings
        self._who = Membership(topic, group, service)
        self._publisher = publisher
        self._times = times or Times()
        runner = BatchRunner(
            handler, self._bury, patience or Patience(), topic=topic, group=group, traced=traced
        )
        self._engine = KeyedEngine(
            runner,
            topic=topic,
            group=group,
            wants=wants,
            key_of=key_of,
            limits=limits or Limits(max_keys_in_flight=max_keys_in_flight),
        )
        self._session: Session | None = None
        self._stopping = asyncio.Event()
        self._finished = asyncio.Event()
        self._drain_timeout_s = self._times.drain_s
        self._log = log.bind(topic=topic, group=group)

    async def run(self) -> None:
        """Return after `stop`.

        Raises:
            ConsumerBrakeError: too many dead letters in a row.
            ConsumerStuckError: two clients in a row were stuck.
        """
        pause_s, stuck_in_a_row = FIRST_PAUSE_S, 0
        try:
            while not self._stopping.is_set():
                session = self._session = Session(
                    self._settings, self._who, self._engine, self._publisher.ready, self._times
                )
                try:
                    error = await session.live(self._stopping, lambda: self._drain_timeout_s)
                    stuck_in_a_row = 0
                except StuckClientError as stuck:
                    error = stuck
                    stuck_in_a_row = 1 if session.has_fetched else stuck_in_a_row + 1
                finally:
                    await session.close(for_good=self._stopping.is_set())
                if stuck_in_a_row > 1:
                    raise ConsumerStuckError("the client was made anew and is stuck again")
                if error is not None:
                    self._log.warning("consumer_lost", error=type(error).__name__, pause_s=pause_s)
                    pause_s = FIRST_PAUSE_S if session.has_joined else pause_s * 2
                    pause_s = min(pause_s, self._times.longest_pause_s)
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._stopping.wait(), pause_s)
        finally:
            self._engine.forget()
            self._finished.set()

    async def stop(self, drain_timeout_s: float) -> None:
        """Fetch nothing more; let handlers end for `drain_timeout_s`, then cancel them."""
        self._drain_timeout_s = drain_timeout_s
        self._stopping.set()
        await self._finished.wait()

    @property
    def assigned(self) -> frozenset[int]:
        """The partitions that are ours at present."""
        return self._engine.assigned

    async def is_ready(self) -> bool:
        """Whether the group has given us our share of the partitions, be it none."""
        return self._session is not None and self._session.has_joined

    async def _bury(self, record: ConsumedRecord, error: BaseException, attempts: int) -> None:
        letter = dead_letter(record, error, attempts, service=self._who.service)
        await self._publisher.publish_messages([letter])
