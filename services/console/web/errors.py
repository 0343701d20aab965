"""What went wrong, as a page or, below `/api/`, as JSON: what it was, whether anything was lost,
and what to do now. An unexpected error has a reference that stands in the log, and nothing else."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from libs.common.errors import TransientError
from libs.common.web import KEPT_HEADERS, OPEN_PATHS, problem, route_of
from services.console.accounts import LinkGoneError
from services.console.api_tokens import UnknownTokenError
from services.console.assistants import UnknownAssistantError
from services.console.channels_store import UnknownChannelError
from services.console.connecting import CALLBACK, UnknownLoginError
from services.console.dead_letters import UnknownLetterError
from services.console.doctor.doctor import UnknownPageError
from services.console.domain.roles import UnknownMemberError
from services.console.inbox import UnknownConversationError
from services.console.internal import ServiceAwayError
from services.console.web.access import (
    AdminNeededError,
    NotSignedInError,
    ScopeNeededError,
    TokenRefusedError,
)
from services.console.web.pages import is_htmx, render
from services.console.web.security import API, SAFE_METHODS, ForeignRequestError

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Told:
    """An error as it is told."""

    status: int
    code: str
    title: str
    words: str
    reference: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


NOT_FOUND = Told(
    404,
    "not_found",
    "There is nothing here",
    "The address is wrong, or what was here is gone. Perhaps it belongs to another workspace.",
)
ADMIN_NEEDED = Told(
    403,
    "admin_needed",
    "This needs the role Admin",
    "Your role is Member. Ask an administrator of your workspace to do this for you, or to give "
    "you the role Admin.",
)
FOREIGN = Told(
    403,
    "foreign_request",
    "This didn't come from the console",
    "Another site asked your browser to change something here. Nothing was changed. If you did "
    "this yourself, open the page again and repeat it.",
)
UNKNOWN = (
    UnknownPageError,
    UnknownAssistantError,
    UnknownChannelError,
    UnknownConversationError,
    UnknownLetterError,
    UnknownLoginError,
    UnknownMemberError,
    UnknownTokenError,
)
LINK_GONE = Told(
    410,
    "link_gone",
    "This link doesn't work any more",
    "It was used, a newer one was made, or it is too old. Ask an administrator for another one.",
)
GONE = Told(400, "incomplete", "This didn't arrive", "The connection ended before all was sent.")
"""Nobody reads it: whoever sent it is gone, or was too slow."""
UNREADABLE = Told(
    400,
    "unreadable",
    "This can't be read",
    "What was sent is not what its headers say. Nothing was changed.",
)
UNAVAILABLE = Told(
    503,
    "unavailable",
    "The console can't reach its database",
    "What you sent last may not have been saved: look before you repeat it. Try again in a moment.",
)


SERVICE_AWAY = Told(
    503,
    "unavailable",
    "A part of the system gives no answer",
    "Nothing was changed. Try again in a moment; if it stays like this, tell whoever runs this.",
)


@web.middleware
async def told_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error of a handler or a middleware below, told."""
    if request.path in OPEN_PATHS:
        return await handler(request)
    try:
        return await handler(request)
    except NotSignedInError:
        return _to_sign_in(request)
    except TokenRefusedError:
        refused = problem(401, "unauthorized", "send an API token: Authorization: Bearer mat_…")
        refused.headers["WWW-Authenticate"] = "Bearer"
        return refused
    except ScopeNeededError as error:
        return problem(403, "scope_needed", f"this takes an API token with the scope {error.scope}")
    except Exception as error:
        return _shown(request, _told(request, error))


def _told(request: web.Request, error: Exception) -> Told:
    if isinstance(error, AdminNeededError):
        return ADMIN_NEEDED
    if isinstance(error, ForeignRequestError):
        return FOREIGN
    if isinstance(error, LinkGoneError):
        return LINK_GONE
    if isinstance(error, UNKNOWN):
        return NOT_FOUND
    if isinstance(error, web.HTTPException) and error.status < 500:
        return _of_http(error)
    if isinstance(error, ConnectionError | web.RequestPayloadError) and request.transport is None:
        return GONE
    if isinstance(error, web.RequestPayloadError):
        return UNREADABLE
    if isinstance(error, ServiceAwayError):
        log.warning("service_away", path=route_of(request), service=error.service)
        return SERVICE_AWAY
    if isinstance(error, TransientError | web.HTTPServiceUnavailable):
        log.warning("request_unavailable", path=route_of(request), error=type(error).__name__)
        return UNAVAILABLE
    reference = secrets.token_hex(4)
    log.exception(
        "request_failed", path=route_of(request), error=type(error).__name__, reason=reference
    )
    return Told(
        500,
        "internal_error",
        "Something went wrong here",
        "It is our fault and stands in the console's log. What you sent last may not have been "
        "saved: look before you repeat it.",
        reference,
    )


def _of_http(error: web.HTTPException) -> Told:
    if error.status == 404:
        return NOT_FOUND
    code = (error.reason or "error").lower().replace(" ", "_")
    words = {
        405: "This address can't be asked in this way.",
        413: "That is more than the console takes in one go.",
    }.get(error.status, error.text or "The console can't do anything with this request.")
    kept = {name: error.headers[name] for name in KEPT_HEADERS if name in error.headers}
    return Told(error.status, code, error.reason or "Refused", words, headers=kept)


def _shown(request: web.Request, told: Told) -> web.StreamResponse:
    if request.path.startswith(API):
        response: web.Response = problem(told.status, told.code, told.words)
    else:
        response = render(request, "error.html", status=told.status, told=told)
    response.headers.update(told.headers)
    if told.status == 503:
        response.headers["Retry-After"] = "5"
    return response


def _to_sign_in(request: web.Request) -> web.Response:
    """And back again to where a page was asked for; a form that was sent is lost."""
    back = request.path_qs if request.method in SAFE_METHODS else ""
    if request.path == CALLBACK:
        back = "/channels"  # a login code has no place in an address of ours
    where = f"/sign-in?next={quote(back, safe='')}" if back not in ("", "/") else "/sign-in"
    if is_htmx(request):
        return web.Response(status=401, headers={"HX-Redirect": where})
    return web.Response(status=303, headers={"Location": where})
