"""The figures: a batch's way into the database, beside an upsert for every event.

The same events both ways, decoded, on the same database, in turns. Then the same events once more,
which must change no number; and what an event costs where there are ever more conversations.
"""

import random
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from itertools import count
from statistics import median
from typing import Any

from libs.common.events import (
    AnyRecord,
    MessageDelivered,
    MessageEchoed,
    MessageRead,
    MessageReceived,
    MessageSent,
    derived_id,
    encode,
    headers_of,
    key_of,
)
from libs.common.kafka import ConsumedRecord, KeyBatch
from libs.common.mongo import Database, InsertOne
from libs.common.service import spare_collector
from libs.common.topics import EVENTS
from services.analytics.app import MOST_OF_A_PARTITION
from services.analytics.consumer import EventCounter, arrivals_of
from services.analytics.domain.fold import Counts, apply
from services.analytics.domain.rollups import rollup_id
from services.analytics.domain.slots import SLOTS_A_DAY, moment_ms
from services.analytics.domain.state import State, from_fields, to_fields
from services.analytics.folding import Folder
from services.analytics.store import AnalyticsStore
from tests.bench.figures import Figure, Goal, ratios
from tests.bench.rounds import Say, interleaved
from tests.bench.system import database, round_trips
from tests.stack import Servers

PAGES = 3
PARTITIONS = 12
AT_ONCE = 40  # conversations that go on side by side
EXCHANGES = 5
WRITING = 1000
FLUSH = 500
CATCHING_UP = PARTITIONS * MOST_OF_A_PARTITION  # what is handed over when there is a backlog
UPSERTED = 300  # events a round, one by one
MOST_ROUNDS = 5
CONVERSATIONS = (1_000, 10_000, 100_000, 1_000_000)
FILL_WITHIN_S = 180.0  # what would take longer to make up is left out
APP = "4242"
BEGIN = datetime(2026, 3, 1, tzinfo=UTC)

FIFTY_TIMES = Goal("at least", 50)
FEW_TRIPS = Goal("at most", 0.02)
NO_NUMBER = Goal("exactly", 0)
FLAT = Goal("at most", 1.25)


class Log:
    """Conversations, some side by side, each exchange with all that Facebook tells of it."""

    def __init__(
        self,
        people: int,
        seed: int = 1,
        exchanges: int = EXCHANGES,
        apart: int = 1,
        at_once: int = AT_ONCE,
    ) -> None:
        """
        Args:
            people: who writes.
            exchanges: questions with their answers, before a person is silent again.
            apart: how many who don't write stand between two who do.
            at_once: exchanges that are under way at any time.
        """
        self._people = people
        self._apart = apart
        self._at_once = at_once
        self._exchanges = exchanges
        self._chance = random.Random(seed)
        self._numbers = count()
        self._going: list[list[AnyRecord]] = []
        self._offsets = count()

    def records(self, size: int) -> list[ConsumedRecord]:
        return [self._record(self._next()) for _ in range(size)]

    def _next(self) -> AnyRecord:
        while len(self._going) < self._at_once:
            person = self._chance.randrange(self._people) * self._apart
            going = [self._exchange(person, next(self._numbers)) for _ in range(self._exchanges)]
            self._going.append([event for exchange in going for event in exchange])
        exchange = self._chance.choice(self._going)
        event = exchange.pop(0)
        if not exchange:
            self._going.remove(exchange)
        return event

    def _exchange(self, person: int, number: int) -> list[AnyRecord]:
        at = BEGIN + timedelta(seconds=number)
        page, psid, mid = str(100 + person % PAGES), f"{10**15 + person}", f"m_{number}"

        def facts(kind: str, seconds: float) -> dict[str, Any]:
            return {
                "event_id": derived_id(kind, page, mid),
                "page_id": page,
                "psid": psid,
                "occurred_at": at + timedelta(seconds=seconds),
            }

        command = derived_id("command", mid)
        answered = facts("message.sent", 2)
        return [
            MessageReceived(**facts("message.received", 0), mid=mid, text="When are you open?"),
            MessageSent(
                **answered,
                command_id=command,
                send_id=f"{command}:0",
                part=0,
                parts=1,
                origin="assistant",
                text="From eight to six.",
                rule="standard_window",
                mid=f"{mid}_answer",
                messaging_type="RESPONSE",
            ),
            MessageEchoed(
                **facts("message.echoed", 1.9),
                mid=f"{mid}_answer",
                app_id=APP,
                send_id=f"{command}:0",
                text="From eight to six.",
            ),
            MessageDelivered(
                **facts("message.delivered", 3),
                watermark_ms=moment_ms(at) + 1900,
                mids=(f"{mid}_answer",),
            ),
            MessageRead(**facts("message.read", 60), watermark_ms=moment_ms(at) + 59_000),
        ]

    def _record(self, event: AnyRecord) -> ConsumedRecord:
        key = key_of(event)
        return ConsumedRecord(
            topic=EVENTS,
            partition=hash(key) % PARTITIONS,
            offset=next(self._offsets),
            key=key,
            value=encode(event),
            headers=dict(headers_of(event)),
            timestamp_ms=moment_ms(event.occurred_at),
        )


