"""One Graph call: how it leaves, how long it may take, and what its answer is worth.

- The token travels in the Authorization header, never in a URL; every call with one carries the
  proof. What a call has to name besides, such as a login code, travels in its body where Meta
  allows it.
- Every call has a deadline, from waiting for a connection to the last byte of the answer.
- A failed call is `NotSentError` only if there never was a connection. A kept connection that
  turns out to be dead is not that: its peer may have closed it after reading the request.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar
from urllib.parse import quote

import aiohttp
import structlog
from aiohttp import ClientConnectorError, ConnectionTimeoutError
from prometheus_client import Counter, Histogram
from pydantic import TypeAdapter, ValidationError
from yarl import URL

from libs.common import tracing
from libs.common.graph.answers import (
    LONGEST_WAIT_S,
    parse_date,
    parse_error,
    parse_object,
    parse_retry_after,
)
from libs.common.graph.errors import (
    KNOWN_CODES,
    GraphError,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
    TokenRejectedError,
    UnsureError,
    error_type,
)
from libs.common.graph.proof import appsecret_proof
from libs.common.graph.usage import Usage, parse_usage
from libs.common.metrics import from_zero
from libs.common.settings import GraphSettings

MAX_BODY_BYTES = 1 << 20
MAX_CONNECTIONS = 1000
KEEP_ALIVE_S = 15.0  # shorter than servers usually keep one: fewer dead connections met
CONNECT_WITHIN_S = 5.0
MAX_HEADER_BYTES = 1 << 16  # usage of 32 businesses is more than the 8 KB that aiohttp reads

MESSAGING = ("messages", "actions", "conversations", "message", "profile")
"""Endpoints that conversations need; to connect a Page needs others."""

CALLS = from_zero(
    Counter(
        "assistant_graph_calls_total",
        "Calls to Meta's Graph API, by what became of them.",
        # endpoint: those below; for connecting a Page: login, debug_token, user, permissions,
        # accounts, page, subscribed_apps, messenger_profile, subscriptions, ids_for_pages
        ["endpoint", "outcome"],
    ),
    MESSAGING,
    ["ok", "refused", "limited", "token", "unsure", "not_sent", "unknown", "cancelled"],
)
CALL_SECONDS = from_zero(
    Histogram(
        "assistant_graph_call_seconds",
        "How long a call to Meta's Graph API took, whatever became of it.",
        ["endpoint"],
        buckets=(0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    ),
    MESSAGING,
)
ERRORS = from_zero(
    Counter(
        "assistant_graph_errors_total",
        "Error objects in Meta's answers, by Meta's code.",
        ["code"],  # those of `KNOWN_CODES`, other
    ),
    [*map(str, KNOWN_CODES), "other"],
)

UsageHook = Callable[[str, Usage], None]
"""Told the page id and what its latest answer said about usage; whatever it raises is logged."""

DateHook = Callable[[datetime], None]
"""Told when an answer of Meta's own was made, by Meta's clock; whatever it raises is logged."""

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """`params` go into the query of a GET, else into the body; `secrets` are hidden in errors."""

    endpoint: str
    method: Literal["GET", "POST", "DELETE"]
    path: tuple[str, ...]
    token: str | None  # None: the call says in its parameters who makes it
    params: Mapping[str, Any]
    page_id: str | None = None  # whose usage the answer tells
    secrets: tuple[str, ...] = ()
    kind: Callable[[int, int | None], type[GraphError]] = error_type  # of a code and its subcode


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    document: dict[str, Any]
    usage: Usage | None


@asynccontextmanager
async def open_caller(
    settings: GraphSettings,
    *,
    timeout_s: float,
    on_usage: UsageHook | None = None,
    on_date: DateHook | None = None,
) -> AsyncIterator["GraphCaller"]:
    """A caller whose calls take at most `timeout_s` each."""
    connector = aiohttp.TCPConnector(limit=MAX_CONNECTIONS, keepalive_timeout=KEEP_ALIVE_S)
    connect_s = min(CONNECT_WITHIN_S, timeout_s / 2)
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None, connect=connect_s),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept": "application/json"},
        max_field_size=MAX_HEADER_BYTES,
    ) as session:
        yield GraphCaller(
            session, settings, timeout_s=timeout_s, on_usage=on_usage, on_date=on_date
        )


class GraphCaller:
    """Makes calls and judges their answers; no second try of its own."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        settings: GraphSettings,
        *,
        timeout_s: float,
        on_usage: UsageHook | None = None,
        on_date: DateHook | None = None,
    ) -> None:
        self._session = session
        self._base = URL(settings.graph_api_url.rstrip("/")) / settings.graph_api_version
        self._app_secret = settings.facebook_app_secret
        self._timeout_s = timeout_s
        self._on_usage = on_usage
        self._on_date = on_date

    async def call(self, call: Call, parse: Callable[[Reply], T]) -> T:
        """What `parse` makes of the answer. The call is counted and timed, parsing included.

        Raises:
            GraphError: Graph refused; the subclass says why.
            NotSentError: the call never left.
            OutcomeUnknownError: it may or may not have had its effect.
        """
        started_at = time.perf_counter()
        outcome = "cancelled"
        with self._traced(call):
            try:
                result = parse(await self._within_deadline(call))
                outcome = "ok"
            except (GraphError, NotSentError, OutcomeUnknownError) as error:
                outcome = _outcome_of(error)
                if isinstance(error, GraphError):
                    ERRORS.labels(code_label(error.code_)).inc()
                    tracing.note(code=error.code_, subcode=error.subcode)
                raise
            finally:
                CALLS.labels(call.endpoint, outcome).inc()
                CALL_SECONDS.labels(call.endpoint).observe(time.perf_counter() - started_at)
                tracing.note(outcome=outcome)
        return result

    def _traced(self, call: Call) -> AbstractContextManager[None]:
        """Neither the address nor the parameters: they name people, and hold what they wrote."""
        return tracing.step(
            f"{call.method} graph {call.endpoint}",
            kind="client",
            method=call.method,
            endpoint=call.endpoint,
            host=self._base.host or "",
            page_id=call.page_id,
        )

    async def _within_deadline(self, call: Call) -> Reply:
        """Errors are raised `from None`: aiohttp's name the address, which holds the proof."""
        if call.token is not None and not _fits_header(call.token):
            raise TokenRejectedError(190, message="not a token: it fits no header")
        answered: list[int] = []  # the status, as soon as there is one
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._exchange(call, answered)
        except (ClientConnectorError, ConnectionTimeoutError) as error:
            raise NotSentError(type(error).__name__) from None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            status = answered[0] if answered else None
            raise OutcomeUnknownError(type(error).__name__, http_status=status) from None

    async def _exchange(self, call: Call, answered: list[int]) -> Reply:
        async with self._request(call) as response:
            answered.append(response.status)
            usage = parse_usage(response.headers, call.page_id)
            self._tell(call.page_id, usage)
            body = await _read(response)
            try:
                reply = _judged(call, response, body, usage)
            except GraphError:
                self._tell_date(response)
                raise
            self._tell_date(response)
            return reply

    def _request(self, call: Call) -> Any:  # noqa: ANN401 - aiohttp's own context manager
        headers, proof = {}, {}
        if call.token is not None:
            headers["Authorization"] = f"Bearer {call.token}"
            proof["appsecret_proof"] = appsecret_proof(
                call.token, self._app_secret.get_secret_value()
            )
        in_query = {"GET": {**call.params, **proof}, "POST": {}, "DELETE": proof}[call.method]
        in_body = {"GET": {}, "POST": {**call.params, **proof}, "DELETE": call.params}[call.method]
        path = (quote(part, safe="") for part in call.path)
        return self._session.request(
            call.method,
            self._base.joinpath(*path, encoded=True),
            params=in_query or None,
            json=in_body or None,
            headers=headers,
            allow_redirects=False,
        )

    def _tell_date(self, response: aiohttp.ClientResponse) -> None:
        """Only of answers that are Meta's own: a proxy on the way may have a clock of its own."""
        date = parse_date(response.headers.get("Date"))
        if self._on_date is None or date is None:
            return
        try:
            self._on_date(date)
        except Exception as error:  # a message may be on its way: its outcome comes first
            log.exception("date_hook_failed", error=type(error).__name__)

    def _tell(self, page_id: str | None, usage: Usage | None) -> None:
        if self._on_usage is None or page_id is None or usage is None:
            return
        try:
            self._on_usage(page_id, usage)
        except Exception as error:  # a message may be on its way: its outcome comes first
            log.exception("usage_hook_failed", page_id=page_id, error=type(error).__name__)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body; one that is too long is cut, and thereby no longer readable JSON."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            response.close()
            return b""
    return bytes(body)


