"""Who was erased, and when: what every consumer has to know so that nothing comes back.

The log keeps for days what was said to and by somebody whose data are gone: receipts, copies,
replays, a rebuild. A tombstone says so without naming the person: the hash of the conversation's
name, and the moment up to which everything is as if it had never been. Who writes again later is
somebody new.

The console writes `tombstones`; the others look once a second and keep all of them in memory, as
they are few. Who has not been able to look for a while handles nothing. So `LEAD` after a tombstone
was written, no process takes in anything of that person any more.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from libs.common.errors import TransientError
from libs.common.events import AnyRecord, ConversationRecord, derived_id
from libs.common.mongo import TOMBSTONES, Database, ensure_expiry, mongo_errors

LOOK_EVERY_S = 1.0
KNOWN_FOR_S = 5.0
MOST_LOOKS = 5  # at the same time: older ones could not tell anything that is young enough
LEAD = timedelta(seconds=8)
OVERLAP = timedelta(minutes=20)  # what a look asks for again: clocks differ, replicas lag
KEEP = timedelta(days=40)
"""Dead letters are kept for 30 days, and what is replayed for 7 more."""

log = structlog.get_logger(__name__)


class StaleTombstonesError(TransientError):
    """Nobody can tell at present who was erased."""

    code = "tombstones_unknown"


class Erased(Protocol):
    """What consumers need of `Tombstones`."""

    def erased_at(self, conversation: str) -> datetime | None: ...


class NobodyErased:
    """For whoever reads a world without erasures."""

    def erased_at(self, conversation: str) -> datetime | None:
        del conversation
        return None


def name_of(conversation: str) -> str:
    """How a tombstone calls a conversation (`page_id:psid`)."""
    return derived_id("erased", conversation)


def is_erased(erased: Erased, conversation: str, occurred_at: datetime) -> bool:
    """Whether what happened then in a conversation is as if it had never been.

    Raises:
        StaleTombstonesError: nobody knows.
    """
    until = erased.erased_at(conversation)
    return until is not None and occurred_at <= until


def is_of_erased(erased: Erased, event: AnyRecord) -> bool:
    """The same for an event; one that names no person is nobody's."""
    return isinstance(event, ConversationRecord) and is_erased(
        erased, event.conversation_id, event.occurred_at
    )


class Tombstones:
    """All of them, as they were a second ago. A worker keeps them so."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._tombstones = database[TOMBSTONES]
        self._clock = clock
        self._known: dict[str, datetime] = {}
        self._looked_at = float("-inf")
        self._newest: datetime | None = None
        self._stopping = asyncio.Event()

    def erased_at(self, conversation: str) -> datetime | None:
        """Up to when a conversation's person was erased; None: they were not.

        Raises:
            StaleTombstonesError: it is too long ago that the database was asked.
        """
        if self._clock() - self._looked_at > KNOWN_FOR_S:
            raise StaleTombstonesError("not looked for too long")
        return self._known.get(name_of(conversation)) if self._known else None

    async def look(self) -> None:
        """An answer that is older than another one which came before it undoes nothing.

        Raises:
            MongoUnavailableError
        """
        began = self._clock()
        wanted = {} if self._newest is None else {"written_at": {"$gte": self._newest - OVERLAP}}
        with mongo_errors():
            found = await self._tombstones.find(wanted).to_list(None)
        for each in found:
            known = self._known.get(each["_id"], each["erased_at"])
            self._known[each["_id"]] = max(known, each["erased_at"])
        written = [each["written_at"] for each in found]
        self._newest = max(filter(None, (self._newest, *written)), default=None)
        self._looked_at = max(self._looked_at, began)

    async def run(self) -> None:
        """A look each second, also while the last ones have no answer yet: one after the other,
        what is known would be twice as old as the database is slow, and everybody would stand
        still where it takes two seconds."""
        async with asyncio.TaskGroup() as group:
            looks: set[asyncio.Task[None]] = set()
            while not self._stopping.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), LOOK_EVERY_S)
                if len(looks) < MOST_LOOKS:
                    look = group.create_task(self._try_to_look(), name="tombstones-look")
                    looks.add(look)
                    look.add_done_callback(looks.discard)
            for look in looks:
                look.cancel()  # nobody needs to know any more

    async def _try_to_look(self) -> None:
        try:
            await self.look()
        except TransientError as error:
            log.warning("tombstones_unknown", error=type(error).__name__)

    async def stop(self, drain_timeout_s: float) -> None:
        """Told last of all workers: the others need to know until they have ended."""
        del drain_timeout_s
        self._stopping.set()


@asynccontextmanager
async def known_erased(database: Database) -> AsyncIterator[Tombstones]:
    """For tools that run for a while: kept up to date, as somebody may be erased meanwhile."""
    tombstones = Tombstones(database)
    await tombstones.look()
    looking = asyncio.create_task(tombstones.run(), name="tombstones")
    try:
        yield tombstones
    finally:
        await tombstones.stop(0)
        await looking


class TombstoneStore:
    """For the console, which alone writes them."""

    def __init__(self, database: Database) -> None:
        self._tombstones = database[TOMBSTONES]

    async def ensure_indexes(self) -> None:
        await ensure_expiry(self._tombstones, "erased_at", KEEP)
        with mongo_errors():
            await self._tombstones.create_index("written_at")

    async def erased_at(self, conversations: Collection[str]) -> dict[str, datetime]:
        """Of these, those that were erased, and up to when."""
        names = {name_of(each): each for each in conversations}
        with mongo_errors():
            found = await self._tombstones.find({"_id": {"$in": [*names]}}).to_list(None)
        return {names[each["_id"]]: each["erased_at"] for each in found}

    async def put(self, conversation: str, erased_at: datetime, now: datetime) -> None:
        """The moment only ever moves forward. So does `written_at` from one to the next: whoever
        looks for what is newer finds this one, even if a clock has been ahead by days."""
        with mongo_errors():
            newest = await self._tombstones.find({}).sort("written_at", -1).limit(1).to_list(1)
            written_at = max(now, *(each["written_at"] for each in newest)) if newest else now
            await self._tombstones.update_one(
                {"_id": name_of(conversation)},
                {"$max": {"erased_at": erased_at, "written_at": written_at}},
                upsert=True,
            )
