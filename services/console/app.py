"""Builds the console: the only place that knows what it is made of."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Protocol, TypeVar

from aiohttp import web

from libs.common.crypto import KeyRing
from libs.common.deadlines import GuardedRunner, Limits
from libs.common.erasures import LEAD, TombstoneStore
from libs.common.graph import ConnectingClient, open_connecting
from libs.common.kafka import BroadcastRecords, open_publisher
from libs.common.keys_api import announce
from libs.common.measuring import Measuring
from libs.common.mongo import Database, open_database, ping
from libs.common.outbound import Inside
from libs.common.service import HTTP_DRAIN_S, Lifetime, Service
from libs.common.topics import EVENTS
from libs.common.web import UNTRACED, Late, Readiness, base_app
from services.console.accounts import Accounts
from services.console.accounts_store import AccountStore
from services.console.analytics import Analytics
from services.console.api import routes as api
from services.console.api_tokens import ApiTokens
from services.console.assistants import Assistants
from services.console.assistants_store import AssistantStore
from services.console.audit import AuditLog, Clock
from services.console.channel_settings import ChannelSettingsOffice
from services.console.channels_store import ChannelStore
from services.console.checking import ChannelChecks
from services.console.connecting import Connecting, FacebookApp
from services.console.dead_letters import DeadLetters
from services.console.dead_letters_store import DeadLetterStore
from services.console.deliveries import Deliveries
from services.console.doctor import doctor
from services.console.doctor.doctor import Doctor, open_session
from services.console.doctor.reports import Reports
from services.console.domain import sessions as session_rules
from services.console.erasing import Erasing
from services.console.erasures_store import ErasureStore
from services.console.first_run import FirstRun
from services.console.hashing import Passwords
from services.console.hearing import ChannelsConsumer, Listener, OpenConsumer
from services.console.inbox import Inbox
from services.console.internal import Internal, open_internal
from services.console.letters_log import KafkaLetters
from services.console.live.hub import Hub, OpenFeed
from services.console.live.rows import InternalRows
from services.console.logins_store import FacebookLoginStore
from services.console.measures import measure
from services.console.messenger_profile import Profiles
from services.console.pictures import open_pictures
from services.console.sessions_store import AttemptStore, SessionStore
from services.console.settings import Settings
from services.console.signing_in import SigningIn
from services.console.takeovers import Takeovers
from services.console.telling import OpenPublisher, Teller
from services.console.tokens_store import TokenStore
from services.console.verifying import Verifying
from services.console.watching import HealthWatch
from services.console.web import (
    analytics,
    assistants,
    audit,
    channel_settings,
    channels,
    connect,
    data_deletion,
    dead_letters,
    health,
    health_messages,
    home,
    inbox,
    keeping,
    live,
    pages,
    privacy,
    profile,
    sign_in,
    thread,
    thread_actions,
    tokens,
    trying,
    users,
    verify,
)
from services.console.web.access import (
    ROUTE_ACCESS,
    SETTINGS,
    SIGNING_IN,
    Access,
    RouteAccess,
    authorise,
)
from services.console.web.errors import told_errors
from services.console.web.live import HUB, ROWS, STREAMS
from services.console.web.pages import (
    ACCOUNTS,
    ANALYTICS,
    API_TOKENS,
    ASSISTANTS,
    AUDIT,
    CHANNEL_SETTINGS,
    CHANNELS,
    CHECKS,
    CONNECTING,
    DEAD_LETTERS,
    DELIVERIES,
    ERASING,
    ERASURES,
    FIRST_RUN,
    INBOX,
    INTERNAL,
    PICTURES,
    REPORTS,
    SESSIONS,
    STATIC_FOLDER,
    TAKEOVERS,
    VERIFYING,
    WATCH,
)
from services.console.web.security import add_headers, compressed, only_own_requests

NAME = "console"
LIMITS = Limits(header_timeout_s=10, body_timeout_s=14, idle_timeout_s=14)  # seen within 0.5 s
GRAPH_TIMEOUT_S = 15.0  # of one call to Facebook, while somebody waits

T = TypeVar("T")


def utc_now() -> datetime:
    return datetime.now(UTC)


def create_service(
    settings: Settings,
    *,
    passwords: Passwords | None = None,
    clock: Clock = utc_now,
    publisher: OpenPublisher | None = None,
    consumer: OpenConsumer | None = None,
    feed: OpenFeed | None = None,
    erasure_lead: timedelta = LEAD,
) -> Service:
    """All but the settings is for tests."""
    announce(_keys(settings))
    readiness = Readiness()
    app = create_app(settings, readiness)

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

            def give(key: web.AppKey[Late[T]], value: T) -> None:
                app[key].set(value)
                stack.callback(app[key].clear)

            await _open(give, settings, database, passwords or Passwords(), clock)
            internal = await stack.enter_async_context(
                open_internal(settings.services, settings.internal.tokens)
            )
            give(INTERNAL, internal)
            give(INBOX, Inbox(internal, ChannelStore(database), AuditLog(database, clock)))
            give(
                DELIVERIES,
                Deliveries(internal, ChannelStore(database), AuditLog(database, clock)),
            )
            give(
                TAKEOVERS,
                Takeovers(internal, ChannelStore(database), AuditLog(database, clock)),
            )
            give(DEAD_LETTERS, await _dead_letters(settings, database, clock))
            give(ANALYTICS, Analytics(internal, ChannelStore(database), clock))
            pictures = open_pictures(settings.graph.graph_api_url)
            give(PICTURES, await stack.enter_async_context(pictures))
            looking = _doctor(app, settings, database, internal, clock)
            watch = await stack.enter_async_context(looking)
            teller = Teller(
                ChannelStore(database),
                publisher or partial(open_publisher, settings.kafka, client_id=NAME),
            )
            meta = await stack.enter_async_context(
                open_connecting(settings.graph, timeout_s=GRAPH_TIMEOUT_S)
            )
            profiles = Profiles(ChannelStore(database), meta, _keys(settings), clock, teller.wake)
            give(CHANNEL_SETTINGS, _settings_office(settings, database, profiles, clock, teller))
            give(CONNECTING, _connecting(settings, database, meta, clock, teller, profiles))
            verifying = Verifying(meta, _keys(settings), settings.graph.facebook_app_id, internal)
            give(VERIFYING, verifying)
            give(ASSISTANTS, _assistants(settings, database, clock, teller))
            checks = _checks(settings, database, meta, clock, teller, profiles)
            give(CHECKS, checks)
            erasing = await _erasing(database, internal, meta, clock, erasure_lead)
            give(ERASING, erasing)
            open_consumer = consumer or partial(
                ChannelsConsumer,
                settings.kafka,
                partial(open_publisher, settings.kafka, client_id=NAME),
            )
            hearing = open_consumer(Listener(checks, erasing).hear)
            rows = InternalRows(internal)
            give(ROWS, rows)
            events = feed or partial(BroadcastRecords, settings.kafka, EVENTS, checked=True)
            hub = Hub(app[STREAMS], rows, events)
            give(HUB, hub)
            await stack.enter_async_context(lifetime.running(teller, "tell-channels"))
            await stack.enter_async_context(lifetime.running(profiles, "write-profiles"))
            await stack.enter_async_context(lifetime.running(checks, "check-channels"))
            await stack.enter_async_context(lifetime.running(erasing, "erase-people"))
            counting = partial(measure, ChannelStore(database), ErasureStore(database), clock)
            await stack.enter_async_context(lifetime.running(Measuring(counting), "measure"))
            await stack.enter_async_context(lifetime.running(hearing, "hear-channels"))
            await stack.enter_async_context(lifetime.running(hub, "live"))
            await stack.enter_async_context(lifetime.running(watch, "watch-health"))
            readiness.add("mongodb", partial(ping, database))
            yield

    return Service(NAME, app, readiness, resources, runner=create_runner)


def create_runner(app: web.Application) -> GuardedRunner:
    """Slow and idle clients are cut off; an answer may take its time."""
    return GuardedRunner(app, LIMITS, shutdown_timeout=HTTP_DRAIN_S)


def create_app(settings: Settings, readiness: Readiness) -> web.Application:
    """Every page and operation, before there is a database."""
    app = base_app(readiness, told_errors, only_own_requests, authorise, compressed)
    app[UNTRACED] = frozenset({"/live", "/static"})
    app.on_response_prepare.append(add_headers)
    app[SETTINGS] = settings
    app[ROUTE_ACCESS] = RouteAccess()
    for key in (
        ACCOUNTS,
        ANALYTICS,
        API_TOKENS,
        ASSISTANTS,
        AUDIT,
        CHANNEL_SETTINGS,
        CHANNELS,
        CHECKS,
        CONNECTING,
        DEAD_LETTERS,
        DELIVERIES,
        ERASING,
        ERASURES,
        FIRST_RUN,
        HUB,
        INBOX,
        INTERNAL,
        PICTURES,
        REPORTS,
        ROWS,
        SESSIONS,
        SIGNING_IN,
        TAKEOVERS,
        VERIFYING,
        WATCH,
    ):
        app[key] = Late("the console")
    pages.set_up(app)
    for part in (
        home,
        inbox,
        thread,
        thread_actions,
        analytics,
        sign_in,
        channels,
        channel_settings,
        privacy,
        keeping,
        data_deletion,
        connect,
        verify,
        health,
        health_messages,
        dead_letters,
        live,
        assistants,
        trying,
        users,
        tokens,
        audit,
        profile,
        api,
    ):
        part.add_routes(app)
    for route in app.router.add_static("/static", STATIC_FOLDER):
        app[ROUTE_ACCESS].note(route, Access.PUBLIC)
    return app


class Give(Protocol):
    """Hands something to the pages, until the service ends."""

    def __call__(self, key: web.AppKey[Late[T]], value: T) -> None: ...


async def _open(
    give: Give, settings: Settings, database: Database, passwords: Passwords, clock: Clock
) -> None:
    accounts, sessions = AccountStore(database), SessionStore(database)
    attempts, token_store = AttemptStore(database), TokenStore(database)
    audit_log, channels = AuditLog(database, clock), ChannelStore(database)
    logins = FacebookLoginStore(database)
    erasures = ErasureStore(database)
    for store in (accounts, sessions, attempts, token_store, audit_log, channels, logins, erasures):
        await store.ensure_indexes()
    lifetime = session_rules.Lifetime(
        timedelta(seconds=settings.session_idle_s), timedelta(seconds=settings.session_absolute_s)
    )
    first_run = FirstRun(accounts, audit_log, passwords, clock)
    await first_run.prepare(
        settings.first_admin.admin_email,
        settings.first_admin.admin_password.get_secret_value(),
        settings.site.console_url,
    )

    give(ACCOUNTS, Accounts(accounts, sessions, audit_log, passwords, clock))
    give(API_TOKENS, ApiTokens(token_store, audit_log, clock))
    give(AUDIT, audit_log)
    give(ERASURES, erasures)
    give(CHANNELS, channels)
    give(FIRST_RUN, first_run)
    give(SESSIONS, sessions)
    give(
        SIGNING_IN,
        SigningIn(accounts, sessions, attempts, token_store, audit_log, passwords, lifetime, clock),
    )


def _keys(settings: Settings) -> KeyRing:
    return KeyRing.parse(settings.crypto.encryption_keys.get_secret_value())


def _settings_office(
    settings: Settings, database: Database, profiles: Profiles, clock: Clock, teller: Teller
) -> ChannelSettingsOffice:
    return ChannelSettingsOffice(
        ChannelStore(database),
        AuditLog(database, clock),
        _keys(settings),
        profiles,
        clock,
        teller.wake,
        is_production=settings.runtime.env == "production",
    )


async def _dead_letters(settings: Settings, database: Database, clock: Clock) -> DeadLetters:
    store = DeadLetterStore(database)
    await store.ensure_indexes()
    return DeadLetters(
        KafkaLetters(settings.kafka),
        store,
        TombstoneStore(database),
        ChannelStore(database),
        AuditLog(database, clock),
        clock,
    )


@asynccontextmanager
async def _doctor(
    app: web.Application, settings: Settings, database: Database, internal: Internal, clock: Clock
) -> AsyncIterator[HealthWatch]:
    async with (
        open_session() as session,
        open_connecting(settings.graph, timeout_s=doctor.GRAPH_TIMEOUT_S) as meta,
    ):
        looking = Doctor(settings, database, session, internal, meta, clock)
        watch = HealthWatch(looking, session, settings.services.of, clock)
        app[REPORTS].set(Reports(looking, clock))
        app[WATCH].set(watch)
        yield watch
        app[WATCH].clear()
        app[REPORTS].clear()


async def _erasing(
    database: Database, internal: Internal, meta: ConnectingClient, clock: Clock, lead: timedelta
) -> Erasing:
    tombstones = TombstoneStore(database)
    await tombstones.ensure_indexes()
    return Erasing(
        ErasureStore(database),
        tombstones,
        ChannelStore(database),
        FacebookLoginStore(database),
        internal,
        meta,
        AuditLog(database, clock),
        clock,
        lead,
    )


def _connecting(
    settings: Settings,
    database: Database,
    meta: ConnectingClient,
    clock: Clock,
    teller: Teller,
    profiles: Profiles,
) -> Connecting:
    app = FacebookApp(
        settings.graph.facebook_app_id,
        settings.facebook.facebook_dialog_url,
        settings.graph.graph_api_version,
        settings.site.console_url,
        settings.facebook.facebook_login_config_id,
        settings.facebook.extra_permissions,
    )
    return Connecting(
        app,
        meta,
        _keys(settings),
        FacebookLoginStore(database),
        ChannelStore(database),
        AuditLog(database, clock),
        clock,
        teller.wake,
        profiles.look_after,
    )


def _assistants(settings: Settings, database: Database, clock: Clock, teller: Teller) -> Assistants:
    return Assistants(
        AssistantStore(database),
        _keys(settings),
        Inside.parse(
            settings.hosts.inside_hosts, is_production=settings.runtime.env == "production"
        ),
        AuditLog(database, clock),
        clock,
        teller.wake,
    )


def _checks(
    settings: Settings,
    database: Database,
    meta: ConnectingClient,
    clock: Clock,
    teller: Teller,
    profiles: Profiles,
) -> ChannelChecks:
    return ChannelChecks(
        ChannelStore(database),
        meta,
        _keys(settings),
        settings.graph.facebook_app_id,
        clock,
        teller.wake,
        profiles.settle,
    )
