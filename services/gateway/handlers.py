"""What Meta calls: authenticate, parse, publish, answer. Nothing else is served."""

import hmac
import time
from collections import defaultdict
from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, Protocol

import structlog
from aiohttp import web
from prometheus_client import Counter, Histogram

from libs.common import tracing
from libs.common.deadlines import RequestHandler, Shortcut
from libs.common.errors import PermanentError, TransientError
from libs.common.events import Record, UnknownReceived
from libs.common.metrics import from_zero
from libs.common.sparingly import Sparingly
from libs.common.web import PREVIOUS_SECRETS, Late, Readiness
from services.gateway.answers import accepted
from services.gateway.bodies import RefusedError, read_body
from services.gateway.domain.payload import MalformedPayloadError, parse
from services.gateway.domain.signature import is_valid_signature
from services.gateway.domain.splitting import SMALL_RECORD_BYTES, to_events, within_limit
from services.gateway.settings import Settings

WEBHOOKS = from_zero(
    Counter("assistant_webhooks_total", "Webhooks, by what became of them.", ["outcome"]),
    [
        "accepted",
        "bad_signature",
        "malformed",
        "unavailable",
        "encoded",
        "too_large",
        "slow_body",
        "broken_body",
        "busy",
    ],
)
EVENTS = Counter("assistant_webhook_events_total", "Events that webhooks brought.", ["type"])
SECONDS = Histogram(
    "assistant_webhook_seconds",
    "From the header block to the answer.",
    ["outcome"],  # accepted: 200; refused: 4xx, theirs to mend; failed: 5xx, ours
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0),
)

# looked up once: finding a metric by its labels costs more than counting
_ACCEPTED = WEBHOOKS.labels("accepted")
_SECONDS = {outcome: SECONDS.labels(outcome) for outcome in ("accepted", "refused", "failed")}
_events_of = cache(EVENTS.labels)

PATH = "/webhooks/messenger"

LARGE_BODY_BYTES = 100_000
"""Only a body above this can hold a record too large for Kafka."""

RETRY_AFTER_S = 1

log = structlog.get_logger(__name__)
_refused: defaultdict[str, Sparingly] = defaultdict(Sparingly)  # by outcome: none hides another
_not_understood = Sparingly()


class Publisher(Protocol):
    """What we need of one: returns when every record is acknowledged.

    `TransientError` when that has not happened in time: nobody knows then whether it will.
    """

    async def publish(self, *records: Record) -> None: ...


READINESS: web.AppKey[Readiness] = web.AppKey("readiness", Readiness)
SETTINGS: web.AppKey[Settings] = web.AppKey("settings", Settings)
PUBLISHER: web.AppKey[Late[Publisher]] = web.AppKey("publisher", Late)


def add_routes(app: web.Application) -> None:
    app.router.add_get(PATH, verify, allow_head=False)
    app.router.add_post(PATH, receive_webhook)


