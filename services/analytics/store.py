"""MongoDB: `rollups` and `receipts`, of whichever generation is live, and which one that is."""

import asyncio
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import date, datetime

from libs.common.errors import TransientError
from libs.common.mongo import (
    BulkWriter,
    Collection,
    Database,
    Document,
    DuplicateKeyError,
    MongoUnavailableError,
    ReturnDocument,
    UpdateOne,
    Write,
    mongo_errors,
)
from services.analytics.domain.archived import Before
from services.analytics.domain.fold import CONVERSATIONS
from services.analytics.domain.rollups import (
    NONE,
    Offsets,
    RollupWrite,
    Stored,
    path_of,
    rollup_id,
    total_id,
)
from services.analytics.domain.slots import day_of, first_slot
from services.analytics.domain.state import from_fields, to_fields

LIVE_COLLECTION = "analytics"
LIVE = "live"
READ_AT_ONCE = 5000
HAND_OVERS = ("requested", "started", "ended")
ATTEMPTS = 5


class RebuildOvertakenError(TransientError):
    """Of two rebuilds the one that began later goes on."""

    code = "rebuild_overtaken"


def names_of(generation: int) -> tuple[str, str]:
    """Of its rollups and its receipts. The first generation has the plain names."""
    if generation == 0:
        return "rollups", "receipts"
    return f"rollups_{generation}", f"receipts_{generation}"


class AnalyticsStore:
    """One generation of the figures.

    A rollup changes by compare-and-set on its offsets. Where they are not as expected, the upsert's
    filter does not match, so MongoDB tries to insert, and the unique `_id` refuses it. Of a state
    the one that has come further stays: values that are documents compare field by field.
    """

    def __init__(self, database: Database, generation: int = 0) -> None:
        rollups, receipts = names_of(generation)
        self._rollups = database[rollups]
        self._receipts = database[receipts]
        self._rollup_writer = BulkWriter(self._rollups)
        self._receipt_writer = BulkWriter(self._receipts)

    async def states(self, conversations: Iterable[str]) -> dict[str, Stored]:
        """Those that there are."""
        found = await _by_id(self._receipts, conversations, {"kept": 1})
        return {each["_id"]: _stored(each["kept"]) for each in found}

    async def offsets(self, rollup_ids: Iterable[str]) -> dict[str, Offsets]:
        found = await _by_id(self._rollups, rollup_ids, {"offsets": 1})
        return {each["_id"]: _offsets(each) for each in found}

    async def rollups(self, rollup_ids: Iterable[str]) -> list[Document]:
        """Those that there are, in no order."""
        return await _by_id(self._rollups, rollup_ids, {"offsets": 0})

    async def write_rollups(self, writes: Sequence[RollupWrite]) -> set[str]:
        """Add to counters; the ids of those that are not as expected, which were left as they are.

        Raises:
            MongoUnavailableError: any of them may have been written or not.
        """
        return await _write(
            self._rollup_writer, {each.rollup_id: _rollup_write(each) for each in writes}
        )

    async def write_states(self, states: Mapping[str, Stored]) -> None:
        """Keep those that have come further than what is there.

        Raises:
            MongoUnavailableError: as above.
        """
        writes = {name: _state_write(name, stored) for name, stored in states.items()}
        for _ in range(ATTEMPTS):
            # refused: somebody made the document at the same moment; now it is there
            writes = {name: writes[name] for name in await _write(self._receipt_writer, writes)}
            if not writes:
                return
        raise MongoUnavailableError("documents are there and are not")

    async def seed(self, befores: Sequence[Before]) -> None:
        """Put in what was before the log: once, into a generation that nobody reads yet."""
        counters: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
        for before in befores:
            page_id = before.conversation.partition(":")[0]
            for slot, name, number in before.increments:
                counters[rollup_id(page_id, slot)][path_of(slot, name)] += number
        writes = [
            RollupWrite(
                rollup, {}, {}, {path: number for path, number in changes.items() if number}
            )
            for rollup, changes in counters.items()
        ]
        await self.write_rollups(writes)
        await self.write_states({before.conversation: before.stored for before in befores})

    async def take_hand_overs(self, other: "AnalyticsStore", until: int) -> int:
        """Have the hand-overs of all slots before `until` as another generation has them.

        Returns:
            how many documents have any.
        """
        days = 0
        with mongo_errors():
            async for document in other._rollups.find({"day": {"$lte": str(day_of(until))}}):
                first = first_slot(date.fromisoformat(document["day"]))
                kept = {
                    f"slots.{slot}.{name}": counters[name]
                    for slot, counters in document.get("slots", {}).items()
                    for name in HAND_OVERS
                    if name in counters and first + int(slot) < until
                }
                if kept:
                    facts = {"page_id": document["page_id"], "day": document["day"]}
                    await self._rollups.update_one(
                        {"_id": document["_id"]}, {"$set": {**facts, **kept}}, upsert=True
                    )
                    days += 1
        return days

    async def take_days(self, other: "AnalyticsStore", page_id: str, until: date) -> int:
        """Have all days of a Page before `until` as another generation has them; how many.

        What there is for all time counts the conversations that began before, too.
        """
        earlier = {"page_id": page_id, "day": {"$lt": str(until)}}
        with mongo_errors():
            taken = {
                each["_id"]: each async for each in other._rollups.find(earlier, {"offsets": 0})
            }
            mine = [each["_id"] async for each in self._rollups.find(earlier, {"_id": 1})]
            for name in {*mine, *taken}:
                there = taken.get(name, {"page_id": page_id, "day": name.partition(":")[2]})
                facts = {"page_id": page_id, "day": there["day"], "slots": there.get("slots", {})}
                await self._rollups.update_one({"_id": name}, {"$set": facts}, upsert=True)
            before = await other._conversations(page_id) - await other._begun(page_id, until)
            total = before + await self._begun(page_id, until)
            facts = {"page_id": page_id, "day": "total", CONVERSATIONS: total}
            await self._rollups.update_one({"_id": total_id(page_id)}, {"$set": facts}, upsert=True)
        return len(taken)

    async def _conversations(self, page_id: str) -> int:
        found = await self._rollups.find_one({"_id": total_id(page_id)}, {CONVERSATIONS: 1})
        return int((found or {}).get(CONVERSATIONS, 0))

    async def _begun(self, page_id: str, since: date) -> int:
        """How many conversations began on that day or later."""
        begun = 0
        days = {"page_id": page_id, "day": {"$gte": str(since), "$lt": "total"}}
        async for each in self._rollups.find(days, {"slots": 1}):
            begun += sum(
                slot.get("gap", {}).get("new", 0) for slot in each.get("slots", {}).values()
            )
        return begun


