"""What other services and Facebook tell of channels and people: heard once, and never missed.

The console's own consumer group: what was said while no console ran is heard when one does.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress

import structlog

from libs.common.errors import ProjectError
from libs.common.events import (
    AnyRecord,
    ChannelTokenRejected,
    PageDeauthorized,
    PersonDeletionRequested,
    decode,
)
from libs.common.kafka import KafkaPublisher, KeyBatch, KeyedConsumer
from libs.common.service import Worker
from libs.common.settings import KafkaSettings
from libs.common.topics import CHANNELS
from services.console.checking import ChannelChecks
from services.console.erasing import Erasing

GROUP = "console"
WANTED = frozenset({b"channel.token_rejected", b"page.deauthorized", b"person.deletion_requested"})
PAUSE_S = 5.0  # after Kafka was away

Hear = Callable[[AnyRecord], Awaitable[None]]
OpenConsumer = Callable[[Hear], Worker]

log = structlog.get_logger(__name__)


def wants(headers: Mapping[str, bytes]) -> bool:
    """Of the channels topic, what the console does something about."""
    return headers.get("type") in WANTED and headers.get("version", b"").startswith(b"1.")


class Listener:
    """Does what follows from a record. Hearing it again does no harm."""

    def __init__(self, checks: ChannelChecks, erasing: Erasing) -> None:
        self._checks = checks
        self._erasing = erasing

    async def hear(self, record: AnyRecord) -> None:
        """Raises: TransientError: the same again."""
        if isinstance(record, ChannelTokenRejected):
            await self._checks.check_page(record.page_id, record.cause)
        elif isinstance(record, PageDeauthorized):
            await self._checks.check_user(record.user_id)
        elif isinstance(record, PersonDeletionRequested):
            await self._erasing.wished_at_facebook(
                record.confirmation_code, record.user_id, record.occurred_at
            )


class ChannelsConsumer:
    """A worker: the consumer and its way to the dead letters. Without Kafka the console works."""

    def __init__(
        self,
        settings: KafkaSettings,
        open_publisher: Callable[[], AbstractAsyncContextManager[KafkaPublisher]],
        hear: Hear,
    ) -> None:
        self._settings = settings
        self._open_publisher = open_publisher
        self._hear = hear
        self._consumer: KeyedConsumer | None = None
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        while not self._stopping.is_set():
            try:
                async with self._open_publisher() as publisher:
                    await self._consume(publisher)
            except ProjectError as error:
                log.warning("channels_not_heard", error=type(error).__name__)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), PAUSE_S)

    async def stop(self, drain_timeout_s: float) -> None:
        self._stopping.set()
        if self._consumer is not None:
            await self._consumer.stop(drain_timeout_s)

    async def _consume(self, publisher: KafkaPublisher) -> None:
        if self._stopping.is_set():
            return
        self._consumer = KeyedConsumer(
            self._settings,
            topic=CHANNELS,
            group=GROUP,
            handler=self._handle,
            publisher=publisher,
            service=GROUP,
            wants=wants,
        )
        try:
            await self._consumer.run()
        finally:
            self._consumer = None

    async def _handle(self, batch: KeyBatch) -> None:
        for record in batch.records:
            await self._hear(decode(record.value))
