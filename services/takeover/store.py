"""MongoDB: `conversations.takeover`, changed by compare-and-set and by nothing else.

The fact that tells of a change is stored in the same write, in `takeover.untold`, and taken out
when it is on the log. So no crash can separate the two.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from libs.common.events import ConversationRecord, decode, encode
from libs.common.mongo import (
    Database,
    Document,
    DuplicateKeyError,
    GroupReader,
    ReturnDocument,
    mongo_errors,
)
from services.takeover.domain.fence import Claim, Delivery
from services.takeover.domain.state import NOBODY, Takeover, Thread

_READ = {
    "page_id": 1,
    "psid": 1,
    "takeover": 1,
    "last_user_message_at": 1,
    "last_direct_message_at": 1,
    "sending.claim_id": 1,
    "sending.send_id": 1,
    "sending.deadline_at": 1,
    "sending.generation": 1,
    "sending.unused": 1,
}


@dataclass(frozen=True)
class Found:
    """A conversation at one moment."""

    conversation: str
    state: Takeover = NOBODY
    untold: tuple[ConversationRecord, ...] = ()
    last_user_message_at: datetime | None = None
    claim: Claim | None = None


class TakeoverStore:
    """One document a conversation, whose other parts belong to other services."""

    def __init__(self, database: Database) -> None:
        self._conversations = database["conversations"]
        self._deliveries = database["deliveries"]
        self._reader = GroupReader(self._conversations, _READ)

    async def find(self, conversation: str) -> Found | None:
        """The conversation as it is; None: nobody has ever written in it."""
        document = await self._reader.read(conversation)
        return None if document is None else _found(document)

    async def change(
        self,
        conversation: str,
        before: Takeover,
        after: Takeover,
        fact: ConversationRecord | None,
        *,
        may_create: bool = False,
    ) -> Found | None:
        """Write `after`, if the conversation is in the hands that `before` says; else None.

        What comes back is the conversation as this very write left it. `may_create`: make the
        document if there is none; the conversation service fills in the rest.
        """
        page_id, _, psid = conversation.partition(":")
        change: Document = {"$set": _fields(after)}
        if fact is not None:
            untold = {"event_id": fact.event_id, "record": encode(fact).decode()}
            change["$push"] = {"takeover.untold": untold}
        if may_create:
            change["$setOnInsert"] = {"page_id": page_id, "psid": psid}
        try:
            with mongo_errors():
                document = await self._conversations.find_one_and_update(
                    _unchanged(conversation, before),
                    change,
                    projection=_READ,
                    upsert=may_create,
                    return_document=ReturnDocument.AFTER,
                )
        except DuplicateKeyError:  # the upsert found it changed, and could not insert it again
            return None
        return None if document is None else _found(document)

    async def told(self, conversation: str, event_ids: Sequence[str]) -> None:
        """These facts are on the log."""
        gone = {"takeover.untold": {"event_id": {"$in": list(event_ids)}}}
        with mongo_errors():
            await self._conversations.update_one({"_id": conversation}, {"$pull": gone})

    async def delivery(self, send_id: str) -> Delivery | None:
        """What the sender has recorded about a part."""
        with mongo_errors():
            document = await self._deliveries.find_one(
                {"_id": send_id}, {"state": 1, "generation": 1}
            )
        return None if document is None else Delivery.model_validate(document)


def _unchanged(conversation: str, before: Takeover) -> Document:
    """Null matches a missing field: a conversation that was never taken over has none of them."""
    return {
        "_id": conversation,
        "takeover.epoch": before.epoch or {"$in": [0, None]},
        "takeover.revision": before.revision or {"$in": [0, None]},
        "takeover.mode": "human" if before.mode == "human" else {"$ne": "human"},
    }


def _fields(state: Takeover) -> Document:
    """Field by field: what is untold stays."""
    fields = state.model_dump()
    if state.thread is None:
        del fields["thread"]
    return {f"takeover.{name}": value for name, value in fields.items()}


def _known(state: Takeover, direct_at: datetime | None) -> Takeover:
    """A message that came to us, and not on standby, says that the thread is ours again. Both
    moments are Meta's; the conversation service keeps the one, and need not tell us."""
    thread = state.thread
    if thread is None or thread.ours or direct_at is None or direct_at <= thread.since:
        return state
    return state.model_copy(update={"thread": Thread(ours=True, since=direct_at)})


def _found(document: Document) -> Found:
    takeover = document.get("takeover") or {}
    sending = document.get("sending") or {}
    told = (decode(each["record"].encode()) for each in takeover.get("untold") or ())
    return Found(
        conversation=document["_id"],
        state=_known(Takeover.model_validate(takeover), document.get("last_direct_message_at")),
        untold=tuple(record for record in told if isinstance(record, ConversationRecord)),
        last_user_message_at=document.get("last_user_message_at"),
        claim=Claim.model_validate(sending) if sending.get("claim_id") else None,
    )
