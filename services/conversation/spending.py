"""The day's counts of each Page: kept in the database, written and read behind the turns' backs.

A call counts from before it is made, so that those in flight are known to the next one.

A turn never waits for them, but for one read where this process sees a Page for the first time that
day. Every `SYNC_EVERY_S` all that was counted meanwhile goes out in one write, and what other
replicas counted comes in with one read. ADR 0030 says what that costs: a killed process forgets its
last seconds, and replicas together may go over a limit by what they spend in that time.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog
from prometheus_client import Counter

from libs.common.channels import ChannelSettings
from libs.common.errors import TransientError
from libs.common.mongo import (
    BulkWriter,
    Database,
    Document,
    GroupReader,
    UpdateOne,
    ensure_expiry,
)
from services.conversation.asking import Settle
from services.conversation.domain.spending import Spent, day_of, has_limits, is_over

COLLECTION = "spending"
SYNC_EVERY_S = 2.0
ACTIVE_S = 60.0
"""How long after its last turn a Page's count is kept fresh. Later it is as old as that turn, until
the next one."""
KEPT = timedelta(days=90)
MOST_LABELS = 500
OTHER = "other"

PAGE_CALLS = Counter("assistant_page_model_calls_total", "Calls of the model.", ["page"])
PAGE_TOKENS = Counter(
    "assistant_page_model_tokens_total",
    "Tokens, as the provider counts them.",
    ["page", "direction"],
)

log = structlog.get_logger(__name__)


class Counts(Protocol):
    """Where the counts are kept; tests keep them in memory."""

    async def add(self, counted: Mapping[tuple[str, str], Spent]) -> None:
        """Add what was counted, by page and day."""
        ...

    async def read(self, page_id: str, day: str) -> Spent:
        """What all replicas have counted."""
        ...


class SpendingStore:
    """`spending`: one document a Page and day. A time to live ends it."""

    def __init__(self, database: Database) -> None:
        self._collection = database[COLLECTION]
        self._reader = GroupReader(self._collection)
        self._writer = BulkWriter(self._collection)

    async def ensure_indexes(self) -> None:
        await ensure_expiry(self._collection, "at", KEPT)

    async def add(self, counted: Mapping[tuple[str, str], Spent]) -> None:
        writes = [
            self._writer.enqueue(_addition(page_id, day, spent))
            for (page_id, day), spent in counted.items()
        ]
        await asyncio.gather(*writes)

    async def read(self, page_id: str, day: str) -> Spent:
        return _spent(await self._reader.read(f"{page_id}:{day}"))


def _addition(page_id: str, day: str, spent: Spent) -> UpdateOne:
    return UpdateOne(
        {"_id": f"{page_id}:{day}"},
        {
            "$inc": {
                "calls": spent.calls,
                "input_tokens": spent.input_tokens,
                "output_tokens": spent.output_tokens,
            },
            "$setOnInsert": {"page_id": page_id, "day": day, "at": datetime.now(UTC)},
        },
        upsert=True,
    )


def _spent(document: Document | None) -> Spent:
    found = document or {}
    return Spent(found.get("calls", 0), found.get("input_tokens", 0), found.get("output_tokens", 0))


class _Day:
    """One Page's day as this process knows it."""

    def __init__(self, stored: Spent) -> None:
        self.stored = stored
        self.wanted_at = 0.0


class SpendingKeeper:
    """Counts, and keeps the counts in step with the database while it runs."""

    def __init__(
        self,
        counts: Counts,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._counts = counts
        self._clock = clock
        self._days: dict[tuple[str, str], _Day] = {}
        self._counted: dict[tuple[str, str], Spent] = {}
        self._on_its_way: dict[tuple[str, str], Spent] = {}
        self._pages: set[str] = set()
        self._stopping = asyncio.Event()

    async def begin(self, page_id: str, limits: ChannelSettings, expected: Spent) -> Settle | None:
        """Count a call that is about to be made; None: a limit is reached, so none may be.

        What is expected is in `today` at once and in the database a little later, and so is the
        difference when it is settled. A call that nobody settles has cost what was expected.

        Raises:
            MongoUnavailableError: as `today`.
        """
        if has_limits(limits) and is_over(limits, await self.today(page_id)):
            return None
        # nothing is awaited in between: of two who ask at once, the second knows of the first
        key = (page_id, day_of(self._clock()))
        self._add(key, expected)
        label = self._label(page_id)
        PAGE_CALLS.labels(label).inc(expected.calls)

        def settle(spent: Spent) -> None:
            self._add(key, spent - expected)  # of the day on which it began
            PAGE_TOKENS.labels(label, "input").inc(spent.input_tokens)
            PAGE_TOKENS.labels(label, "output").inc(spent.output_tokens)

        return settle

    def _add(self, key: tuple[str, str], spent: Spent) -> None:
        self._counted[key] = self._counted.get(key, Spent()) + spent

    async def today(self, page_id: str) -> Spent:
        """What the Page has spent today, as far as this process knows.

        Raises:
            MongoUnavailableError: it is asked for the first time today, and the database is away.
        """
        key = (page_id, day_of(self._clock()))
        known = self._days.get(key)
        if known is None:
            known = self._days.setdefault(key, _Day(await self._counts.read(*key)))
        known.wanted_at = time.monotonic()
        nothing = Spent()
        return known.stored + self._on_its_way.get(key, nothing) + self._counted.get(key, nothing)

    async def run(self) -> None:
        """Keep in step until `stop`; then once more."""
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), SYNC_EVERY_S)
            await self._try_to_sync()
        await self._try_to_sync()  # what was counted while the last one was under way

    async def _try_to_sync(self) -> None:
        try:
            await self.sync()
        except TransientError as error:
            log.warning("spending_not_stored", error=type(error).__name__)

    async def stop(self, drain_timeout_s: float) -> None:
        self._stopping.set()

    async def sync(self) -> None:
        """Write what was counted, and read what others did.

        Raises:
            MongoUnavailableError: what was counted is kept, for the next time. If the write
                happened all the same it counts twice: too much rather than too little.
        """
        await self._write()
        await self._read()

    async def _write(self) -> None:
        self._on_its_way, self._counted = self._counted, {}
        if not self._on_its_way:
            return
        try:
            await self._counts.add(self._on_its_way)
        except BaseException:
            for key, spent in self._on_its_way.items():
                self._add(key, spent)
            self._on_its_way = {}
            raise
        for key, spent in self._on_its_way.items():
            if key in self._days:
                self._days[key].stored += spent
        self._on_its_way = {}

    async def _read(self) -> None:
        today, oldest = day_of(self._clock()), time.monotonic() - ACTIVE_S
        self._days = {key: day for key, day in self._days.items() if key[1] == today}
        active = {key: day for key, day in self._days.items() if day.wanted_at >= oldest}
        stored = await asyncio.gather(*[self._counts.read(*key) for key in active])
        for day, spent in zip(active.values(), stored, strict=True):
            day.stored = spent

    def _label(self, page_id: str) -> str:
        """The first so many Pages by name, then all others together."""
        if page_id not in self._pages and len(self._pages) < MOST_LABELS:
            self._pages.add(page_id)
        return page_id if page_id in self._pages else OTHER
