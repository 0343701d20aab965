"""MongoDB: `assistants`, and the news for the Pages that use one."""

from typing import Any

from libs.common.channels import ASSISTANTS_COLLECTION, CHANNELS_COLLECTION, Assistant
from libs.common.mongo import Database, DuplicateKeyError, mongo_errors
from services.console.records import ConnectedChannel, News


class AssistantStore:
    """Assistants by id; each change is a compare-and-set of `version`."""

    def __init__(self, database: Database) -> None:
        self._assistants = database[ASSISTANTS_COLLECTION]
        self._channels = database[CHANNELS_COLLECTION]

    async def of_workspace(self, workspace_id: str) -> list[Assistant]:
        with mongo_errors():
            found = await self._assistants.find({"workspace_id": workspace_id}).to_list(None)
        return [Assistant.model_validate(each) for each in found]

    async def assistant(self, assistant_id: str) -> Assistant | None:
        """In whatever workspace."""
        with mongo_errors():
            found = await self._assistants.find_one({"_id": assistant_id})
        return Assistant.model_validate(found) if found else None

    async def pages(self, workspace_id: str) -> list[ConnectedChannel]:
        """All Pages of the workspace, the disconnected ones as well."""
        with mongo_errors():
            found = await self._channels.find({"workspace_id": workspace_id}).to_list(None)
        return [ConnectedChannel.model_validate(each) for each in found]

    async def add(self, assistant: Assistant) -> bool:
        """False if it is there already."""
        try:
            with mongo_errors():
                await self._assistants.insert_one(assistant.to_document())
        except DuplicateKeyError:
            return False
        return True

    async def replace(self, before: Assistant, after: Assistant) -> bool:
        """Write what is different; False if somebody was faster."""
        old, new = before.to_document(), after.to_document()
        changes = {name: value for name, value in new.items() if value != old[name]}
        with mongo_errors():
            done = await self._assistants.update_one(_unchanged(before), {"$set": changes})
        return done.matched_count == 1

    async def remove(self, before: Assistant) -> bool:
        """False if somebody was faster."""
        with mongo_errors():
            done = await self._assistants.delete_one(_unchanged(before))
        return done.deleted_count == 1

    async def leave_news(self, page_id: str, assistant_id: str, news: News) -> None:
        """Nothing is added where something waits to be told: that tells of this as well."""
        waiting = {"_id": page_id, "assistant_id": assistant_id, "news": None}
        with mongo_errors():
            await self._channels.update_one(waiting, {"$set": {"news": news.model_dump()}})


def _unchanged(before: Assistant) -> dict[str, Any]:
    """Documents from before there were versions have none."""
    version: Any = before.version or {"$in": [0, None]}
    return {"_id": before.id, "workspace_id": before.workspace_id, "version": version}
