"""2,000 people write five messages each; every answer takes the model 0.2 s. Ideal: 1.0 s.

All messages wait on the log before the clock starts, and each is a turn of its own. Three times the
same load: the consumer alone, the real conversation handler with its state in memory, and with the
database. Beside them the usual way, one record at a time in each partition, with fewer people.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from libs.common.events import MessageReceived, derived_id
from libs.common.kafka import (
    ConsumedRecord,
    KafkaPublisher,
    KeyBatch,
    KeyedConsumer,
    Limits,
    open_publisher,
)
from libs.common.kafka.publisher import message_of
from libs.common.service import spare_collector
from services.conversation.consumer import MessageHandler, wants
from services.conversation.desk import Store
from services.conversation.domain.state import State
from services.conversation.store import ConversationStore, Stored
from tests.bench.figures import Figure, Goal, ratios
from tests.bench.rounds import Say, interleaved
from tests.bench.system import (
    PAGE_ID,
    PARTITIONS,
    Channels,
    Model,
    conversation_settings,
    database,
    kafka_settings,
    new_topic,
)
from tests.stack import Servers

PEOPLE = 2000
FEW_PEOPLE = 60  # for one at a time: it would take minutes otherwise
TURNS_EACH = 5
MODEL_S = 0.2
IDEAL_S = TURNS_EACH * MODEL_S
WITHIN_S = 300.0
MAX_ROUNDS = 3  # they are long
AT_ONCE = 500
MOST_TIME = Goal("at most", 1.15)
FAR_AHEAD = Goal("at least", 100)

Handler = Callable[[KeyBatch], Awaitable[None]]


@dataclass(frozen=True)
class Run:
    """What one run showed. CPU of this process: consumer, handler and publisher together."""

    seconds: float
    turns: int
    cpu_s: float

    @property
    def per_s(self) -> float:
        return self.turns / self.seconds

    @property
    def cpu_us(self) -> float:
        return self.cpu_s / self.turns * 1e6


class MemoryStore:
    """State in a dictionary: what is left is the handler's own cost."""

    def __init__(self) -> None:
        self._known: dict[str, Stored] = {}

    async def load(self, conversation: str) -> Stored:
        return self._known.get(conversation) or Stored(conversation)

    async def save(self, stored: Stored, state: State) -> Stored:
        saved = Stored(stored.conversation, stored.version + 1, state, stored.takeover)
        self._known[stored.conversation] = saved
        return saved

    async def sources(self, _message_ids: object) -> dict[str, str]:
        return {}

    async def texts(self, _conversation: str, _mids: object) -> dict[str, str]:
        return {}


class Finish:
    """Passes batches on, and knows when the first began and when the last has ended."""

    def __init__(self, handler: Handler, turns: int) -> None:
        self._handler = handler
        self._left = turns
        self.done = asyncio.Event()
        self.began_at = 0.0
        self.cpu_began_at = 0.0

    async def handle(self, batch: KeyBatch) -> None:
        if not self.began_at:
            self.began_at, self.cpu_began_at = time.perf_counter(), time.process_time()
        await self._handler(batch)
        self._left -= len(batch.records)
        if self._left == 0:
            self.done.set()


async def measure(servers: Servers, rounds: int, say: Say) -> list[Figure]:
    spare_collector()  # as every service does before its first turn
    async with open_publisher(kafka_settings(servers), client_id="bench") as publisher:
        contenders = {
            "consumer alone": _alone,
            "handler, state in memory": _with_memory,
            "handler, database": _with_database,
            "one at a time a partition": _one_at_a_time,
        }

        async def run(name: str) -> Run:
            result = await contenders[name](servers, publisher)
            say(f"{name}: {result.seconds:.2f} s, {result.per_s:.0f} turns/s")
            return result

        runs = await interleaved(list(contenders), min(rounds, MAX_ROUNDS), run)
    return _figures(runs)


async def _alone(servers: Servers, publisher: KafkaPublisher) -> Run:
    return await _consume(servers, publisher, _model_alone, PEOPLE)


async def _with_memory(servers: Servers, publisher: KafkaPublisher) -> Run:
    return await _consume(servers, publisher, _handler(servers, publisher, MemoryStore()), PEOPLE)


async def _with_database(servers: Servers, publisher: KafkaPublisher) -> Run:
    async with database(servers) as opened:
        store = ConversationStore(opened)
        await store.ensure_indexes()
        return await _consume(servers, publisher, _handler(servers, publisher, store), PEOPLE)


async def _one_at_a_time(servers: Servers, publisher: KafkaPublisher) -> Run:
    return await _consume(servers, publisher, _model_alone, FEW_PEOPLE, by_partition=True)


