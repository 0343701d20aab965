"""Counts into the generation that is live; when a rebuild makes another one live, into that one.

Each generation has its own collections and its own consumer group. So a rebuild and the service
never meet: the rebuild leaves its group's offsets where it ended, and the service goes on there.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from libs.common.errors import TransientError
from libs.common.kafka import KeyedConsumer
from services.analytics.store import AnalyticsStore, Generations

LOOK_EVERY_S = 5.0
HAND_OVER_S = 5.0

log = structlog.get_logger(__name__)

MakeConsumer = Callable[[AnalyticsStore, str], KeyedConsumer]
"""Of a generation's store, and the name of its group."""


def group_of(generation: int) -> str:
    return "analytics" if generation == 0 else f"analytics-{generation}"


class Counting:
    """Runs a consumer for as long as its generation is the live one."""

    def __init__(
        self,
        generations: Generations,
        make_consumer: MakeConsumer,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._generations = generations
        self._make_consumer = make_consumer
        self._look_every_s = look_every_s
        self._consumer: KeyedConsumer | None = None
        self._stopping = asyncio.Event()
        self._drain_timeout_s = HAND_OVER_S
        self._finished = asyncio.Event()

    async def run(self) -> None:
        """Return after `stop`. Raises what the consumer raises."""
        try:
            while not self._stopping.is_set():
                generation = await self._live(None)
                if generation is not None:
                    await self._count(generation)
        finally:
            self._finished.set()

    async def stop(self, drain_timeout_s: float) -> None:
        self._drain_timeout_s = drain_timeout_s
        self._stopping.set()
        await self._finished.wait()

    async def is_ready(self) -> bool:
        return self._consumer is not None and await self._consumer.is_ready()

    async def _count(self, generation: int) -> None:
        """Until another generation is live, or `stop`."""
        log.info("counting", generation=generation)
        store = self._generations.store(generation)
        consumer = self._consumer = self._make_consumer(store, group_of(generation))
        counting = asyncio.create_task(consumer.run(), name="analytics-consumer")
        changed = asyncio.create_task(self._until_changed(generation), name="analytics-generation")
        try:
            await asyncio.wait({counting, changed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
            await asyncio.gather(changed, return_exceptions=True)
            await consumer.stop(self._drain_timeout_s)
            self._consumer = None
        await counting

    async def _until_changed(self, generation: int) -> None:
        while not self._stopping.is_set():
            await self._pause()
            if await self._live(generation) != generation:
                return

    async def _live(self, otherwise: int | None) -> int | None:
        try:
            return await self._generations.live()
        except TransientError as error:
            log.warning("generation_unknown", error=type(error).__name__)
            if otherwise is None:
                await self._pause()
            return otherwise

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), self._look_every_s)
