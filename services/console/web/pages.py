"""How a page is made: templates, the navigation, where to go after a form, words for next time."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp_jinja2
import jinja2
from aiohttp import web

from libs.common.text import utf16_length
from libs.common.web import Late
from services.console.accounts import Accounts
from services.console.analytics import Analytics
from services.console.api_tokens import ApiTokens
from services.console.assistants import Assistants
from services.console.audit import AuditLog
from services.console.channel_settings import ChannelSettingsOffice
from services.console.channels_store import ChannelStore
from services.console.checking import ChannelChecks
from services.console.connecting import Connecting
from services.console.dead_letters import DeadLetters
from services.console.deliveries import Deliveries
from services.console.doctor.reports import Reports
from services.console.domain.setting_values import previewed
from services.console.domain.tokens import hashed
from services.console.erasing import Erasing
from services.console.erasures_store import ErasureStore
from services.console.first_run import FirstRun
from services.console.inbox import Inbox
from services.console.internal import Internal
from services.console.pictures import Pictures
from services.console.sessions_store import SessionStore
from services.console.takeovers import Takeovers
from services.console.verifying import Verifying
from services.console.watching import HealthWatch
from services.console.web.access import SETTINGS, Access, visitor_or_none

ROOT = Path(__file__).parents[1]
STATIC_FOLDER = ROOT / "static"

ACCOUNTS: web.AppKey[Late[Accounts]] = web.AppKey("accounts", Late)
ANALYTICS: web.AppKey[Late[Analytics]] = web.AppKey("analytics", Late)
ASSISTANTS: web.AppKey[Late[Assistants]] = web.AppKey("assistants", Late)
API_TOKENS: web.AppKey[Late[ApiTokens]] = web.AppKey("api_tokens", Late)
AUDIT: web.AppKey[Late[AuditLog]] = web.AppKey("audit", Late)
CHANNEL_SETTINGS: web.AppKey[Late[ChannelSettingsOffice]] = web.AppKey("channel_settings", Late)
CHANNELS: web.AppKey[Late[ChannelStore]] = web.AppKey("channels", Late)
CHECKS: web.AppKey[Late[ChannelChecks]] = web.AppKey("checks", Late)
DEAD_LETTERS: web.AppKey[Late[DeadLetters]] = web.AppKey("dead_letters", Late)
DELIVERIES: web.AppKey[Late[Deliveries]] = web.AppKey("deliveries", Late)
CONNECTING: web.AppKey[Late[Connecting]] = web.AppKey("connecting", Late)
ERASING: web.AppKey[Late[Erasing]] = web.AppKey("erasing", Late)
ERASURES: web.AppKey[Late[ErasureStore]] = web.AppKey("erasures", Late)
FIRST_RUN: web.AppKey[Late[FirstRun]] = web.AppKey("first_run", Late)
INBOX: web.AppKey[Late[Inbox]] = web.AppKey("inbox", Late)
INTERNAL: web.AppKey[Late[Internal]] = web.AppKey("internal", Late)
PICTURES: web.AppKey[Late[Pictures]] = web.AppKey("pictures", Late)
REPORTS: web.AppKey[Late[Reports]] = web.AppKey("reports", Late)
SESSIONS: web.AppKey[Late[SessionStore]] = web.AppKey("sessions", Late)
TAKEOVERS: web.AppKey[Late[Takeovers]] = web.AppKey("takeovers", Late)
VERIFYING: web.AppKey[Late[Verifying]] = web.AppKey("verifying", Late)
WATCH: web.AppKey[Late[HealthWatch]] = web.AppKey("watch", Late)


@dataclass(frozen=True)
class Place:
    """One entry of the navigation."""

    path: str
    label: str
    icon: str  # of the sprite
    key: str  # goes there after `g`
    access: Access = Access.ADMIN


NAVIGATION = (
    Place("/inbox", "Inbox", "inbox", "i"),
    Place("/analytics", "Analytics", "chart-column", "a"),
    Place("/channels", "Pages", "plug", "p", Access.SIGNED_IN),
    Place("/assistants", "Assistants", "message-circle", "s", Access.SIGNED_IN),
    Place("/health", "Health", "activity", "h"),
    Place("/users", "Users", "users", "u"),
    Place("/api-tokens", "API tokens", "key-round", "t"),
    Place("/audit", "Audit log", "scroll-text", "l"),
)


@dataclass(frozen=True)
class Tab:
    """One of the pages about one connected Page."""

    path: str  # below /channels/{id}
    label: str
    access: Access = Access.SIGNED_IN


CHANNEL_TABS = (
    Tab("", "Overview"),
    Tab("/settings", "Settings"),
    Tab("/privacy", "Privacy", Access.ADMIN),
)


def set_up(app: web.Application) -> None:
    env = aiohttp_jinja2.setup(
        app,
        loader=jinja2.FileSystemLoader(ROOT / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.globals["asset"] = asset
    env.globals["channel_tabs"] = CHANNEL_TABS
    env.filters["moment"] = moment
    env.filters["machine"] = machine
    env.filters["parsed"] = parsed
    env.filters["preview"] = previewed
    env.filters["units"] = lambda value: utf16_length(str(value))


def is_htmx(request: web.Request) -> bool:
    return request.headers.get("HX-Request") == "true"


def render(
    request: web.Request,
    template: str,
    *,
    status: int = 200,
    **context: Any,  # noqa: ANN401
) -> web.Response:
    """A whole page.

    With htmx, a form that was refused gets its page as well and takes its own part out of it
    (`hx-select`): one template serves both.
    """
    visitor = visitor_or_none(request)
    places = [
        place
        for place in NAVIGATION
        if visitor and (visitor.is_admin or place.access is not Access.ADMIN)
    ]
    full = {
        "visitor": visitor,
        "places": places,
        "path": request.path,
        "notice": visitor.session.notice if visitor else None,
        "env": request.app[SETTINGS].runtime.env,
        "error": None,
        **context,
    }
    return aiohttp_jinja2.render_template(template, request, full, status=status)


async def show(
    request: web.Request,
    template: str,
    *,
    status: int = 200,
    **context: Any,  # noqa: ANN401
) -> web.Response:
    """`render`, and what was left to be said has been said."""
    visitor = visitor_or_none(request)
    if visitor is not None and visitor.session.notice:
        await request.app[SESSIONS].get().take_notice(visitor.session.id)
    return render(request, template, status=status, **context)


def go_to(request: web.Request, path: str) -> web.Response:
    """Where to go after a form that was taken: another page, with an address of its own."""
    if is_htmx(request):
        return web.Response(status=204, headers={"HX-Redirect": path})
    return web.Response(status=303, headers={"Location": path})


async def go_and_say(request: web.Request, path: str, words: str) -> web.Response:
    """`go_to`, and the next page says what has been done."""
    if (visitor := visitor_or_none(request)) is not None:
        await request.app[SESSIONS].get().leave_notice(visitor.session.id, words)
    return go_to(request, path)


async def say_in(request: web.Request, secret: str, words: str) -> None:
    """For the first page of a session that is just being begun."""
    await request.app[SESSIONS].get().leave_notice(hashed(secret), words)


@cache
def asset(name: str) -> str:
    """The address of a static file; it changes with the content, so that browsers may keep it."""
    digest = hashlib.sha256((STATIC_FOLDER / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


def moment(at: datetime | None) -> str:
    """For people; the exact one stands beside it for machines, and scripts make it local."""
    if at is None:
        return "never"
    return at.astimezone(UTC).strftime("%-d %b %Y, %H:%M UTC")


def parsed(text: str | None) -> datetime | None:
    """A moment as other services tell it."""
    return datetime.fromisoformat(text) if text else None


def machine(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds")
