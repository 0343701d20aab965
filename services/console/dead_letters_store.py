"""MongoDB: `dead_letters`: what was done about each. No word, key or person of a record is here."""

from collections.abc import Collection
from datetime import datetime, timedelta

from libs.common.mongo import Database, DuplicateKeyError, ensure_expiry, mongo_errors
from services.console.domain.dead_letters import Letter, State
from services.console.records import Record

LEASE = timedelta(seconds=60)
"""Whoever puts one back and ends before it is known has at most so long; then others may."""
KEEP = timedelta(days=40)
"""Longer than the topic keeps the letter itself."""
SETTLED: tuple[State, ...] = ("replayed", "discarded")


class Settled(Record):
    """What became of a letter. `id` is its place."""

    state: State
    by: str
    at: datetime
    written_at: datetime


class DeadLetterStore:
    """Letters of which there is nothing here are open."""

    def __init__(self, database: Database) -> None:
        self._letters = database["dead_letters"]

    async def ensure_indexes(self) -> None:
        await ensure_expiry(self._letters, "written_at", KEEP)

    async def settled(self, letter_ids: Collection[str]) -> dict[str, Settled]:
        with mongo_errors():
            found = await self._letters.find({"_id": {"$in": [*letter_ids]}}).to_list(None)
        return {each["_id"]: Settled.model_validate(each) for each in found}

    async def count(self, first: datetime, second: datetime) -> tuple[int, int]:
        """How many are settled of those that died since either moment."""
        done = {"state": {"$in": [*SETTLED]}}
        with mongo_errors():
            return (
                await self._letters.count_documents({**done, "written_at": {"$gte": first}}),
                await self._letters.count_documents({**done, "written_at": {"$gte": second}}),
            )

    async def claim(self, letter: Letter, state: State, by: str, now: datetime) -> Settled | None:
        """Make it ours: whoever gets None has it. Otherwise what somebody else made of it."""
        mine = Settled(id=letter.id, state=state, by=by, at=now, written_at=letter.written_at)
        while True:
            try:
                with mongo_errors():
                    await self._letters.insert_one(mine.to_document())
            except DuplicateKeyError:
                if await self._take_over(mine):
                    return None
                before = (await self.settled([mine.id])).get(mine.id)
                if before is not None:
                    return before
                continue  # it was released just now
            return None

    async def finish(self, letter: Letter, now: datetime) -> None:
        """It has been put back."""
        with mongo_errors():
            await self._letters.update_one(
                {"_id": letter.id, "state": "replaying"}, {"$set": {"state": "replayed", "at": now}}
            )

    async def release(self, letter: Letter) -> None:
        """It could not be put back."""
        with mongo_errors():
            await self._letters.delete_one({"_id": letter.id, "state": "replaying"})

    async def _take_over(self, mine: Settled) -> bool:
        """From somebody who began and was never heard of again."""
        stale = {"_id": mine.id, "state": "replaying", "at": {"$lte": mine.at - LEASE}}
        with mongo_errors():
            taken = await self._letters.update_one(
                stale, {"$set": {"state": mine.state, "by": mine.by, "at": mine.at}}
            )
        return taken.modified_count == 1
