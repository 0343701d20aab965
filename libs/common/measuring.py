"""Looks from time to time at something in the database that a gauge tells: how many, how old."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from libs.common.errors import TransientError

EVERY_S = 15.0

log = structlog.get_logger(__name__)


class Measuring:
    """A worker. While the database is away the gauges stay as they were."""

    def __init__(self, measure: Callable[[], Awaitable[None]], every_s: float = EVERY_S) -> None:
        self._measure = measure
        self._every_s = every_s
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._measure()
            except (TransientError, OSError) as error:
                log.warning("not_measured", error=type(error).__name__)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._every_s)

    async def stop(self, drain_timeout_s: float) -> None:
        del drain_timeout_s  # nothing is lost
        self._stopping.set()
