"""Webhooks on their way: signed once, in order for one person, tried again until answered 200.

Source: Webhooks for Messenger Platform: a few immediate retries, an alert after 15 minutes of
failing, after an hour the app is unsubscribed from the Page and what waited is lost. The gaps
between the retries are not documented.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import aiohttp
import structlog

from simulator.signing import signature_headers

ANSWER_WITHIN_S = 5.0
RETRY_PAUSES_S = (0.0, 0.1, 0.3, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)  # then the last one for ever
ALERT_AFTER_S = 15 * 60.0
UNSUBSCRIBE_AFTER_S = 60 * 60.0
MAX_PENDING = 200_000
MAX_CONNECTIONS = 256

log = structlog.get_logger(__name__)


class QueueFullError(Exception):
    """The app has not taken its webhooks for too long."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook: its bytes stay the same through all retries."""

    page_id: str
    body: bytes
    copies: int = 1  # more than 1: delivered again although it was answered 200
    on_accepted: Callable[[], None] | None = None


def retry_pause_s(failures: int) -> float:
    """How long to wait after so many failures in a row (1, 2, ...)."""
    return RETRY_PAUSES_S[min(failures, len(RETRY_PAUSES_S)) - 1]


@dataclass(slots=True)
class Health:
    """Since when the webhooks of one Page fail; seconds of a monotonic clock."""

    failing_since: float | None = None
    alerted: bool = False

    def succeeded(self) -> None:
        self.failing_since, self.alerted = None, False

    def failed(self, now: float) -> None:
        if self.failing_since is None:
            self.failing_since = now

    def is_due_for_alert(self, now: float) -> bool:
        """True once in each time of failing."""
        due = not self.alerted and self._has_failed_for(ALERT_AFTER_S, now)
        self.alerted = self.alerted or due
        return due

    def is_due_for_unsubscription(self, now: float) -> bool:
        return self._has_failed_for(UNSUBSCRIBE_AFTER_S, now)

    def _has_failed_for(self, seconds: float, now: float) -> bool:
        return self.failing_since is not None and now - self.failing_since >= seconds


class WebhookSender:
    """Posts webhooks to the app: people side by side, the webhooks of one person in order."""

    def __init__(
        self,
        target_url: str,
        app_secret: str,
        *,
        on_unsubscribed: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url, self._secret = target_url, app_secret
        self._on_unsubscribed = on_unsubscribed
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._queues: dict[str, deque[Webhook]] = {}
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._timers: set[asyncio.TimerHandle] = set()
        self._health: dict[str, Health] = {}
        self.pending = self.posted = self.accepted = 0

    async def open(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS),
            timeout=aiohttp.ClientTimeout(total=ANSWER_WITHIN_S),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        """Forget what waits: Meta stores nothing for replay either."""
        await self.clear()
        if self._session is not None:
            await self._session.close()

    async def clear(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        workers = list(self._workers.values())
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        self._workers.clear()
        self._queues.clear()
        self._health.clear()
        self.pending = 0

    def send(self, key: str, webhook: Webhook, *, delay_ms: int = 0) -> None:
        """Queue a webhook behind those of the same key.

        Raises:
            QueueFullError: too many wait already.
        """
        if self.pending >= MAX_PENDING:
            raise QueueFullError(f"{self.pending} webhooks wait for the app to take them")
        self.pending += 1
        if delay_ms == 0:
            self._enqueue(key, webhook)
            return
        loop = asyncio.get_running_loop()

        def due() -> None:
            self._timers.discard(timer)
            self._enqueue(key, webhook)

        timer = loop.call_later(delay_ms / 1000, due)
        self._timers.add(timer)

    async def post_raw(self, body: bytes) -> tuple[int, str]:
        """Sign and post any bytes once, as they are: the app's status and answer.

        Raises:
            aiohttp.ClientError, TimeoutError: the app could not be asked.
        """
        async with self._post(body) as response:
            return response.status, await response.text(errors="replace")

    def _enqueue(self, key: str, webhook: Webhook) -> None:
        self._queues.setdefault(key, deque()).append(webhook)
        if key not in self._workers:
            self._workers[key] = asyncio.create_task(self._work(key), name="webhooks")

    async def _work(self, key: str) -> None:
        """Deliver what waits under one key, then end."""
        queue = self._queues[key]
        try:
            while queue:
                webhook = queue.popleft()
                for copy in range(webhook.copies):
                    if await self._deliver(webhook) and copy == 0 and webhook.on_accepted:
                        webhook.on_accepted()
                self.pending -= 1
        finally:
            # without an await since the last look: nothing can have been added meanwhile
            self._queues.pop(key, None)
            self._workers.pop(key, None)

    async def _deliver(self, webhook: Webhook) -> bool:
        """False if the Page lost its subscription before the app took the webhook."""
        health = self._health.setdefault(webhook.page_id, Health())
        began, failures = self._clock(), 0
        while not await self._was_answered_200(webhook.body):
            failures += 1
            now = self._clock()
            health.failed(now)
            if health.is_due_for_alert(now):
                log.warning("webhooks_failing", page_id=webhook.page_id)
            if health.is_due_for_unsubscription(now):
                self._unsubscribe(webhook.page_id)
                return False
            if now - began >= UNSUBSCRIBE_AFTER_S:  # this one alone is never taken
                return False
            await asyncio.sleep(retry_pause_s(failures))
        health.succeeded()
        self.accepted += 1
        return True

    async def _was_answered_200(self, body: bytes) -> bool:
        self.posted += 1
        try:
            async with self._post(body) as response:
                await response.read()
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    def _post(self, body: bytes) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        if self._session is None:
            raise RuntimeError("open() comes first")
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "facebookexternalua",
            **signature_headers(body, self._secret),
        }
        return self._session.post(self._url, data=body, headers=headers, allow_redirects=False)

    def _unsubscribe(self, page_id: str) -> None:
        """Everything that waits for the Page is lost; others go on."""
        log.error("webhooks_disabled", page_id=page_id)
        for queue in self._queues.values():
            kept = [webhook for webhook in queue if webhook.page_id != page_id]
            self.pending -= len(queue) - len(kept)
            queue.clear()
            queue.extend(kept)
        self._on_unsubscribed(page_id)