class ArchiveReader:
    """What the conversation service has kept: for a rebuild, and only read."""

    def __init__(self, database: Database) -> None:
        self._messages = database["messages"]
        self._conversations = database["conversations"]
        self._expiries = database["expiries"]

    async def conversations(self) -> AsyncIterator[tuple[str, list[Document]]]:
        """Every conversation with all its messages, in the order of an index of `messages`."""
        fields = {"said": 0, "attached": 0, "reactions": 0, "outcome.text": 0, "echo.text": 0}
        order = [("conversation", -1), ("at", 1), ("_id", 1)]
        name, gathered = "", list[Document]()
        with mongo_errors():
            async for message in self._messages.find({}, fields).sort(order):
                if message["conversation"] != name:
                    if gathered:
                        yield name, gathered
                    name, gathered = message["conversation"], []
                gathered.append(message)
        if gathered:
            yield name, gathered

    async def expired(self) -> dict[str, datetime]:
        """Pages whose messages are kept for some days only, and up to when they are gone."""
        with mongo_errors():
            found = await self._expiries.find(
                {"expired_until": {"$ne": None}}, {"expired_until": 1}
            ).to_list(None)
        return {each["_id"]: each["expired_until"] for each in found}

    async def names(self, page_id: str, after: str, limit: int) -> list[str]:
        """The Page's next conversations, those of which no message is kept as well."""
        range_ = {"$gt": after or f"{page_id}:", "$lt": f"{page_id};"}  # ";" comes next
        with mongo_errors():
            cursor = self._conversations.find({"_id": range_}, {"_id": 1}).sort([("_id", 1)])
            return [each["_id"] for each in await cursor.limit(limit).to_list(limit)]

    async def has_older(self, moment: datetime) -> bool:
        """Whether there is a message from before."""
        with mongo_errors():
            return await self._messages.find_one({"at": {"$lt": moment}}, {"_id": 1}) is not None

    async def facts(self, conversations: Iterable[str]) -> dict[str, Document]:
        """Of each its watermarks and who has it."""
        fields = {"delivered_ms": 1, "read_ms": 1, "delivered_mids": 1, "takeover": 1}
        found = await _by_id(self._conversations, conversations, fields)
        return {each["_id"]: each for each in found}


