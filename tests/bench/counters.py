"""What each step costs, counted: records, database round trips, calls. The same on any machine."""

import secrets
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import aiohttp

from libs.common.channels import ChannelDirectory
from libs.common.events import Record
from libs.common.kafka import ConsumedRecord, KafkaPublisher, KeyBatch, open_publisher
from libs.common.mongo import Database
from libs.common.topics import COMMANDS, EVENTS
from services.conversation.consumer import MessageHandler
from services.conversation.store import ConversationStore
from services.sender.consumer import SEND_TEXT, CommandHandler, order_key
from services.sender.desk import Desk
from services.sender.draining import Drain
from services.sender.kept_store import KeptStore
from services.sender.pages import Pages
from services.sender.settings import SendingSettings
from services.sender.store import DeliveryStore
from tests.bench import webhooks
from tests.bench.figures import Figure, Goal
from tests.bench.posting import server_environment
from tests.bench.processes import HOST, server
from tests.bench.rounds import Say
from tests.bench.system import (
    Meta,
    Model,
    Reader,
    conversation_settings,
    database,
    kafka_settings,
    reader,
    round_trips,
)
from tests.ports import free_port
from tests.stack import Servers

MESSAGES = 20
LONG_REPLY = "\n\n".join(f"Paragraph {number}. " + "word " * 200 for number in range(5))


@dataclass
class CountingPublisher:
    """The real one, and how often somebody waited for it."""

    inner: KafkaPublisher
    waits: int = 0

    async def publish(self, *records: Record) -> None:
        self.waits += 1
        await self.inner.publish(*records)

    def publish_soon(self, record: Record) -> None:
        self.inner.publish_soon(record)


@dataclass
class Path:
    """The way of messages through all services, and what it has cost so far."""

    model: Model
    meta: Meta
    publisher: CountingPublisher
    conversation: MessageHandler
    sender: CommandHandler
    events: Reader
    commands: Reader
    costs: dict[str, float] = field(default_factory=dict)

    async def answer(self, received: list[ConsumedRecord]) -> None:
        """Conversation: one turn a message."""
        before, waits, calls = round_trips(), self.publisher.waits, self.model.calls
        for record in received:
            await self.conversation.handle(KeyBatch(record.key, [record]))
        self.costs["turn: round trips"] = (round_trips() - before) / len(received)
        self.costs["turn: waits for Kafka"] = (self.publisher.waits - waits) / len(received)
        self.costs["turn: model calls"] = (self.model.calls - calls) / len(received)

    async def send(self, replies: int) -> None:
        """Sender: all that the turns asked for."""
        read = await self.commands.read()
        texts = [record for record in read if record.headers["type"] == SEND_TEXT]
        before, waits, calls = round_trips(), self.publisher.waits, self.meta.calls
        for record in texts:
            await self.sender.handle(KeyBatch(order_key(record), [record]))
        outcomes = [item for item in await self.events.read() if _is_sent(item)]
        parts = len(outcomes)
        self.costs["turn: commands"] = len(texts) / replies
        self.costs["parts a reply"] = parts / replies
        self.costs["part: round trips"] = (round_trips() - before) / parts
        self.costs["part: Graph calls"] = (self.meta.calls - calls) / parts
        self.costs["part: waits for Kafka"] = (self.publisher.waits - waits) / parts


def _is_sent(record: ConsumedRecord) -> bool:
    return record.headers["type"] == b"message.sent"


async def measure(servers: Servers, _rounds: int, say: Say) -> list[Figure]:
    async with AsyncExitStack() as stack:
        events = await stack.enter_async_context(reader(servers, EVENTS))
        commands = await stack.enter_async_context(reader(servers, COMMANDS))
        opened = await stack.enter_async_context(database(servers))
        kafka = kafka_settings(servers)
        inner = await stack.enter_async_context(open_publisher(kafka, client_id="bench"))
        environment = server_environment(servers, free_port())
        await stack.enter_async_context(server("services.gateway", environment))
        port = int(environment["HTTP_PORT"])

        gateway = await _through_gateway(port, events)
        short = await _path(servers, opened, CountingPublisher(inner), events, commands)
        await _replies(short, port, "warm", 1)
        await _replies(short, port, "short", MESSAGES)
        long = await _path(servers, opened, CountingPublisher(inner), events, commands, LONG_REPLY)
        await _replies(long, port, "warm-long", 1)
        await _replies(long, port, "long", MESSAGES)
    say(f"{MESSAGES} messages through everything, twice")
    return [*gateway, *_figures(short.costs, long.costs)]


