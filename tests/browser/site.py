"""A simulator that listens, can go away and come back, and whose app is the fake assistant."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestServer

from libs.common.settings import HttpSettings, RuntimeSettings
from libs.common.web import Readiness
from simulator.app import create_app
from simulator.core import Simulator
from simulator.settings import Settings
from tests.browser.assistant import Assistant
from tests.ports import free_port


class Site:
    """The running simulator."""

    def __init__(self, settings: Settings, assistant: Assistant) -> None:
        self.settings, self.assistant = settings, assistant
        self.url = f"http://{settings.http.host}:{settings.http.port}"
        self._running = AsyncExitStack()

    async def start(self) -> None:
        simulator = Simulator(self.settings)
        self.simulator = self.assistant.simulator = simulator
        self.assistant.graph_url = self.url
        runner = web.AppRunner(
            create_app(simulator, Readiness()), access_log=None, shutdown_timeout=1.0
        )
        await self._running.enter_async_context(simulator.running())
        await runner.setup()
        self._running.push_async_callback(runner.cleanup)
        http = self.settings.http
        await web.TCPSite(runner, http.host, http.port).start()

    async def stop(self) -> None:
        await self._running.aclose()

    @property
    def page_id(self) -> str:
        return self.simulator.world.pages[0].id

    @property
    def psid(self) -> str:
        """The first person of the first Page, whom the chat page opens with."""
        return next(iter(self.simulator.world.pages[0].people))


@asynccontextmanager
async def running_site(state_dir: Path) -> AsyncIterator[Site]:
    assistant = Assistant()
    app = web.Application()
    app.router.add_post("/webhooks/messenger", assistant.handle)
    await assistant.open()
    async with TestServer(app) as server:
        settings = Settings(
            http=HttpSettings(port=free_port()),
            runtime=RuntimeSettings(),
            facebook_app_id="1517776481860111",
            facebook_app_secret="test_app_secret",
            webhook_verify_token="verify",
            webhook_target_url=str(server.make_url("/webhooks/messenger")),
            state_dir=state_dir,
        )
        site = Site(settings, assistant)
        await site.start()
        try:
            yield site
        finally:
            await assistant.close()
            await site.stop()
