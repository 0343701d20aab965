"""Gateway, conversation, sender and takeover in this process, on real servers, traced."""

import asyncio
import secrets
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch
from uuid import uuid4

import aiohttp
from aiohttp import web
from aiokafka.admin import NewTopic
from pydantic import SecretStr
from yarl import URL

from libs.common.channels import Assistant, Channel, ChannelSettings
from libs.common.crypto import KeyRing
from libs.common.errors import TransientError
from libs.common.events import Record, codec
from libs.common.kafka import open_publisher
from libs.common.mongo import Database, open_database
from libs.common.service import Lifetime, Service
from libs.common.settings import (
    CryptoSettings,
    GraphSettings,
    HttpSettings,
    InternalSettings,
    KafkaSettings,
    MongoSettings,
    RuntimeSettings,
)
from libs.common.topics import COMMANDS, EVENTS
from libs.common.web import Readiness
from services.console.internal import Internal
from services.console.settings import ServicesSettings
from services.conversation import app as conversation
from services.conversation import settings as conversation_settings
from services.gateway import app as gateway
from services.gateway import settings as gateway_settings
from services.sender import app as sender
from services.sender import settings as sender_settings
from services.takeover import app as takeover
from services.takeover import settings as takeover_settings
from simulator import settings as simulator_settings
from simulator.app import create_app as simulator_app
from simulator.client import Simulator
from simulator.core import Simulator as World
from tests.integration.conftest import admin, until_led
from tests.ports import free_port
from tests.traces import Spans, recorded

APP_ID, SECRET = "1517776481860111", "canary-app-secret"
TOKEN = "canary-service-token-of-length"
KNOWLEDGE = "Opening hours: the canary shop is open from nine to five."
HOST = "127.0.0.1"
READY_WITHIN_S = 30.0
ZOE = Assistant(id="a", workspace_id="w", name="Zoe", system_prompt="canary", knowledge=KNOWLEDGE)


@dataclass
class System:
    """What a test has of it."""

    facebook: Simulator
    database: Database
    kafka: KafkaSettings
    keys: KeyRing
    console: Internal
    spans: Spans
    canaries: list[str] = field(default_factory=lambda: ["canary", SECRET, TOKEN])

    async def page(self, **settings: object) -> str:
        """A Page that is connected."""
        page = await self.facebook.add_page("Shop")
        self.canaries.append(page["access_token"])
        channel = Channel(
            id=page["id"],
            workspace_id="w",
            assistant_id="a",
            page_name="Shop",
            token=self.keys.encrypt(page["access_token"], context=page["id"]),
            settings=ChannelSettings.model_validate(settings),
        )
        await self.database["channels"].insert_one(channel.to_document())
        return str(page["id"])

    async def person(self, page: str) -> str:
        psid = await self.facebook.add_person(page, "Ana", "Canary")
        self.canaries.append(psid)
        return psid

    async def tell(self, record: Record) -> None:
        async with open_publisher(self.kafka, client_id="test") as publisher:
            await publisher.publish(record)

    def found_canaries(self) -> list[str]:
        """What stands in some span and must not."""
        text = self.spans.text()
        return [canary for canary in self.canaries if canary in text]


@asynccontextmanager
async def traced_system(
    kafka: KafkaSettings, mongodb_uri: str, folder: Path
) -> AsyncIterator[System]:
    keys = KeyRing.parse(key := f"k1:{b64encode(secrets.token_bytes(32)).decode()}")
    names = ("gateway", "conversation", "sender", "takeover", "simulator")
    urls = {name: f"http://{HOST}:{free_port()}" for name in names}
    mongo = MongoSettings(uri=SecretStr(mongodb_uri), database=f"test-{uuid4().hex}", timeout_s=20)
    async with AsyncExitStack() as stack:
        stack.enter_context(await _own_topics(stack, kafka))
        await stack.enter_async_context(_facebook(urls, folder))  # before, and so not traced
        spans = stack.enter_context(recorded())
        database = await stack.enter_async_context(open_database(mongo, app_name="test"))
        stack.push_async_callback(database.client.drop_database, mongo.database)
        await database["assistants"].insert_one(ZOE.to_document())
        services = _services(urls, kafka, mongo, SecretStr(key))
        await asyncio.gather(
            *[
                stack.enter_async_context(_running(service, urls[service.name]))
                for service in services
            ]
        )
        session = await stack.enter_async_context(aiohttp.ClientSession())
        addresses = ServicesSettings(takeover_url=urls["takeover"])
        console = Internal(session, addresses, [SecretStr(TOKEN)])
        yield System(Simulator(session, urls["simulator"]), database, kafka, keys, console, spans)


