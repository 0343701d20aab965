"""The Graph API client: one call, one outcome, no second try of its own.

- The token travels in the Authorization header, never in a URL; every call carries the proof.
- Every call has a deadline, from waiting for a connection to the last byte of the answer.
- A failed call is `NotSentError` only if there never was a connection. A kept connection that
  turns out to be dead is not that: its peer may have closed it after reading the request.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
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

from libs.common.events import SenderAction
from libs.common.graph.answers import (
    CONVERSATIONS,
    LONGEST_WAIT_S,
    MESSAGE,
    PROFILE,
    Profile,
    ThreadMessage,
    parse_error,
    parse_message_id,
    parse_object,
    parse_retry_after,
)
from libs.common.graph.errors import (
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
from libs.common.settings import GraphSettings

THREAD_LENGTH = 20  # Meta gives details of the newest twenty messages only
MAX_BODY_BYTES = 1 << 20
MAX_CONNECTIONS = 1000
KEEP_ALIVE_S = 15.0  # shorter than servers usually keep one: fewer dead connections met
CONNECT_WITHIN_S = 5.0
MAX_HEADER_BYTES = 1 << 16  # usage of 32 businesses is more than the 8 KB that aiohttp reads

CALLS = Counter(
    "assistant_graph_calls_total",
    "Calls to Meta's Graph API, by what became of them.",
    # endpoint: messages, actions, conversations, message, profile
    # outcome: ok, refused, limited, token, unsure, not_sent, unknown, cancelled
    ["endpoint", "outcome"],
)
CALL_SECONDS = Histogram(
    "assistant_graph_call_seconds",
    "How long a call to Meta's Graph API took, whatever became of it.",
    ["endpoint"],
    buckets=(0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)

UsageHook = Callable[[str, Usage], None]
"""Told the page id and what its latest answer said about usage; whatever it raises is logged."""

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SendResult:
    """Meta took the message."""

    message_id: str
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class _Call:
    endpoint: str
    method: Literal["GET", "POST"]
    path: tuple[str, ...]
    token: str
    params: Mapping[str, Any]
    page_id: str | None = None  # whose usage the answer tells


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    document: dict[str, Any]
    usage: Usage | None


@asynccontextmanager
async def open_graph(
    settings: GraphSettings, *, timeout_s: float, on_usage: UsageHook | None = None
) -> AsyncIterator["GraphClient"]:
    """A client whose calls take at most `timeout_s` each."""
    connector = aiohttp.TCPConnector(limit=MAX_CONNECTIONS, keepalive_timeout=KEEP_ALIVE_S)
    connect_s = min(CONNECT_WITHIN_S, timeout_s / 2)
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None, connect=connect_s),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept": "application/json"},
        max_field_size=MAX_HEADER_BYTES,
    ) as session:
        yield GraphClient(session, settings, timeout_s=timeout_s, on_usage=on_usage)


class GraphClient:
    """Calls on behalf of Pages, each with its Page's token.

    Every method raises:
        GraphError: Graph refused; the subclass says why.
        NotSentError: the call never left.
        OutcomeUnknownError: it may or may not have had its effect.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        settings: GraphSettings,
        *,
        timeout_s: float,
        on_usage: UsageHook | None = None,
    ) -> None:
        self._session = session
        self._base = URL(settings.graph_api_url.rstrip("/")) / settings.graph_api_version
        self._app_secret = settings.facebook_app_secret
        self._timeout_s = timeout_s
        self._on_usage = on_usage

    async def send_message(
        self, page_id: str, token: str, payload: Mapping[str, Any]
    ) -> SendResult:
        """Post one message, once. `payload` is the Send API's body."""
        call = _Call("messages", "POST", (page_id, "messages"), token, payload, page_id)
        return await self._measured(call, _sent)

    async def send_action(self, page_id: str, token: str, psid: str, action: SenderAction) -> None:
        """Show the person one sign."""
        params = {"recipient": {"id": psid}, "sender_action": action}
        call = _Call("actions", "POST", (page_id, "messages"), token, params, page_id)
        await self._measured(call, lambda _reply: None)

    async def read_thread(self, page_id: str, token: str, psid: str) -> tuple[ThreadMessage, ...]:
        """The newest twenty messages of a thread, or all if there are fewer; the newest first.

        Empty if there is no thread. A reading with gaps is `OutcomeUnknownError`: what is missing
        from it proves nothing.
        """
        fields = f"messages.limit({THREAD_LENGTH}){{id,message,from,created_time}}"
        params = {"platform": "messenger", "user_id": psid, "fields": fields}
        call = _Call("conversations", "GET", (page_id, "conversations"), token, params, page_id)
        return await self._measured(call, _thread)

    async def read_message(self, page_id: str, token: str, mid: str) -> ThreadMessage:
        """One message by its id. Meta shows the newest twenty of a thread; older ones are gone."""
        params = {"fields": "id,message,from,created_time"}
        call = _Call("message", "GET", (mid,), token, params, page_id)
        return await self._measured(call, lambda reply: _validated(MESSAGE, reply))

    async def person_profile(self, token: str, psid: str) -> Profile:
        """Names and picture; all empty if the app may not see them."""
        params = {"fields": "first_name,last_name,name,profile_pic"}
        call = _Call("profile", "GET", (psid,), token, params)
        return await self._measured(call, lambda reply: _validated(PROFILE, reply))

    async def _measured(self, call: _Call, parse: Callable[[_Reply], T]) -> T:
        """Count and time one call, what its answer is worth included."""
        started_at = time.perf_counter()
        outcome = "cancelled"
        try:
            result = parse(await self._within_deadline(call))
            outcome = "ok"
        except (GraphError, NotSentError, OutcomeUnknownError) as error:
            outcome = _outcome_of(error)
            raise
        finally:
            CALLS.labels(call.endpoint, outcome).inc()
            CALL_SECONDS.labels(call.endpoint).observe(time.perf_counter() - started_at)
        return result

    async def _within_deadline(self, call: _Call) -> _Reply:
        """Errors are raised `from None`: aiohttp's name the address, which holds the proof."""
        if not _fits_header(call.token):
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

    async def _exchange(self, call: _Call, answered: list[int]) -> _Reply:
        async with self._request(call) as response:
            answered.append(response.status)
            usage = parse_usage(response.headers)
            self._tell(call.page_id, usage)
            body = await _read(response)
            return _judged(call, response, body, usage)

    def _request(self, call: _Call) -> Any:  # noqa: ANN401 - aiohttp's own context manager
        proof = appsecret_proof(call.token, self._app_secret.get_secret_value())
        params = {**call.params, "appsecret_proof": proof}
        path = (quote(part, safe="") for part in call.path)
        return self._session.request(
            call.method,
            self._base.joinpath(*path, encoded=True),
            params=params if call.method == "GET" else None,
            json=params if call.method == "POST" else None,
            headers={"Authorization": f"Bearer {call.token}"},
            allow_redirects=False,
        )

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
    call: _Call, response: aiohttp.ClientResponse, body: bytes, usage: Usage | None
) -> _Reply:
    """Judge by the error object, whatever the status; by the status only without one."""
    document = parse_object(body)
    if (error := parse_error(document, call.token)) is not None:
        raise error_type(error.code, error.subcode)(
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
    return _Reply(response.status, document, usage)


def _sent(reply: _Reply) -> SendResult:
    mid = parse_message_id(reply.document)
    if mid is None:
        raise OutcomeUnknownError("no message_id", http_status=reply.status, usage=reply.usage)
    return SendResult(mid, reply.usage)


def _thread(reply: _Reply) -> tuple[ThreadMessage, ...]:
    """Graph leaves out what it hides, and says only by `next` that there is more."""
    answer = _validated(CONVERSATIONS, reply)
    messages = answer.data[0].messages if answer.data else None
    more = messages.paging.next if messages is not None else answer.paging.next
    found = messages.data if messages is not None else ()
    if more and len(found) < THREAD_LENGTH:
        raise OutcomeUnknownError("incomplete reading", http_status=reply.status)
    return found[:THREAD_LENGTH]


def _retry_after_s(response: aiohttp.ClientResponse, usage: Usage | None) -> float | None:
    asked_s = parse_retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
    longest_s = max(asked_s or 0.0, usage.regain_s if usage else 0.0)
    return min(longest_s, LONGEST_WAIT_S) or None


def _validated(adapter: TypeAdapter[T], reply: _Reply) -> T:
    try:
        return adapter.validate_python(reply.document)
    except ValidationError:  # its text quotes what people wrote
        raise OutcomeUnknownError("unreadable answer", http_status=reply.status) from None


def _fits_header(token: str) -> bool:
    return token != "" and token.isascii() and token.isprintable() and " " not in token


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