async def _by_id(
    collection: Collection, ids: Iterable[str], fields: Mapping[str, int]
) -> list[Document]:
    wanted, found = list(ids), []
    with mongo_errors():
        for begin in range(0, len(wanted), READ_AT_ONCE):
            query = {"_id": {"$in": wanted[begin : begin + READ_AT_ONCE]}}
            found += await collection.find(query, dict(fields)).to_list(None)
    return found


async def _write(writer: BulkWriter, writes: Mapping[str, Write]) -> set[str]:
    results = await asyncio.gather(
        *[writer.enqueue(write) for write in writes.values()], return_exceptions=True
    )
    refused = set()
    for document_id, result in zip(writes, results, strict=True):
        if isinstance(result, DuplicateKeyError):
            refused.add(document_id)
        elif isinstance(result, BaseException):
            raise result
    return refused


def _rollup_write(write: RollupWrite) -> UpdateOne:
    page_id, _, day = write.rollup_id.partition(":")
    expected: Document = {
        f"offsets.{partition}": {"$exists": False} if offset == NONE else offset
        for partition, offset in write.before.items()
    }
    moved = {f"offsets.{partition}": offset for partition, offset in write.after.items()}
    change: Document = {"$set": {"page_id": page_id, "day": day, **moved}}
    if write.counters:
        change["$inc"] = dict(write.counters)
    return UpdateOne({"_id": write.rollup_id, **expected}, change, upsert=True)


def _state_write(conversation: str, stored: Stored) -> UpdateOne:
    kept = {
        "folded": stored.folded,  # the first field decides which of two stays
        "offsets": {str(partition): offset for partition, offset in stored.offsets.items()},
        "state": to_fields(stored.state),
    }
    return UpdateOne({"_id": conversation}, {"$max": {"kept": kept}}, upsert=True)


def _stored(kept: Document) -> Stored:
    return Stored(kept["folded"], _offsets(kept), from_fields(kept["state"]))


def _offsets(document: Document) -> dict[int, int]:
    return {int(name): offset for name, offset in (document.get("offsets") or {}).items()}


class Generations:
    """Which generation of the figures is live: a document says so, and a rebuild changes it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pointer = database[LIVE_COLLECTION]

    async def live(self) -> int:
        with mongo_errors():
            document = await self._pointer.find_one({"_id": LIVE})
        return int((document or {}).get("generation", 0))

    def store(self, generation: int) -> AnalyticsStore:
        return AnalyticsStore(self._database, generation)

    async def begin(self) -> int:
        """A new generation to fill, with no other beside it than the live one."""
        with mongo_errors():
            document = await self._pointer.find_one_and_update(
                {"_id": LIVE},
                {"$inc": {"latest": 1}},
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
            generation, live = int(document["latest"]), int(document.get("generation", 0))
            kept = {*names_of(live), *names_of(generation)}
            for name in await self._database.list_collection_names():
                if re.fullmatch(r"(rollups|receipts)(_\d+)?", name) and name not in kept:
                    await self._database.drop_collection(name)
        return generation

    async def make_live(self, generation: int) -> None:
        """From now on everybody reads this one, and within seconds counts into it.

        Raises:
            RebuildOvertakenError: another generation was begun after this one, which is gone.
        """
        with mongo_errors():
            result = await self._pointer.update_one(
                {"_id": LIVE, "latest": generation}, {"$set": {"generation": generation}}
            )
        if not result.matched_count:
            raise RebuildOvertakenError("another rebuild has begun meanwhile")


class FigureReader:
    """What the HTTP API asks, of the live generation."""

    def __init__(self, database: Database) -> None:
        self._generations = Generations(database)

    async def rollups(self, rollup_ids: Iterable[str]) -> list[Document]:
        store = self._generations.store(await self._generations.live())
        return await store.rollups(rollup_ids)