def _services(
    urls: Mapping[str, str], kafka: KafkaSettings, mongo: MongoSettings, key: SecretStr
) -> list[Service]:
    runtime = RuntimeSettings(env="test", drain_timeout_s=5)
    internal = InternalSettings(service_token=SecretStr(TOKEN))
    crypto = CryptoSettings(encryption_keys=key)
    graph = GraphSettings(
        graph_api_url=urls["simulator"],
        facebook_app_id=APP_ID,
        facebook_app_secret=SecretStr(SECRET),
    )
    return [
        gateway.create_service(
            gateway_settings.Settings(
                http=_http(urls["gateway"]),
                runtime=runtime,
                kafka=kafka,
                meta=gateway_settings.MetaSettings(
                    env="test",
                    facebook_app_secret=SecretStr(SECRET),
                    webhook_verify_token=SecretStr("canary-verify"),
                ),
            )
        ),
        conversation.create_service(
            conversation_settings.Settings(
                http=_http(urls["conversation"]),
                runtime=runtime,
                kafka=kafka,
                mongo=mongo,
                internal=internal,
                app=conversation_settings.AppSettings(facebook_app_id=APP_ID),
                graph=graph,
                crypto=crypto,
            )
        ),
        sender.create_service(
            sender_settings.Settings(
                http=_http(urls["sender"]),
                runtime=runtime,
                kafka=kafka,
                mongo=mongo,
                internal=internal,
                graph=graph,
                crypto=crypto,
            )
        ),
        takeover.create_service(
            takeover_settings.Settings(
                http=_http(urls["takeover"]),
                runtime=runtime,
                kafka=kafka,
                mongo=mongo,
                internal=internal,
                app=takeover_settings.AppSettings(facebook_app_id=APP_ID),
            )
        ),
    ]


def _http(url: str) -> HttpSettings:
    return HttpSettings(port=URL(url).port or 0)


@asynccontextmanager
async def _running(service: Service, url: str) -> AsyncIterator[None]:
    """As `libs.common.service.serve` does it, without signals; ready within the block."""
    runner = (service.runner or (lambda app: web.AppRunner(app, access_log=None)))(service.app)
    await runner.setup()
    await web.TCPSite(runner, HOST, URL(url).port).start()
    lifetime = Lifetime(5)
    async with AsyncExitStack() as opened:
        async with asyncio.timeout(READY_WITHIN_S):
            while True:
                try:
                    await opened.enter_async_context(service.resources(lifetime))
                    break
                except (TransientError, OSError):  # Kafka is slow at the beginning
                    await asyncio.sleep(0.5)
            while not all((await service.readiness.answer()).values()):
                await asyncio.sleep(0.05)
        try:
            yield
        finally:
            await runner.cleanup()


@asynccontextmanager
async def _facebook(urls: Mapping[str, str], folder: Path) -> AsyncIterator[None]:
    settings = simulator_settings.Settings(
        http=_http(urls["simulator"]),
        runtime=RuntimeSettings(env="test"),
        facebook_app_id=APP_ID,
        facebook_app_secret=SecretStr(SECRET),
        webhook_verify_token=SecretStr("canary-verify"),
        webhook_target_url=f"{urls['gateway']}/webhooks/messenger",
        state_dir=folder,
    )
    world = World(settings)
    runner = web.AppRunner(simulator_app(world, Readiness()), access_log=None, shutdown_timeout=1)
    async with world.running():
        await runner.setup()
        await web.TCPSite(runner, HOST, settings.http.port).start()
        try:
            yield
        finally:
            await runner.cleanup()


async def _own_topics(stack: AsyncExitStack, kafka: KafkaSettings) -> AbstractContextManager[None]:
    """Events and commands on topics that no other test uses."""
    names = {EVENTS: f"test-events-{uuid4().hex}", COMMANDS: f"test-commands-{uuid4().hex}"}
    async with admin(kafka) as client:
        await client.create_topics([NewTopic(name, 2, 1) for name in names.values()])
        for name in names.values():
            await until_led(client, name, 2)

    async def forget() -> None:
        async with admin(kafka) as client:
            await client.delete_topics(list(names.values()))

    stack.push_async_callback(forget)

    @contextmanager
    def patched() -> Iterator[None]:
        by_type = {kind: names.get(topic, topic) for kind, topic in codec._TOPIC_BY_TYPE.items()}
        with (
            patch.object(codec, "_TOPIC_BY_TYPE", by_type),
            patch.object(codec, "EVENTS", names[EVENTS]),
            patch.object(conversation, "EVENTS", names[EVENTS]),
            patch.object(sender, "EVENTS", names[EVENTS]),
            patch.object(sender, "COMMANDS", names[COMMANDS]),
            patch.object(takeover, "EVENTS", names[EVENTS]),
        ):
            yield

    return patched()
