"""MongoDB: the claim in `conversations.sending`, and `deliveries`."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from libs.common.mongo import (
    BulkWriter,
    Database,
    Document,
    DuplicateKeyError,
    InsertOne,
    ReturnDocument,
    ensure_expiry,
    mongo_errors,
)
from services.sender.domain.claims import After, Claim, Exactly, Expected, Fresh, Sending
from services.sender.domain.deliveries import Delivery

RECENT_COMMANDS = 50
_DECIDING = ("last_user_message_at", "last_direct_message_at", "takeover")
KEEP_DELIVERIES = timedelta(days=40)
"""Longer than any command is on the log: kept for a week, then among the dead letters, put back."""


@dataclass(frozen=True, slots=True)
class Fence:
    """An assistant's message leaves only while the assistant still has the conversation."""

    epoch: int | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the sender needs to know of a conversation at one moment."""

    last_user_message_at: datetime | None
    mode: Literal["ai", "human"]
    epoch: int
    sending: Sending | None = None
    kept: str | None = None  # something of this person is put away: nothing may pass it
    thread_is_ours: bool = True  # no other app has it at Meta


class DeliveryStore:
    """Two round trips a part: the claim, which is the fence as well, and the final state."""

    def __init__(self, database: Database) -> None:
        self._conversations = database["conversations"]
        self._deliveries = database["deliveries"]
        self._writer = BulkWriter(self._deliveries)

    async def ensure_indexes(self) -> None:
        with mongo_errors():
            await self._deliveries.create_index(
                [("page_id", 1), ("state", 1), ("at", -1), ("_id", -1)]
            )
            await self._deliveries.create_index([("conversation", 1), ("at", -1), ("_id", -1)])
        await ensure_expiry(self._deliveries, "at", KEEP_DELIVERIES)

    async def claim(
        self, conversation: str, claim: Claim, fence: Fence | None, expected: Expected
    ) -> Snapshot | None:
        """Take the right to post one part, if the conversation is as expected.

        None: it is not (or does not exist), and nothing was written. Of any number of callers who
        expect the same, one gets it. After a takeover, `fence` lets none of an older epoch pass.
        """
        wanted = {"_id": conversation, **_fenced(fence), **_expected(expected, claim.command_id)}
        with mongo_errors():
            document = await self._conversations.find_one_and_update(
                wanted,
                _claiming(claim, begins=_begins(expected)),
                projection=dict.fromkeys(_DECIDING, 1),
                return_document=ReturnDocument.AFTER,
            )
        return None if document is None else _snapshot(document)

    async def conversation(self, conversation: str) -> Snapshot | None:
        with mongo_errors():
            document = await self._conversations.find_one(
                {"_id": conversation},
                dict.fromkeys((*_DECIDING, "sending", "kept"), 1),
            )
        return None if document is None else _snapshot(document)

    async def delivery(self, send_id: str) -> Delivery | None:
        """The part's final state; None as long as it has none."""
        with mongo_errors():
            document = await self._deliveries.find_one({"_id": send_id})
        return None if document is None else Delivery.model_validate(document)

    async def finish(self, delivery: Delivery) -> Delivery:
        """Record a final state, and return the one that counts: the generation's first one."""
        if delivery.generation:
            return await self._finish_again(delivery)
        try:
            await self._writer.write(InsertOne(delivery.to_document()))
        except DuplicateKeyError:
            return await self.delivery(delivery.send_id) or delivery
        return delivery

    async def _finish_again(self, delivery: Delivery) -> Delivery:
        wanted = {
            "_id": delivery.send_id,
            "state": "again",
            "generation": delivery.generation,
        }
        with mongo_errors():
            result = await self._deliveries.update_one(wanted, {"$set": delivery.to_document()})
        if result.matched_count:
            return delivery
        return await self.delivery(delivery.send_id) or delivery

    async def begin_again(self, send_id: str, generation: int) -> Delivery | None:
        """Open a held or failed part anew; None: it is not one, or not of the generation before.

        Of any number of callers all but the first find it opened, by this very generation.
        """
        wanted = {
            "_id": send_id,
            "state": {"$in": ["held", "failed"]},
            "reason": {"$ne": "discarded"},
            "generation": {"$in": [generation - 1, None] if generation == 1 else [generation - 1]},
        }
        change = {"$set": {"state": "again", "generation": generation}}
        with mongo_errors():
            await self._deliveries.update_one(wanted, change)
        now = await self.delivery(send_id)
        opened = now is not None and (now.state, now.generation) == ("again", generation)
        return now if opened else None

    async def recorded_mids(self, conversation: str, mids: Iterable[str]) -> Collection[str]:
        """Which of these messages are known to be other deliveries of the conversation."""
        with mongo_errors():
            cursor = self._deliveries.find(
                {"conversation": conversation, "mid": {"$in": list(mids)}}, {"mid": 1}
            )
            return {document["mid"] for document in await cursor.to_list(None)}

    async def mids_in_order(self, conversation: str, mids: Iterable[str]) -> Collection[str]:
        """Which of these were known to be sent before anything later of the conversation began.

        Not a part that was held, or sent again by a person: it may have arrived at any time.
        """
        wanted = {
            "conversation": conversation,
            "mid": {"$in": list(mids)},
            "state": "sent",
            "since": None,
            "generation": {"$in": [0, None]},
        }
        with mongo_errors():
            cursor = self._deliveries.find(wanted, {"mid": 1})
            return {document["mid"] for document in await cursor.to_list(None)}

    async def held_texts(self, conversation: str, since: datetime) -> list[str]:
        """Texts that were given up since then: each may have arrived all the same."""
        with mongo_errors():
            cursor = self._deliveries.find(
                {"conversation": conversation, "state": "held", "at": {"$gte": since}}, {"text": 1}
            )
            return [document["text"] for document in await cursor.to_list(None)]