class Upserts:
    """What one would write first: for every event its state read, and what it changes upserted.

    It counts the same, without a guard against a repetition.
    """

    def __init__(self, opened: Database) -> None:
        self._rollups, self._receipts = opened["naive_rollups"], opened["naive_receipts"]

    async def count(self, records: Sequence[ConsumedRecord]) -> None:
        for arrival in arrivals_of(records):
            found = await self._receipts.find_one({"_id": arrival.conversation})
            state, counts = from_fields(found["state"] if found else {}), Counts()
            apply(state, arrival.event, APP, counts)
            changes: dict[str, dict[str, int]] = {}
            for slot, name, number in counts.increments:
                path = name if slot < 0 else f"slots.{slot % SLOTS_A_DAY}.{name}"
                counters = changes.setdefault(rollup_id(arrival.event.page_id, slot), {})
                counters[path] = counters.get(path, 0) + number
            for rollup, counters in changes.items():
                await self._rollups.update_one({"_id": rollup}, {"$inc": counters}, upsert=True)
            await self._receipts.update_one(
                {"_id": arrival.conversation}, {"$set": {"state": to_fields(state)}}, upsert=True
            )


async def measure(servers: Servers, rounds: int, say: Say) -> list[Figure]:
    spare_collector()  # as every service does when it has started
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(database(servers))
        beside = await _beside_upserts(opened, min(rounds, MOST_ROUNDS), say)
        exact = await _again_from_the_beginning(servers, say)
    return [*beside, *exact, *await _many_conversations(servers, min(rounds, MOST_ROUNDS), say)]


def _counter(opened: Database) -> EventCounter:
    folder = Folder(AnalyticsStore(opened), APP)
    return EventCounter(folder, flush_events=FLUSH, flush_s=1.0)


async def _flush(counter: EventCounter, records: Sequence[ConsumedRecord]) -> float:
    """Seconds from records as Kafka hands them over to figures in the database."""
    began = time.perf_counter()
    await counter.handle(KeyBatch(b"", records))
    return time.perf_counter() - began


async def _beside_upserts(opened: Database, rounds: int, say: Say) -> list[Figure]:
    counter, upserts = _counter(opened), Upserts(opened)
    ours, theirs = Log(people=3000), Log(people=3000)
    await _flush(counter, ours.records(FLUSH))
    await upserts.count(theirs.records(20))
    trips: list[float] = []

    async def run(name: str) -> float:
        """Events a second."""
        if name == "upserts":
            records = theirs.records(UPSERTED)
            began = time.perf_counter()
            await upserts.count(records)
            per_s = UPSERTED / (time.perf_counter() - began)
        else:
            size = FLUSH if name == "batches" else CATCHING_UP
            records = ours.records(size)
            before = round_trips()
            per_s = size / await _flush(counter, records)
            if name == "batches":
                trips.append((round_trips() - before) / size)
        say(f"{name}: {per_s:.0f} events/s")
        return per_s

    runs = await interleaved(["upserts", "batches", "backlog"], rounds, run)
    return [
        ratios(
            "analytics, backlog : an upsert an event",
            runs["backlog"],
            runs["upserts"],
            goal=FIFTY_TIMES,
        ),
        ratios("analytics, batches of 500 : an upsert an event", runs["batches"], runs["upserts"]),
        Figure("  events/s, backlog", tuple(runs["backlog"]), ""),
        Figure("  events/s, batches of 500", tuple(runs["batches"]), ""),
        Figure("  events/s, an upsert an event", tuple(runs["upserts"]), ""),
        Figure("analytics: round trips an event", tuple(trips), "", FEW_TRIPS),
    ]


