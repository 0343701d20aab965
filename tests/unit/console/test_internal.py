"""The console asks other services while the service token is replaced, in whatever order."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from libs.common.web import Readiness, base_app, json_errors, require_service_token
from services.console.internal import Internal, ServiceRefusedError, open_internal
from services.console.settings import ServicesSettings

OLD, NEW = SecretStr("the-old-service-token"), SecretStr("the-new-service-token")


@asynccontextmanager
async def asking(
    known: tuple[SecretStr, ...], sent: tuple[SecretStr, ...]
) -> AsyncIterator[tuple[Internal, list[str]]]:
    """A console with its tokens, a sender with its own, and what the sender was asked to do."""
    done: list[str] = []

    async def do(request: web.Request) -> web.Response:
        done.append((await request.json())["what"])
        return web.json_response({"done": len(done)})

    async def figures(_request: web.Request) -> web.Response:
        return web.Response(text="day,messages")

    app = base_app(Readiness(), json_errors, require_service_token(*known))
    app.router.add_post("/do", do)
    app.router.add_get("/figures", figures)
    async with TestServer(app) as server:
        addresses = ServicesSettings(sender_url=str(server.make_url("/")).rstrip("/"))
        async with open_internal(addresses, sent) as internal:
            yield internal, done


@pytest.mark.parametrize(
    ("known", "sent"),
    [
        ((OLD,), (OLD,)),
        ((NEW, OLD), (OLD,)),  # the sender first
        ((OLD,), (NEW, OLD)),  # the console first
        ((NEW, OLD), (NEW, OLD)),
        ((NEW,), (NEW, OLD)),
        ((NEW, OLD), (NEW,)),
        ((NEW,), (NEW,)),
    ],
)
async def test_a_new_token_is_rolled_out_in_any_order(
    known: tuple[SecretStr, ...], sent: tuple[SecretStr, ...]
) -> None:
    async with asking(known, sent) as (internal, done):
        assert await internal.call("sender", "POST", "/do", body={"what": "it"}) == {"done": 1}
        assert await internal.text("sender", "/figures") == "day,messages"
    assert done == ["it"]


async def test_a_service_that_knows_neither_refuses() -> None:
    async with asking((OLD,), (NEW,)) as (internal, done):
        with pytest.raises(ServiceRefusedError) as refused:
            await internal.call("sender", "POST", "/do", body={"what": "it"})
    assert (refused.value.status, refused.value.reason, done) == (401, "unauthorized", [])
