"""Facebook itself: its users, the app they log in to, and the tokens that come of it.

Moments are milliseconds; a user's id is app-scoped, as every app gets another one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from simulator.world.units import Milliseconds, TokenState

AppRole = Literal["none", "admin", "developer", "tester"]
AppMode = Literal["live", "development"]
PageRole = Literal["admin", "editor", "moderator", "advertiser", "analyst"]
Consent = Literal["granted", "declined"]

PERMISSIONS: Mapping[str, str] = {
    "public_profile": "Your name and profile picture",
    "email": "Your e-mail address",
    "pages_show_list": "See the Pages that you have a role on",
    "pages_messaging": "Manage and read conversations of your Pages in Messenger",
    "pages_manage_metadata": "Manage settings and webhooks of your Pages",
    "pages_read_engagement": "Read what your Pages publish and who follows them",
    "pages_utility_messaging": "Send utility messages from your Pages",
    "business_management": "Manage your business portfolios",
}
ALWAYS_GRANTED = "public_profile"
MESSENGER_PERMISSIONS = (
    "pages_show_list",
    "pages_messaging",
    "pages_manage_metadata",
    "pages_read_engagement",
    "business_management",
)
"""What a configuration of Login for Business asks for."""

_ANALYST = ("ANALYZE",)
_ADVERTISER = ("ADVERTISE", *_ANALYST)
_MODERATOR = (*_ADVERTISER, "MESSAGING", "MODERATE")
_EDITOR = (*_MODERATOR, "CREATE_CONTENT")
TASKS: Mapping[PageRole, tuple[str, ...]] = {
    "admin": (*_EDITOR, "MANAGE"),
    "editor": _EDITOR,
    "moderator": _MODERATOR,
    "advertiser": _ADVERTISER,
    "analyst": _ANALYST,
}


@dataclass(slots=True)
class User:
    """Somebody with a Facebook account. Without permissions they have not logged in to the app."""

    id: str
    name: str
    app_role: AppRole = "none"
    roles: dict[str, PageRole] = field(default_factory=dict)  # by Page id
    permissions: dict[str, Consent] = field(default_factory=dict)
    chosen_pages: list[str] = field(default_factory=list)  # ticked in the dialog


@dataclass(slots=True)
class Token:
    """A user's token, or a Page's that a user's token gave."""

    token: str
    user_id: str
    issued_at: Milliseconds
    expires_at: Milliseconds | None = None
    page_id: str | None = None
    long_lived: bool = False
    state: TokenState = "valid"


@dataclass(slots=True)
class LoginCode:
    """What the dialog gives and the app exchanges, once, for a token."""

    code: str
    user_id: str
    redirect_uri: str
    expires_at: Milliseconds
    used: bool = False


@dataclass(slots=True)
class App:
    """The app as its dashboard has it. Empty addresses are those of the simulator's settings."""

    name: str = "Messenger assistant"
    mode: AppMode = "live"
    reviewed: tuple[str, ...] = MESSENGER_PERMISSIONS  # have Advanced Access
    redirect_uris: tuple[str, ...] = ()  # none: any on this machine
    deauthorize_url: str = ""
    data_deletion_url: str = ""
    callback_url: str = ""
    fields: tuple[str, ...] | None = None  # None: all; (): no subscription


@dataclass(slots=True)
class FacebookState:
    app: App = field(default_factory=App)
    users: dict[str, User] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    codes: dict[str, LoginCode] = field(default_factory=dict)
