"""How long a workspace keeps messages, and who carries it out: each service for what it stores.

The console writes the wish, `workspaces.keep_messages_days`. Services look once in a while which
Pages belong to workspaces that have one, and take a Page at a time: of several processes one has
it, by a lease that it renews as it goes on. Whoever ends in the middle is followed by somebody else
when the lease is over; what is done twice does no harm.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import uuid4

import structlog
from prometheus_client import Counter

from libs.common.channels import CHANNELS_COLLECTION
from libs.common.errors import TransientError
from libs.common.mongo import Database, DuplicateKeyError, mongo_errors

WORKSPACES_COLLECTION = "workspaces"
SHORTEST_DAYS, LONGEST_DAYS = 7, 3650
"""A week at least: what is on the log may be read again, and has to be known then."""

LOOK_EVERY_S = 60.0
EVERY = timedelta(hours=1)
LEASE = timedelta(minutes=5)
REST = 3.0
"""So many times as long as a step took is nothing done: a quarter of one core at most."""

EXPIRED = Counter(
    "assistant_expired_total",
    "Documents that went, or lost their texts, because a workspace keeps messages no longer.",
    ["collection"],
)
EXPIRY_FAILURES = Counter(
    "assistant_expiry_failures_total",
    "Conversations or Pages whose older messages could not be seen to, by a mistake of ours.",
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Step:
    """What a step did: numbers of documents by collection. `place`: where the next one begins."""

    counts: Mapping[str, int]
    place: str | None = None


class Expirer(Protocol):
    """What a service does about the messages of one Page."""

    async def begin(self, page_id: str, until: datetime, days: int) -> None:
        """Once, before the first step; safe to repeat."""

    async def step(self, page_id: str, until: datetime, days: int, place: str) -> Step:
        """A little of it; the first one has the place "". Safe to repeat."""


@dataclass(frozen=True)
class Lease:
    """The right to see to one Page."""

    page_id: str
    days: int
    token: str


class Periods:
    """Which Pages keep messages for how many days; one that is not there keeps them for ever."""

    def __init__(self, database: Database) -> None:
        self._workspaces = database[WORKSPACES_COLLECTION]
        self._channels = database[CHANNELS_COLLECTION]

    async def all(self) -> dict[str, int]:
        """Disconnected Pages as well: their conversations are kept."""
        with mongo_errors():
            found = await self._workspaces.find(
                {"keep_messages_days": {"$gte": SHORTEST_DAYS}}, {"keep_messages_days": 1}
            ).to_list(None)
            days = {each["_id"]: int(each["keep_messages_days"]) for each in found}
            wanted = {"workspace_id": {"$in": [*days]}}
            pages = await self._channels.find(wanted, {"workspace_id": 1}).to_list(None)
        return {each["_id"]: days[each["workspace_id"]] for each in pages}

    async def of(self, page_id: str) -> int | None:
        """None: for ever."""
        with mongo_errors():
            page = await self._channels.find_one({"_id": page_id}, {"workspace_id": 1})
            workspace = await self._workspaces.find_one(
                {"_id": (page or {}).get("workspace_id")}, {"keep_messages_days": 1}
            )
        return (workspace or {}).get("keep_messages_days")


class Leases:
    """A collection of its service's own: `_id` = page id, when it is due again, who has it."""

    def __init__(self, database: Database, collection: str, every: timedelta = EVERY) -> None:
        self._pages = database[collection]
        self._every = every

    async def take(self, page_id: str, days: int, now: datetime) -> Lease | None:
        """Of any number who ask for a Page that is due, or whose period is another one, one gets
        it."""
        lease = Lease(page_id, days, uuid4().hex)
        due = {"$or": [{"next_at": {"$lte": now}}, {"days": {"$ne": days}}]}
        change = {"$set": {"next_at": now + LEASE, "days": days, "token": lease.token}}
        try:
            with mongo_errors():
                await self._pages.update_one({"_id": page_id, **due}, change, upsert=True)
                found = await self._pages.find_one({"_id": page_id, "token": lease.token})
        except DuplicateKeyError:  # it is there, and not due
            return None
        return lease if found is not None else None

    async def renew(self, lease: Lease, now: datetime) -> bool:
        """Whether it is still ours."""
        return await self._set(lease, now + LEASE)

    async def done(self, lease: Lease, now: datetime) -> None:
        await self._set(lease, now + self._every)

    async def _set(self, lease: Lease, next_at: datetime) -> bool:
        wanted = {"_id": lease.page_id, "token": lease.token}
        with mongo_errors():
            done = await self._pages.update_one(wanted, {"$set": {"next_at": next_at}})
        return bool(done.matched_count)


class Sweeper:
    """Sees to all Pages that have a period, whenever they are due; a worker of its service."""

    def __init__(
        self,
        periods: Periods,
        leases: Leases,
        expirer: Expirer,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._periods = periods
        self._leases = leases
        self._expirer = expirer
        self._clock = clock
        self._look_every_s = look_every_s
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        while not self._stopping.is_set():
            try:
                await self.look()
            except TransientError as error:
                log.warning("expiry_interrupted", error=type(error).__name__)
            await self._wait(self._look_every_s)

    async def stop(self, drain_timeout_s: float) -> None:
        """It may end after any step: the rest is done later, by whoever comes first."""
        del drain_timeout_s
        self._stopping.set()

    async def look(self) -> None:
        """See to every Page that is due."""
        for page_id, days in sorted((await self._periods.all()).items()):
            if self._stopping.is_set():
                return
            lease = await self._leases.take(page_id, days, self._clock())
            if lease is not None:
                await self._sweep_alone(lease)

    async def _sweep_alone(self, lease: Lease) -> None:
        """A Page that can't be seen to keeps neither the others' nor the service from going on.

        Its lease runs out, and it is tried again.
        """
        try:
            await self._sweep(lease)
        except TransientError:
            raise
        except Exception as error:
            EXPIRY_FAILURES.inc()
            log.exception("expiry_failed", page_id=lease.page_id, error=type(error).__name__)

    async def _sweep(self, lease: Lease) -> None:
        until, began_at = self._clock() - timedelta(days=lease.days), time.monotonic()
        totals: dict[str, int] = {}
        place: str | None = ""
        await self._expirer.begin(lease.page_id, until, lease.days)
        while place is not None:
            began = time.monotonic()
            step = await self._expirer.step(lease.page_id, until, lease.days, place)
            for name, count in step.counts.items():
                totals[name] = totals.get(name, 0) + count
                EXPIRED.labels(name).inc(count)
            place = step.place
            if not await self._may_go_on(lease):
                return
            if place is not None:
                await self._wait((time.monotonic() - began) * REST)
        await self._leases.done(lease, self._clock())
        if documents := sum(totals.values()):
            took_s = round(time.monotonic() - began_at, 1)
            log.info("messages_expired", page_id=lease.page_id, count=documents, duration_s=took_s)

    async def _may_go_on(self, lease: Lease) -> bool:
        """Not if somebody else has the Page now, or wants its messages to be kept for longer."""
        if self._stopping.is_set() or not await self._leases.renew(lease, self._clock()):
            return False
        return await self._periods.of(lease.page_id) == lease.days

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
