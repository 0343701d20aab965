"""A Page's webhook hears that a human is wanted: a consumer of its own, so that no answer waits.

At least once: a process that dies between the post and the commit posts again, with the same id.
What this process knows to be delivered it does not post twice.
"""

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog
from prometheus_client import Counter, Histogram

from libs.common.channels import Channel
from libs.common.crypto import DecryptionError, KeyRing
from libs.common.erasures import Erased, NobodyErased, is_of_erased
from libs.common.events import TakeoverRequested, decode
from libs.common.kafka import KeyBatch
from libs.common.metrics import from_zero
from services.conversation.domain.notification import body_of, headers_of
from services.conversation.webhook_client import WebhookRefusedError, WebhookUnavailableError

WANTED = b"takeover.requested"
PAUSES_S = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0)
"""Between attempts, each half to one and a half times as long. After the last one it is given up:
an offset that stays behind for hours would hold the partition."""
TOO_OLD = timedelta(hours=24)
REMEMBERED = 10_000
LAST_POST_S = 2.0
"""What a post on its way gets when the service stops: answers need the rest of the time."""

NOTIFICATIONS = from_zero(
    Counter(
        "assistant_notifications_total",
        "Calls for a human, by what became of their notification.",
        ["outcome"],
    ),
    [
        "delivered",
        "retried",
        "refused",
        "given_up",
        "too_old",
        "copy",
        "no_webhook",
        "erased",
    ],
)
SECONDS = Histogram(
    "assistant_notification_seconds",
    "From the call for a human to the webhook's answer.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300),
)

log = structlog.get_logger(__name__)


class Channels(Protocol):
    """What the notifier needs of `ChannelDirectory`."""

    async def channel(self, page_id: str) -> Channel | None: ...


class Webhooks(Protocol):
    """What the notifier needs of `WebhookClient`."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None: ...


def wants(headers: Mapping[str, bytes]) -> bool:
    """Of the events topic, the calls for a human."""
    return headers.get("type") == WANTED and headers.get("version", b"").startswith(b"1.")


class Patient(Protocol):
    """A consumer whose handlers may wait long for a webhook."""

    async def run(self) -> None: ...

    async def stop(self, drain_timeout_s: float) -> None: ...


class Impatient:
    """Stops within seconds, whatever its handlers wait for: it all comes again elsewhere."""

    def __init__(self, consumer: Patient) -> None:
        self._consumer = consumer

    async def run(self) -> None:
        await self._consumer.run()

    async def stop(self, drain_timeout_s: float) -> None:
        await self._consumer.stop(min(drain_timeout_s, LAST_POST_S))


class Notifier:
    """Delivers what a batch says, in order, with patience."""

    def __init__(
        self,
        channels: Channels,
        webhooks: Webhooks,
        keys: KeyRing,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        pauses_s: Sequence[float] = PAUSES_S,
        erased: Erased | None = None,
    ) -> None:
        self._channels = channels
        self._webhooks = webhooks
        self._keys = keys
        self._clock = clock
        self._pauses_s = pauses_s
        self._erased = erased or NobodyErased()
        self._delivered: OrderedDict[str, None] = OrderedDict()

    async def handle(self, batch: KeyBatch) -> None:
        """Return when each request of the batch is delivered, or never will be."""
        for record in batch.records:
            event = decode(record.value)
            if isinstance(event, TakeoverRequested):
                outcome = await self._notify(event)
                NOTIFICATIONS.labels(outcome).inc()

    async def _notify(self, event: TakeoverRequested) -> str:
        if event.event_id in self._delivered:
            return "copy"
        if is_of_erased(self._erased, event):
            return "erased"
        if self._clock() - event.occurred_at > TOO_OLD:
            return "too_old"
        channel = await self._channels.channel(event.page_id)
        if channel is None or not channel.settings.notification_url:
            return "no_webhook"
        try:
            secret = self._secret(channel)
        except DecryptionError:
            log.error("notification_secret_unreadable", page_id=event.page_id)
            return "refused"
        return await self._deliver(event, channel, secret)

    async def _deliver(self, event: TakeoverRequested, channel: Channel, secret: str) -> str:
        body = body_of(event, channel.page_name)
        headers = headers_of(event, body, secret)
        attempt = 0
        for attempt, pause_s in enumerate((*self._pauses_s, None), start=1):
            started = time.monotonic()
            try:
                await self._webhooks.post(channel.settings.notification_url, body, headers)
            except WebhookRefusedError as error:
                self._tell_loss(event, str(error), attempt)
                return "refused"
            except WebhookUnavailableError as error:
                reason = str(error)
                if pause_s is None:
                    break
                NOTIFICATIONS.labels("retried").inc()
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))
            else:
                self._remember(event, time.monotonic() - started, attempt)
                return "delivered"
        self._tell_loss(event, reason, attempt)
        return "given_up"

    def _secret(self, channel: Channel) -> str:
        sealed = channel.settings.notification_secret
        return self._keys.decrypt(sealed, context=channel.id) if sealed else ""

    def _remember(self, event: TakeoverRequested, duration_s: float, attempts: int) -> None:
        self._delivered[event.event_id] = None
        while len(self._delivered) > REMEMBERED:
            self._delivered.popitem(last=False)
        SECONDS.observe(max(0.0, (self._clock() - event.occurred_at).total_seconds()))
        log.info(
            "notification_delivered",
            page_id=event.page_id,
            attempts=attempts,
            duration_s=round(duration_s, 3),
        )

    def _tell_loss(self, event: TakeoverRequested, reason: str, attempts: int) -> None:
        log.warning("notification_lost", page_id=event.page_id, reason=reason, attempts=attempts)
