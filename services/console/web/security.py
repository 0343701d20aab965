"""What every answer says to browsers, and which requests of theirs count.

Cross-site forgery is refused by what browsers say themselves, without tokens in forms: a request
that changes something has to come from our own pages (`Sec-Fetch-Site`, or `Origin` where a browser
is too old for it). Source: OWASP ASVS 5.0, 3.4 and 3.5.
"""

from aiohttp import web
from aiohttp.typedefs import Handler

from libs.common.web import OPEN_PATHS
from services.console.web.access import SETTINGS

API = "/api/"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
HSTS_S = 365 * 86_400

POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data:",  # Bootstrap's arrows and ticks are data: pictures in its style
        "object-src 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "form-action 'self'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # `no-referrer` makes browsers send `Origin: null`
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Server": "console",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=()",
}
STATIC = "/static/"
COMPRESSED = (".css", ".js", ".svg")
PARTIAL = ("Range", "If-None-Match", "If-Modified-Since")  # their answers are short, or a part


class ForeignRequestError(Exception):
    """It changes something and doesn't come from our own pages."""


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """For `on_response_prepare`: errors and files have them as well."""
    response.headers.update(HEADERS)
    if request.app[SETTINGS].site.is_secure:
        response.headers["Strict-Transport-Security"] = f"max-age={HSTS_S}; includeSubDomains"
    if request.path.startswith(STATIC) and "v" in request.query and response.status == 200:
        # the address changes with the content, see `pages.asset`
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    else:
        response.headers.setdefault("Cache-Control", "no-store")


@web.middleware
async def only_own_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse other hosts, and changes that other sites ask a browser for."""
    if request.path in OPEN_PATHS:
        return await handler(request)
    site = request.app[SETTINGS].site
    host = request.headers.get("Host", "").lower()
    if host not in site.hosts:
        # an address of somebody else's that leads here, or a proxy that hides what was asked for
        raise web.HTTPMisdirectedRequest(text=f"this console is at {site.console_url}")
    is_change = request.method not in SAFE_METHODS
    # the API knows no cookies: what counts there is a token, which no other site has
    if is_change and not request.path.startswith(API) and not _is_own(request, host):
        raise ForeignRequestError
    return await handler(request)


@web.middleware
async def compressed(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Scripts, styles and icons; nothing secret is in them, unlike in pages."""
    response = await handler(request)
    is_whole = not any(name in request.headers for name in PARTIAL)
    if is_whole and request.path.startswith(STATIC) and request.path.endswith(COMPRESSED):
        response.enable_compression()
        response.headers["Vary"] = "Accept-Encoding"
    return response


def _is_own(request: web.Request, host: str) -> bool:
    fetch_site = request.headers.get("Sec-Fetch-Site")
    if fetch_site is not None:
        return fetch_site in ("same-origin", "none")
    scheme = "https" if request.app[SETTINGS].site.is_secure else "http"
    return request.headers.get("Origin", "").lower() == f"{scheme}://{host}"
