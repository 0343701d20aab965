"""MongoDB: `channels` and `assistants`, as pages show them."""

from dataclasses import dataclass

from libs.common.channels import ASSISTANTS_COLLECTION, CHANNELS_COLLECTION, Channel
from libs.common.mongo import Database, mongo_errors


@dataclass(frozen=True)
class ShownChannel:
    """A connected Page with the name of who answers there."""

    channel: Channel
    assistant_name: str


class ChannelStore:
    """The Pages of a workspace."""

    def __init__(self, database: Database) -> None:
        self._channels = database[CHANNELS_COLLECTION]
        self._assistants = database[ASSISTANTS_COLLECTION]

    async def ensure_indexes(self) -> None:
        with mongo_errors():
            await self._channels.create_index("workspace_id")
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
            for channel in map(Channel.model_validate, channels)
        ]
        return sorted(shown, key=lambda each: (each.channel.page_name.casefold(), each.channel.id))
