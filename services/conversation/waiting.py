"""Counts who waits for a human, as the inbox's rows have it: how many, since when, on which Pages.

Every replica counts the same, so of several the highest is the truth, never the sum.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from prometheus_client import Gauge

COUNT_EVERY_S = 10.0
MOST_LABELS = 500
OTHER = "other"

WAITING = Gauge(
    "assistant_waiting_conversations",
    "Conversations that wait for a human; the same in each replica.",
)
OLDEST = Gauge(
    "assistant_waiting_oldest_seconds",
    "How long the longest of them has waited; the same in each replica.",
)
PAGE_WAITING = Gauge(
    "assistant_page_waiting_conversations",
    "Of each Page, those that wait for a human; the same in each replica.",
    ["page"],
)


@dataclass(frozen=True)
class Waiting:
    """Of one Page: how many, and when the first of them asked."""

    number: int
    since: datetime | None


class Rows(Protocol):
    """What counting needs of `InboxStore`."""

    async def waiting(self) -> Mapping[str, Waiting]: ...


class Census:
    """Remembers which Pages have a label already."""

    def __init__(
        self, rows: Rows, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._rows = rows
        self._clock = clock
        self._pages: set[str] = set()

    async def count(self) -> None:
        """Raises: MongoUnavailableError."""
        found = await self._rows.waiting()
        WAITING.set(sum(each.number for each in found.values()))
        since = min((each.since for each in found.values() if each.since), default=None)
        OLDEST.set(max(0.0, (self._clock() - since).total_seconds()) if since else 0.0)
        self._count_pages(found)

    def _count_pages(self, found: Mapping[str, Waiting]) -> None:
        """A Page where somebody has waited once keeps its label, at 0 when nobody does."""
        numbers = dict.fromkeys(self._pages, 0)
        for page_id, waiting in found.items():
            label = self._label(page_id)
            numbers[label] = numbers.get(label, 0) + waiting.number
        for label, number in numbers.items():
            PAGE_WAITING.labels(label).set(number)

    def _label(self, page_id: str) -> str:
        if page_id not in self._pages and len(self._pages) >= MOST_LABELS:
            self._pages.add(OTHER)
            return OTHER
        self._pages.add(page_id)
        return page_id
