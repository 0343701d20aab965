"""Everything that this service keeps about one person: counted, erased."""

from contextlib import suppress
from datetime import UTC, datetime

from libs.common.erasure_api import Person
from libs.common.erasures import name_of
from libs.common.errors import TransientError
from libs.common.mongo import Database, Document, mongo_errors
from services.takeover.domain.transitions import Erase
from services.takeover.keeper import Keeper, UnknownConversationError


class NotToldError(TransientError):
    """Figures have not heard of the end yet; it would be lost with the rest. Soon they have."""

    code = "takeover_not_told"


class PersonEraser:
    """`conversations.takeover`, the row in `takeovers`, and the keys of messages that humans wrote.

    Who was written to by a human goes back to the assistant first, so that every figure knows of
    it; and what is on its way to Meta has arrived, or never will, before anything is erased.
    """

    def __init__(self, database: Database, keeper: Keeper) -> None:
        self._conversations = database["conversations"]
        self._rows = database["takeovers"]
        self._keys = database["human_messages"]
        self._keeper = keeper

    async def erase(self, person: Person) -> dict[str, int]:
        name = person.conversation
        with suppress(UnknownConversationError):
            outcome = await self._keeper.carry_out(name, Erase(person.until or datetime.now(UTC)))
            await self._keeper.until_quiet(outcome.found)
            if (await self._keeper.find(name)).untold:
                raise NotToldError("what belongs on the log is not there yet")
        with mongo_errors():
            rows = await self._rows.delete_one({"_id": name})
            keys = await self._keys.delete_many({"person": name_of(name)})
            await self._conversations.update_one({"_id": name}, {"$unset": {"takeover": ""}})
        return {"takeovers": rows.deleted_count, "human_messages": keys.deleted_count}

    async def count(self, person: Person) -> dict[str, int]:
        name, until = person.conversation, person.until
        row: Document = {"_id": name}
        keys: Document = {"person": name_of(name)}
        if until is not None:
            row["$or"] = [{"since": {"$lte": until}}, {"since": None}]
            keys["at"] = {"$lte": until}
        with mongo_errors():
            return {
                "takeovers": await self._rows.count_documents(row),
                "human_messages": await self._keys.count_documents(keys),
            }
