"""Everything that this service keeps about one person: counted, erased."""

from datetime import datetime
from typing import Any

from libs.common.erasure_api import Person
from libs.common.mongo import Database, Document, mongo_errors

MOST_SHOWN = 2000


class PersonEraser:
    """`deliveries`, and what waits in `kept`. The claim goes with the conversation."""

    def __init__(self, database: Database) -> None:
        self._deliveries = database["deliveries"]
        self._kept = database["kept"]

    async def erase(self, person: Person) -> dict[str, int]:
        """What waits first: nothing of it may be recorded any more."""
        whose = {"conversation": person.conversation}
        with mongo_errors():
            kept = await self._kept.delete_many(whose)
            deliveries = await self._deliveries.delete_many(whose)
        return {"deliveries": deliveries.deleted_count, "kept": kept.deleted_count}

    async def count(self, person: Person) -> dict[str, int]:
        name, until = person.conversation, person.until
        with mongo_errors():
            return {
                "deliveries": await self._deliveries.count_documents(_whose(name, "at", until)),
                "kept": await self._kept.count_documents(_whose(name, "kept_at", until)),
            }

    async def stored(self, conversation: str) -> list[dict[str, Any]]:
        """The latest deliveries, as they are: for whoever has a right to a copy."""
        with mongo_errors():
            cursor = self._deliveries.find({"conversation": conversation}).sort("at", -1)
            return await cursor.limit(MOST_SHOWN).to_list(MOST_SHOWN)


def _whose(conversation: str, field: str, until: datetime | None) -> Document:
    before = {} if until is None else {field: {"$lte": until}}
    return {"conversation": conversation, **before}