async def _model_alone(_batch: KeyBatch) -> None:
    await asyncio.sleep(MODEL_S)


def _handler(servers: Servers, publisher: KafkaPublisher, store: Store) -> Handler:
    settings = conversation_settings(servers)
    return MessageHandler(store, Channels(), Model(MODEL_S), publisher, settings).handle


async def _consume(
    servers: Servers,
    publisher: KafkaPublisher,
    handler: Handler,
    people: int,
    *,
    by_partition: bool = False,
) -> Run:
    turns = people * TURNS_EACH
    async with AsyncExitStack() as stack:
        topic = await stack.enter_async_context(new_topic(servers))
        await _write(publisher, topic, people)
        finish = Finish(handler, turns)
        consumer = KeyedConsumer(
            kafka_settings(servers),
            topic=topic,
            group=topic,
            handler=finish.handle,
            publisher=publisher,
            service="bench",
            wants=wants,
            key_of=_whole_partition if by_partition else _own_key,
            limits=Limits(max_keys_in_flight=PEOPLE, max_batch=1),
        )
        task = asyncio.create_task(consumer.run(), name="bench-consumer")
        try:
            await _finished(finish, task)
            seconds = time.perf_counter() - finish.began_at
            return Run(seconds, turns, time.process_time() - finish.cpu_began_at)
        finally:
            await consumer.stop(5)
            await task


async def _finished(finish: Finish, consumer: "asyncio.Task[None]") -> None:
    waiting = asyncio.create_task(finish.done.wait(), name="bench-finish")
    done, _ = await asyncio.wait(
        {waiting, consumer}, timeout=WITHIN_S, return_when=asyncio.FIRST_COMPLETED
    )
    if waiting not in done:
        waiting.cancel()
        raise RuntimeError("the consumer did not come to an end")


def _own_key(record: ConsumedRecord) -> bytes:
    return record.key


def _whole_partition(_record: ConsumedRecord) -> bytes:
    return b""


async def _write(publisher: KafkaPublisher, topic: str, people: int) -> None:
    """Everybody's first message, then everybody's second, and so on."""
    run = uuid4().hex[:8]
    for turn in range(TURNS_EACH):
        mids = [f"m_{run}_{turn}_{person}" for person in range(people)]
        events = [_message(f"2{person:05d}", mid) for person, mid in enumerate(mids)]
        messages = [message_of(event)._replace(topic=topic) for event in events]
        for start in range(0, len(messages), AT_ONCE):
            await publisher.publish_messages(messages[start : start + AT_ONCE])


def _message(psid: str, mid: str) -> MessageReceived:
    return MessageReceived(
        event_id=derived_id(mid),
        page_id=PAGE_ID,
        psid=psid,
        occurred_at=datetime.now(UTC),
        mid=mid,
        text="Do you have sourdough bread today, and until when are you open?",
    )


def _figures(runs: dict[str, list[Run]]) -> list[Figure]:
    alone = runs["consumer alone"]
    memory, stored = runs["handler, state in memory"], runs["handler, database"]
    single = runs["one at a time a partition"]
    figures = [
        _to_ideal("consumer alone : ideal", alone, MOST_TIME),
        _to_ideal("handler, state in memory : ideal", memory),
        _to_ideal("handler, database : ideal", stored, MOST_TIME),
        ratios(
            "handler, database : in memory (what the database costs)",
            [run.seconds for run in stored],
            [run.seconds for run in memory],
        ),
    ]
    for name, several in (("consumer alone", alone), ("in memory", memory), ("database", stored)):
        figures.append(Figure(f"  {name}, turns/s", tuple(run.per_s for run in several), "/s"))
        figures.append(Figure(f"  {name}, CPU a turn", tuple(run.cpu_us for run in several), "µs"))
    note = f"{FEW_PEOPLE} people; at most {PARTITIONS / MODEL_S:.0f}/s with {PARTITIONS} partitions"
    one = Figure("  one at a time a partition", tuple(run.per_s for run in single), "/s", note=note)
    ahead = [
        ratios(
            f"{name} : one at a time a partition, turns/s",
            [run.per_s for run in several],
            [run.per_s for run in single],
            goal=goal,
        )
        for name, several, goal in (
            ("consumer alone", alone, FAR_AHEAD),
            ("handler, database", stored, None),
        )
    ]
    return [*figures, one, *ahead]


def _to_ideal(name: str, runs: list[Run], goal: Goal | None = None) -> Figure:
    return Figure(name, tuple(run.seconds / IDEAL_S for run in runs), goal=goal)
