"""Keeps the inbox's rows: from the log, and of what was before them, from the archive."""

from collections.abc import Mapping, Sequence

from libs.common.mongo import Database, mongo_errors
from services.conversation.domain.contacts import Person
from services.conversation.domain.inbox_rows import empty_row
from services.conversation.domain.profiles import Profile
from services.conversation.inbox_store import Arrivals, InboxStore, Start


class InboxKeeper:
    """Events in, rows out."""

    def __init__(self, database: Database, rows: InboxStore, own_app_id: str) -> None:
        self._people = database["people"]
        self._rows = rows
        self._own_app_id = own_app_id

    async def note(self, arrivals: Arrivals) -> None:
        """Return when the events are in the rows. Doing so again changes nothing.

        Raises:
            RowChangedError: the same again will pass.
        """
        await self._rows.note(arrivals, self._own_app_id, self._before)

    async def _before(self, names: Sequence[str], arrivals: Arrivals) -> Mapping[str, Start]:
        del arrivals
        profiles = await self._profiles(names)
        return {name: Start(empty_row(name), profile) for name, profile in profiles.items()}

    async def _profiles(self, names: Sequence[str]) -> dict[str, Profile]:
        """Of those of these people that are known."""
        with mongo_errors():
            found = await self._people.find({"_id": {"$in": list(names)}}).to_list(None)
        return {each["_id"]: Person.model_validate(each).profile for each in found}
