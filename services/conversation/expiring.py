"""Messages that a workspace keeps no longer: taken out of everything that this service keeps.

Which conversations have any is read from an index: `conversations.oldest_at` says that nothing in
one is older. Whoever archives a message moves it back, and this moves it on, by compare-and-set: a
message that comes late is found in the next hour.

Where nobody has written for as long, all else goes as well: row, name, picture, the share in a
contact. What is left names the person by their id alone, and tells copies from news; it goes
`REMEMBERED` later, when the log has forgotten them.
"""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog

from libs.common.erasures import KEEP, Erased, NobodyErased
from libs.common.errors import TransientError
from libs.common.mongo import Collection, Database, Document, mongo_errors
from libs.common.paging import After, behind_upwards
from libs.common.retention import EXPIRY_FAILURES, Step
from services.conversation.contacts_store import ChangedMeanwhileError
from services.conversation.domain.expiring import (
    latest_of,
    oldest_of,
    row_without_old,
    without_old,
)
from services.conversation.erasing import PersonEraser
from services.conversation.inbox_store import InboxStore, RowChangedError
from services.conversation.store import ConversationChangedError, ConversationStore, Stored

COLLECTION = "expiries"
REMEMBERED = KEEP + timedelta(days=3)
AT_ONCE = 50
MESSAGES_AT_ONCE = 500
NOTHING = datetime(9999, 1, 1, tzinfo=UTC)
"""`oldest_at` of a conversation of which nothing is left that could grow too old."""
RESTING = timedelta(minutes=10)
"""The state of a conversation that goes on is left to the next hour: the assistant may be writing
an answer, which would have to be written anew."""


log = structlog.get_logger(__name__)