def shortcut(app: web.Application) -> Shortcut:
    """Webhooks go to their handler at once: finding a route among six takes aiohttp as long as
    parsing the body. Only what is exactly as Meta sends it; the rest goes through the application,
    and so does everything when requests are traced, or answers have to close their connection.
    """

    def before(handle: RequestHandler) -> RequestHandler:
        if tracing.is_on():
            return handle

        def choose(request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
            if (
                request.raw_path == PATH
                and request.method == "POST"
                and "Expect" not in request.headers
                and not app[READINESS].leaving
            ):
                return receive(request, app)
            return handle(request)

        return choose

    return before


async def verify(request: web.Request) -> web.Response:
    """GET: Meta asks whether this address is ours. The challenge goes back exactly as it came."""
    expected = request.app[SETTINGS].meta.webhook_verify_token.get_secret_value().encode()
    given = request.query.get("hub.verify_token", "").encode("utf-8", "surrogatepass")
    challenge = request.query.get("hub.challenge", "")
    is_known = hmac.compare_digest(given, expected)
    if not is_known or request.query.get("hub.mode") != "subscribe" or not challenge:
        raise web.HTTPForbidden(text="not a subscription with our verify token")
    return web.Response(
        body=challenge.encode("utf-8", "replace"),
        content_type="text/plain",
        headers={"X-Content-Type-Options": "nosniff"},
    )


async def receive_webhook(request: web.Request) -> web.StreamResponse:
    return await receive(request, request.app)


async def receive(request: web.BaseRequest, app: web.Application) -> web.StreamResponse:
    """POST: 200 only when Kafka has every event; anything but 200 makes Meta try again."""
    started, outcome = time.perf_counter(), "failed"
    try:
        records = await _accept(request, app)
        outcome = "accepted"
    except RefusedError as error:
        outcome = "failed" if error.status >= 500 else "refused"
        response = refusal(error)
        if app[READINESS].leaving:  # since this began; past the application nobody else says so
            response.force_close()
        return response
    finally:
        _SECONDS[outcome].observe(time.perf_counter() - started)
    _ACCEPTED.inc()
    _count(records)
    return accepted(request, stays=not app[READINESS].leaving)


async def _accept(request: web.BaseRequest, app: web.Application) -> list[Record]:
    settings = app[SETTINGS]
    body = await body_of(request, settings)
    _require_signature(body, _signature(request), settings.meta.secrets)
    try:
        records = to_events(parse(body), datetime.now(UTC))
    except MalformedPayloadError as error:
        raise RefusedError("malformed", 400, str(error)) from None
    await publish(app, within_limit(records) if len(body) > LARGE_BODY_BYTES else records)
    return records


def _require_signature(body: bytes, signature: str | None, secrets: Sequence[str]) -> None:
    """Raises: RefusedError: it is none of ours."""
    if is_valid_signature(body, signature, secrets[:1]):
        return
    if not is_valid_signature(body, signature, secrets[1:]):
        raise RefusedError("bad_signature", 403, "invalid signature")
    PREVIOUS_SECRETS.labels("app_secret").inc()


async def body_of(request: web.BaseRequest, settings: Settings) -> bytes:
    return await read_body(
        request, max_bytes=settings.max_body_bytes, timeout_s=settings.body_timeout_s
    )


def _signature(request: web.BaseRequest) -> str | None:
    """The header, if there is exactly one: of two, which one did a proxy check?"""
    found = request.headers.getall("X-Hub-Signature-256", [])
    return found[0] if len(found) == 1 else None


async def publish(app: web.Application, records: list[Record]) -> None:
    """Put records on the log, all of them or 503: then Meta tries again, and readers dedupe.

    What a Kafka with tighter limits than ours refuses for good goes as its beginning: repeated, it
    would be refused for an hour, and then cost the subscription. The publisher gives up within
    `GATEWAY_PUBLISH_TIMEOUT_S`; a second clock here would only cost.
    """
    try:
        publisher = app[PUBLISHER].get()
        try:
            await publisher.publish(*records)
        except PermanentError:
            await publisher.publish(*within_limit(records, SMALL_RECORD_BYTES))
    except (TransientError, TimeoutError, web.HTTPServiceUnavailable):
        raise RefusedError("unavailable", 503, "the log is not reachable, try again") from None


def refusal(error: RefusedError) -> web.Response:
    """The answer to what was not accepted, counted and, now and then, logged."""
    WEBHOOKS.labels(error.outcome).inc()
    _log_refusal(error)
    response = web.Response(status=error.status, text=error.text)
    if error.status == 503:
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    if error.status in (408, 413) or error.outcome == "busy":
        response.force_close()  # the rest of the body is not wanted
    return response


def _log_refusal(error: RefusedError) -> None:
    """Loud, for a rotated secret refuses every webhook; rare, for anybody can cause it."""
    if count := _refused[error.outcome].count():
        write = log.error if error.status == 503 else log.warning
        write("webhook_refused", outcome=error.outcome, status=error.status, count=count)


def _count(records: list[Record]) -> None:
    for record in records:
        _events_of(record.type).inc()
        if isinstance(record, UnknownReceived) and (count := _not_understood.count()):
            facts: dict[str, Any] = {"page_id": record.page_id, "count": count}
            log.warning("event_not_understood", kind=record.kind, reason=record.reason, **facts)
