"""Keeps the inbox's rows: from the log, and of what was before them, from the archive.

Conversations that are older than rows get theirs in the background, once, after this version has
begun to run; or with their next event, should that be sooner. Rows that are there stay as they are.
The first pass over all conversations is followed by a second, when no process of the version before
can be writing conversations without rows any more; then a note is left that it is over.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import structlog

from libs.common.erasures import Erased, NobodyErased, is_erased
from libs.common.errors import TransientError
from libs.common.mongo import Database, Document, mongo_errors
from services.conversation.domain.contacts import Person
from services.conversation.domain.inbox_rows import empty_row, ms_of
from services.conversation.domain.inbox_start import LATEST, Counted, row_before
from services.conversation.domain.profiles import Profile
from services.conversation.inbox_store import Arrivals, InboxStore, Start

UPGRADE = "inbox-rows-1"
AT_ONCE = 100
BETWEEN_PASSES_S = 900.0
PAUSE_S = 5.0
REST = 2.0  # so many times as long as a step took is nothing done: a third of one core at most
FEW = 50
"""Conversations of no more messages of the person are read together."""

T = TypeVar("T")
Step = Callable[[], Awaitable[T]]

log = structlog.get_logger(__name__)


class ArchiveReader:
    """Rows as they begin, from what this service has kept."""

    def __init__(self, database: Database, own_app_id: str) -> None:
        self._conversations = database["conversations"]
        self._messages = database["messages"]
        self._people = database["people"]
        self._own_app_id = own_app_id

    async def names(self, after: str) -> list[str]:
        """The next conversations, in the order of their names."""
        with mongo_errors():
            cursor = self._conversations.find({"_id": {"$gt": after}}, {"_id": 1})
            found = await cursor.sort([("_id", 1)]).limit(AT_ONCE).to_list(AT_ONCE)
        return [each["_id"] for each in found]

    async def starts(self, read_until_ms: Mapping[str, int]) -> dict[str, Start]:
        """Of these conversations, what is known of each.

        Args:
            read_until_ms: for each name, what is no later counts as looked at.
        """
        names = list(read_until_ms)
        with mongo_errors():
            cursor = self._conversations.find({"_id": {"$in": names}}, {"state": 0, "sending": 0})
            found = await cursor.to_list(None)
        profiles = await self.profiles(names)
        few = [each["_id"] for each in found if each.get("inbound_count", 0) <= FEW]
        messages = await self._some(few)
        starts = {}
        for each in found:
            name, counted = each["_id"], None
            if name not in messages:
                messages[name], counted = await self._latest(name)
            row = row_before(each, messages[name], self._own_app_id, read_until_ms[name], counted)
            if row.last_activity_at is not None:
                starts[name] = Start(row, profiles.get(name, Profile()))
        return starts

    async def profiles(self, names: Sequence[str]) -> dict[str, Profile]:
        """Of those of these people that are known."""
        with mongo_errors():
            found = await self._people.find({"_id": {"$in": list(names)}}).to_list(None)
        return {each["_id"]: Person.model_validate(each).profile for each in found}

    async def _some(self, names: Sequence[str]) -> dict[str, list[Document]]:
        """All messages of each; left out is whoever turns out to have too many."""
        gathered: dict[str, list[Document]] = {name: [] for name in names}
        most = LATEST * AT_ONCE
        if names:
            with mongo_errors():
                cursor = self._messages.find({"conversation": {"$in": list(names)}}, _READ)
                found = await cursor.limit(most).to_list(most)
            for each in found:
                gathered[each["conversation"]].append(each)
            if len(found) == most:
                return {}
        return {name: each for name, each in gathered.items() if len(each) < LATEST}

    async def _latest(self, name: str) -> tuple[list[Document], Counted | None]:
        of_it = {"conversation": name, "at": {"$gt": _EVER}}
        with mongo_errors():
            cursor = self._messages.find(of_it, _READ).sort([("at", -1), ("_id", -1)])
            found = await cursor.limit(LATEST).to_list(LATEST)
            if len(found) < LATEST:
                return found, None
            inbound = await self._messages.count_documents({**of_it, "direction": "in"})
            reached = [
                {"send_id": None},
                {"outcome.is_sent": True},
                {"echo.mid": {"$gt": ""}},
            ]
            outbound = await self._messages.count_documents(
                {**of_it, "direction": "out", "$or": reached}
            )
        return found, Counted(inbound, outbound)


class InboxKeeper:
    """Events in, rows out; and a worker that makes those of before."""

    def __init__(
        self,
        database: Database,
        rows: InboxStore,
        own_app_id: str,
        erased: Erased | None = None,
    ) -> None:
        self._erased = erased or NobodyErased()
        self._upgrades = database["upgrades"]
        self._conversations = database["conversations"]
        self._archive = ArchiveReader(database, own_app_id)
        self._rows = rows
        self._own_app_id = own_app_id
        self._is_complete = False
        self._stopping = asyncio.Event()

    async def note(self, arrivals: Arrivals) -> None:
        """Return when the events are in the rows. Doing so again changes nothing.

        Raises:
            RowChangedError: the same again will pass.
        """
        nameless: set[str] = set()

        async def before(names: Sequence[str], arrivals: Arrivals) -> Mapping[str, Start]:
            starts = await self._before(names, arrivals)
            nameless.update(each for each in names if not _is_named(starts.get(each)))
            return starts

        await self._rows.note(arrivals, self._own_app_id, before)
        await self._name(nameless)

    async def _name(self, names: Collection[str]) -> None:
        """Of these, the row is new. A name that came between our look for it and the row's being
        there found no row to go to, so we look once more."""
        if not names:
            return
        for name, profile in (await self._archive.profiles(list(names))).items():
            if profile.shown_name:
                await self._rows.name(name, profile)

    async def look(self) -> None:
        """Find out whether every conversation has its row. So it is where there is none at all."""
        with mongo_errors():
            if await self._upgrades.find_one({"_id": UPGRADE}) is not None:
                self._is_complete = True
            elif await self._conversations.find_one({}, {"_id": 1}) is None:
                await self._leave_note()

    async def run(self) -> None:
        """Make rows where they are missing; then there is nothing to do until `stop`."""
        for number in (1, 2):
            if self._is_complete:
                break
            if number > 1:
                await self._wait(BETWEEN_PASSES_S)
            await self._pass()
        if not self._stopping.is_set() and not self._is_complete:
            await self._again_until_done(self._leave_note)
        await self._stopping.wait()

    async def stop(self, drain_timeout_s: float) -> None:
        """It may end anywhere: what is missing is made after the next start."""
        del drain_timeout_s
        self._stopping.set()

    async def fill(self, names: Sequence[str]) -> int:
        """Make the rows that these conversations lack; how many they were.

        Whoever was erased while their messages were read gets none.
        """
        missing = await self._rows.without_row(names)
        now_ms = ms_of(datetime.now(UTC))
        starts = await self._archive.starts(dict.fromkeys(missing, now_ms)) if missing else {}
        made = [each for name, each in starts.items() if not self._is_gone(name, each)]
        await self._rows.add(made)
        return len(made)

    async def _before(self, names: Sequence[str], arrivals: Arrivals) -> Mapping[str, Start]:
        """What is new in these conversations is not looked at yet."""
        if not self._is_complete:
            oldest = {name: _oldest_ms(arrivals, name) for name in names}
            return await self._archive.starts({name: at - 1 for name, at in oldest.items()})
        profiles = await self._archive.profiles(names)
        return {name: Start(empty_row(name), profile) for name, profile in profiles.items()}

    def _is_gone(self, name: str, start: Start) -> bool:
        """Raises: StaleTombstonesError."""
        latest = start.row.last_activity_at
        return latest is not None and is_erased(self._erased, name, latest)

    async def _pass(self) -> None:
        names, made = await self._next(""), 0
        while names and not self._stopping.is_set():
            began = time.monotonic()
            made += await self._again_until_done(partial(self.fill, names)) or 0
            await self._wait((time.monotonic() - began) * REST)
            names = await self._next(names[-1])
        log.info("inbox_rows_made", count=made)

    async def _next(self, after: str) -> list[str]:
        return await self._again_until_done(partial(self._archive.names, after)) or []

    async def _again_until_done(self, step: Step[T]) -> T | None:
        """None: the service stops."""
        while not self._stopping.is_set():
            try:
                return await step()
            except TransientError:
                await self._wait(PAUSE_S)
        return None

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _leave_note(self) -> None:
        with mongo_errors():
            done = {"$set": {"finished_at": datetime.now(UTC)}}
            await self._upgrades.update_one({"_id": UPGRADE}, done, upsert=True)
        self._is_complete = True


def _is_named(start: Start | None) -> bool:
    return start is not None and start.profile is not None and bool(start.profile.shown_name)


def _oldest_ms(arrivals: Arrivals, name: str) -> int:
    return min(ms_of(each.event.occurred_at) for each in arrivals[name])


_EVER = datetime.min.replace(tzinfo=UTC)
_READ = {"reactions": 0, "attached.items.payload_json": 0}
