"""Who may ask for what: every route says it when it is added, and nothing is served without.

Cookies are `__Host-` ones: no other host, no subdomain and no plain connection can set them. On
plain http, which the settings allow on loopback only, browsers refuse that prefix: there the name
carries the port, because cookies don't know ports and two consoles may run side by side.
"""

from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from libs.common.web import OPEN_PATHS, Late
from services.console.domain.clients import client_address, device
from services.console.domain.tokens import Scope
from services.console.settings import Settings
from services.console.signing_in import Caller, Client, SigningIn, Visitor

SETTINGS: web.AppKey[Settings] = web.AppKey("settings", Settings)
SIGNING_IN: web.AppKey[Late[SigningIn]] = web.AppKey("signing_in", Late)

BACKGROUND = "X-Background"
"""Of what a page asks for by itself: it doesn't count as a click, so it keeps nobody signed in."""

STRANGERS_BYTES = 16 * 1024
"""The most that somebody may send who is not signed in: an address and a password. Some hundred
larger bodies, never finished, would take more memory than the process may have."""

PageHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Access(Enum):
    """Who may ask."""

    PUBLIC = "everybody"
    SIGNED_IN = "everybody who is signed in"
    ADMIN = "administrators"
    PROGRAM = "programs with an API token"


class NotSignedInError(Exception):
    """The page needs somebody, and there is nobody."""


class AdminNeededError(Exception):
    """The page needs an administrator, and somebody else asks."""


class TokenRefusedError(Exception):
    """The call has no API token that works."""


class ScopeNeededError(Exception):
    """The API token may not do this."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope.value)
        self.scope = scope


class RouteAccess:
    """What each route needs."""

    def __init__(self) -> None:
        self._needs: dict[web.AbstractRoute, tuple[Access, Scope | None]] = {}

    def note(self, route: web.AbstractRoute, access: Access, scope: Scope | None = None) -> None:
        self._needs[route] = (access, scope)

    def of(self, route: web.AbstractRoute) -> tuple[Access, Scope | None] | None:
        return self._needs.get(route)

    def all(self) -> Mapping[web.AbstractRoute, tuple[Access, Scope | None]]:
        return dict(self._needs)


ROUTE_ACCESS: web.AppKey[RouteAccess] = web.AppKey("route_access", RouteAccess)
VISITOR: web.RequestKey[Visitor] = web.RequestKey("visitor", Visitor)
CALLER: web.RequestKey[Caller] = web.RequestKey("caller", Caller)


def add_page(
    app: web.Application, method: str, path: str, handler: PageHandler, access: Access
) -> None:
    """A page, or what a form of it is sent to."""
    app[ROUTE_ACCESS].note(app.router.add_route(method, path, handler), access)


def visitor_of(request: web.Request) -> Visitor:
    """Who is signed in; there is somebody, unless the route is public."""
    return request[VISITOR]


def visitor_or_none(request: web.Request) -> Visitor | None:
    return request.get(VISITOR)


def caller_of(request: web.Request) -> Caller:
    return request[CALLER]


def client_of(request: web.Request) -> Client:
    """Where the request comes from."""
    proxies = request.app[SETTINGS].proxies
    forwarded = request.headers.getall("X-Forwarded-For", [])
    address = client_address(request.remote, forwarded, proxies)
    return Client(address, device(request.headers.get("User-Agent", "")[:400]))


def cookie_name(settings: Settings) -> str:
    if settings.site.is_secure:
        return "__Host-session"
    # cookies know no ports, and two systems on one machine are told apart by theirs
    return f"session-{urlsplit(settings.site.console_url).port or 80}"


def set_session_cookie(request: web.Request, response: web.StreamResponse, secret: str) -> None:
    settings = request.app[SETTINGS]
    response.set_cookie(
        cookie_name(settings),
        secret,
        path="/",
        max_age=settings.session_absolute_s,
        secure=settings.site.is_secure,
        httponly=True,
        samesite="Lax",  # so that links from elsewhere, and Facebook's way back, find one signed in
    )


def drop_session_cookie(request: web.Request, response: web.StreamResponse) -> None:
    settings = request.app[SETTINGS]
    response.del_cookie(
        cookie_name(settings),
        path="/",
        secure=settings.site.is_secure,
        httponly=True,
        samesite="Lax",
    )


def session_secret(request: web.Request) -> str | None:
    return request.cookies.get(cookie_name(request.app[SETTINGS]))


@web.middleware
async def authorise(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Find out who asks, and whether they may."""
    if request.match_info.http_exception is not None or request.path in OPEN_PATHS:
        return await handler(request)  # nothing there, or open to probes
    needs = request.app[ROUTE_ACCESS].of(request.match_info.route)
    if needs is None:
        raise web.HTTPForbidden(text="nobody has said who may see this")
    access, scope = needs
    if access is Access.PROGRAM:
        request[CALLER] = await _caller(request, scope)
    elif access is not Access.PUBLIC or session_secret(request):
        await _admit_visitor(request, access)
    if access is Access.PUBLIC and visitor_or_none(request) is None:
        request = request.clone(client_max_size=STRANGERS_BYTES)
    return await handler(request)


async def _admit_visitor(request: web.Request, access: Access) -> None:
    secret = session_secret(request)
    visitor = None
    if secret:
        visitor = (
            await request.app[SIGNING_IN]
            .get()
            .visitor(secret, client_of(request), clicked=_is_click(request))
        )
    if visitor is not None:
        request[VISITOR] = visitor
    elif access is not Access.PUBLIC:
        raise NotSignedInError
    if access is Access.ADMIN and visitor is not None and not visitor.is_admin:
        raise AdminNeededError


def _is_click(request: web.Request) -> bool:
    """A stream opens itself anew whenever it was lost, and browsers let it say nothing of that."""
    is_stream = "text/event-stream" in request.headers.get("Accept", "")
    return BACKGROUND not in request.headers and not is_stream


async def _caller(request: web.Request, scope: Scope | None) -> Caller:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer":
        raise TokenRefusedError
    address = client_of(request).address
    caller = await request.app[SIGNING_IN].get().caller(token.strip(), address)
    if caller is None:
        raise TokenRefusedError
    if scope is not None and not caller.may(scope):
        raise ScopeNeededError(scope)
    return caller
