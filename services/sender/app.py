"""Builds the sender: the only place that knows what it is made of."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from libs.common.channels import ChannelDirectory
from libs.common.crypto import KeyRing
from libs.common.erasure_api import ERASER, add_erasure_routes
from libs.common.erasures import Erased, Tombstones
from libs.common.events import AnyRecord, ChannelTokenRejected
from libs.common.graph import open_graph
from libs.common.kafka import BroadcastReader, KafkaPublisher, KeyedConsumer, Limits, open_publisher
from libs.common.keys_api import add_keys_route
from libs.common.measuring import Measuring
from libs.common.mongo import Database, open_database, ping
from libs.common.retention import Leases, Periods, Sweeper
from libs.common.service import Lifetime, Service
from libs.common.topics import CHANNELS, COMMANDS, EVENTS
from libs.common.web import Late, Readiness, base_app, json_errors, require_service_token
from services.sender.consumer import CommandHandler, order_key, wants
from services.sender.decisions import Decisions
from services.sender.desk import Desk
from services.sender.draining import Drain
from services.sender.echo_history import EchoHistory
from services.sender.echoes import Echoes
from services.sender.erasing import PersonEraser
from services.sender.expiring import COLLECTION as EXPIRIES
from services.sender.expiring import TextExpirer
from services.sender.graph_meta import GraphMeta
from services.sender.handlers import DECISIONS, KEPT, REVIEW, STORED, add_routes
from services.sender.held import measure_held
from services.sender.kept_store import KeptStore
from services.sender.late import LateEvidence, wants_event
from services.sender.meta_clock import MetaClock
from services.sender.pages import Pages
from services.sender.review_store import ReviewStore
from services.sender.settings import Settings
from services.sender.store import DeliveryStore
from services.sender.wakes import Wakes

NAME = "sender"
MAX_SPAN = 100_000
"""Records of a partition begun and not committable. One part in doubt, for minutes, holds up the
commit for its whole partition, and must not hold up others' messages."""


class LateKicks:
    """Tells the wakes of a change, once there are wakes."""

    def __init__(self) -> None:
        self.wakes: Wakes | None = None

    def kick(self, page_id: str) -> None:
        if self.wakes is not None:
            self.wakes.kick(page_id)


def create_service(settings: Settings) -> Service:
    readiness = Readiness()
    app = base_app(readiness, json_errors, require_service_token(*settings.internal.tokens))
    app[REVIEW], app[DECISIONS] = Late("the list of parts"), Late("deciding about parts")
    app[STORED], app[KEPT] = Late("the database"), Late("the database")
    add_routes(app)
    add_erasure_routes(app)
    keys = KeyRing.parse(settings.crypto.encryption_keys.get_secret_value())
    add_keys_route(app, keys)

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
            tombstones = Tombstones(database)
            await tombstones.look()
            await stack.enter_async_context(lifetime.running(tombstones, "tombstones"))
            wakes = LateKicks()
            desk = await _open_desk(stack, settings, keys, database, publisher, wakes, tombstones)
            review = ReviewStore(database)
            await review.ensure_indexes()
            late = LateEvidence(desk, review)
            await stack.enter_async_context(
                BroadcastReader(
                    settings.kafka, EVENTS, late.heard, partial(wants_event, desk.echoes)
                )
            )
            desk.echoes.listen()
            consumer = KeyedConsumer(
                settings.kafka,
                topic=COMMANDS,
                group=NAME,
                handler=CommandHandler(desk, NAME).handle,
                publisher=publisher,
                service=NAME,
                wants=wants,
                key_of=order_key,
                traced="record",
                limits=Limits(
                    max_keys_in_flight=settings.sending.max_conversations_in_flight,
                    max_span=MAX_SPAN,
                ),
            )
            await stack.enter_async_context(lifetime.running(consumer, "commands"))
            wakes.wakes = Wakes(desk, lambda: consumer.assigned)
            await stack.enter_async_context(lifetime.running(wakes.wakes, "wakes"))
            await stack.enter_async_context(lifetime.running(late, "late-evidence"))
            expiring = Sweeper(
                Periods(database), Leases(database, EXPIRIES), TextExpirer(database, desk.now)
            )
            await stack.enter_async_context(lifetime.running(expiring, "expiring"))
            held = Measuring(partial(measure_held, review, desk.now))
            await stack.enter_async_context(lifetime.running(held, "measure-held"))
            eraser = PersonEraser(database)
            app[ERASER].set(eraser)
            stack.callback(app[ERASER].clear)
            app[STORED].set(eraser)
            stack.callback(app[STORED].clear)
            app[KEPT].set(KeptStore(database))
            stack.callback(app[KEPT].clear)
            app[REVIEW].set(review)
            stack.callback(app[REVIEW].clear)
            app[DECISIONS].set(Decisions(desk, review, late))
            stack.callback(app[DECISIONS].clear)
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
    wakes: LateKicks,
    erased: Erased,
) -> Desk:
    store, kept = DeliveryStore(database), KeptStore(database)
    await store.ensure_indexes()
    await kept.ensure_indexes()
    channels = ChannelDirectory(database)
    drain = Drain()
    pages = Pages(settings.sending.text_per_s, drain, settings.sending.media_per_s)
    meta_clock = MetaClock()
    graph = await stack.enter_async_context(
        open_graph(
            settings.graph,
            timeout_s=settings.sending.http_timeout_s,
            on_usage=pages.heed,
            on_date=meta_clock.heard,
        )
    )

    def channel_changed(record: AnyRecord) -> None:
        channels.forget(record.page_id)
        if not isinstance(record, ChannelTokenRejected):  # that is no reason to try again
            pages.reconsider(record.page_id)
            wakes.kick(record.page_id)

    await stack.enter_async_context(BroadcastReader(settings.kafka, CHANNELS, channel_changed))
    echoes = Echoes(settings.graph.facebook_app_id)
    history = EchoHistory(settings.kafka, EVENTS, echoes.heard)
    stack.push_async_callback(history.close)
    meta = GraphMeta(graph, keys)
    return Desk(
        store,
        kept,
        channels,
        meta,
        publisher,
        pages,
        drain,
        settings.sending,
        echoes=echoes,
        history=history,
        meta_clock=meta_clock,
        erased=erased,
    )