async def _through_gateway(port: int, events: Reader) -> list[Figure]:
    """Single webhooks and one with several events; then what the gateway itself counted."""
    run = secrets.token_hex(4)
    bodies = [webhooks.body(number, run) for number in range(MESSAGES)]
    batch = webhooks.batch(MESSAGES, f"{run}b")
    await _post(port, [*bodies, batch])
    produced = len(await events.read())
    async with aiohttp.ClientSession() as session:
        answer = await session.get(f"http://{HOST}:{port}/metrics")
        trips = _sum(await answer.text(), "assistant_mongo_round_trips_total")
    return [
        _exactly("gateway: records a webhook event", produced / (2 * MESSAGES), 1),
        _exactly("gateway: database round trips", trips, 0),
    ]


def _sum(metrics: str, name: str) -> float:
    lines = [line for line in metrics.splitlines() if line.startswith(name)]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


async def _post(port: int, bodies: list[bytes]) -> None:
    async with aiohttp.ClientSession() as session:
        for content in bodies:
            headers = {"X-Hub-Signature-256": webhooks.signature(content)}
            url = f"http://{HOST}:{port}{webhooks.PATH}"
            async with session.post(url, data=content, headers=headers) as answer:
                if answer.status != 200:
                    raise RuntimeError(f"the gateway answered {answer.status}")


async def _path(
    servers: Servers,
    opened: Database,
    publisher: CountingPublisher,
    events: Reader,
    commands: Reader,
    text: str = "Until six. See you!",
) -> Path:
    model, meta = Model(0, text), Meta()
    store, channels = ConversationStore(opened), ChannelDirectory(opened)
    await store.ensure_indexes()
    deliveries = DeliveryStore(opened)
    await deliveries.ensure_indexes()
    drain, sending = Drain(), SendingSettings()
    pages = Pages(sending.text_per_s, drain)
    desk = Desk(deliveries, KeptStore(opened), channels, meta, publisher, pages, drain, sending)
    settings = conversation_settings(servers)
    conversation = MessageHandler(store, channels, model, publisher, settings)
    return Path(model, meta, publisher, conversation, CommandHandler(desk), events, commands)


async def _replies(path: Path, port: int, run: str, count: int) -> None:
    """So many messages in, each answered and sent. Whoever writes first makes the channel known."""
    name = f"{run}{secrets.token_hex(4)}"
    await _post(port, [webhooks.body(number, name) for number in range(count)])
    await path.answer(await path.events.read())
    await path.send(count)


def _figures(short: dict[str, float], long: dict[str, float]) -> list[Figure]:
    """The whole path's sums are those of a one-part reply, the gateway's one record included."""
    waits = 1 + short["turn: waits for Kafka"] + short["part: waits for Kafka"]
    trips = short["turn: round trips"] + short["part: round trips"]
    return [
        _exactly("conversation: round trips a turn", short["turn: round trips"], 2),
        _exactly("conversation: waits for Kafka a turn", short["turn: waits for Kafka"], 1),
        _exactly("conversation: commands a turn", short["turn: commands"], 1),
        _exactly("conversation: model calls a turn", short["turn: model calls"], 1),
        Figure("sender: parts of the long reply", (long["parts a reply"],), ""),
        _exactly("sender: round trips a part", long["part: round trips"], 2),
        _exactly("sender: Graph calls a part", long["part: Graph calls"], 1),
        _exactly("sender: waits for Kafka a part", long["part: waits for Kafka"], 1),
        _exactly("one-part reply, all services: waits for Kafka", waits, 3),
        _exactly("one-part reply, all services: round trips", trips, 4),
    ]


def _exactly(name: str, value: float, promised: float) -> Figure:
    return Figure(name, (value,), "", Goal("exactly", promised))
