"""What every service's HTTP side has: health, readiness, metrics, errors, the service token."""

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, TypeVar

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, generate_latest
from pydantic import SecretStr, ValidationError

from libs.common import tracing
from libs.common.errors import TransientError
from libs.common.sparingly import Sparingly

T = TypeVar("T")
Check = Callable[[], Awaitable[bool]]

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
READY_CACHE_S = 5.0
CHECK_WITHIN_S = 3.0
TELL_WITHIN_S = 1.5  # in /metrics: whoever reads it does not wait for a database that is away
KEPT_HEADERS = ("Allow", "Retry-After")  # of errors: what a client acts upon

PREVIOUS_SECRETS = Counter(
    "assistant_previous_secrets_used_total",
    "What was accepted by a secret that is being replaced: at rest, it may go.",
    ["secret"],  # service_token, app_secret
)
UNAUTHORIZED = Counter(
    "assistant_service_token_refusals_total", "Calls of internal APIs without the service token."
)
READY = Gauge(
    "assistant_ready", "What /readyz says: 1 for each check that holds, else 0.", ["check"]
)
OUR_OWN: web.RequestKey[bool] = web.RequestKey("our_own", bool)
"""Set where a request came with the service token: what it says of its trace can be believed."""
UNTRACED: web.AppKey[frozenset[str]] = web.AppKey("untraced", frozenset)
"""Routes without spans, by their pattern: files, and what stays open for hours."""

log = structlog.get_logger(__name__)
_unauthorized = Sparingly()


class Late(Generic[T]):
    """Something that exists only while the service's resources are open."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._value: T | None = None

    def set(self, value: T) -> None:
        self._value = value

    def clear(self) -> None:
        self._value = None

    def get(self) -> T:
        """The value, or 503 while the service starts or stops."""
        if self._value is None:
            raise web.HTTPServiceUnavailable(
                text=f"{self._what} is not ready yet", headers={"Retry-After": "1"}
            )
        return self._value


class Readiness:
    """Whether a service can do its work: every named check says yes. Answers are kept for 5 s."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self._answer: dict[str, bool] = {}
        self._asked_at = float("-inf")
        self.leaving = False
        """The service ends: each answer closes its connection, so that none comes after it."""

    def add(self, name: str, check: Check) -> None:
        self._checks[name] = check
        self._asked_at = float("-inf")

    def clear(self) -> None:
        self._checks.clear()
        self._asked_at = float("-inf")

    async def answer(self, within_s: float | None = None) -> dict[str, bool]:
        """Each check by name; one that takes longer (usually `CHECK_WITHIN_S`) is a no.

        No check at all means the service is still starting.
        """
        if time.monotonic() - self._asked_at > READY_CACHE_S or not all(self._answer.values()):
            checks = dict(self._checks)
            answers = await asyncio.gather(*(_ask(check, within_s) for check in checks.values()))
            self._answer = dict(zip(checks, answers, strict=True))
            self._asked_at = time.monotonic()
        return self._answer or {"started": False}

    async def tell(self) -> None:
        """Put the answers among the metrics: a check that takes too long speaks for no other."""
        answer = await self.answer(TELL_WITHIN_S)
        READY.clear()
        for name, holds in answer.items():
            READY.labels(name).set(holds)


async def _ask(check: Check, within_s: float | None) -> bool:
    """An error, or no answer in time, is a no."""
    try:
        async with asyncio.timeout(CHECK_WITHIN_S if within_s is None else within_s):
            return await check()
    except Exception:
        return False


