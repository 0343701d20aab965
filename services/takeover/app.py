"""Builds the takeover service: the only place that knows what it is made of."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from libs.common.channels import ChannelDirectory
from libs.common.erasure_api import ERASER, add_erasure_routes
from libs.common.erasures import Tombstones
from libs.common.kafka import BroadcastReader, KeyedConsumer, open_publisher
from libs.common.mongo import open_database, ping
from libs.common.service import Lifetime, Service
from libs.common.topics import CHANNELS, COMMANDS, DEAD_LETTERS, EVENTS
from libs.common.web import Late, Readiness, base_app, json_errors, require_service_token
from services.takeover.consumer import EventHandler, wants
from services.takeover.erasing import PersonEraser
from services.takeover.handlers import KEEPER, PERMISSIONS, ROWS, WRITER, add_routes
from services.takeover.human_agent import HumanAgentStore
from services.takeover.keeper import Keeper
from services.takeover.messages import KeyStore, Writer
from services.takeover.roster import Roster
from services.takeover.settings import Settings
from services.takeover.store import TakeoverStore
from services.takeover.timers import Timers

NAME = "takeover"
TOPICS = (EVENTS, COMMANDS, DEAD_LETTERS)  # that it reads or writes


def create_service(settings: Settings) -> Service:
    readiness = Readiness()
    app = base_app(readiness, json_errors, require_service_token(*settings.internal.tokens))
    app[KEEPER], app[WRITER] = Late("the database"), Late("the log")
    app[ROWS], app[PERMISSIONS] = Late("the database"), Late("the database")
    add_routes(app)
    add_erasure_routes(app)

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
            tombstones = Tombstones(database)
            await tombstones.look()
            await stack.enter_async_context(lifetime.running(tombstones, "tombstones"))
            rows, permissions, keys = (
                Roster(database),
                HumanAgentStore(database),
                KeyStore(database),
            )
            await rows.ensure_indexes()
            await keys.ensure_indexes()
            channels = ChannelDirectory(database)
            await stack.enter_async_context(
                BroadcastReader(
                    settings.kafka, CHANNELS, lambda record: channels.forget(record.page_id)
                )
            )
            publisher = await stack.enter_async_context(
                open_publisher(settings.kafka, client_id=NAME, topics=TOPICS)
            )
            keeper = Keeper(TakeoverStore(database), rows, publisher)
            consumer = KeyedConsumer(
                settings.kafka,
                topic=EVENTS,
                group=NAME,
                handler=EventHandler(
                    keeper, channels, permissions, settings.app.facebook_app_id, tombstones
                ).handle,
                publisher=publisher,
                service=NAME,
                wants=wants,
            )
            await stack.enter_async_context(lifetime.running(consumer, "events"))
            await stack.enter_async_context(lifetime.running(Timers(keeper, rows), "timers"))
            app[ERASER].set(PersonEraser(database, keeper))
            stack.callback(app[ERASER].clear)
            app[KEEPER].set(keeper)
            stack.callback(app[KEEPER].clear)
            app[WRITER].set(Writer(keeper, channels, keys, publisher))
            stack.callback(app[WRITER].clear)
            app[ROWS].set(rows)
            stack.callback(app[ROWS].clear)
            app[PERMISSIONS].set(permissions)
            stack.callback(app[PERMISSIONS].clear)
            readiness.add("mongodb", partial(ping, database))
            readiness.add("kafka", publisher.ready)
            readiness.add("partitions", consumer.is_ready)
            yield

    return Service(NAME, app, readiness, resources)
