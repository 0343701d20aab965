"""MongoDB: `inbox`, one small document a conversation. Nobody else writes it.

Every write but that of a person's name is a compare-and-set on its `revision`. One of a document
that was there never makes it: what is gone was erased, and stays so.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from libs.common.errors import TransientError
from libs.common.mongo import (
    Collection,
    Database,
    Document,
    InsertOne,
    UpdateOne,
    mongo_errors,
    write_all,
)
from libs.common.paging import After, behind, behind_upwards
from services.conversation.domain.inbox import fold_all, is_there
from services.conversation.domain.inbox_names import person_fields, search_filter
from services.conversation.domain.inbox_rows import EVER, Row, empty_row, from_fields, to_fields
from services.conversation.domain.profiles import Profile
from services.conversation.domain.receive import Arrival
from services.conversation.waiting import Waiting

Arrivals = Mapping[str, Sequence[Arrival]]
"""By conversation, in the order of the log."""
UNKNOWN = Profile()
Tab = Literal["needs_human", "mine", "assistant", "all", "done"]

ATTEMPTS = 8
MOST_COUNTED = 1000
ACTIVITY = [("last_activity_at", -1), ("_id", -1)]
LOOKED_BACK = (timedelta(days=1), timedelta(days=20))
"""The latest conversations are looked for among the latest first: a page of them is full soon, and
the rest of ten thousand need not be put in order. MongoDB's indexes have them in order anyway."""
INDEXES: tuple[list[tuple[str, int]], ...] = (
    [("page_id", 1), ("done", 1), *ACTIVITY],
    [("page_id", 1), ("done", 1), ("is_unread", 1), *ACTIVITY],
    [("page_id", 1), ("place", 1), *ACTIVITY],
    [("page_id", 1), ("place", 1), ("by", 1), *ACTIVITY],
    [("page_id", 1), ("place", 1), ("asked_at", 1), ("_id", 1)],
    [("page_id", 1), ("words", 1)],
)
WAITING_INDEX = [("place", 1), ("page_id", 1), ("asked_at", 1)]
_NOT_SHOWN = {"row.kept": 0, "words": 0}


class RowChangedError(TransientError):
    """Others were quicker each time."""

    code = "row_changed"


@dataclass(frozen=True)
class Start:
    """What a row begins with: what was before its first event, and what the person is called."""

    row: Row
    profile: Profile = UNKNOWN


Before = Callable[[Sequence[str], Arrivals], Awaitable[Mapping[str, Start]]]
"""How rows of these conversations begin, where there is anything to begin with."""


@dataclass(frozen=True)
class Wanted:
    """Which conversations a list shows."""

    pages: Sequence[str]
    tab: Tab = "all"
    by: str | None = None
    unread: bool = False
    search: str | None = None


