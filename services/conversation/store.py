"""MongoDB: `conversations` (our part of each document), `messages`, and what the console reads."""

import asyncio
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from libs.common.erasures import Erased, NobodyErased
from libs.common.errors import TransientError
from libs.common.mongo import (
    BulkWriter,
    Database,
    Document,
    DuplicateKeyError,
    GroupReader,
    UpdateOne,
    mongo_errors,
)
from libs.common.paging import After, behind
from services.conversation.domain.archive import DELIVERED_MIDS, Activity, Entry, source_of, view
from services.conversation.domain.inbox_names import without_nul
from services.conversation.domain.state import Mode, Position, State, Takeover

EMPTY = State()
EVER = datetime.min.replace(tzinfo=UTC)
ASSISTANT_HAS_IT = Takeover()

_NOT_SHOWN = {"state": 0, "sending": 0}


class ConversationChangedError(TransientError):
    """Somebody else wrote the conversation meanwhile: a takeover, another replica, an erasure."""

    code = "conversation_changed"


@dataclass(frozen=True)
class Stored:
    """A conversation as the database has it; `erased_at`: up to when it was erased before that."""

    conversation: str
    version: int = 0
    state: State = EMPTY
    takeover: Takeover = ASSISTANT_HAS_IT
    erased_at: datetime | None = None


class ConversationStore:
    """One document a conversation; its `state` is changed by compare-and-set.

    A write whose expectation fails is refused by the unique `_id`: the upsert's filter does not
    match, so MongoDB tries to insert, and the document is there already. Nothing is remembered
    from one call to the next: other replicas and the takeover service write, too.
    """

    def __init__(self, database: Database, erased: Erased | None = None) -> None:
        self._erased = erased or NobodyErased()
        self._conversations = database["conversations"]
        self._messages = database["messages"]
        self._reader = GroupReader(self._conversations, {"version": 1, "state": 1, "takeover": 1})
        self._writer = BulkWriter(self._conversations)
        self._archive = BulkWriter(self._messages)
        self._activities = BulkWriter(self._conversations)  # no turn waits behind the archive's

    async def ensure_indexes(self) -> None:
        with mongo_errors():
            await self._messages.create_index([("conversation", 1), ("at", -1), ("_id", -1)])
            await self._conversations.create_index(
                [("page_id", 1), ("last_activity_at", -1), ("_id", -1)]
            )
            await self._conversations.create_index([("page_id", 1), ("oldest_at", 1), ("_id", 1)])

    async def load(self, conversation: str) -> Stored:
        erased_at = self._erased.erased_at(conversation)  # before: what is read is no newer
        document = await self._reader.read(conversation)
        return replace(_stored(conversation, document), erased_at=erased_at)

    async def save(self, stored: Stored, state: State) -> Stored:
        """Write the state, if the conversation is still as `stored` has it.

        Raises:
            ConversationChangedError: it is not, or the person is being erased; nothing was written.
        """
        if self._erased.erased_at(stored.conversation) != stored.erased_at:
            raise ConversationChangedError("the person is being erased")
        if stored.erased_at is not None and stored.version:
            await self._write_over(stored, state)
            return replace(stored, version=stored.version + 1, state=state)
        write = UpdateOne(_unchanged(stored), _saving(stored.conversation, state), upsert=True)
        try:
            await self._write_state(write, is_first=stored.version == 0)
        except DuplicateKeyError:
            raise ConversationChangedError("written by somebody else meanwhile") from None
        return replace(stored, version=stored.version + 1, state=state)

    async def _write_over(self, stored: Stored, state: State) -> None:
        """Of somebody erased, the document may just have gone: an upsert would bring it back."""
        change = _saving(stored.conversation, state)
        with mongo_errors():
            done = await self._conversations.update_one(_unchanged(stored), change)
        if not done.matched_count:
            raise ConversationChangedError("written by somebody else meanwhile, or erased")

    async def _write_state(self, write: UpdateOne, *, is_first: bool) -> None:
        try:
            await self._writer.write(write)
        except DuplicateKeyError:
            if not is_first:
                raise
            # the archive may have made the document between the server's look and its insert
            await self._writer.write(write)

    async def keep(self, entries: Iterable[Entry]) -> None:
        """Keep messages for the thread view. Writing one twice changes nothing."""
        await _all(self._archive, [_entry_write(entry) for entry in entries])

    async def note_activity(self, activities: Iterable[Activity]) -> None:
        """Move conversations' moments and watermarks forward, and make those that are new."""
        await _all(self._activities, [_activity_write(activity) for activity in activities])

    async def sources(self, message_ids: Sequence[str]) -> dict[str, str]:
        """Of these messages, those in the archive, with the record that brought each there."""
        with mongo_errors():
            # without a source, the message itself is not there: only an edit, or a reaction
            query = {"_id": {"$in": list(message_ids)}, "source.offset": {"$gte": 0}}
            cursor = self._messages.find(query, {"source": 1})
            return {
                document["_id"]: source_of(Position.model_validate(document["source"]))
                for document in await cursor.to_list(None)
            }

    async def texts(self, conversation: str, mids: Sequence[str]) -> dict[str, str]:
        """What these messages of a conversation say, by Meta's id, as far as the archive knows."""
        wanted, page_id = {"$in": list(mids)}, conversation.partition(":")[0]
        ways = [
            {"_id": {"$in": [f"{page_id}:{mid}" for mid in mids]}},
            {"outcome.mid": wanted},
            {"echo.mid": wanted},
        ]
        with mongo_errors():
            cursor = self._messages.find({"conversation": conversation, "$or": ways})
            found = [view(document) for document in await cursor.to_list(None)]
        return {each["mid"]: each["text"] for each in found if each.get("mid") and each.get("text")}

    async def conversations(
        self, page_id: str, after: After | None, limit: int, mode: Mode | None = None
    ) -> list[Document]:
        """A page's conversations, the most recently active first; all, or those of one mode."""
        query = {"page_id": page_id, **behind("last_activity_at", after)}
        if mode is not None:
            query["takeover.mode"] = "human" if mode == "human" else {"$ne": "human"}
        with mongo_errors():
            cursor = self._conversations.find(query, _NOT_SHOWN)
            order = [("last_activity_at", -1), ("_id", -1)]
            return await cursor.sort(order).limit(limit).to_list(limit)

    async def conversation(self, conversation: str) -> Document | None:
        with mongo_errors():
            return await self._conversations.find_one({"_id": conversation}, _NOT_SHOWN)

    async def messages(
        self, conversation: str, after: After | None, limit: int, search: str | None = None
    ) -> list[Document]:
        """A conversation's messages, the newest first; not what only an edit has told of.

        `search`: those that say this somewhere, in large letters or small ones.
        """
        query = {"conversation": conversation, "at": {"$gte": EVER}, **behind("at", after)}
        if search:
            says = {"$regex": re.escape(without_nul(search)), "$options": "i"}
            ways = [{f"{name}.text": says} for name in ("said", "outcome", "echo")]
            query["$and"] = [{"$or": ways}]
        with mongo_errors():
            cursor = self._messages.find(query)
            return await cursor.sort([("at", -1), ("_id", -1)]).limit(limit).to_list(limit)

    async def reactions(self, message_ids: Sequence[str]) -> dict[str, Document]:
        """The reactions kept under these ids, by id."""
        with mongo_errors():
            cursor = self._messages.find({"_id": {"$in": list(message_ids)}}, {"reactions": 1})
            found = await cursor.to_list(None)
        return {document["_id"]: document.get("reactions", {}) for document in found}


