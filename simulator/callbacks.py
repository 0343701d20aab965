"""Meta's other callbacks to an app: a user removed it, a user wants their data deleted."""

import asyncio

import aiohttp
import structlog

from simulator.signing import signed_request
from simulator.webhooks import WebhookSender
from simulator.world.units import Milliseconds

log = structlog.get_logger(__name__)


class Callbacks:
    """Signed forms to the app, each posted once."""

    def __init__(self, sender: WebhookSender) -> None:
        self._sender = sender
        self._running: set[asyncio.Task[None]] = set()

    async def post(self, url: str, user_id: str, now: Milliseconds) -> tuple[int, str]:
        """The app's status and answer.

        Raises:
            aiohttp.ClientError, TimeoutError: the app could not be asked.
        """
        form = {"signed_request": signed_request(user_id, now // 1000, self._sender.app_secret)}
        return await self._sender.post_form(url, form)

    def tell(self, url: str, user_id: str, now: Milliseconds) -> None:
        """Post it in the background; nobody hears what came of it, as with Meta."""
        task = asyncio.create_task(self._tell(url, user_id, now), name="callback")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _tell(self, url: str, user_id: str, now: Milliseconds) -> None:
        try:
            status, _ = await self.post(url, user_id, now)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            log.warning("callback_failed", error=type(error).__name__)
            return
        log.info("callback_answered", status=status)
