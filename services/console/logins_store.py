"""MongoDB: `facebook_logins`."""

from datetime import datetime
from typing import Any

from libs.common.mongo import Database, mongo_errors
from services.console.records import FacebookLogin


class FacebookLoginStore:
    """Logins at Facebook by the hash of their `state`."""

    def __init__(self, database: Database) -> None:
        self._logins = database["facebook_logins"]

    async def ensure_indexes(self) -> None:
        with mongo_errors():
            await self._logins.create_index("expires_at", expireAfterSeconds=0)

    async def add(self, login: FacebookLogin) -> None:
        with mongo_errors():
            await self._logins.insert_one(login.to_document())

    async def login(self, login_id: str) -> FacebookLogin | None:
        with mongo_errors():
            found = await self._logins.find_one({"_id": login_id})
        return FacebookLogin.model_validate(found) if found else None

    async def use(self, login_id: str, session_id: str, now: datetime) -> bool:
        """Use the `state` up; of two answers with it only one gets True."""
        unused = {
            "_id": login_id,
            "session_id": session_id,
            "used": False,
            "expires_at": {"$gt": now},
        }
        with mongo_errors():
            done = await self._logins.update_one(unused, {"$set": {"used": True}})
        return done.modified_count == 1

    async def forget_facebook_user(self, user_id: str) -> bool:
        """Remove logins that have not ended by themselves yet; whether there were any."""
        with mongo_errors():
            done = await self._logins.delete_many({"facebook_user_id": user_id})
        return done.deleted_count > 0

    async def change(self, login_id: str, changes: dict[str, Any]) -> None:
        """One that has ended meanwhile stays away: nothing is inserted."""
        with mongo_errors():
            await self._logins.update_one({"_id": login_id}, {"$set": changes})