async def _again_from_the_beginning(servers: Servers, say: Say) -> list[Figure]:
    """The whole topic once more, by a process that knows nothing of the first time."""
    async with database(servers) as opened:
        records = Log(people=500, seed=7).records(20_000)
        counter = _counter(opened)
        for begin in range(0, len(records), CATCHING_UP):
            await _flush(counter, records[begin : begin + CATCHING_UP])
        first = await _everything(opened)
        began, counter = time.perf_counter(), _counter(opened)
        for begin in range(0, len(records), FLUSH):
            await _flush(counter, records[begin : begin + FLUSH])
        took_s = time.perf_counter() - began
        again = await _everything(opened)
        numbers = first | again
        changed = sum(first.get(name) != again.get(name) for name in numbers)
        inbound = sum(n for name, n in first.items() if name.endswith(".in"))
        sent = sum(isinstance(each.event, MessageReceived) for each in arrivals_of(records))
        say(f"{len(records)} events again in {took_s:.1f} s: {changed} of {len(numbers)} changed")
    return [
        Figure("analytics: numbers a replay changes", (changed,), "", NO_NUMBER),
        Figure("analytics: messages miscounted", (abs(inbound - sent),), "", NO_NUMBER),
    ]


async def _everything(opened: Database) -> dict[str, Any]:
    """Every number that is stored, by its place."""
    found: dict[str, Any] = {}

    def take(path: str, value: object) -> None:
        if isinstance(value, dict):
            for name, part in value.items():
                take(f"{path}.{name}", part)
        else:
            found[path] = value

    for name in ("rollups", "receipts"):
        async for document in opened[name].find({}):
            take(f"{name}.{document['_id']}", document)
    return found


async def _many_conversations(servers: Servers, rounds: int, say: Say) -> list[Figure]:
    """The same traffic, of people spread evenly over ever more who are silent."""
    async with AsyncExitStack() as stack:
        counters: dict[int, tuple[EventCounter, Log]] = {}
        a_conversation_s = 0.0
        for people in CONVERSATIONS:
            if a_conversation_s * people > FILL_WITHIN_S:
                say(f"{people} conversations would take too long to make up")
                continue
            opened = await stack.enter_async_context(database(servers))
            began = time.perf_counter()
            await _fill(opened, people)
            a_conversation_s = (time.perf_counter() - began) / people
            say(f"{people} conversations at {a_conversation_s * 1e6:.0f} µs")
            log = Log(WRITING, seed=3, exchanges=1, apart=people // WRITING)
            counters[people] = (_counter(opened), log)
        for counter, log in counters.values():
            await _flush(counter, log.records(8 * FLUSH))  # as after the first minutes

        async def run(name: str) -> tuple[float, float]:
            """µs an event: of the clock, and of our CPU."""
            counter, log = counters[int(name)]
            records = log.records(4 * FLUSH)
            before = time.process_time()
            took_s = await _flush(counter, records)
            cpu_s = time.process_time() - before
            return took_s / len(records) * 1e6, cpu_s / len(records) * 1e6

        runs = await interleaved([str(people) for people in counters], max(rounds, 3), run)
        took = {int(name): [each for each, _ in values] for name, values in runs.items()}
        cpu = {int(name): [each for _, each in values] for name, values in runs.items()}
    say(f"µs an event: { {people: round(median(values)) for people, values in took.items()} }")
    fewest, most = min(took), max(took)
    return [
        ratios(
            f"CPU of an event at {most:,} conversations : at {fewest:,}",
            cpu[most],
            cpu[fewest],
            goal=FLAT,
        ),
        ratios(
            "the same by the clock, with the stand-in for a database",
            took[most],
            took[fewest],
            goal=FLAT,
        ),
        *[Figure(f"  µs an event, {n:,} conversations", tuple(v), "") for n, v in took.items()],
    ]


async def _fill(opened: Database, people: int) -> None:
    """Conversations as a week of messages leaves them."""
    state = State()
    for arrival in arrivals_of(Log(people=1, at_once=1).records(50)):
        apply(state, arrival.event, APP, Counts())
    kept = {"folded": 50, "offsets": {}, "state": to_fields(state)}
    writes: list[InsertOne[dict[str, Any]]] = []
    for person in range(people):
        page = str(100 + person % PAGES)
        writes.append(InsertOne({"_id": f"{page}:{10**15 + person}", "kept": kept}))
        if len(writes) == 2000 or person == people - 1:
            await opened["receipts"].bulk_write(writes, ordered=False)
            writes = []
