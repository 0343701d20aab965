"""A running simulator, and the app that its webhooks go to."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from libs.common.web import Readiness
from simulator.app import create_app
from simulator.core import Simulator
from simulator.settings import Settings
from tests.unit.simulator.harness import Facebook, FakeApp, make_settings


@pytest.fixture
async def fake_app() -> AsyncIterator[FakeApp]:
    fake = FakeApp()
    app = web.Application()
    app.router.add_post("/webhooks/messenger", fake.handle)
    app.router.add_get("/webhooks/messenger", fake.verify)
    app.router.add_post("/webhooks/messenger/deauthorize", fake.take_form)
    app.router.add_post("/webhooks/messenger/data-deletion", fake.take_form)
    async with TestServer(app) as server:
        fake.url = str(server.make_url("/webhooks/messenger"))
        yield fake


@pytest.fixture
def settings(fake_app: FakeApp, tmp_path: Path) -> Settings:
    return make_settings(fake_app.url, tmp_path)


@pytest.fixture
async def facebook(settings: Settings) -> AsyncIterator[Facebook]:
    simulator = Simulator(settings)
    app = create_app(simulator, Readiness())
    async with simulator.running(), TestClient(TestServer(app)) as client:
        yield Facebook(client, simulator)
