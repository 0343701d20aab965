"""Erasing a person from the figures: the numbers stay, and nobody can be found behind them.

What counting needs to know of a conversation is numbers and hashes of ids, under the person's name.
The name goes: the state is kept under its hash for as long as the log still has events of before,
so that late receipts and copies count as they would have. ADR 0110 says why.
"""

import re
from collections.abc import AsyncIterator
from datetime import datetime

from libs.common.erasure_api import Person
from libs.common.erasures import KEEP
from libs.common.mongo import Collection, Database, Document, ensure_expiry, mongo_errors
from services.analytics.domain.slots import moment_ms
from services.analytics.domain.state import from_fields
from services.analytics.folding import nameless

RECEIPTS = re.compile(r"receipts(_\d+)?")


class PersonEraser:
    """`receipts` of every generation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ensure_indexes(self) -> None:
        async for receipts in self._generations():
            await _expiring(receipts)

    async def erase(self, person: Person) -> dict[str, int]:
        """Of two states the one that has come further stays, as always: safe to repeat."""
        erased = 0
        async for receipts in self._generations():
            await _expiring(receipts)
            with mongo_errors():
                found = await receipts.find_one({"_id": person.conversation})
                if found is None:
                    continue
                kept: Document = {"$max": {"kept": found["kept"], "erased_at": person.until}}
                await receipts.update_one({"_id": nameless(person.conversation)}, kept, upsert=True)
                done = await receipts.delete_one({"_id": person.conversation})
            erased += done.deleted_count
        return {"receipts": erased}

    async def count(self, person: Person) -> dict[str, int]:
        left = 0
        async for receipts in self._generations():
            with mongo_errors():
                found = await receipts.find_one({"_id": person.conversation})
            left += found is not None and _is_of_before(found, person.until)
        return {"receipts": left}

    async def _generations(self) -> AsyncIterator[Collection]:
        with mongo_errors():
            names = await self._database.list_collection_names()
        for name in sorted(names):
            if RECEIPTS.fullmatch(name):
                yield self._database[name]


async def _expiring(receipts: Collection) -> None:
    """Only nameless states have this field. The log has forgotten them by then."""
    await ensure_expiry(receipts, "erased_at", KEEP)


def _is_of_before(document: Document, until: datetime | None) -> bool:
    """Whether a state knows of something of before; who writes again has one that does not."""
    if until is None:
        return True
    state = from_fields(document["kept"]["state"])
    moments = [*state.inbound.seen.values(), *state.outbound.seen.values()]
    return not moments or min(moments) <= moment_ms(until)
