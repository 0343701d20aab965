"""Texts that a workspace keeps no longer: taken out of what this service remembers of sends.

The records themselves stay for their 40 days, as they tell what was sent before: only their texts
go, and that of the latest claim in the conversation's document.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from libs.common.mongo import Collection, Database, Document, mongo_errors
from libs.common.retention import Step
from services.sender.store import KEEP_DELIVERIES

COLLECTION = "expiries_sender"
AT_ONCE = 500
STATES = ("sent", "failed", "held", "again")
LAST_LOOK = KEEP_DELIVERIES - timedelta(days=1)
"""A record leads to its conversation's claim. So each is looked at before it goes, however long
messages are kept: the claim has a text only for the sake of a part that is in doubt."""
OVERLAP = timedelta(days=1)
"""Clocks differ, and what is looked at twice changes nothing."""


class TextExpirer:
    """`deliveries`, and `conversations.sending`."""

    def __init__(
        self, database: Database, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._expiries: Collection = database[COLLECTION]
        self._deliveries = database["deliveries"]
        self._conversations = database["conversations"]
        self._clock = clock

    async def begin(self, page_id: str, until: datetime, days: int) -> None:
        """Nothing to note before."""

    async def step(self, page_id: str, until: datetime, days: int, place: str) -> Step:
        """Some records, until there are no more; then conversations in which all is as old."""
        del days
        since = await self._since(page_id)
        if place == "conversations":
            idle = {"page_id": page_id, "last_activity_at": {**since, "$lt": until}}
            await self._forget_claims(idle, until)
            with mongo_errors():
                done = {"$set": {"done_until": until}}
                await self._expiries.update_one({"_id": page_id}, done)
            return Step({})
        until = max(until, self._clock() - LAST_LOOK)
        wanted = {
            "page_id": page_id,
            "state": {"$in": STATES},
            "at": {**since, "$lt": until},
            "text": {"$ne": ""},
        }
        with mongo_errors():
            cursor = self._deliveries.find(wanted, {"conversation": 1}).limit(AT_ONCE)
            found = await cursor.to_list(AT_ONCE)
        if found:
            await self._forget_claims({"_id": {"$in": [e["conversation"] for e in found]}}, until)
            ids = {"_id": {"$in": [each["_id"] for each in found]}}
            with mongo_errors():  # last: those without a text are not looked at again
                await self._deliveries.update_many(ids, {"$set": {"text": ""}})
        is_over = len(found) < AT_ONCE
        return Step({"deliveries": len(found)}, "conversations" if is_over else "deliveries")

    async def _since(self, page_id: str) -> Document:
        """What was seen to before needs no second look."""
        with mongo_errors():
            found = await self._expiries.find_one({"_id": page_id}, {"done_until": 1}) or {}
        return {"$gte": found["done_until"] - OVERLAP} if "done_until" in found else {}

    async def _forget_claims(self, whose: Document, until: datetime) -> None:
        old = {**whose, "sending.claimed_at": {"$lt": until}, "sending.text": {"$gt": ""}}
        with mongo_errors():
            await self._conversations.update_many(old, {"$set": {"sending.text": ""}})
