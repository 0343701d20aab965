"""Webhooks on their way: signed once, in order for one person, tried again until answered 200.

Source: Webhooks for Messenger Platform: a few immediate retries, an alert after 15 minutes of
failing, after an hour the app is unsubscribed from the Page and what waited is lost. The gaps
between the retries are not documented.
"""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import aiohttp
import structlog

from simulator.signing import signature_headers

ANSWER_WITHIN_S = 5.0
RETRY_PAUSES_S = (0.0, 0.1, 0.3, 1.0, 2.0, 4.0, 8.0)  # then the last one for ever
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
    on_done: Callable[[bool], None] | None = None  # told whether the app has taken it


@dataclass(frozen=True, slots=True)
class Challenge:
    """What an address was asked for and what it said."""

    status: int
    expected: str
    received: str

    @property
    def is_answered(self) -> bool:
        return self.status == 200 and self.received == self.expected


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
        self.url, self.app_secret = target_url, app_secret
        self._on_unsubscribed = on_unsubscribed
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._queues: dict[str, deque[Webhook]] = {}
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._timers: set[asyncio.TimerHandle] = set()
        self._health: dict[str, Health] = {}
        self._connections = asyncio.Semaphore(MAX_CONNECTIONS)
        self.pending = self.posted = self.accepted = self.forbidden = self.lost = 0

    async def open(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # we count: waiting is no part of the timeout
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
        # before the await: what is sent from now on is not ours to forget
        self._workers, self._queues, self._health = {}, {}, {}
        self.pending = 0
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    def check_room(self) -> None:
        """Raises: QueueFullError: too many wait already; better nothing happens then."""
        if self.pending >= MAX_PENDING:
            raise QueueFullError(f"{self.pending} webhooks wait for the app to take them")

    def send(self, key: str, webhook: Webhook, *, delay_ms: int = 0) -> bool:
        """Queue a webhook behind those of the same key; False: too many wait, it is lost."""
        if self.pending >= MAX_PENDING:
            self.lost += 1
            return False
        self.pending += 1
        if delay_ms == 0:
            self._enqueue(key, webhook)
            return True
        loop = asyncio.get_running_loop()

        def due() -> None:
            self._timers.discard(timer)
            self._enqueue(key, webhook)

        timer = loop.call_later(delay_ms / 1000, due)
        self._timers.add(timer)
        return True

    async def post_raw(self, body: bytes) -> tuple[int, str]:
        """Sign and post any bytes once, as they are: the app's status and answer.

        Raises:
            aiohttp.ClientError, TimeoutError: the app could not be asked.
        """
        async with self._post(body, self.app_secret) as response:
            return response.status, await response.text(errors="replace")

    async def challenge(self, token: str, url: str | None = None) -> Challenge:
        """Ask an address as Meta does when it is set.

        Raises:
            aiohttp.ClientError, TimeoutError: it could not be asked.
        """
        expected = str(secrets.randbelow(2**31))
        query = {"hub.mode": "subscribe", "hub.verify_token": token, "hub.challenge": expected}
        asked = self._opened().get(url or self.url, params=query, allow_redirects=False)
        async with asked as response:
            received = await response.text(errors="replace")
            return Challenge(response.status, expected, received)

    async def post_form(self, url: str, form: Mapping[str, str]) -> tuple[int, str]:
        """Post a form once, as Meta's other callbacks are: the app's status and answer.

        Raises:
            aiohttp.ClientError, TimeoutError: the app could not be asked.
        """
        async with self._opened().post(url, data=form, allow_redirects=False) as response:
            return response.status, await response.text(errors="replace")

    def _enqueue(self, key: str, webhook: Webhook) -> None:
        queue = self._queues.setdefault(key, deque())
        queue.append(webhook)
        if key not in self._workers:
            self._workers[key] = asyncio.create_task(self._work(key, queue), name="webhooks")

    async def _work(self, key: str, queue: deque[Webhook]) -> None:
        """Deliver what waits under one key, then end."""
        try:
            while queue:
                webhook = queue.popleft()
                for copy in range(webhook.copies):
                    accepted = await self._deliver(webhook)
                    if self._queues.get(key) is not queue:
                        return  # cleared meanwhile
                    if copy == 0:
                        self._done(webhook, accepted)
                self.pending -= 1
        finally:
            # without an await since the last look: nothing can have been added meanwhile
            if self._queues.get(key) is queue:
                del self._queues[key], self._workers[key]

    def _done(self, webhook: Webhook, accepted: bool) -> None:
        if not accepted:
            self.lost += 1
        if webhook.on_done is not None:
            webhook.on_done(accepted)

    async def _deliver(self, webhook: Webhook) -> bool:
        """False if the Page lost its subscription before the app took the webhook."""
        health = self._health.setdefault(webhook.page_id, Health())
        began, failures = self._clock(), 0
        secret = self.app_secret  # a reset does not reach what was signed before it
        while not await self._was_answered_200(webhook.body, secret):
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

    async def _was_answered_200(self, body: bytes, secret: str) -> bool:
        async with self._connections:
            self.posted += 1
            try:
                async with self._post(body, secret) as response:
                    await response.read()
                    self.forbidden += response.status == 403
                    return response.status == 200
            except (aiohttp.ClientError, TimeoutError):
                return False

    def _post(
        self, body: bytes, secret: str
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "facebookexternalua",
            **signature_headers(body, secret),
        }
        session = self._opened()
        return session.post(self.url, data=body, headers=headers, allow_redirects=False)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("open() comes first")
        return self._session

    def _unsubscribe(self, page_id: str) -> None:
        """Everything that waits for the Page is lost; others go on."""
        log.error("webhooks_disabled", page_id=page_id)
        for queue in self._queues.values():
            lost = [webhook for webhook in queue if webhook.page_id == page_id]
            kept = [webhook for webhook in queue if webhook.page_id != page_id]
            self.pending -= len(lost)
            queue.clear()
            queue.extend(kept)
            for webhook in lost:
                self._done(webhook, accepted=False)
        self._on_unsubscribed(page_id)
