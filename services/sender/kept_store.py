"""MongoDB: what is put away (`kept`), and the mark `conversations.kept`: nothing may pass it."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from libs.common.mongo import Database, Document, DuplicateKeyError, ReturnDocument, mongo_errors
from services.sender.domain.keeping import Kept, NotNowError, postponed

LOOK_AGAIN_AFTER = timedelta(hours=1)  # at what expired behind something that did not


@dataclass(frozen=True, slots=True)
class Closing:
    """Why a Page's commands were put away, as whoever did it knew."""

    limited_until: datetime | None
    token: bool


class KeptStore:
    """First in, first out for each conversation. Every method may be called twice."""

    def __init__(self, database: Database) -> None:
        self._conversations = database["conversations"]
        self._kept = database["kept"]

    async def ensure_indexes(self) -> None:
        with mongo_errors():
            await self._kept.create_index([("conversation", 1), ("seq", 1)])
            await self._kept.create_index([("page_id", 1), ("conversation", 1)])
            await self._kept.create_index([("partition", 1), ("page_id", 1)])

    async def place(self, conversation: str, unused_claim: str | None) -> int:
        """The next place in the queue.

        `unused_claim`: remember, whatever becomes of this process, that nothing was sent under it.
        """
        with mongo_errors():
            if unused_claim is not None:
                await self._conversations.update_one(
                    {"_id": conversation, "sending.claim_id": unused_claim},
                    {"$set": {"sending.unused": True}},
                )
            document = await self._conversations.find_one_and_update(
                {"_id": conversation},
                {"$inc": {"kept.seq": 1}},
                projection={"kept": 1},
                return_document=ReturnDocument.AFTER,
            )
        return 0 if document is None else int(document["kept"]["seq"])

    async def add(self, kept: Kept) -> bool:
        """Put away; False if it is put away already, with its place."""
        try:
            with mongo_errors():
                await self._kept.insert_one(kept.model_dump(by_alias=True))
        except DuplicateKeyError:
            return False
        return True

    async def mark(self, conversation: str, kept_id: str) -> None:
        """Let no later command pass. Only after `add`: a mark without anything behind it would be
        taken away by whoever looks."""
        with mongo_errors():
            await self._conversations.update_one(
                {"_id": conversation}, {"$set": {"kept.last": kept_id}}
            )

    async def marked(self, conversation: str) -> str | None:
        """The mark, if there is one."""
        with mongo_errors():
            document = await self._conversations.find_one({"_id": conversation}, {"kept": 1})
        return ((document or {}).get("kept") or {}).get("last")

    async def unmark(self, conversation: str, mark: str) -> None:
        """Let later commands pass, unless something was put away since the mark was read."""
        with mongo_errors():
            await self._conversations.update_one(
                {"_id": conversation, "kept.last": mark}, {"$unset": {"kept.last": 1}}
            )

    async def first(self, conversation: str) -> Kept | None:
        """What has been waiting for longest."""
        with mongo_errors():
            cursor = self._kept.find({"conversation": conversation}).sort("seq", 1).limit(1)
            found = await cursor.to_list(1)
        return Kept.model_validate(found[0]) if found else None

    async def remove(self, kept_id: str) -> None:
        with mongo_errors():
            await self._kept.delete_one({"_id": kept_id})

    async def postpone(self, kept: Kept, not_now: NotNowError, now: datetime) -> None:
        """Still not: when to look again. What expired behind it has to wait for it."""
        with mongo_errors():
            await self._kept.update_one({"_id": kept.id}, {"$set": postponed(kept, not_now)})
            await self._kept.update_many(
                {"conversation": kept.conversation, "expires_at": {"$lte": now}},
                {"$set": {"expires_at": now + LOOK_AGAIN_AFTER}},
            )

    async def pages(self, partitions: Iterable[int]) -> Collection[str]:
        """The Pages for which something is put away, of these partitions."""
        with mongo_errors():
            found = await self._kept.distinct("page_id", {"partition": {"$in": list(partitions)}})
        return [str(page_id) for page_id in found]

    async def closing(self, page_id: str) -> Closing:
        """What a new process has to know before it calls for the Page."""
        with mongo_errors():
            limits = self._kept.find({"page_id": page_id, "why": "limit"}, {"wake_at": 1})
            latest = await limits.sort("wake_at", -1).limit(1).to_list(1)
            token = await self._kept.find_one({"page_id": page_id, "why": "token"}, {"_id": 1})
        return Closing(latest[0].get("wake_at") if latest else None, token is not None)

    async def counts(self, page_id: str) -> dict[str, int]:
        """How many commands of a Page are put away, by why."""
        stages: list[Document] = [
            {"$match": {"page_id": page_id}},
            {"$group": {"_id": "$why", "count": {"$sum": 1}}},
        ]
        with mongo_errors():
            found = await self._kept.aggregate(stages).to_list(None)
        return {str(each["_id"]): int(each["count"]) for each in found}

    async def due(self, page_id: str, now: datetime, after: str, limit: int) -> list[str]:
        """Conversations of an open Page whose turn it is, in the order of their ids."""
        ready = {"$or": [{"wake_at": None}, {"wake_at": {"$lte": now}}]}
        return await self._conversations_of(page_id, ready, after, limit)

    async def expired(self, page_id: str, now: datetime, after: str, limit: int) -> list[str]:
        """Conversations of a closed Page with something whose messaging window has closed."""
        return await self._conversations_of(page_id, {"expires_at": {"$lte": now}}, after, limit)

    async def waiting(self, ids: Iterable[str]) -> Collection[str]:
        """Which of these are put away."""
        with mongo_errors():
            cursor = self._kept.find({"_id": {"$in": list(ids)}}, {"_id": 1})
            return {document["_id"] for document in await cursor.to_list(None)}

    async def _conversations_of(
        self, page_id: str, wanted: Document, after: str, limit: int
    ) -> list[str]:
        query = {"page_id": page_id, "conversation": {"$gt": after}, **wanted}
        with mongo_errors():
            cursor = self._kept.find(query, {"conversation": 1}).sort("conversation", 1)
            found = await cursor.limit(limit).to_list(limit)
        return list(dict.fromkeys(document["conversation"] for document in found))
