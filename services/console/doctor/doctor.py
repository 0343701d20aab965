"""Puts all lines together: those of the installation, and those of each Page."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Protocol

import aiohttp

from libs.common.crypto import KeyRing
from libs.common.errors import PermanentError, TransientError
from libs.common.graph import ConnectingClient
from libs.common.mongo import Database
from libs.common.settings import (
    CryptoSettings,
    GraphSettings,
    KafkaSettings,
    RuntimeSettings,
    WebhookSettings,
)
from services.console.channels_store import ChannelStore
from services.console.dead_letters_store import DeadLetterStore
from services.console.doctor.address import PublicAddress, Resolve, resolve
from services.console.doctor.asking import Asking
from services.console.doctor.domain import address as address_rules
from services.console.doctor.domain.findings import (
    Finding,
    Found,
    Line,
    Report,
    Verdict,
    unknown,
    waiting,
)
from services.console.doctor.domain.system import MONGODB
from services.console.doctor.examining import Check, Sparing, examine
from services.console.doctor.kafka import KafkaLines
from services.console.doctor.meta import MetaApp
from services.console.doctor.pages import PageLines
from services.console.doctor.system import DatabaseLines, OwnLines, ServiceLines
from services.console.internal import Internal
from services.console.records import ConnectedChannel
from services.console.settings import ServicesSettings, SiteSettings

GRAPH_TIMEOUT_S = 8.0
ASKED = ("gateway", "conversation", "sender", "takeover", "analytics")

Clock = Callable[[], datetime]


class UnknownPageError(PermanentError):
    """No Page with this id is connected here."""

    code = "not_found"


class Needed(Protocol):
    """Of the settings of whoever looks: the console, or the command."""

    @property
    def runtime(self) -> RuntimeSettings: ...
    @property
    def kafka(self) -> KafkaSettings: ...
    @property
    def graph(self) -> GraphSettings: ...
    @property
    def crypto(self) -> CryptoSettings: ...
    @property
    def webhook(self) -> WebhookSettings: ...
    @property
    def services(self) -> ServicesSettings: ...
    @property
    def site(self) -> SiteSettings: ...


class Doctor:
    """Looks at everything, or at what changes while somebody watches."""

    def __init__(
        self,
        settings: Needed,
        database: Database | None,
        session: aiohttp.ClientSession,
        internal: Internal,
        meta: ConnectingClient,
        clock: Clock,
        *,
        resolver: Resolve = resolve,
    ) -> None:
        """`database` None: it did not answer."""
        self._settings = settings
        self._database = database
        self._session = session
        self._asking = Asking(internal)
        self._meta = meta
        self._clock = clock
        self._resolver = resolver
        self._keys = KeyRing.parse(settings.crypto.encryption_keys.get_secret_value())
        self._sparing = Sparing()

    async def examine(self, workspace_id: str | None = None, page_id: str | None = None) -> Report:
        """Everything.

        Args:
            workspace_id: Pages of this one only; None: of all.
            page_id: this Page only.

        Raises:
            UnknownPageError: there is no such Page.
        """
        began, at = time.monotonic(), self._clock()
        channels = await self._channels(workspace_id)
        shown = channels or []
        if page_id is not None and channels is not None:
            shown = [each for each in channels if each.id == page_id]
            if not shown:
                raise UnknownPageError("no Page with this id is connected")
        checks = [
            *self._installation(channels or []),
            *(check for each in shown for check in self._page(each).checks()),
        ]
        if not shown:
            checks.append(_no_pages(is_known=channels is not None))
        findings = await examine(checks)
        return Report(at, _in_order(findings), round(time.monotonic() - began, 2))

    async def look_again(self, workspace_id: str) -> tuple[Finding, ...]:
        """The lines about messages that come and go, of all Pages of a workspace."""
        channels = await self._channels(workspace_id)
        return await examine(
            [check for each in channels or [] for check in self._page(each).live_checks()]
        )

    async def look_around(self) -> tuple[Finding, ...]:
        """Our own parts: services, Kafka, the database. It asks neither Facebook nor the model."""
        return await examine(self._ours())

    def _ours(self) -> list[Check]:
        """In the order in which they may stand on one another."""
        settings, database = self._settings, self._database
        settled = None if database is None else DeadLetterStore(database).count
        kafka = KafkaLines(settings.kafka, self._clock, settled)
        is_production = settings.runtime.env == "production"
        addresses = {name: settings.services.of(name) for name in ASKED}
        addresses["console"] = settings.site.console_url
        return [
            *kafka.checks(),
            *DatabaseLines(database, is_production=is_production).checks(),
            *ServiceLines(self._session, addresses).checks(),
            *kafka.checks_of_work(),
        ]

    def _installation(self, channels: Sequence[ConnectedChannel]) -> list[Check]:
        settings = self._settings
        is_production = settings.runtime.env == "production"
        address = PublicAddress(
            url=settings.webhook.public_url,
            verify_token=settings.webhook.webhook_verify_token,
            app_secret=settings.graph.facebook_app_secret,
            is_public=address_rules.must_be_public(
                settings.graph.graph_api_url, is_production=is_production
            ),
            session=self._session,
            now=self._clock,
            resolve=self._resolver,
        )
        meta = MetaApp(
            self._meta,
            self._session,
            settings.graph.graph_api_url,
            settings.graph.facebook_app_id,
            address.webhook,
            self._asking,
            [each.id for each in channels],
            self._clock,
        )
        return [
            *self._ours(),
            *address.checks(),
            *meta.checks(),
            *OwnLines(self._asking, self._keys, channels).checks(),
        ]

    def _page(self, channel: ConnectedChannel) -> PageLines:
        return PageLines(
            channel,
            self._meta,
            self._keys,
            self._settings.graph.facebook_app_id,
            self._asking,
            self._sparing,
            self._clock,
        )

    async def _channels(self, workspace_id: str | None) -> list[ConnectedChannel] | None:
        """None: the database can't be asked."""
        if self._database is None:
            return None
        store = ChannelStore(self._database)
        try:
            if workspace_id is None:
                return await store.all()
            return [each.channel for each in await store.of_workspace(workspace_id)]
        except TransientError:
            return None


def _no_pages(*, is_known: bool) -> Check:
    async def none(_found: Found) -> Verdict:
        if not is_known:
            return unknown("The list of Pages can't be read.")
        return waiting("No Page is connected.", "Connect one in the console, under Pages.")

    return Check(Line("pages", "Pages", "Connected", (MONGODB,)), none)


_ORDER = ("Public address", "Meta app", "Services", "Kafka", "MongoDB", "Model", "Encryption")


def _in_order(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The way of a message: from Meta to us, through our parts, and then each Page."""

    def place(finding: Finding) -> int:
        section = finding.line.section
        return _ORDER.index(section) if section in _ORDER else len(_ORDER)

    return tuple(sorted(findings, key=place))


@asynccontextmanager
async def open_session() -> AsyncIterator[aiohttp.ClientSession]:
    """For addresses that are only looked at: no cookie, nothing kept."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session
