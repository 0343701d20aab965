"""Builds the sender: the only place that knows what it is made of."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from libs.common.channels import ChannelDirectory
from libs.common.crypto import KeyRing
from libs.common.graph import open_graph
from libs.common.kafka import BroadcastReader, KafkaPublisher, KeyedConsumer, open_publisher
from libs.common.mongo import Database, open_database, ping
from libs.common.service import Lifetime, Service
from libs.common.topics import CHANNELS, COMMANDS, EVENTS
from libs.common.web import Readiness, base_app, json_errors, require_service_token
from services.sender.consumer import CommandHandler, order_key, wants
from services.sender.desk import Desk
from services.sender.draining import Drain
from services.sender.echoes import Echoes
from services.sender.graph_meta import GraphMeta
from services.sender.pages import Pages
from services.sender.settings import Settings
from services.sender.store import DeliveryStore

NAME = "sender"


def create_service(settings: Settings) -> Service:
    readiness = Readiness()
    app = base_app(readiness, json_errors, require_service_token(settings.internal.service_token))
    keys = KeyRing.parse(settings.crypto.encryption_keys.get_secret_value())

    @asynccontextmanager
    async def resources(lifetime: Lifetime) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            database = await stack.enter_async_context(
                open_database(
                    settings.mongo,
                    app_name=NAME,
                    production=settings.runtime.env == "production",
                )
            )
            publisher = await stack.enter_async_context(
                open_publisher(settings.kafka, client_id=NAME)
            )
            desk = await _open_desk(stack, settings, keys, database, publisher)
            consumer = KeyedConsumer(
                settings.kafka,
                topic=COMMANDS,
                group=NAME,
                handler=CommandHandler(desk).handle,
                publisher=publisher,
                service=NAME,
                wants=wants,
                key_of=order_key,
                max_keys_in_flight=settings.sending.max_conversations_in_flight,
            )
            await stack.enter_async_context(lifetime.running(consumer, "commands"))
            stack.callback(desk.drain.begin)  # leaves the stack first: nobody waits for Meta then
            readiness.add("mongodb", partial(ping, database))
            readiness.add("kafka", publisher.ready)
            readiness.add("partitions", consumer.is_ready)
            yield

    return Service(NAME, app, readiness, resources)


async def _open_desk(
    stack: AsyncExitStack,
    settings: Settings,
    keys: KeyRing,
    database: Database,
    publisher: KafkaPublisher,
) -> Desk:
    store = DeliveryStore(database)
    await store.ensure_indexes()
    channels = ChannelDirectory(database)
    drain = Drain()
    pages = Pages(settings.sending.text_per_s, drain)
    graph = await stack.enter_async_context(
        open_graph(settings.graph, timeout_s=settings.sending.http_timeout_s, on_usage=pages.heed)
    )

    def channel_changed(page_id: str) -> None:
        channels.forget(page_id)
        pages.reconsider(page_id)

    await stack.enter_async_context(
        BroadcastReader(settings.kafka, CHANNELS, lambda record: channel_changed(record.page_id))
    )
    echoes = Echoes(settings.graph.facebook_app_id)
    await stack.enter_async_context(BroadcastReader(settings.kafka, EVENTS, echoes.heard))
    meta = GraphMeta(graph, keys)
    return Desk(store, channels, meta, publisher, pages, drain, settings.sending, echoes=echoes)