def base_app(readiness: Readiness, *middlewares: Middleware, **options: int) -> web.Application:
    """An application with `/healthz`, `/readyz` and `/metrics`.

    `/healthz` says only that the event loop turns: if it asked Kafka or MongoDB, an outage there
    would make Kubernetes restart every service.
    """
    traced = (_traced,) if tracing.is_on() else ()
    app = web.Application(middlewares=[*middlewares, *traced], **options)  # type: ignore[arg-type]

    async def healthz(_request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def readyz(_request: web.Request) -> web.Response:
        checks = await readiness.answer()
        ready = all(checks.values())
        return web.json_response(
            {"status": "ready" if ready else "not_ready", "checks": checks},
            status=200 if ready else 503,
        )

    async def metrics(_request: web.Request) -> web.Response:
        await readiness.tell()
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def take_leave(_request: web.Request, response: web.StreamResponse) -> None:
        if readiness.leaving:
            response.headers["Connection"] = "close"
            response.force_close()

    app.on_response_prepare.append(take_leave)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    return app


def require_service_token(*tokens: SecretStr) -> Middleware:
    """Refuse every path but health and metrics without `Authorization: Bearer <service token>`.

    Args:
        tokens: the usual one first, then those that are accepted while it is rolled out.
    """
    current, *previous = (f"Bearer {token.get_secret_value()}".encode() for token in tokens)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if request.path in OPEN_PATHS or hmac.compare_digest(given, current):
            request[OUR_OWN] = True
            return await handler(request)
        if any(hmac.compare_digest(given, each) for each in previous):
            PREVIOUS_SECRETS.labels("service_token").inc()
            request[OUR_OWN] = True
            return await handler(request)
        UNAUTHORIZED.inc()
        if count := _unauthorized.count():
            log.warning("service_token_refused", count=count)
        return problem(401, "unauthorized", "send the service token as a Bearer token")

    return check


@web.middleware
async def _traced(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A span for each request of a route. Others send their traces to no trace of ours."""
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else ""
    if not route or route in OPEN_PATHS or route in request.app.get(UNTRACED, ()):
        return await handler(request)
    parent = request.headers.get("traceparent") if request.get(OUR_OWN) else None
    refused: web.HTTPException | None = None
    facts: tracing.Facts = {"method": request.method, "route": route}
    with tracing.entry(f"{request.method} {route}", kind="server", parent=parent, **facts):
        try:
            response = await handler(request)
            status = response.status
        except web.HTTPException as error:  # an answer like others
            refused, status = error, error.status
        tracing.note(status=status)
        if status >= 500:
            tracing.fail(str(status))
    if refused is not None:
        raise refused
    return response


@web.middleware
async def json_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors of internal APIs as JSON; an unexpected one is logged and says nothing.

    What lies with the database or the log is 503: the same request may succeed in a moment.
    """
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        code = (error.reason or "error").lower().replace(" ", "_")
        response = problem(error.status, code, error.text)
        response.headers.update(
            {name: error.headers[name] for name in KEPT_HEADERS if name in error.headers}
        )
        return response
    except web.RequestPayloadError:
        return problem(400, "unreadable", "the body is not what its headers say")
    except TransientError as error:
        log.warning("request_unavailable", path=route_of(request), error=type(error).__name__)
        response = problem(503, error.code, "please try again in a moment")
        response.headers["Retry-After"] = "1"
        return response
    except Exception as error:
        log.exception("request_failed", path=route_of(request), error=type(error).__name__)
        return problem(500, "internal_error", "see the service's log")


def route_of(request: web.Request) -> str:
    """The pattern of the path: the path itself may name a person, or hold the secret of a link."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "-"


def invalid(error: ValidationError, code: str) -> web.Response:
    """422 for what pydantic refuses: its first complaint, and which field it is about."""
    first = error.errors(include_url=False, include_input=False)[0]
    field = str(first["loc"][0]) if first["loc"] else None
    return problem(422, code, first["msg"], field=field)


def problem(
    status: int,
    code: str,
    message: str | None,
    *,
    field: str | None = None,
    facts: Mapping[str, Any] | None = None,
) -> web.Response:
    """Our error envelope: `{"error": {"code", "message", "field"?, …facts}}`; facts are JSON."""
    error = {**(facts or {}), "code": code, "message": message or code}
    if field is not None:
        error["field"] = field
    return web.json_response({"error": error}, status=status)
