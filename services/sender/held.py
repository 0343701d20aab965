"""How many parts are held, and since when the first of them: somebody has to decide about each."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from prometheus_client import Gauge

HELD = Gauge("assistant_held_parts", "Parts that are held; the same in each replica.")
OLDEST = Gauge(
    "assistant_held_oldest_seconds",
    "For how long the first of them has been; the same in each replica. 0: none is.",
)


class Parts(Protocol):
    """What is needed of `ReviewStore`."""

    async def held(self) -> tuple[int, datetime | None]: ...


async def measure_held(parts: Parts, now: Callable[[], datetime]) -> None:
    count, first_at = await parts.held()
    HELD.set(count)
    OLDEST.set(max(0.0, (now() - first_at).total_seconds()) if first_at else 0.0)
