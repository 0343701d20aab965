"""Builds the conversation service: the only place that knows what it is made of."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial

from libs.common.channels import ChannelDirectory
from libs.common.crypto import KeyRing
from libs.common.erasure_api import ERASER, add_erasure_routes
from libs.common.erasures import Tombstones
from libs.common.freshness import FRESH_S
from libs.common.graph import open_graph
from libs.common.kafka import BroadcastReader, KeyedConsumer, Limits, Times, open_publisher
from libs.common.keys_api import add_keys_route
from libs.common.measuring import Measuring
from libs.common.mongo import open_database, ping
from libs.common.outbound import Inside
from libs.common.retention import Leases, Periods, Sweeper
from libs.common.service import Lifetime, Service
from libs.common.topics import CHANNELS, EVENTS
from libs.common.web import Late, Readiness, base_app, json_errors, require_service_token
from services.conversation import consumer, contacts, history, notifications
from services.conversation.assistants.factory import assistant_maker, chosen_assistant
from services.conversation.assistants.pool import AssistantPool
from services.conversation.checks import (
    MODEL,
    TRAFFIC,
    ModelCheck,
    TrafficReader,
    add_check_routes,
)
from services.conversation.consumer import MessageHandler
from services.conversation.contacts import ContactKeeper, Sweep
from services.conversation.contacts_handlers import CONTACTS, KEEPER, add_contact_routes
from services.conversation.contacts_store import ContactStore
from services.conversation.erasing import PersonEraser, PersonReader
from services.conversation.expiring import COLLECTION as EXPIRIES
from services.conversation.expiring import MessageExpirer
from services.conversation.handlers import PEOPLE, STORE, add_routes
from services.conversation.history import HistoryKeeper
from services.conversation.inbox_handlers import INBOX, add_inbox_routes
from services.conversation.inbox_keeping import InboxKeeper
from services.conversation.inbox_store import InboxStore
from services.conversation.notifications import Impatient, Notifier
from services.conversation.profiles import ProfileReader
from services.conversation.settings import Settings
from services.conversation.spending import SpendingKeeper, SpendingStore
from services.conversation.store import ConversationStore
from services.conversation.trying import Trials
from services.conversation.trying_handlers import LARGEST_BODY, TRIALS, add_trial_routes
from services.conversation.waiting import COUNT_EVERY_S, Census
from services.conversation.webhook_client import open_webhooks

NAME = "conversation"
HISTORY_GROUP = "conversation-history"
NOTIFICATIONS_GROUP = "conversation-notifications"
CONTACTS_GROUP = "conversation-contacts"
PEOPLE_IN_FLIGHT = 100  # each may wait some seconds for Meta
AT_LEISURE_BYTES = 4 * 1024 * 1024
"""What nobody waits for is not read ahead: after an outage that would keep the loop from finding
those who write now."""
ARCHIVING = Limits(
    max_keys_in_flight=4, max_batch=history.MOST, max_buffered_bytes=AT_LEISURE_BYTES
)
"""So many partitions and records at a time: what the archive has to catch up with must not keep the
database from the answers. The same goes for people from before an outage."""
SETTLING = Limits(
    max_keys_in_flight=PEOPLE_IN_FLIGHT,
    max_buffered_bytes=AT_LEISURE_BYTES,
    fresh_s=FRESH_S,
    max_old_in_flight=8,
)
READ_AHEAD_BYTES = 192 * 1024 * 1024
"""Whoever writes now is beyond all that waits, and has to be found: room for 100,000 messages. Real
memory is about half of it."""
READ_AHEAD_RECORDS = 100_000  # of one partition
UNHURRIED = Times(gather_s=0.2, commit_every_s=0.5)
"""For what no person waits for: it leaves the processor to the answers, and asks Kafka less."""


def utc_now() -> datetime:
    return datetime.now(UTC)


def create_service(settings: Settings) -> Service:
    readiness = Readiness()
    app = base_app(
        readiness,
        json_errors,
        require_service_token(*settings.internal.tokens),
        client_max_size=LARGEST_BODY,
    )
    app[STORE] = Late("the database")
    app[PEOPLE] = Late("the database")
    app[CONTACTS] = Late("the database")
    app[KEEPER] = Late("the database")
    app[TRIALS] = Late("the database")
    app[TRAFFIC], app[MODEL] = Late("the database"), Late("the model")
    add_routes(app)
    add_check_routes(app)
    add_contact_routes(app)
    add_trial_routes(app)
    add_inbox_routes(app)
    add_erasure_routes(app)
    keys = KeyRing.parse(settings.crypto.encryption_keys.get_secret_value())
    add_keys_route(app, keys)
    is_production = settings.runtime.env == "production"
    inside = Inside.parse(settings.hosts.inside_hosts, is_production=is_production)
    make_assistant = assistant_maker(settings.assistant)  # imports for seconds: before a loop runs

    @asynccontextmanager
    async def resources(lifetime: Lifetime) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            database = await stack.enter_async_context(
                open_database(
                    settings.mongo,
                    app_name=NAME,
                    production=is_production,
                )
            )
            tombstones = Tombstones(database)
            await tombstones.look()
            await stack.enter_async_context(lifetime.running(tombstones, "tombstones"))
            store = ConversationStore(database, tombstones)
            await store.ensure_indexes()
            app[STORE].set(store)
            stack.callback(app[STORE].clear)
            rows = InboxStore(database)
            await rows.ensure_indexes()
            app[INBOX].set(rows)
            stack.callback(app[INBOX].clear)
            inbox = InboxKeeper(database, rows, settings.app.facebook_app_id, tombstones)
            await inbox.look()
            app[TRAFFIC].set(TrafficReader(database))
            stack.callback(app[TRAFFIC].clear)
            channels = ChannelDirectory(database)
            people = ContactStore(database, tombstones)
            await people.ensure_indexes()
            graph = await stack.enter_async_context(
                open_graph(settings.graph, timeout_s=settings.profile_timeout_s)
            )
            profiles = ProfileReader(graph, keys, people, settings.profile_calls)

            def channel_changed(page_id: str) -> None:
                channels.forget(page_id)
                profiles.reconsider(page_id)

            await stack.enter_async_context(
                BroadcastReader(
                    settings.kafka, CHANNELS, lambda record: channel_changed(record.page_id)
                )
            )
            publisher = await stack.enter_async_context(
                open_publisher(settings.kafka, client_id=NAME)
            )
            reader = partial(
                KeyedConsumer, settings.kafka, topic=EVENTS, publisher=publisher, service=NAME
            )
            assistant = AssistantPool(
                make_assistant(), partial(chosen_assistant, settings.assistant, inside), keys
            )
            stack.push_async_callback(assistant.aclose)
            app[MODEL].set(ModelCheck(assistant, channels, settings.assistant))
            stack.callback(app[MODEL].clear)
            keeper = reader(
                group=HISTORY_GROUP,
                handler=HistoryKeeper(
                    store, settings.app.facebook_app_id, tombstones, inbox
                ).handle,
                wants=history.wants,
                key_of=history.whole_partition,
                limits=ARCHIVING,
                traced="no",  # a batch is everybody's
                times=UNHURRIED,
            )
            counts = SpendingStore(database)
            await counts.ensure_indexes()
            spending = SpendingKeeper(counts)
            handler = MessageHandler(
                store,
                channels,
                assistant,
                publisher,
                settings,
                spending=spending,
                erased=tombstones,
            )
            app[TRIALS].set(Trials(channels, assistant, settings, spending, utc_now))
            stack.callback(app[TRIALS].clear)
            answers = reader(
                group=NAME,
                handler=handler.handle,
                wants=consumer.wants,
                limits=Limits(
                    max_keys_in_flight=settings.max_turns_in_flight,
                    max_buffered_bytes=READ_AHEAD_BYTES,
                    max_span=READ_AHEAD_RECORDS,
                    fresh_s=FRESH_S,
                ),
            )
            webhooks = await stack.enter_async_context(open_webhooks(is_production=is_production))
            alarms = reader(
                group=NOTIFICATIONS_GROUP,
                handler=Notifier(channels, webhooks, keys, erased=tombstones).handle,
                wants=notifications.wants,
                times=UNHURRIED,
            )
            settler = ContactKeeper(people, channels, profiles, erased=tombstones)
            eraser = PersonEraser(database, people, settler)
            app[ERASER].set(eraser)
            stack.callback(app[ERASER].clear)
            app[PEOPLE].set(PersonReader(database, people))
            stack.callback(app[PEOPLE].clear)
            app[CONTACTS].set(people)
            stack.callback(app[CONTACTS].clear)
            app[KEEPER].set(settler)
            stack.callback(app[KEEPER].clear)
            names = reader(
                group=CONTACTS_GROUP,
                handler=settler.handle,
                wants=contacts.wants,
                limits=SETTLING,
                times=UNHURRIED,
            )
            # the quick ones first: they end last, and leave the other nearly all the time there is
            sweep = Sweep(settler, people, channels)
            expiring = Sweeper(
                Periods(database),
                Leases(database, EXPIRIES),
                MessageExpirer(database, eraser, tombstones),
            )
            await stack.enter_async_context(lifetime.running(expiring, "expiring"))
            await stack.enter_async_context(lifetime.running(sweep, "sweep"))
            await stack.enter_async_context(lifetime.running(inbox, "inbox"))
            await stack.enter_async_context(
                lifetime.running(Measuring(Census(rows).count, COUNT_EVERY_S), "census")
            )
            await stack.enter_async_context(lifetime.running(names, "contacts"))
            await stack.enter_async_context(lifetime.running(keeper, "history"))
            await stack.enter_async_context(lifetime.running(spending, "spending"))
            await stack.enter_async_context(lifetime.running(Impatient(alarms), "notifications"))
            await stack.enter_async_context(lifetime.running(answers, "answers"))
            readiness.add("mongodb", partial(ping, database))
            readiness.add("kafka", publisher.ready)
            readiness.add("partitions", answers.is_ready)
            readiness.add("history_partitions", keeper.is_ready)
            readiness.add("contact_partitions", names.is_ready)
            readiness.add("notification_partitions", alarms.is_ready)
            yield

    return Service(NAME, app, readiness, resources)