class InboxStore:
    """Rows, one method a question."""

    def __init__(self, database: Database) -> None:
        self._rows: Collection = database["inbox"]

    async def ensure_indexes(self) -> None:
        with mongo_errors():
            for keys in INDEXES:
                await self._rows.create_index(keys)
            await self._rows.create_index(
                WAITING_INDEX, partialFilterExpression={"place": "needs_human"}
            )

    async def note(self, arrivals: Arrivals, own_app_id: str, before: Before) -> None:
        """Take events into their conversations' rows: one read and one write for all of them.

        Args:
            before: asked for the rows of those that have none yet.

        Raises:
            RowChangedError: the same again will pass.
        """
        for _ in range(ATTEMPTS):
            known = await self._known(list(arrivals))
            missing = [name for name in arrivals if name not in known]
            made = await before(missing, arrivals) if missing else {}
            writes = []
            for name, events in arrivals.items():
                revision, row = known.get(name, (0, None))
                start = made.get(name) or Start(row or empty_row(name))
                folded = fold_all(start.row, events, own_app_id)
                if is_there(folded) and (row is None or folded.heard != row.heard):
                    writes.append(_writing(folded, revision, start.profile))
            if await write_all(self._rows, writes) == len(writes):
                return
        raise RowChangedError("written by others meanwhile")

    async def add(self, starts: Iterable[Start]) -> None:
        """Make rows that are not there yet; those that are stay as they are."""
        await write_all(self._rows, [_writing(each.row, 0, each.profile) for each in starts])

    async def without_row(self, conversations: Sequence[str]) -> list[str]:
        """Those of them that have none."""
        known = await self._known(conversations)
        return [name for name in conversations if name not in known]

    async def change(self, conversation: str, change: Callable[[Row], Row]) -> Document | None:
        """Change a row by hand, and return it; None: there is none.

        Raises:
            RowChangedError
        """
        for _ in range(ATTEMPTS):
            known = await self._known([conversation])
            if conversation not in known:
                return None
            revision, row = known[conversation]
            changed = change(row)
            if changed == row or await write_all(self._rows, [_writing(changed, revision)]):
                (found,) = await self.rows([conversation]) or (None,)
                return found
        raise RowChangedError("written by others meanwhile")

    async def name(self, conversation: str, profile: Profile) -> None:
        """Let a row know what its person is called. One that comes later begins with it."""
        with mongo_errors():
            await self._rows.update_one({"_id": conversation}, {"$set": person_fields(profile)})

    async def rows(self, conversations: Sequence[str]) -> list[Document]:
        with mongo_errors():
            query = {"_id": {"$in": list(conversations)}}
            return await self._rows.find(query, _NOT_SHOWN).to_list(None)

    async def listed(self, wanted: Wanted, after: After | None, limit: int) -> list[Document]:
        """Those who wait for a human: the longest wait first. Others: the latest activity first."""
        if wanted.tab == "needs_human":
            query = _query(wanted) | behind_upwards("asked_at", after)
            return await self._found(query, [("asked_at", 1), ("_id", 1)], limit)
        query = _query(wanted) | behind("last_activity_at", after)
        start = after.at if after is not None else datetime.now(UTC)
        # few are called so; and nothing is from before there was Messenger, but a cursor may say so
        is_long = not wanted.search and start > EVER
        for back in LOOKED_BACK if is_long else ():
            latest = {**query.get("last_activity_at", {}), "$gte": start - back}
            found = await self._found(query | {"last_activity_at": latest}, ACTIVITY, limit)
            if len(found) == limit:
                return found
        return await self._found(query, ACTIVITY, limit)

    async def counts(self, pages: Sequence[str], by: str | None) -> dict[str, int]:
        """How many each tab has, and how many have something unread; none above 1000."""
        tabs: tuple[Tab, ...] = ("needs_human", "mine", "assistant", "all", "done")
        wanted: dict[str, Document] = {tab: _query(Wanted(pages, tab, by)) for tab in tabs}
        wanted["unread"] = _query(Wanted(pages, unread=True))
        if by is None:
            del wanted["mine"]
        with mongo_errors():
            numbers = await asyncio.gather(
                *[self._rows.count_documents(each, limit=MOST_COUNTED) for each in wanted.values()]
            )
        return {"mine": 0} | dict(zip(wanted, numbers, strict=True))

    async def waiting(self) -> dict[str, Waiting]:
        """Who waits for a human, Page by Page."""
        stages: list[Document] = [
            {"$match": {"place": "needs_human"}},
            {"$group": {"_id": "$page_id", "number": {"$sum": 1}, "since": {"$min": "$asked_at"}}},
        ]
        with mongo_errors():
            found = await self._rows.aggregate(stages).to_list(None)
        return {each["_id"]: Waiting(each["number"], each["since"]) for each in found}

    async def _known(self, conversations: Sequence[str]) -> dict[str, tuple[int, Row]]:
        with mongo_errors():
            cursor = self._rows.find({"_id": {"$in": list(conversations)}})
            found = await cursor.to_list(None)
        return {each["_id"]: (each["row"]["revision"], from_fields(each)) for each in found}

    async def _found(
        self, query: Document, order: Sequence[tuple[str, int]], limit: int
    ) -> list[Document]:
        with mongo_errors():
            cursor = self._rows.find(query, _NOT_SHOWN).sort(list(order))
            return await cursor.limit(limit).to_list(limit)


def _writing(
    row: Row, revision: int, profile: Profile = UNKNOWN
) -> InsertOne[Document] | UpdateOne:
    """Revision 0: it is not there yet."""
    fields = to_fields(row, revision + 1)
    if not revision:
        return InsertOne({"_id": row.id, **fields, **person_fields(profile)})
    return UpdateOne({"_id": row.id, "row.revision": revision}, {"$set": fields})


def _query(wanted: Wanted) -> Document:
    query: Document = {"page_id": {"$in": list(wanted.pages)}}
    match wanted.tab:
        case "all":
            query["done"] = False
        case "mine":
            query |= {"place": "human", "by": wanted.by or ""}
        case _:
            query["place"] = wanted.tab
    if wanted.unread:
        query["is_unread"] = True
    return query | search_filter(wanted.search)
