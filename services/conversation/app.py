"""Builds the conversation service: the only place that knows what it is made of."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from libs.common.channels import ChannelDirectory
from libs.common.kafka import BroadcastReader, KeyedConsumer, open_publisher
from libs.common.mongo import open_database, ping
from libs.common.service import Lifetime, Service
from libs.common.topics import CHANNELS, EVENTS
from libs.common.web import Late, Readiness, base_app, json_errors, require_service_token
from services.conversation.assistants.factory import create_assistant
from services.conversation.consumer import MessageHandler, wants
from services.conversation.handlers import STORE, add_routes
from services.conversation.settings import Settings
from services.conversation.store import ConversationStore

NAME = "conversation"


def create_service(settings: Settings) -> Service:
    readiness = Readiness()
    app = base_app(readiness, json_errors, require_service_token(settings.internal.service_token))
    app[STORE] = Late("the database")
    add_routes(app)

    @asynccontextmanager
    async def resources(lifetime: Lifetime) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            database = await stack.enter_async_context(open_database(settings.mongo, app_name=NAME))
            store = ConversationStore(database)
            await store.ensure_indexes()
            app[STORE].set(store)
            stack.callback(app[STORE].clear)
            channels = ChannelDirectory(database)
            await stack.enter_async_context(
                BroadcastReader(
                    settings.kafka, CHANNELS, lambda record: channels.forget(record.page_id)
                )
            )
            publisher = await stack.enter_async_context(
                open_publisher(settings.kafka, client_id=NAME)
            )
            handler = MessageHandler(
                store, channels, create_assistant(settings.assistant), publisher, settings
            )
            consumer = KeyedConsumer(
                settings.kafka,
                topic=EVENTS,
                group=NAME,
                handler=handler.handle,
                publisher=publisher,
                service=NAME,
                wants=wants,
                max_keys_in_flight=settings.max_turns_in_flight,
            )
            await stack.enter_async_context(lifetime.running(consumer, "events"))
            readiness.add("mongodb", partial(ping, database))
            readiness.add("kafka", publisher.ready)
            readiness.add("partitions", consumer.is_ready)
            yield

    return Service(NAME, app, readiness, resources)
