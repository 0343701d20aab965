"""MongoDB: `api_tokens`."""

from datetime import datetime, timedelta

from libs.common.mongo import Database, mongo_errors
from services.console.records import StoredToken

NOTE_USE_EVERY = timedelta(minutes=1)


class TokenStore:
    """API tokens by id."""

    def __init__(self, database: Database) -> None:
        self._tokens = database["api_tokens"]

    async def ensure_indexes(self) -> None:
        with mongo_errors():
            await self._tokens.create_index("workspace_id")

    async def add(self, token: StoredToken) -> None:
        with mongo_errors():
            await self._tokens.insert_one(token.to_document())

    async def token(self, token_id: str) -> StoredToken | None:
        """Of whatever workspace: for whoever shows the secret."""
        with mongo_errors():
            found = await self._tokens.find_one({"_id": token_id})
        return StoredToken.model_validate(found) if found else None

    async def of_workspace(self, workspace_id: str) -> list[StoredToken]:
        with mongo_errors():
            found = await self._tokens.find({"workspace_id": workspace_id}).to_list(None)
        tokens = [StoredToken.model_validate(each) for each in found]
        return sorted(tokens, key=lambda token: (token.created_at, token.id), reverse=True)

    async def in_workspace(self, workspace_id: str, token_id: str) -> StoredToken | None:
        found = await self.token(token_id)
        return found if found is not None and found.workspace_id == workspace_id else None

    async def remove(self, workspace_id: str, token_id: str) -> bool:
        """False if it isn't there any more."""
        with mongo_errors():
            gone = await self._tokens.delete_one({"_id": token_id, "workspace_id": workspace_id})
        return gone.deleted_count == 1

    async def note_use(self, token: StoredToken, now: datetime) -> None:
        """At most once a minute for each token."""
        if token.last_used_at is None or now - token.last_used_at >= NOTE_USE_EVERY:
            with mongo_errors():
                await self._tokens.update_one({"_id": token.id}, {"$max": {"last_used_at": now}})
