"""MongoDB: `conversations` (our part of each document), `messages`, and what the console reads."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

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
from services.conversation.domain.state import State, Takeover

CACHED_CONVERSATIONS = 20_000
EMPTY = State()
ASSISTANT_HAS_IT = Takeover()


class ConversationChangedError(TransientError):
    """Somebody else wrote the conversation meanwhile: a takeover, or another replica."""

    code = "conversation_changed"


@dataclass(frozen=True)
class Stored:
    """A conversation as the database has it.

    `published` is the command known to be on the log; only this process's memory has it.
    """

    conversation: str
    version: int = 0
    state: State = EMPTY
    takeover: Takeover = ASSISTANT_HAS_IT
    published: str | None = None


class ConversationStore:
    """One document a conversation, changed by compare-and-set on `version` and takeover epoch.

    A write whose expectation fails is refused by the unique `_id`: the upsert's filter does not
    match, so MongoDB tries to insert, and the document is there already.
    """

    def __init__(self, database: Database) -> None:
        self._conversations = database["conversations"]
        self._messages = database["messages"]
        self._reader = GroupReader(self._conversations, {"version": 1, "state": 1, "takeover": 1})
        self._writer = BulkWriter(self._conversations)
        self._archive = BulkWriter(self._messages)
        self._cache: OrderedDict[str, Stored] = OrderedDict()

    async def ensure_indexes(self) -> None:
        with mongo_errors():
            await self._messages.create_index([("conversation", 1), ("at", 1), ("_id", 1)])
            await self._conversations.create_index([("page_id", 1), ("last_activity_at", -1)])

    async def load(self, conversation: str) -> Stored:
        """From memory where it is known; a stale one is found out by the next `save`."""
        known = self._cache.get(conversation)
        if known is not None:
            self._cache.move_to_end(conversation)
            return known
        document = await self._reader.read(conversation)
        stored = _stored(conversation, document)
        self._remember(stored)
        return stored

    async def save(self, stored: Stored, state: State) -> Stored:
        """Write the state, if the conversation is still as `stored` has it.

        Raises:
            ConversationChangedError: it is not; nothing was written, and the next `load` is fresh.
        """
        page_id, _, psid = stored.conversation.partition(":")
        expected = {
            "_id": stored.conversation,
            "version": stored.version,
            "takeover.epoch": stored.takeover.epoch,
        }
        change = {
            "$set": {
                "page_id": page_id,
                "psid": psid,
                "last_user_message_at": state.last_user_message_at,
                "last_activity_at": state.last_activity_at,
                "inbound_count": state.inbound_count,
                "state": state.model_dump(),
            },
            "$inc": {"version": 1},
        }
        try:
            await self._writer.write(UpdateOne(expected, change, upsert=True))
        except BaseException as error:
            self.forget(stored.conversation)  # whatever happened, memory is no longer sure
            if isinstance(error, DuplicateKeyError):
                raise ConversationChangedError("written by somebody else meanwhile") from None
            raise
        saved = replace(stored, version=stored.version + 1, state=state)
        self._remember(saved)
        return saved

    def mark_published(self, stored: Stored, command_id: str) -> Stored:
        """Note, in memory only, that the command is on the log."""
        marked = replace(stored, published=command_id)
        self._remember(marked)
        return marked

    def forget(self, conversation: str) -> None:
        self._cache.pop(conversation, None)

    def _remember(self, stored: Stored) -> None:
        self._cache[stored.conversation] = stored
        self._cache.move_to_end(stored.conversation)
        while len(self._cache) > CACHED_CONVERSATIONS:
            self._cache.popitem(last=False)

    async def archive(self, writes: Iterable[UpdateOne]) -> None:
        """Keep messages for the thread view. Writing one twice changes nothing."""
        await asyncio.gather(*[self._archive.enqueue(write) for write in writes])

    async def archived(self, message_ids: Sequence[str]) -> set[str]:
        """Which of these messages are in the archive."""
        with mongo_errors():
            cursor = self._messages.find({"_id": {"$in": list(message_ids)}}, {"_id": 1})
            return {document["_id"] for document in await cursor.to_list(None)}

    async def note_receipt(
        self, conversation: str, *, delivered_ms: int = 0, read_ms: int = 0
    ) -> None:
        """Move the conversation's watermarks forward; what is read has been delivered."""
        latest = {"delivered_ms": max(delivered_ms, read_ms), "read_ms": read_ms}
        await self._writer.write(UpdateOne({"_id": conversation}, {"$max": latest}))

    async def conversations(
        self, page_id: str, before: datetime | None, limit: int
    ) -> list[Document]:
        """A page's conversations, the most recently active first."""
        query: dict[str, Any] = {"page_id": page_id}
        if before is not None:
            query["last_activity_at"] = {"$lt": before}
        with mongo_errors():
            cursor = self._conversations.find(query, {"state": 0, "sending": 0})
            return await cursor.sort("last_activity_at", -1).limit(limit).to_list(limit)

    async def conversation(self, conversation: str) -> Document | None:
        with mongo_errors():
            return await self._conversations.find_one({"_id": conversation}, {"sending": 0})

    async def messages(
        self, conversation: str, before: datetime | None, limit: int
    ) -> list[Document]:
        """A conversation's messages, the newest first."""
        query: dict[str, Any] = {"conversation": conversation}
        if before is not None:
            query["at"] = {"$lt": before}
        with mongo_errors():
            cursor = self._messages.find(query)
            return await cursor.sort([("at", -1), ("_id", -1)]).limit(limit).to_list(limit)


def _stored(conversation: str, document: Document | None) -> Stored:
    if document is None:
        return Stored(conversation)
    return Stored(
        conversation,
        version=document.get("version", 0),
        state=State.model_validate(document.get("state") or {}),
        takeover=Takeover.model_validate(document.get("takeover") or {}),
    )