class MessageExpirer:
    """`messages`, `conversations`, `inbox`, `people`, and shares in `contacts`."""

    def __init__(
        self,
        database: Database,
        eraser: PersonEraser,
        erased: Erased | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._expiries: Collection = database[COLLECTION]
        self._conversations = database["conversations"]
        self._messages = database["messages"]
        self._inbox = database["inbox"]
        self._people = database["people"]
        self._store = ConversationStore(database, erased or NobodyErased())
        self._rows = InboxStore(database)
        self._eraser = eraser
        self._clock = clock

    async def begin(self, page_id: str, until: datetime, days: int) -> None:
        """Before anything goes: whoever counts from the archive has to know where it ends."""
        del days
        with mongo_errors():
            await self._expiries.update_one({"_id": page_id}, {"$max": {"expired_until": until}})

    async def step(self, page_id: str, until: datetime, days: int, place: str) -> Step:
        """Some conversations. Those that can't be changed now are left to the next hour."""
        kind, _, rest = place.partition(" ")
        if kind == "unknown":
            return await self._unknown(page_id, until, days, rest)
        if kind == "rest":
            return Step({"conversations": await self._remove(page_id, until - REMEMBERED)})
        return await self._due(page_id, until, days, rest)

    async def _due(self, page_id: str, until: datetime, days: int, rest: str) -> Step:
        """The next ones that have something older: one that was seen to is none any more."""
        moment, _, name = rest.partition(" ")
        after = After(datetime.fromisoformat(moment), name) if moment else None
        older = behind_upwards("oldest_at", after)
        older["oldest_at"] = {**older.get("oldest_at", {}), "$lt": until}
        found = await self._found({"page_id": page_id, **older}, "oldest_at")
        counts = await self._expire_all(found, until, days)
        if len(found) < AT_ONCE:
            return Step(counts, "unknown")
        last = found[-1]
        return Step(counts, f"due {last['oldest_at'].isoformat()} {last['_id']}")

    async def _unknown(self, page_id: str, until: datetime, days: int, after: str) -> Step:
        """Those from before there was an `oldest_at`; they get one."""
        query = {"page_id": page_id, "oldest_at": None, "_id": {"$gt": after}}
        found = await self._found(query, "_id")
        counts = await self._expire_all(found, until, days)
        if len(found) < AT_ONCE:
            return Step(counts, "rest")
        return Step(counts, f"unknown {found[-1]['_id']}")

    async def _found(self, query: Document, first: str) -> list[Document]:
        order = [(first, 1)] if first == "_id" else [(first, 1), ("_id", 1)]
        with mongo_errors():
            cursor = self._conversations.find(query, _READ).sort(order)
            return await cursor.limit(AT_ONCE).to_list(AT_ONCE)

    async def _expire_all(self, found: list[Document], until: datetime, days: int) -> Counter[str]:
        counts: Counter[str] = Counter()
        for each in found:
            try:
                counts += await self._expire(each, until, days)
            except _CHANGED_MEANWHILE:  # somebody writes it at this moment
                continue
            except TransientError:
                raise
            except Exception as error:  # others' messages go all the same
                EXPIRY_FAILURES.inc()
                name = each["_id"]
                log.exception("expiry_failed", conversation=name, error=type(error).__name__)
        return counts

    async def _expire(self, found: Document, until: datetime, days: int) -> Counter[str]:
        name = found["_id"]
        counts = Counter(messages=await self._remove_messages(name, until))
        is_over = _is_idle(found, until) and await self._leave(name, until, counts)
        left = await self._shorten_state(found, until, is_over=is_over)
        if not is_over:
            await self._rows.change(name, partial(row_without_old, until=until))
        oldest_at = await self._oldest_at(found, left, until, is_over=is_over)
        change: Document = {"$set": {"oldest_at": oldest_at}}
        if counts["messages"]:
            change["$set"]["expired"] = {"until": until, "days": days}
        # not if a message has come late meanwhile
        unchanged = {"_id": name, "oldest_at": found.get("oldest_at")}
        with mongo_errors():
            await self._conversations.update_one(unchanged, change)
        return counts

    async def _remove_messages(self, name: str, until: datetime) -> int:
        """A stretch of an index at a time; and what came of messages that never came themselves."""
        removed, query = 0, {"conversation": name, "at": {"$lt": until}}
        while True:
            with mongo_errors():
                cursor = self._messages.find(query, {"_id": 1}).limit(MESSAGES_AT_ONCE)
                ids = [each["_id"] for each in await cursor.to_list(MESSAGES_AT_ONCE)]
                if ids:
                    done = await self._messages.delete_many({**query, "_id": {"$in": ids}})
                    removed += done.deleted_count
            if len(ids) < MESSAGES_AT_ONCE:
                break
        lone = await self._lone(name)
        old = [each["_id"] for each in lone if (latest_of(each) or until) <= until]
        if old:
            with mongo_errors():
                await self._messages.delete_many({"_id": {"$in": old}, "at": None})
        return removed

    async def _leave(self, name: str, until: datetime, counts: Counter[str]) -> bool:
        """Whoever has not written for so long is not known any more; False: they have just."""
        with mongo_errors():
            row = await self._inbox.find_one({"_id": name}, {"last_activity_at": 1})
            if row is not None:
                older = {"_id": name, "last_activity_at": {"$lt": until}}
                if not (await self._inbox.delete_one(older)).deleted_count:
                    return False
                counts["inbox"] += 1
        counts["contacts"] += await self._eraser.leave_contacts(name)
        with mongo_errors():
            people = await self._people.delete_one({"_id": name})
        self._eraser.forget(name)
        counts["people"] += people.deleted_count
        return True

    async def _shorten_state(
        self, found: Document, until: datetime, *, is_over: bool
    ) -> datetime | None:
        """When the oldest is of what the assistant remembers now."""
        stored: Stored = await self._store.load(found["_id"])
        shorter = without_old(stored.state, until)
        if shorter != stored.state:
            if not is_over and self._is_going_on(found):
                return until
            await self._store.save(stored, shorter)
        return oldest_of(shorter)

    def _is_going_on(self, found: Document) -> bool:
        latest = found.get("last_activity_at")
        return latest is not None and latest > self._clock() - RESTING

    async def _oldest_at(
        self, found: Document, remembered: datetime | None, until: datetime, *, is_over: bool
    ) -> datetime:
        """When to look again; at the latest when nobody will have written for as long.

        Where that is so already, what was tried since, or said of it, still has its own time.
        """
        name = found["_id"]
        with mongo_errors():
            first = (
                await self._messages.find({"conversation": name, "at": {"$gte": until}}, {"at": 1})
                .sort([("at", 1)])
                .limit(1)
                .to_list(1)
            )
        moments = [each["at"] for each in first]
        moments += [latest_of(each) for each in await self._lone(name)]
        if not is_over:
            moments += [remembered, found.get("last_activity_at")]
        known = [each for each in moments if each is not None]
        return max(min(known), until) if known else (NOTHING if is_over else until)

    async def _lone(self, name: str) -> list[Document]:
        """Edits, ends and reactions of messages that are not there."""
        with mongo_errors():
            cursor = self._messages.find(
                {"conversation": name, "at": None}, {"said.at": 1, "reactions": 1}
            )
            return await cursor.limit(MESSAGES_AT_ONCE).to_list(MESSAGES_AT_ONCE)

    async def _remove(self, page_id: str, until: datetime) -> int:
        """What is left of those whose time is long over."""
        query = {
            "page_id": page_id,
            "last_activity_at": {"$lt": until},
            "oldest_at": NOTHING,
            **_NOBODY_HAS_IT,
        }
        removed = 0
        while True:
            with mongo_errors():
                found = self._conversations.find(query, {"_id": 1}).limit(AT_ONCE)
                ids = [each["_id"] for each in await found.to_list(AT_ONCE)]
                done = await self._conversations.delete_many({**query, "_id": {"$in": ids}})
            removed += done.deleted_count
            if len(ids) < AT_ONCE or not done.deleted_count:
                return removed


def _is_idle(found: Document, until: datetime) -> bool:
    """Nobody has written for so long, no human has it, and nothing waits to be sent."""
    latest = found.get("last_activity_at")
    if latest is not None and latest >= until:
        return False
    is_human = (found.get("takeover") or {}).get("mode") == "human"
    return not is_human and not (found.get("kept") or {}).get("last")


_CHANGED_MEANWHILE = (ConversationChangedError, RowChangedError, ChangedMeanwhileError)
_READ = {"oldest_at": 1, "last_activity_at": 1, "takeover.mode": 1, "kept": 1, "page_id": 1}
_NOBODY_HAS_IT = {"takeover.mode": {"$ne": "human"}, "kept.last": None}
