"""MongoDB: `channels` and `assistants`, as the console shows and changes them.

Every change is one write that also holds what other services have to be told (`news`), and a
compare-and-set: an encrypted token never comes twice, so that it serves as the version.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from libs.common.channels import ASSISTANTS_COLLECTION, CHANNELS_COLLECTION, Assistant
from libs.common.errors import PermanentError
from libs.common.mongo import Database, Document, DuplicateKeyError, mongo_errors
from services.console.domain.messenger_profile import ProfileAnswer
from services.console.records import ConnectedChannel

MOST_UNTOLD = 100


class UnknownChannelError(PermanentError):
    """There is no such channel in the workspace."""

    code = "not_found"


@dataclass(frozen=True)
class ShownChannel:
    """A connected Page with the name of who answers there."""

    channel: ConnectedChannel
    assistant_name: str


class ChannelStore:
    """Pages by id. One Page has one channel, in one workspace."""

    def __init__(self, database: Database) -> None:
        self._channels = database[CHANNELS_COLLECTION]
        self._assistants = database[ASSISTANTS_COLLECTION]

    async def ensure_indexes(self) -> None:
        with mongo_errors():
            await self._channels.create_index("workspace_id")
            await self._channels.create_index("news.event_id", sparse=True)
            await self._assistants.create_index("workspace_id")

    async def of_workspace(self, workspace_id: str) -> list[ShownChannel]:
        """In the order of the Pages' names."""
        wanted = {"workspace_id": workspace_id}
        with mongo_errors():
            channels = await self._channels.find(wanted).to_list(None)
            assistants = await self._assistants.find(wanted, {"name": 1}).to_list(None)
        names = {each["_id"]: each["name"] for each in assistants}
        shown = [
            ShownChannel(channel, names.get(channel.assistant_id, ""))
            for channel in map(ConnectedChannel.model_validate, channels)
        ]
        return sorted(shown, key=lambda each: (each.channel.page_name.casefold(), each.channel.id))

    async def all(self) -> list[ConnectedChannel]:
        """Of all workspaces, in the order of the Pages' names: for whoever runs the console."""
        with mongo_errors():
            found = await self._channels.find({}).to_list(None)
        channels = map(ConnectedChannel.model_validate, found)
        return sorted(channels, key=lambda each: (each.page_name.casefold(), each.id))

    async def channel(self, page_id: str) -> ConnectedChannel | None:
        """In whatever workspace."""
        with mongo_errors():
            found = await self._channels.find_one({"_id": page_id})
        return ConnectedChannel.model_validate(found) if found else None

    async def in_workspace(self, workspace_id: str, page_id: str) -> ConnectedChannel:
        """Raises: UnknownChannelError: not in this workspace."""
        found = await self.channel(page_id)
        if found is None or found.workspace_id != workspace_id:
            raise UnknownChannelError("there is no such Page in the workspace")
        return found

    async def channels(self, page_ids: list[str]) -> dict[str, ConnectedChannel]:
        """Those that there are, in whatever workspace."""
        with mongo_errors():
            found = await self._channels.find({"_id": {"$in": page_ids}}).to_list(None)
        return {each["_id"]: ConnectedChannel.model_validate(each) for each in found}

    async def assistant_name(self, assistant_id: str) -> str:
        with mongo_errors():
            found = await self._assistants.find_one({"_id": assistant_id}, {"name": 1})
        return str(found["name"]) if found else ""

    async def first_assistant(self, workspace_id: str) -> str | None:
        """The id of the workspace's assistant; of several the first."""
        with mongo_errors():
            found = await self._assistants.find({"workspace_id": workspace_id}, {"_id": 1}).to_list(
                None
            )
        return min((str(each["_id"]) for each in found), default=None)

    async def add_assistant(self, assistant: Assistant) -> None:
        """Nothing happens if it is there: two may add the first one at the same moment."""
        with mongo_errors():
            await self._assistants.update_one(
                {"_id": assistant.id}, {"$setOnInsert": assistant.to_document()}, upsert=True
            )

    async def add(self, channel: ConnectedChannel) -> bool:
        """False if some workspace has the Page."""
        try:
            with mongo_errors():
                await self._channels.insert_one(channel.to_document())
        except DuplicateKeyError:
            return False
        return True

    async def change(self, before: ConnectedChannel, changes: dict[str, Any]) -> bool:
        """Change what is named and nothing else; False if somebody was faster."""
        unchanged = {
            "_id": before.id,
            "workspace_id": before.workspace_id,
            "token": before.token,
        }
        with mongo_errors():
            done = await self._channels.update_one(unchanged, {"$set": changes})
        return done.matched_count == 1

    async def change_settings(self, before: ConnectedChannel, changes: dict[str, Any]) -> bool:
        """False if somebody has changed settings of this Page since `before` was read."""
        with mongo_errors():
            done = await self._channels.update_one(_same_settings(before), {"$set": changes})
        return done.matched_count == 1

    async def note_profile(self, before: ConnectedChannel, answer: ProfileAnswer) -> bool:
        """False if settings have changed since `before` was read: it is about others, then."""
        changes = {"profile": answer.model_dump()}
        return await self.change_settings(before, changes)

    async def assistants(self, workspace_id: str) -> list[tuple[str, str]]:
        """Ids and names of the workspace's assistants, in the order of the names."""
        wanted = {"workspace_id": workspace_id}
        with mongo_errors():
            found = await self._assistants.find(wanted, {"name": 1}).to_list(None)
        named = [(str(each["_id"]), str(each.get("name", ""))) for each in found]
        return sorted(named, key=lambda each: (each[1].casefold(), each[0]))

    async def looked_after(self) -> list[ConnectedChannel]:
        """All that were connected in the console and are not disconnected, in all workspaces."""
        wanted = {
            "connection.at": {"$exists": True},
            "status": {"$in": ["active", "expired", "revoked"]},
        }
        with mongo_errors():
            found = await self._channels.find(wanted).to_list(None)
        return [ConnectedChannel.model_validate(each) for each in found]

    async def statuses(self) -> dict[str, int]:
        """How many there are of each, in all workspaces."""
        stages: list[Document] = [{"$group": {"_id": "$status", "count": {"$sum": 1}}}]
        with mongo_errors():
            found = await self._channels.aggregate(stages).to_list(None)
        return {str(each["_id"]): int(each["count"]) for each in found}

    async def page_ids(self) -> list[str]:
        """Of all workspaces, disconnected ones too: their conversations are kept."""
        with mongo_errors():
            found = await self._channels.find({}, {"_id": 1}).sort("_id", 1).to_list(None)
        return [str(each["_id"]) for each in found]

    async def forget_facebook_user(self, user_id: str) -> bool:
        """Who connected Pages is not named any more; whether they did."""
        nobody = {"connection.facebook_user_id": "", "connection.facebook_user_name": ""}
        with mongo_errors():
            done = await self._channels.update_many(
                {"connection.facebook_user_id": user_id}, {"$set": nobody}
            )
        return done.matched_count > 0

    async def note_check(self, before: ConnectedChannel, now: datetime) -> bool:
        """False if another replica has taken this look."""
        with mongo_errors():
            done = await self._channels.update_one(
                {"_id": before.id, "checked_at": before.checked_at}, {"$set": {"checked_at": now}}
            )
        return done.modified_count == 1

    async def untold(self) -> list[ConnectedChannel]:
        """Channels with news that nobody has been told yet."""
        wanted = {"news.event_id": {"$exists": True}}
        with mongo_errors():
            found = await self._channels.find(wanted).to_list(MOST_UNTOLD)
        return [ConnectedChannel.model_validate(each) for each in found]

    async def told(self, page_id: str, event_id: str) -> None:
        """Newer news stay."""
        with mongo_errors():
            await self._channels.update_one(
                {"_id": page_id, "news.event_id": event_id}, {"$set": {"news": None}}
            )


def _same_settings(channel: ConnectedChannel) -> dict[str, Any]:
    version = channel.settings_version
    return {
        "_id": channel.id,
        "workspace_id": channel.workspace_id,
        "settings_version": version or {"$in": [None, 0]},  # older channels have none
    }
