"""Nothing is encrypted with a new key before those who read it have that key."""

import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from libs.common.crypto import KeyRing
from libs.common.keys_api import add_keys_route
from libs.common.settings import (
    CryptoSettings,
    InternalSettings,
    MongoSettings,
    RuntimeSettings,
)
from libs.common.web import Readiness, base_app, json_errors, require_service_token
from services.console import operator
from services.console.operator import KeyNotEverywhereError, KeysSettings, renew_keys
from services.console.renewing import Renewed
from services.console.settings import ServicesSettings, SiteSettings

TOKEN = SecretStr("a-token-of-services")
K1, K2, ANOTHER_K2 = (
    f"{name}:{base64.b64encode(byte * 32).decode()}"
    for name, byte in (("k1", b"1"), ("k2", b"2"), ("k2", b"3"))
)
NOWHERE = "http://127.0.0.1:9"


@asynccontextmanager
async def reader(ring: str) -> AsyncIterator[str]:
    """Where a service with these keys listens."""
    app = base_app(Readiness(), json_errors, require_service_token(TOKEN))
    add_keys_route(app, KeyRing.parse(ring))
    async with TestServer(app) as server:
        yield str(server.make_url("/")).rstrip("/")


def settings(ring: str, urls: Mapping[str, str]) -> KeysSettings:
    return KeysSettings(
        runtime=RuntimeSettings(env="test"),
        mongo=MongoSettings(),
        site=SiteSettings(env="test"),
        crypto=CryptoSettings(encryption_keys=SecretStr(ring)),
        internal=InternalSettings(service_token=TOKEN),
        services=ServicesSettings.model_validate(urls),
    )


@pytest.fixture
def renewed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The first keys with which everything was encrypted anew."""
    done: list[str] = []

    @asynccontextmanager
    async def opened(_settings: object) -> AsyncIterator[None]:
        yield

    async def renew(_database: object, keys: KeyRing) -> Renewed:
        done.append(keys.current)
        return Renewed(renewed=3)

    monkeypatch.setattr(operator, "_opened", opened)
    monkeypatch.setattr(operator, "renew", renew)
    return done


async def test_once_all_have_the_key_everything_is_encrypted_with_it(renewed: list[str]) -> None:
    async with reader(f"{K1},{K2}") as conversation, reader(f"{K2},{K1}") as sender:
        both = {"conversation_url": conversation, "sender_url": sender}
        told = await renew_keys(settings(f"{K2},{K1}", both))
    assert (told, renewed) == ("3 encrypted anew, 0 were already", ["k2"])


@pytest.mark.parametrize(
    ("of_sender", "words"),
    [
        (K1, "the sender service does not have the key k2"),
        (f"{K1},{ANOTHER_K2}", "the sender service does not have the key k2, or another one"),
        (None, "the sender service does not say .* add --unasked"),
    ],
)
async def test_before_that_nothing_is(
    renewed: list[str], of_sender: str | None, words: str
) -> None:
    async with reader(f"{K1},{K2}") as conversation, reader(of_sender or K1) as sender:
        urls = {"conversation_url": conversation, "sender_url": sender if of_sender else NOWHERE}
        with pytest.raises(KeyNotEverywhereError, match=words):
            await renew_keys(settings(f"{K2},{K1}", urls))
        assert renewed == []
        await renew_keys(settings(f"{K2},{K1}", urls), unasked=True)
    assert renewed == ["k2"]


async def test_no_key_is_told_to_anybody() -> None:
    headers = {"Authorization": f"Bearer {TOKEN.get_secret_value()}"}
    async with (
        reader(f"{K2},{K1}") as url,
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"{url}/internal/v1/keys") as response,
    ):
        text = await response.text()
    assert list(json.loads(text)["keys"]) == ["k2", "k1"]
    for key in (K1, K2):
        secret = key.partition(":")[2]
        assert secret not in text
        assert base64.b64decode(secret).hex() not in text
