"""The last step of connecting a Page: does it work? Can be left, and come back to at any time."""

import hashlib
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from aiohttp import web

from services.console.domain.verifying import Line, all_good
from services.console.records import ConnectedChannel
from services.console.settings import LOOPBACK_NAMES, Settings
from services.console.web.access import SETTINGS, Access, add_page, visitor_of
from services.console.web.pages import CONNECTING, VERIFYING, render, show

WEBHOOK = "/webhooks/messenger"  # of the gateway
LOOK_FOR = timedelta(minutes=15)  # then a page that nobody closes asks no more


def add_routes(app: web.Application) -> None:
    add_page(app, "GET", "/channels/{channel:[0-9]+}/verify", show_verify, Access.ADMIN)
    add_page(app, "GET", "/channels/{channel:[0-9]+}/verify/lines", show_lines, Access.ADMIN)


async def show_verify(request: web.Request) -> web.StreamResponse:
    channel = await _channel(request)
    found = await request.app[VERIFYING].get().look(channel)
    until = int((_now() + LOOK_FOR).timestamp())
    settings = request.app[SETTINGS]
    return await show(
        request,
        "verify_channel.html",
        channel=channel,
        lines=found,
        is_done=all_good(found),
        poll=_poll(channel, found, until),
        chat_url=chat_url(settings, channel.id),
        is_simulator=is_simulator(settings),
        webhook_url=f"{settings.webhook.public_url}{WEBHOOK}",
    )


async def show_lines(request: web.Request) -> web.StreamResponse:
    """What stands there by now, for a page that shows `seen`; 204 if that is still the same."""
    channel = await _channel(request)
    found = await request.app[VERIFYING].get().look(channel)
    until, is_done = _moment(request.query.get("until", "")), all_good(found)
    is_over = is_done or _now().timestamp() >= until
    if not is_over and request.query.get("seen") == _digest(found):
        return web.Response(status=204)
    return render(
        request,
        "verify_lines.html",
        channel=channel,
        lines=found,
        is_done=is_done,
        poll=None if is_over else _poll(channel, found, until),
    )


def chat_url(settings: Settings, page_id: str) -> str:
    """Where one can write to the Page."""
    if is_simulator(settings):
        return f"{settings.facebook.facebook_dialog_url.rstrip('/')}/#page={page_id}"
    return f"https://m.me/{page_id}"


def is_simulator(settings: Settings) -> bool:
    """Whether Facebook's dialog is on this machine, where the real one never is."""
    host = urlsplit(settings.facebook.facebook_dialog_url).hostname
    return settings.runtime.env != "production" and host in LOOPBACK_NAMES


def _poll(channel: ConnectedChannel, found: tuple[Line, ...], until: int) -> str | None:
    if all_good(found):
        return None
    return f"/channels/{channel.id}/verify/lines?until={until}&seen={_digest(found)}"


def _digest(found: tuple[Line, ...]) -> str:
    """Of what is shown: a screen reader hears only what changes."""
    text = repr([(line.key, line.state, line.words) for line in found])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _moment(text: str) -> int:
    """In seconds, and never further away than a new page's would be."""
    latest = int((_now() + LOOK_FOR).timestamp())
    return min(int(text), latest) if text.isascii() and text.isdigit() and len(text) < 12 else 0


def _now() -> datetime:
    return datetime.now(UTC)


async def _channel(request: web.Request) -> ConnectedChannel:
    workspace = visitor_of(request).workspace
    return await request.app[CONNECTING].get().channel(workspace.id, request.match_info["channel"])
