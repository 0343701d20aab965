"""A console on a database of the test's own, with browsers and programs that talk to it."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import unescape
from types import CodeType
from typing import Any

import aiohttp
import aiohttp_jinja2
from aiohttp import web
from argon2 import PasswordHasher
from jinja2.bccache import Bucket, BytecodeCache
from pydantic import SecretStr

from libs.common.crypto import generate_key
from libs.common.events import AnyRecord, Record
from libs.common.kafka import PublishError
from libs.common.mongo import Database
from libs.common.service import Lifetime
from libs.common.settings import (
    CryptoSettings,
    GraphSettings,
    HttpSettings,
    InternalSettings,
    MongoSettings,
    RuntimeSettings,
    WebhookSettings,
)
from services.console.accounts_store import AccountStore
from services.console.app import create_service
from services.console.domain.roles import Member, Role
from services.console.domain.tokens import ApiToken, Scope, hashed, new_id
from services.console.hashing import Passwords
from services.console.hearing import Hear
from services.console.live.hub import OpenFeed
from services.console.records import Account, StoredToken
from services.console.settings import (
    FacebookLoginSettings,
    FirstAdminSettings,
    ServicesSettings,
    Settings,
    SiteSettings,
)
from services.console.tokens_store import TokenStore
from services.console.web.access import ROUTE_ACCESS
from tests.ports import free_port

ADMIN, PASSWORD = "ada@example.org", "correct horse battery"
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
NOBODY = "http://127.0.0.1:9"  # nothing listens there
SERVICE_TOKEN = "a-service-token-of-tests"
APP_ID, APP_SECRET = "1517776481860111", "test_app_secret"
VERIFY_TOKEN = "a-verify-token-of-tests"
KEYS = f"k1:{generate_key()}"
LINK = re.compile(r"http://[^\s\"<]+/welcome/([\w-]+)")
TOKEN = re.compile(r"mat_[0-9a-f]{16}_[\w-]{43}")


class CompiledOnce(BytecodeCache):
    """Templates, compiled for the first console of a run and used by the others: with as many
    consoles as tests, that is most of their time."""

    def __init__(self) -> None:
        self._code: dict[tuple[str, str], CodeType | None] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._code.get((bucket.key, bucket.checksum))  # the checksum of its source

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._code[bucket.key, bucket.checksum] = bucket.code


COMPILED = CompiledOnce()


class Clock:
    """Now, until a test says otherwise."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class Log:
    """What is published; Kafka may be away."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.is_away = False
        self.heard = asyncio.Event()
        self._said: asyncio.Queue[AnyRecord | None] = asyncio.Queue()

    async def publish(self, *records: Record) -> None:
        if self.is_away:
            raise PublishError("away")
        self.records += records
        self.heard.set()

    def publish_soon(self, record: Record) -> None:
        self.records.append(record)

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Log"]:
        yield self

    def consuming(self, hear: Hear) -> "Consumer":
        return Consumer(self._said, hear)

    def say(self, record: AnyRecord) -> None:
        """As another service does. It waits until somebody hears it."""
        self._said.put_nowait(record)

    async def wait_for(self, count: int) -> list[tuple[str, str]]:
        """Types and Pages, once there are so many."""
        async with asyncio.timeout(20):
            while len(self.records) < count:
                self.heard.clear()
                await self.heard.wait()
        return [(record.type, record.page_id) for record in self.records]


class Consumer:
    """Hears what is said, one record after the other."""

    def __init__(self, said: "asyncio.Queue[AnyRecord | None]", hear: Hear) -> None:
        self._said, self._hear = said, hear

    async def run(self) -> None:
        while (record := await self._said.get()) is not None:
            await self._hear(record)

    async def stop(self, drain_timeout_s: float) -> None:
        del drain_timeout_s
        self._said.put_nowait(None)


class Silent:
    """No log to hear of changes from: pages look by themselves."""

    is_heard = False


@asynccontextmanager
async def silent(_heard: object) -> AsyncIterator[Silent]:
    yield Silent()


@dataclass
class Answer:
    """What came back."""

    status: int
    text: str
    headers: Mapping[str, str]

    @property
    def words(self) -> str:
        """As somebody reads it."""
        return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", self.text)))

    @property
    def link(self) -> str:
        """The secret of the one-time link that is shown."""
        found = LINK.search(self.text)
        assert found, self.words
        return found[1]

    @property
    def token(self) -> str:
        found = TOKEN.search(self.text)
        assert found, self.words
        return found[0]


class Browser:
    """Keeps cookies, follows nothing by itself, and says where its requests come from."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.headers = {"Sec-Fetch-Site": "same-origin"}
        self.session = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))

    async def close(self) -> None:
        await self.session.close()

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.ask("GET", path, headers=headers)

    async def post(self, path: str, data: object = None, **headers: str) -> Answer:
        return await self.ask("POST", path, data=data, headers=headers)

    async def ask(
        self,
        method: str,
        path: str,
        *,
        data: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        async with self.session.request(
            method,
            self.url + path,
            data=data or {},
            headers=self.headers | dict(headers or {}),
            allow_redirects=False,
        ) as response:
            return Answer(response.status, await response.text(), dict(response.headers))

    async def sign_in(self, email: str = ADMIN, password: str = PASSWORD) -> Answer:
        return await self.post("/sign-in", {"email": email, "password": password})

    @property
    def cookie(self) -> str:
        """The session's secret, as the browser has it."""
        return next(iter(self.session.cookie_jar)).value


class Console:
    """The running console."""

    def __init__(self, app: web.Application, url: str, database: Database, clock: Clock) -> None:
        self.app, self.url, self.database, self.clock = app, url, database, clock
        self.accounts = AccountStore(database)
        self.log = Log()
        self._browsers: list[Browser] = []

    @property
    def needs(self) -> Mapping[web.AbstractRoute, Any]:
        return self.app[ROUTE_ACCESS].all()

    def browser(self) -> Browser:
        self._browsers.append(Browser(self.url))
        return self._browsers[-1]

    async def admin(self) -> Browser:
        browser = self.browser()
        assert (await browser.sign_in()).status == 303
        return browser

    async def add(
        self, email: str, role: Role, workspace_id: str, password: str = PASSWORD
    ) -> Account:
        """Somebody who can sign in, without all the clicks."""
        account = Account(
            id=new_id("usr"),
            workspace_id=workspace_id,
            email=email,
            password_hash=QUICK.hash(password),
            created_at=datetime.now(UTC),
        )
        assert await self.accounts.add(account)
        place = Member(role=role)
        await self.accounts.add_member(workspace_id, account.id, place, name=workspace_id)
        return account

    async def first_admin(self) -> Account:
        account = await self.accounts.by_email(ADMIN)
        assert account is not None
        return account

    async def api_token(
        self, *scopes: Scope, name: str = "all", owner: tuple[str, str] | None = None
    ) -> ApiToken:
        """A token that may do this. `owner`: account and workspace; the first administrator's."""
        if owner is None:
            admin = await self.first_admin()
            owner = (admin.id, admin.workspace_id)
        token = ApiToken.new()
        stored = StoredToken(
            id=token.id,
            workspace_id=owner[1],
            account_id=owner[0],
            name=name,
            scopes=scopes,
            secret_hash=hashed(token.secret),
            created_at=datetime.now(UTC),
        )
        await TokenStore(self.database).add(stored)
        return token

    async def member(self) -> Browser:
        """A browser in which a Member of the first workspace is signed in."""
        admin = await self.first_admin()
        await self.add("mo@example.org", Role.MEMBER, admin.workspace_id)
        browser = self.browser()
        assert (await browser.sign_in("mo@example.org")).status == 303
        return browser

    async def close(self) -> None:
        for browser in self._browsers:
            await browser.close()


@asynccontextmanager
async def running_console(
    database: Database,
    mongo: MongoSettings,
    *,
    email: str = ADMIN,
    password: str = PASSWORD,
    passwords: Passwords | None = None,
    console_url: str | None = None,
    facebook_url: str = NOBODY,
    log: Log | None = None,
    services: str = NOBODY,
    gateway_url: str = NOBODY,
    feed: OpenFeed | None = None,
    **values: Any,  # noqa: ANN401 - whatever the settings take
) -> AsyncIterator[Console]:
    port = free_port()
    here = f"http://127.0.0.1:{port}"
    settings = Settings(
        http=HttpSettings(port=port),
        runtime=RuntimeSettings(env="test"),
        mongo=mongo,
        graph=GraphSettings(
            graph_api_url=facebook_url,
            facebook_app_id=APP_ID,
            facebook_app_secret=SecretStr(APP_SECRET),
        ),
        crypto=CryptoSettings(encryption_keys=SecretStr(KEYS)),
        internal=InternalSettings(service_token=SecretStr(SERVICE_TOKEN)),
        services=ServicesSettings(
            gateway_url=services,
            conversation_url=services,
            sender_url=services,
            takeover_url=services,
            analytics_url=services,
        ),
        webhook=WebhookSettings(
            env="test", webhook_verify_token=SecretStr(VERIFY_TOKEN), public_url=gateway_url
        ),
        facebook=FacebookLoginSettings(facebook_dialog_url=facebook_url),
        site=SiteSettings(env="test", console_url=console_url or here),
        first_admin=FirstAdminSettings(admin_email=email, admin_password=SecretStr(password)),
        **values,
    )
    clock = Clock()
    log = log or Log()
    service = create_service(
        settings,
        passwords=passwords or Passwords(QUICK),
        clock=clock,
        publisher=log.open,
        consumer=log.consuming,
        feed=feed or silent,
        erasure_lead=timedelta(milliseconds=20),
    )
    aiohttp_jinja2.get_env(service.app).bytecode_cache = COMPILED
    async with AsyncExitStack() as stack:
        runner = web.AppRunner(service.app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await stack.enter_async_context(service.resources(Lifetime()))
        console = Console(service.app, here, database, clock)
        console.log = log
        stack.push_async_callback(console.close)
        yield console
