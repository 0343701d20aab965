"""The login dialog: what it asks, what it offers to whom, and where an answer leads.

Source: Manually Build a Login Flow, Facebook Login for Business, Permissions.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from yarl import URL

from simulator.world.facebook import ALWAYS_GRANTED, MESSENGER_PERMISSIONS, PERMISSIONS, App, User
from simulator.world.logins import Logins
from simulator.world.model import Page
from simulator.world.units import Milliseconds

_OF_PAGES = "pages_"


class DialogError(Exception):
    """Facebook shows an error of its own and sends nobody back: it does not trust the address."""

    def __init__(self, title: str, text: str) -> None:
        super().__init__(f"{title}: {text}")
        self.title, self.text = title, text


@dataclass(frozen=True, slots=True)
class LoginRequest:
    """What an app asks for."""

    redirect_uri: str
    state: str | None
    permissions: tuple[str, ...]
    all_or_nothing: bool = False  # Facebook Login for Business
    ask_again: bool = False  # for what was declined, too


@dataclass(frozen=True, slots=True)
class OfferedPermission:
    name: str
    meaning: str
    is_fixed: bool  # cannot be unticked


@dataclass(frozen=True, slots=True)
class OfferedPage:
    page: Page
    role: str
    can_be_chosen: bool
    is_ticked: bool


@dataclass(frozen=True, slots=True)
class Offer:
    """What one user can say yes to."""

    permissions: tuple[OfferedPermission, ...]
    pages: tuple[OfferedPage, ...]
    asks_for_pages: bool


def read_request(app: App, app_id: str, query: Mapping[str, str]) -> LoginRequest:
    """What the address of the dialog says.

    Raises:
        DialogError: there is no such app, it may not send people there, or asks for nonsense.
    """
    if query.get("client_id") != app_id:
        raise DialogError(
            "Invalid App ID", "The provided app ID does not look like a valid app ID."
        )
    redirect_uri = query.get("redirect_uri", "")
    _check_redirect_uri(app, redirect_uri)
    if query.get("response_type", "code") != "code":
        raise DialogError("Invalid response_type", "The simulator answers with a code only.")
    config_id = query.get("config_id")
    if config_id is not None and not config_id.isdecimal():
        raise DialogError("Invalid configuration", "config_id must be decimal digits.")
    scope = query.get("scope", "") if config_id is None else ",".join(MESSENGER_PERMISSIONS)
    return LoginRequest(
        redirect_uri,
        query.get("state"),
        _permissions(scope),
        all_or_nothing=config_id is not None,
        ask_again=query.get("auth_type") == "rerequest",
    )


def _check_redirect_uri(app: App, redirect_uri: str) -> None:
    try:
        url = URL(redirect_uri)
        is_local = _is_local(url.host or "")
    except ValueError:
        url, is_local = URL(), False
    if url.scheme not in ("http", "https") or not url.host:
        raise DialogError("Invalid redirect_uri", "It must be an absolute http or https address.")
    allowed = redirect_uri in app.redirect_uris if app.redirect_uris else is_local
    if not allowed:
        raise DialogError(
            "URL blocked",
            "This redirect failed because the redirect URI is not white-listed in the app's "
            "client OAuth settings.",
        )
    if url.scheme == "http" and not is_local:
        raise DialogError(
            "Insecure login blocked", "You can't log in from an insecure page: https is needed."
        )


def _is_local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _permissions(scope: str) -> tuple[str, ...]:
    """Names between commas or spaces, each once."""
    names = tuple(dict.fromkeys(scope.replace(",", " ").split()))
    unknown = [name for name in names if name not in PERMISSIONS]
    if unknown:
        words = ", ".join(name[:60] for name in unknown[:5])
        raise DialogError("Invalid scopes", f"{words}. Only the app's developers see this.")
    return names


def offer(logins: Logins, user: User, request: LoginRequest, pages: Collection[Page]) -> Offer:
    """What the dialog shows this user; permissions without their review are left out silently."""
    asked = [
        name
        for name in dict.fromkeys((ALWAYS_GRANTED, *request.permissions))
        if logins.may_ask_for(user, name)
        and (request.ask_again or request.all_or_nothing or not _was_declined(user, name))
    ]
    permissions = tuple(
        OfferedPermission(name, PERMISSIONS[name], name == ALWAYS_GRANTED or request.all_or_nothing)
        for name in asked
    )
    is_first_time = not user.permissions
    offered = tuple(
        OfferedPage(
            page,
            user.roles[page.id],
            page.behaviour.published,
            page.behaviour.published and (is_first_time or page.id in user.chosen_pages),
        )
        for page in pages
        if page.id in user.roles
    )
    return Offer(permissions, offered, any(name.startswith(_OF_PAGES) for name in asked))


def _was_declined(user: User, permission: str) -> bool:
    return user.permissions.get(permission) == "declined"


def accept(
    logins: Logins,
    user: User,
    request: LoginRequest,
    shown: Offer,
    granted: Collection[str],
    pages: Collection[str],
    now: Milliseconds,
) -> str:
    """Where the browser goes after Continue: back to the app, with a code."""
    names = [each.name for each in shown.permissions]
    yes = [each.name for each in shown.permissions if each.is_fixed or each.name in granted]
    ticked = [each.page.id for each in shown.pages if each.can_be_chosen and each.page.id in pages]
    chosen = ticked if shown.asks_for_pages else user.chosen_pages
    logins.consent(user, yes, [name for name in names if name not in yes], chosen)
    code = logins.issue_code(user, request.redirect_uri, now)
    return _back(request, {"code": code.code}) + "#_=_"  # Facebook's own odd ending


def refuse(request: LoginRequest) -> str:
    """Where the browser goes after Cancel."""
    answer = {
        "error": "access_denied",
        "error_code": "200",
        "error_description": "Permissions error",
        "error_reason": "user_denied",
    }
    return _back(request, answer)


def _back(request: LoginRequest, answer: Mapping[str, str]) -> str:
    state = {"state": request.state} if request.state is not None else {}
    return str(URL(request.redirect_uri).with_fragment(None).extend_query({**answer, **state}))