async def _all(writer: BulkWriter, writes: Sequence[UpdateOne]) -> None:
    """Write all, together.

    Raises:
        ConversationChangedError: somebody made one of the documents at the same moment; the same
            again will pass.
    """
    try:
        await asyncio.gather(*[writer.enqueue(write) for write in writes])
    except DuplicateKeyError:
        raise ConversationChangedError("made by somebody else at the same moment") from None


def _stored(conversation: str, document: Document | None) -> Stored:
    if document is None:
        return Stored(conversation)
    return Stored(
        conversation,
        version=document.get("version") or 0,
        state=State.model_validate(document.get("state") or {}),
        takeover=Takeover.model_validate(document.get("takeover") or {}),
    )


def _unchanged(stored: Stored) -> Document:
    """The fence: nobody has written the state, and the conversation is in the same hands.

    Null matches a missing field: others may have made the document before we first save.
    """
    epoch, version = stored.takeover.epoch, stored.version
    return {
        "_id": stored.conversation,
        "version": version or {"$in": [0, None]},
        "takeover.epoch": epoch or {"$in": [0, None]},
        "takeover.mode": "human" if stored.takeover.mode == "human" else {"$ne": "human"},
    }


def _saving(conversation: str, state: State) -> Document:
    page_id, _, psid = conversation.partition(":")
    moments = {
        "last_user_message_at": state.last_user_message_at,
        "last_direct_message_at": state.last_direct_message_at,
        "last_activity_at": state.last_activity_at,
    }
    change: Document = {
        "$set": {
            "page_id": page_id,
            "psid": psid,
            "inbound_count": state.inbound_count,
            "requested": state.requested and state.requested.model_dump(),
            "state": state.model_dump(),
        },
        "$inc": {"version": 1},
    }
    return change | _moving({name: at for name, at in moments.items() if at is not None})


def _moving(forward: Document) -> Document:
    return {"$max": forward} if forward else {}


def _entry_write(entry: Entry) -> UpdateOne:
    operators = {"$set": entry.fields, "$max": entry.highest, "$min": entry.lowest}
    return UpdateOne(
        {"_id": entry.message_id},
        {name: fields for name, fields in operators.items() if fields},
        upsert=True,
    )


def _activity_write(activity: Activity) -> UpdateOne:
    """Receipts make no conversation: there is nothing in it that they could be about.

    What was not sent may come when all else has gone: then it is the latest there is.
    """
    forward = {
        "last_activity_at": activity.last_activity_at,
        "last_user_message_at": activity.last_user_message_at,
        "delivered_ms": activity.delivered_ms,
        "read_ms": activity.read_ms,
    }
    change: Document = {
        "$set": {"page_id": activity.page_id, "psid": activity.psid},
        **_moving({name: value for name, value in forward.items() if value}),
    }
    if activity.oldest_at is not None:
        change["$min"] = {"oldest_at": activity.oldest_at}
        if activity.makes and activity.last_activity_at is None:
            change["$setOnInsert"] = {"last_activity_at": activity.oldest_at}
    if activity.delivered_mids:
        latest = {"$each": list(activity.delivered_mids), "$slice": -DELIVERED_MIDS}
        change["$push"] = {"delivered_mids": latest}
    return UpdateOne(
        {"_id": f"{activity.page_id}:{activity.psid}"},
        change,
        upsert=activity.makes or activity.last_activity_at is not None,
    )
