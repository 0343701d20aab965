"""What counting knows of people who have not written for as long as their workspace keeps messages.

It is numbers and hashes of ids, under the person's id. It goes when the log has forgotten them as
well, so that nothing that comes late is counted twice; and a little before the rest of what is
known of them, so that whoever comes back begins anew everywhere. The figures stay.
"""

from datetime import datetime, timedelta

from libs.common.erasures import KEEP
from libs.common.mongo import Database, Document, mongo_errors
from libs.common.retention import Step
from services.analytics.domain.slots import SLOT_MS, moment_ms
from services.analytics.domain.state import State, from_fields
from services.analytics.store import Generations, names_of

COLLECTION = "expiries_analytics"
EVERY = timedelta(days=1)
AT_ONCE = 500
REMEMBERED = KEEP
"""Longer than anything is on the log: as for those who were erased."""


class StateExpirer:
    """`receipts` of the generation that is live."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._generations = Generations(database)

    async def begin(self, page_id: str, until: datetime, days: int) -> None:
        """Nothing to note before."""

    async def step(self, page_id: str, until: datetime, days: int, place: str) -> Step:
        """The Page's next conversations, by name; one that is written meanwhile stays."""
        del days
        until_ms = moment_ms(until - REMEMBERED)
        receipts = self._database[names_of(await self._generations.live())[1]]
        wanted = {"_id": {"$gt": place or f"{page_id}:", "$lt": f"{page_id};"}}  # ";" comes next
        with mongo_errors():
            cursor = receipts.find(wanted, {"kept": 1}).sort([("_id", 1)])
            found = await cursor.limit(AT_ONCE).to_list(AT_ONCE)
        removed = 0
        for each in found:
            if _is_over(each, until_ms):
                unchanged = {"_id": each["_id"], "kept.folded": each["kept"]["folded"]}
                with mongo_errors():
                    removed += (await receipts.delete_one(unchanged)).deleted_count
        is_last = len(found) < AT_ONCE
        return Step({"receipts": removed}, None if is_last else found[-1]["_id"])


def _is_over(document: Document, until_ms: int) -> bool:
    state = from_fields(document["kept"]["state"])
    return not state.is_human and _latest_ms(state) < until_ms


def _latest_ms(state: State) -> int:
    """When something was last said or tried; 0: never."""
    moments = [*state.inbound.seen.values(), *state.outbound.seen.values()]
    moments += [each.at_ms for each in state.unsent.values()]
    moments += [*state.requests.seen.values(), state.delivered_ms, state.read_ms]
    return max([*moments, *((slot + 1) * SLOT_MS for slot in state.active)], default=0)