def _judged(
    call: Call, response: aiohttp.ClientResponse, body: bytes, usage: Usage | None
) -> Reply:
    """Judge by the error object, whatever the status; by the status only without one."""
    document = parse_object(body)
    if (error := parse_error(document, call.token or "", *call.secrets)) is not None:
        raise call.kind(error.code, error.subcode)(
            error.code,
            error.subcode,
            error.message,
            http_status=response.status,
            fbtrace_id=error.fbtrace_id,
            retry_after_s=_retry_after_s(response, usage),
            usage=usage,
        )
    if document is None or not 200 <= response.status < 300:
        raise OutcomeUnknownError(
            "unreadable answer",
            http_status=response.status,
            retry_after_s=_retry_after_s(response, usage),
            usage=usage,
        )
    return Reply(response.status, document, usage)


def _retry_after_s(response: aiohttp.ClientResponse, usage: Usage | None) -> float | None:
    asked_s = parse_retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
    longest_s = max(asked_s or 0.0, usage.regain_s if usage else 0.0)
    return min(longest_s, LONGEST_WAIT_S) or None


def validated(adapter: TypeAdapter[T], document: object, reply: Reply) -> T:
    """What the `document` in a reply says. Raises: OutcomeUnknownError: it makes no sense."""
    try:
        return adapter.validate_python(document)
    except ValidationError:  # its text quotes what people wrote
        raise OutcomeUnknownError("unreadable answer", http_status=reply.status) from None


def _fits_header(token: str) -> bool:
    return token != "" and token.isascii() and token.isprintable() and " " not in token


def code_label(code: int) -> str:
    """A code as a metric's label: Meta has thousands."""
    return str(code) if code in KNOWN_CODES else "other"


def _outcome_of(error: Exception) -> str:
    match error:
        case RateLimitedError():
            return "limited"
        case TokenRejectedError():
            return "token"
        case UnsureError():
            return "unsure"
        case GraphError():
            return "refused"
        case NotSentError():
            return "not_sent"
    return "unknown"
