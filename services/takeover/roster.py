"""MongoDB: `takeovers`, the few conversations in takeover, and where timers are looked for.

`conversations.takeover` is what counts; a row here is a note of it, so that nobody has to look
through all conversations. No note may be missing, therefore:

- before a change that begins or ends a takeover, its row is *announced*: it is there from then on,
  and `check_at` says when somebody has to look what came of it, should the process die;
- after it the row is *settled* to what the conversation says, unless it was announced again since;
- whoever finds a row due *leases* it, looks at the conversation, sets it right, and settles;
- a row of a conversation that the assistant has is removed once nobody has announced anything for
  a minute. A change comes at most `ANNOUNCED_FOR` after its announcement: none is lost with a row.

`token` names the latest announcement or lease: only who made it may settle or remove.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from libs.common.events import Model, UtcDatetime
from libs.common.mongo import (
    Database,
    Document,
    DuplicateKeyError,
    ReturnDocument,
    mongo_errors,
)
from libs.common.paging import After, behind
from services.takeover.domain.state import Takeover

LEASE = timedelta(seconds=1)
"""How long who found a row due has before somebody else looks as well: that only costs work."""
ANNOUNCED_FOR = timedelta(seconds=10)
"""How long after its announcement a change may be written."""
CHECK_AFTER = timedelta(seconds=5)
UNTOLD_AGAIN = timedelta(seconds=1)
SECOND_LOOK = timedelta(seconds=60)
SELDOM = timedelta(hours=1)
REMOVE_AFTER = timedelta(seconds=60)


class Row(Model):
    """A conversation in takeover, or until lately so, as it was when the row was settled."""

    conversation: str
    page_id: str
    by: str | None = None
    by_name: str | None = None
    reason: str | None = None
    epoch: int = 0
    since: UtcDatetime | None = None
    auto_resume_at: UtcDatetime | None = None


class Due(Model):
    """A row that somebody has to look after."""

    conversation: str
    check_at: UtcDatetime


class Lease(Model):
    """The right to look after a row. `closed_at`: since when the assistant has the conversation."""

    conversation: str
    token: str
    closed_at: UtcDatetime | None = None


class Roster:
    """The rows."""

    def __init__(self, database: Database) -> None:
        self._rows = database["takeovers"]

    async def ensure_indexes(self) -> None:
        with mongo_errors():
            await self._rows.create_index("check_at")
            await self._rows.create_index([("page_id", 1), ("mode", 1), ("since", -1), ("_id", -1)])
            await self._rows.create_index([("mode", 1), ("auto_resume_at", 1)])

    async def announce(self, conversation: str, now: datetime) -> str:
        """A change may follow within `ANNOUNCED_FOR`; the token to settle with."""
        token = uuid4().hex
        change = {
            "$set": {"token": token},
            "$setOnInsert": {"page_id": conversation.partition(":")[0], "mode": "ai"},
            "$min": {"check_at": now + CHECK_AFTER},
            "$unset": {"closed_at": ""},
        }
        try:
            await self._announce(conversation, change)
        except DuplicateKeyError:  # somebody made it between the server's look and its insert
            await self._announce(conversation, change)
        return token

    async def _announce(self, conversation: str, change: Document) -> None:
        with mongo_errors():
            await self._rows.update_one({"_id": conversation}, change, upsert=True)

    async def settle(
        self, conversation: str, token: str, state: Takeover, check_at: datetime, now: datetime
    ) -> bool:
        """Note how things stand. False: somebody announced or leased the row meanwhile."""
        names = ("mode", "by", "by_name", "reason", "epoch", "since", "auto_resume_at")
        noted: Document = {name: getattr(state, name) for name in names} | {"check_at": check_at}
        change: Document = {"$set": noted}
        if state.mode == "human":
            change["$unset"] = {"closed_at": ""}
        else:
            change["$min"] = {"closed_at": now}  # of the first time, where there was one
        with mongo_errors():
            result = await self._rows.update_one({"_id": conversation, "token": token}, change)
        return bool(result.matched_count)

    async def due(self, now: datetime, limit: int) -> list[Due]:
        """Rows to look after, the longest due first."""
        with mongo_errors():
            cursor = self._rows.find({"check_at": {"$lte": now}}, {"check_at": 1})
            found = await cursor.sort("check_at", 1).limit(limit).to_list(limit)
        return [Due(conversation=each["_id"], check_at=each["check_at"]) for each in found]

    async def lease(self, due: Due, now: datetime) -> Lease | None:
        """The right to look after a row; of any number of callers one gets it."""
        token = uuid4().hex
        with mongo_errors():
            document = await self._rows.find_one_and_update(
                {"_id": due.conversation, "check_at": due.check_at},
                {"$set": {"token": token, "check_at": now + LEASE}},
                projection={"closed_at": 1},
                return_document=ReturnDocument.AFTER,
            )
        return None if document is None else _leased(document, token)

    async def remove(self, lease: Lease) -> None:
        """Nobody has it in takeover, and nobody was about to."""
        with mongo_errors():
            await self._rows.delete_one({"_id": lease.conversation, "token": lease.token})

    async def listed(self, page_id: str, after: After | None, limit: int) -> list[Row]:
        """A Page's conversations in takeover, the latest taken first."""
        query = {"page_id": page_id, "mode": "human", **behind("since", after)}
        with mongo_errors():
            cursor = self._rows.find(query).sort([("since", -1), ("_id", -1)])
            found = await cursor.limit(limit).to_list(limit)
        return [_row(document) for document in found]

    async def count(self, **which: Any) -> int:  # noqa: ANN401 - a filter
        """How many are in takeover, and also so."""
        with mongo_errors():
            return await self._rows.count_documents({"mode": "human", **which})


def _leased(document: Document, token: str) -> Lease:
    return Lease(conversation=document["_id"], token=token, closed_at=document.get("closed_at"))


def _row(document: Document) -> Row:
    return Row.model_validate({**document, "conversation": document["_id"]})
