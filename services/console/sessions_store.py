"""MongoDB: `sessions` and `sign_in_attempts`."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from libs.common.mongo import Database, DuplicateKeyError, ReturnDocument, mongo_errors
from services.console.domain.throttling import Limit
from services.console.records import Session


class SessionStore:
    """Sessions by the hash of their secret."""

    def __init__(self, database: Database) -> None:
        self._sessions = database["sessions"]

    async def ensure_indexes(self) -> None:
        with mongo_errors():
            await self._sessions.create_index("account_id")
            await self._sessions.create_index("expires_at", expireAfterSeconds=0)

    async def add(self, session: Session) -> None:
        with mongo_errors():
            await self._sessions.insert_one(session.to_document())

    async def session(self, session_hash: str, now: datetime) -> Session | None:
        """None if there is none, or it is over: the database removes those only now and then."""
        with mongo_errors():
            found = await self._sessions.find_one({"_id": session_hash, "expires_at": {"$gt": now}})
        return Session.model_validate(found) if found else None

    async def touch(self, session_hash: str, seen_at: datetime, expires_at: datetime) -> None:
        """Note a click. A session that was ended meanwhile stays ended: nothing is inserted."""
        with mongo_errors():
            await self._sessions.update_one(
                {"_id": session_hash}, {"$max": {"seen_at": seen_at, "expires_at": expires_at}}
            )

    async def leave_notice(self, session_hash: str, notice: str) -> None:
        """Words for the next page."""
        with mongo_errors():
            await self._sessions.update_one({"_id": session_hash}, {"$set": {"notice": notice}})

    async def take_notice(self, session_hash: str) -> None:
        with mongo_errors():
            await self._sessions.update_one({"_id": session_hash}, {"$unset": {"notice": ""}})

    async def remove(self, session_hash: str) -> None:
        with mongo_errors():
            await self._sessions.delete_one({"_id": session_hash})

    async def remove_all(self, account_id: str) -> None:
        """Of one account. What really ends them is the account's epoch; this tidies up."""
        with mongo_errors():
            await self._sessions.delete_many({"account_id": account_id})

    async def of_account(self, account_id: str, epoch: int, now: datetime) -> list[Session]:
        """Those that work, the latest first."""
        wanted = {"account_id": account_id, "epoch": epoch, "expires_at": {"$gt": now}}
        with mongo_errors():
            found = await self._sessions.find(wanted).sort("seen_at", -1).to_list(100)
        return [Session.model_validate(each) for each in found]


class AttemptStore:
    """How often somebody has tried to sign in, counted for all replicas together."""

    def __init__(self, database: Database) -> None:
        self._attempts = database["sign_in_attempts"]

    async def ensure_indexes(self) -> None:
        with mongo_errors():
            await self._attempts.create_index("expires_at", expireAfterSeconds=0)

    async def count(self, limits: Sequence[Limit], expires_at: datetime) -> bool:
        """Count one attempt; whether it is within all limits.

        Counted before the password is looked at: of many at the same moment, no more get through.
        """
        counts = await asyncio.gather(*(self._count(each.key, expires_at) for each in limits))
        return all(count <= each.most for count, each in zip(counts, limits, strict=True))

    async def forgive(self, limits: Sequence[Limit]) -> None:
        """The attempt was a good one: it doesn't count."""
        with mongo_errors():
            await asyncio.gather(
                *(
                    self._attempts.update_one(
                        {"_id": each.key, "count": {"$gt": 0}}, {"$inc": {"count": -1}}
                    )
                    for each in limits
                )
            )

    async def _count(self, key: str, expires_at: datetime) -> int:
        for attempt in (1, 2):
            try:
                with mongo_errors():
                    after = await self._attempts.find_one_and_update(
                        {"_id": key},
                        {"$inc": {"count": 1}, "$setOnInsert": {"expires_at": expires_at}},
                        upsert=True,
                        return_document=ReturnDocument.AFTER,
                    )
            except DuplicateKeyError:  # two made it at the same moment: now it is there
                if attempt == 2:
                    raise
            else:
                return int(after["count"])
        raise AssertionError("unreachable")
