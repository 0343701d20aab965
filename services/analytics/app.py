"""Builds the analytics service: the only place that knows what it is made of."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from libs.common.erasure_api import ERASER, add_erasure_routes
from libs.common.erasures import Erased, Tombstones
from libs.common.kafka import KafkaPublisher, KeyedConsumer, Limits, open_publisher
from libs.common.mongo import open_database, ping
from libs.common.retention import Leases, Periods, Sweeper
from libs.common.service import Lifetime, Service
from libs.common.topics import DEAD_LETTERS, EVENTS
from libs.common.web import Late, Readiness, base_app, json_errors, require_service_token
from services.analytics.consumer import EventCounter, wants, whole_partition
from services.analytics.erasing import PersonEraser
from services.analytics.expiring import COLLECTION as EXPIRIES
from services.analytics.expiring import EVERY as EXPIRE_EVERY
from services.analytics.expiring import StateExpirer
from services.analytics.folding import Folder
from services.analytics.handlers import READER, add_routes
from services.analytics.settings import Settings
from services.analytics.store import AnalyticsStore, FigureReader, Generations
from services.analytics.worker import Counting

NAME = "analytics"
TOPICS = (EVENTS, DEAD_LETTERS)  # that it reads or writes
MOST_OF_A_PARTITION = 2000
"""Records in one flush: the more of a conversation go together, the less each of them costs."""


def create_service(settings: Settings) -> Service:
    readiness = Readiness()
    app = base_app(readiness, json_errors, require_service_token(*settings.internal.tokens))
    app[READER] = Late("the database")
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
            app[ERASER].set(PersonEraser(database))
            stack.callback(app[ERASER].clear)
            app[READER].set(FigureReader(database))
            stack.callback(app[READER].clear)
            publisher = await stack.enter_async_context(
                open_publisher(settings.kafka, client_id=NAME, topics=TOPICS)
            )
            make = partial(make_consumer, settings, publisher, tombstones)
            counting = Counting(Generations(database), make)
            expiring = Sweeper(
                Periods(database),
                Leases(database, EXPIRIES, every=EXPIRE_EVERY),
                StateExpirer(database),
            )
            await stack.enter_async_context(lifetime.running(expiring, "expiring"))
            await stack.enter_async_context(lifetime.running(counting, "counting"))
            readiness.add("mongodb", partial(ping, database))
            readiness.add("kafka", publisher.ready)
            readiness.add("partitions", counting.is_ready)
            yield

    return Service(NAME, app, readiness, resources)


def make_consumer(
    settings: Settings,
    publisher: KafkaPublisher,
    erased: Erased,
    store: AnalyticsStore,
    group: str,
) -> KeyedConsumer:
    """Every event that changes a figure, into this generation."""
    counter = EventCounter(
        Folder(store, settings.app.facebook_app_id, erased),
        flush_events=settings.flush_events,
        flush_s=settings.flush_s,
    )
    return KeyedConsumer(
        settings.kafka,
        topic=EVENTS,
        group=group,
        handler=counter.handle,
        publisher=publisher,
        service=NAME,
        wants=wants,
        key_of=whole_partition,
        limits=Limits(max_batch=MOST_OF_A_PARTITION),
        traced="no",  # a batch is everybody's
    )
