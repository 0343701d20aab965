"""A gateway over real sockets, with a publisher that only remembers."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp.test_utils import TestClient, TestServer

from libs.common.errors import TransientError
from libs.common.events import Record, encode
from libs.common.kafka import UnpublishableError
from libs.common.settings import HttpSettings, KafkaSettings, RuntimeSettings
from libs.common.web import Readiness
from services.gateway.app import create_app
from services.gateway.handlers import PUBLISHER
from services.gateway.settings import MetaSettings, Settings
from tests.unit.gateway.webhooks import SECRET

VERIFY_TOKEN = "verify-token-of-the-tests"


class FakePublisher:
    """Remembers what it was given, one list a call; may be slow, may refuse."""

    def __init__(self) -> None:
        self.calls: list[list[Record]] = []
        self.error: Exception | None = None
        self.largest = 1 << 20
        self.begun = 0
        self.lets_go = asyncio.Event()
        self.lets_go.set()

    async def publish(self, *records: Record) -> None:
        self.begun += 1
        await self.lets_go.wait()
        if self.error is not None:
            raise self.error
        if max(len(encode(record)) for record in records) > self.largest:
            raise UnpublishableError
        self.calls.append([*records])

    @property
    def records(self) -> list[Record]:
        return [record for call in self.calls for record in call]


class LogAwayError(TransientError):
    """As the real publisher says it."""


def gateway_settings(
    *, previous: str | None = None, public_url: str = "https://hooks.example.org", **own: float
) -> Settings:
    """Settings that ignore the environment; `own` are the gateway's."""
    meta = MetaSettings.model_validate(
        {
            "env": "test",
            "facebook_app_secret": SECRET,
            "facebook_app_secret_previous": previous,
            "webhook_verify_token": VERIFY_TOKEN,
            "public_url": public_url,
            "console_url": "https://console.example.org",
        }
    )
    http, runtime, kafka = HttpSettings(port=1), RuntimeSettings(env="test"), KafkaSettings()
    return Settings.model_validate(
        {"http": http, "runtime": runtime, "kafka": kafka, "meta": meta, **own}
    )


@pytest.fixture
def publisher() -> FakePublisher:
    return FakePublisher()


@pytest.fixture
async def gateway(publisher: FakePublisher) -> AsyncIterator[TestClient]:  # type: ignore[type-arg]
    app = create_app(gateway_settings(previous="the_previous_secret"), Readiness())
    app[PUBLISHER].set(publisher)
    async with TestClient(TestServer(app)) as client:
        yield client
