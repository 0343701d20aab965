"""Looks for what is due: timers, facts that a crash kept untold, rows that nobody needs any more.

Every replica looks, twice a second, by the wall clock: a step of the clock moves what is due with
it. Of all who find something, one leases it; of all who act on it, one compare-and-set wins.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import structlog
from prometheus_client import Gauge

from libs.common.errors import TransientError
from services.takeover.roster import Due, Lease

EVERY_S = 0.5
COUNT_EVERY_S = 5.0
AT_ONCE = 500  # rows taken up together
SIDE_BY_SIDE = 50
LATE = timedelta(seconds=2)

IN_TAKEOVER = Gauge(
    "assistant_takeovers_open", "Conversations in takeover; the same in each replica."
)
OVERDUE = Gauge(
    "assistant_takeover_timers_overdue", "Timers that are late by more than two seconds."
)

log = structlog.get_logger(__name__)


class Caretaker(Protocol):
    """What the timers need of `Keeper`."""

    async def look_after(self, lease: Lease) -> None: ...


class Rows(Protocol):
    """What the timers need of `Roster`."""

    async def due(self, now: datetime, limit: int) -> list[Due]: ...

    async def lease(self, due: Due, now: datetime) -> Lease | None: ...

    async def count(self, **which: Any) -> int: ...  # noqa: ANN401


class Timers:
    """Runs until it is stopped; an outage of the database only makes it late."""

    def __init__(
        self,
        keeper: Caretaker,
        rows: Rows,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._keeper = keeper
        self._rows = rows
        self._clock = clock
        self._stopping = asyncio.Event()
        self._finished = asyncio.Event()
        self._count_again_at = 0.0

    async def run(self) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    more = await self._round()
                    await self._count()
                except TransientError as error:
                    more = False
                    log.warning("timers_wait", error=type(error).__name__)
                if not more:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._stopping.wait(), EVERY_S)
        finally:
            self._finished.set()

    async def stop(self, drain_timeout_s: float) -> None:
        """What has begun ends within the time; what does not is somebody else's soon."""
        self._stopping.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._finished.wait(), drain_timeout_s)

    async def _round(self) -> bool:
        """Look after what is due; whether there may be more."""
        found = await self._rows.due(self._clock(), AT_ONCE)
        slots = asyncio.Semaphore(SIDE_BY_SIDE)

        async def one(due: Due) -> None:
            async with slots:
                lease = await self._rows.lease(due, self._clock())
                if lease is not None:
                    await self._keeper.look_after(lease)

        results = await asyncio.gather(*(one(due) for due in found), return_exceptions=True)
        for due, result in zip(found, results, strict=True):
            if isinstance(result, TransientError):
                log.warning("due_later", error=type(result).__name__)
            elif isinstance(result, Exception):  # of this conversation only: others go on
                log.error("due_failed", conversation=due.conversation, exc_info=result)
            elif isinstance(result, BaseException):
                raise result
        return len(found) >= AT_ONCE and not self._stopping.is_set()

    async def _count(self) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._count_again_at:
            return
        self._count_again_at = now + COUNT_EVERY_S
        IN_TAKEOVER.set(await self._rows.count())
        OVERDUE.set(await self._rows.count(auto_resume_at={"$lt": self._clock() - LATE}))
