"""The chat page at `/`: its files and its live updates."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler
from aiohttp_sse import EventSourceResponse, sse_response

from simulator import shown
from simulator.control.api import topic_of
from simulator.control.reading import PREFIX
from simulator.live import Listener
from simulator.state import SIMULATOR

STATIC = Path(__file__).parent / "static"
PING_S = 5.0
RECONNECT_AFTER_MS = 1000
SHOWN_MESSAGES = 300  # a longer thread would make the browser slow
_BROWSED = ("/static/", "/avatars/", "/media/")
_SAFE = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def add_routes(app: web.Application) -> None:
    app.router.add_get("/", show_page)
    app.router.add_static("/static", STATIC)
    app.router.add_get(f"{PREFIX}/pages/{{page}}/threads/{{psid}}/events", stream_thread)
    app.on_shutdown.append(_end_streams)


@web.middleware
async def safe_headers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What a browser shows comes from here, and nothing of it is inline."""
    response = await handler(request)
    if request.path == "/" or request.path.startswith(_BROWSED):
        for name, value in _SAFE.items():
            response.headers.setdefault(name, value)
    return response


async def show_page(_request: web.Request) -> web.StreamResponse:
    return web.FileResponse(STATIC / "index.html")


async def stream_thread(request: web.Request) -> web.StreamResponse:
    """Server-sent events: `thread`, its newest part, then `message`, `state`, `profile` …"""
    simulator = request.app[SIMULATOR]
    where = topic_of(request)
    page = simulator.world.page(request.match_info["page"])
    with simulator.hub.listening(where) as updates:
        async with sse_response(request, ping_interval=PING_S) as stream:
            thread = simulator.world.thread(page, request.match_info["psid"])
            whole = shown.thread(thread, simulator.now(), newest=SHOWN_MESSAGES)
            whole["profile"] = page.messenger_profile
            with suppress(ConnectionError):
                await stream.send(json.dumps(whole), event="thread", retry=RECONNECT_AFTER_MS)
                await _forward(updates, stream)
    return stream


async def _forward(updates: Listener, stream: EventSourceResponse) -> None:
    """Hand updates on until the stream is ended or the browser is gone."""
    while stream.is_connected():
        try:
            update = await asyncio.wait_for(updates.get(), PING_S)
        except TimeoutError:
            continue  # nothing happened: look whether somebody is still there
        if update is None:
            return
        name, data = update
        await stream.send(json.dumps(data), event=name)


async def _end_streams(app: web.Application) -> None:
    """Open streams would hold up the end of the service."""
    app[SIMULATOR].hub.close()