def _fenced(fence: Fence | None) -> Document:
    if fence is None:
        return {}
    # null matches a missing field: a conversation that was never taken over has epoch 0
    epoch: Any = {"$in": [0, None]} if fence.epoch == 0 else fence.epoch
    if fence.epoch is None:
        epoch = -1  # without an epoch the assistant may not send
    return {"takeover.epoch": epoch, "takeover.mode": {"$ne": "human"}}


def _expected(expected: Expected, command_id: str) -> Document:
    if isinstance(expected, After):
        return {"sending.send_id": expected.send_id}
    if isinstance(expected, Exactly):
        return {"sending.claim_id": expected.claim_id}  # None matches a missing field, too
    return {
        "$or": [
            {"sending": {"$exists": False}, "kept.last": None},
            {
                "kept.last": None,
                "sending.partition": expected.partition,
                "sending.offset": {"$lt": expected.offset},
                "sending.recent": {"$ne": command_id},
            },
        ]
    }


def _begins(expected: Expected) -> bool:
    """Whether this is the first claim of its command."""
    return isinstance(expected, Fresh) or (isinstance(expected, Exactly) and expected.begins)


def _claiming(claim: Claim, *, begins: bool) -> Document:
    change: Document = {
        "$set": {f"sending.{name}": value for name, value in claim.model_dump().items()}
    }
    if begins:
        latest = {"$each": [claim.command_id], "$slice": -RECENT_COMMANDS}
        change["$push"] = {"sending.recent": latest}
    return change


def _snapshot(document: Document) -> Snapshot:
    takeover = document.get("takeover") or {}
    sending = document.get("sending")
    return Snapshot(
        last_user_message_at=document.get("last_user_message_at"),
        mode=takeover.get("mode") or "ai",
        epoch=takeover.get("epoch") or 0,
        sending=Sending.model_validate(sending) if sending else None,
        kept=(document.get("kept") or {}).get("last"),
        thread_is_ours=_is_ours(takeover.get("thread") or {}, document),
    )


def _is_ours(thread: Document, document: Document) -> bool:
    """Whether no other app has the thread, as far as Meta has told.

    A message that came to us, and not on standby, says so too, and the conversation service may
    have heard it before the takeover service has: both moments are Meta's.
    """
    direct, taken_at = document.get("last_direct_message_at"), thread.get("since")
    if thread.get("ours", True) or direct is None or taken_at is None:
        return bool(thread.get("ours", True))
    return bool(direct > taken_at)
