"""MongoDB: parts that somebody has to look at, and what late evidence or a person makes of them.

Every change is a compare-and-set on state and generation. A change that has to be told is marked so
in the same write (`untold`): a crash before the telling loses no event.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from libs.common.mongo import Database, Document, ReturnDocument, mongo_errors
from libs.common.paging import After, behind
from services.sender.domain.deliveries import Delivery

DISCARDED = "discarded"
HELD = {"state": "held"}
OPEN_STATES = ("held", "failed", "again")


class ReviewStore:
    """Questions about, and changes of, deliveries that are final already."""

    def __init__(self, database: Database) -> None:
        self._deliveries = database["deliveries"]

    async def ensure_indexes(self) -> None:
        with mongo_errors():
            await self._deliveries.create_index("untold", sparse=True)
            await self._deliveries.create_index(
                [("state", 1), ("at", 1)], partialFilterExpression=HELD
            )

    async def listed(
        self, whose: Mapping[str, str], states: Sequence[str], after: After | None, limit: int
    ) -> list[Delivery]:
        """The latest first; without what was discarded. `whose`: a page_id or a conversation."""
        query: Document = {
            **whose,
            "state": {"$in": list(states)},
            "dismissed": {"$ne": True},
            "reason": {"$ne": DISCARDED},
            **behind("at", after),
        }
        with mongo_errors():
            cursor = self._deliveries.find(query).sort([("at", -1), ("_id", -1)]).limit(limit)
            return [Delivery.model_validate(each) for each in await cursor.to_list(limit)]

    async def deliveries(self, send_ids: Iterable[str]) -> dict[str, Delivery]:
        with mongo_errors():
            cursor = self._deliveries.find({"_id": {"$in": list(send_ids)}})
            found = [Delivery.model_validate(each) for each in await cursor.to_list(None)]
        return {each.send_id: each for each in found}

    async def discard(self, delivery: Delivery, now: datetime) -> Delivery | None:
        """Give a held part up for good; None: it is not held any more."""
        change = {
            "state": "failed",
            "rule": DISCARDED,
            "reason": DISCARDED,
            "explanation": "It was not known whether it arrived, and it was given up by hand.",
            "advice": "",
            "at": now,
        }
        return await self._settle({"_id": delivery.send_id, **_as_read(delivery, "held")}, change)

    async def dismiss(self, delivery: Delivery) -> Delivery | None:
        """Take a failed part off the list; nothing else changes, and nothing is told."""
        with mongo_errors():
            document = await self._deliveries.find_one_and_update(
                {"_id": delivery.send_id, **_as_read(delivery, "failed")},
                {"$set": {"dismissed": True}},
                return_document=ReturnDocument.AFTER,
            )
        return None if document is None else Delivery.model_validate(document)

    async def arrived(self, send_id: str, mid: str, now: datetime) -> Delivery | None:
        """It was sent after all; None: that is known, or somebody is about to send it again."""
        change = {
            "state": "sent",
            "rule": "found_by_echo",
            "mid": mid,
            "reason": None,
            "explanation": "",
            "at": now,
        }
        unsettled = {"$or": [{"state": "held"}, {"state": "failed", "reason": DISCARDED}]}
        settled = await self._settle({"_id": send_id, **unsettled}, change)
        if settled is not None and settled.messaging_type is None:
            settled = settled.model_copy(update={"messaging_type": "RESPONSE"})
        return settled

    async def untold(self, before: datetime, limit: int) -> list[Delivery]:
        """Changes whose event may be missing on the log."""
        with mongo_errors():
            cursor = self._deliveries.find({"untold": True, "at": {"$lte": before}}).limit(limit)
            return [Delivery.model_validate(each) for each in await cursor.to_list(limit)]

    async def told(self, delivery: Delivery) -> None:
        """Its event is on the log. What was settled anew since is still to be told."""
        with mongo_errors():
            await self._deliveries.update_one(
                {"_id": delivery.send_id, "state": delivery.state, "at": delivery.at},
                {"$unset": {"untold": 1}},
            )

    async def held_ids(self, limit: int) -> list[str]:
        """Those whose echo would settle the matter, the latest first."""
        unsettled = {"$or": [{"state": "held"}, {"state": "failed", "reason": DISCARDED}]}
        with mongo_errors():
            cursor = self._deliveries.find(unsettled, {"_id": 1}).sort("at", -1).limit(limit)
            return [document["_id"] for document in await cursor.to_list(limit)]

    async def held(self) -> tuple[int, datetime | None]:
        """How many are held, and when the first of them became so."""
        with mongo_errors():
            count = await self._deliveries.count_documents(HELD)
            cursor = self._deliveries.find(HELD, {"at": 1}).sort("at", 1).limit(1)
            first = await cursor.to_list(1)
        return count, first[0]["at"] if first else None

    async def _settle(self, wanted: Document, change: Mapping[str, Any]) -> Delivery | None:
        with mongo_errors():
            document = await self._deliveries.find_one_and_update(
                wanted,
                {"$set": {**change, "untold": True}},
                return_document=ReturnDocument.AFTER,
            )
        return None if document is None else Delivery.model_validate(document)


def _as_read(delivery: Delivery, state: str) -> Document:
    generation: Any = delivery.generation or {"$in": [0, None]}
    return {"state": state, "generation": generation}
