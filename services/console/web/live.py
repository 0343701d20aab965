"""The stream of hints that pages listen to, and what they ask where there is none.

Hints name conversations and hold nothing of what people write: see docs/adr/0121.
"""

import asyncio
import random
from contextlib import suppress

import structlog
from aiohttp import web

from libs.common.errors import ProjectError, TransientError
from libs.common.web import Late
from services.console.live.hub import Hub
from services.console.live.rows import Rows
from services.console.live.streams import Stream, Streams, TooManyStreamsError, event
from services.console.signing_in import Visitor
from services.console.web.access import (
    SIGNING_IN,
    Access,
    add_page,
    client_of,
    session_secret,
    visitor_of,
)
from services.console.web.pages import CHANNELS

HUB: web.AppKey[Late[Hub]] = web.AppKey("hub", Late)
ROWS: web.AppKey[Late[Rows]] = web.AppKey("rows", Late)
STREAMS: web.AppKey[Streams] = web.AppKey("streams", Streams)

HEARTBEAT_S = 10.0
LOOK_AGAIN_S = 30.0  # whether the session goes on, and which Pages the workspace has
WRITE_WITHIN_S = 20.0  # a browser that takes nothing for so long has gone
COME_AGAIN_S = 30
HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store, no-transform",  # what compresses also holds back
    "X-Accel-Buffering": "no",  # nginx
}

log = structlog.get_logger(__name__)


def add_routes(app: web.Application) -> None:
    app[STREAMS] = Streams()
    app.on_shutdown.append(end_streams)
    add_page(app, "GET", "/live", listen, Access.ADMIN)
    add_page(app, "GET", "/live/news", news, Access.ADMIN)


def touched(request: web.Request, conversation: str) -> None:
    """Whoever looks at this conversation is told: it was changed here, and no record says so."""
    with suppress(web.HTTPServiceUnavailable):  # stopping: they come again anyway
        request.app[HUB].get().touched(conversation)


async def listen(request: web.Request) -> web.StreamResponse:
    """GET /live: events `hello`, `state`, `changed`, `counts`, `beat`, until somebody goes."""
    visitor, streams = visitor_of(request), request.app[STREAMS]
    pages = await _pages(request, visitor)
    stream = Stream(
        visitor.account.id, visitor.workspace.id, pages, is_gone=lambda: request.transport is None
    )
    try:
        streams.open(stream)
    except TooManyStreamsError as error:
        return web.Response(
            status=429 if error.of_account else 503, headers={"Retry-After": str(COME_AGAIN_S)}
        )
    response = web.StreamResponse(headers=HEADERS)
    try:
        with suppress(ConnectionError, TimeoutError):  # gone: nobody is left to be told
            await response.prepare(request)
            await tell(request, response, stream)
    finally:
        streams.close(stream)
    return response


async def news(request: web.Request) -> web.Response:
    """GET /live/news: what hints tell of, for whoever begins to listen, or can't.

    Numbers and names of conversations; null while the conversation service gives no answer: a page
    that looks by itself has no use for an error.
    """
    rows, pages = request.app[ROWS].get(), await _pages(request, visitor_of(request))
    try:
        counts, asking = await asyncio.gather(rows.counts(pages), rows.asking(pages))
    except ProjectError as error:
        log.warning("live_news_unknown", error=type(error).__name__)
        return web.json_response({"unread": None, "needs_human": None, "asking": None})
    return web.json_response(
        {
            "unread": counts.unread,
            "needs_human": counts.needs_human,
            "asking": [each.to_json() for each in asking],
        }
    )


async def tell(request: web.Request, response: web.StreamResponse, stream: Stream) -> None:
    """Raises: ConnectionError, TimeoutError: the browser has gone, or takes nothing."""
    streams, now = request.app[STREAMS], asyncio.get_running_loop().time
    # so that those who were cut off together neither come again nor are looked at together
    look_at = now() + LOOK_AGAIN_S * random.uniform(0.8, 1.2)
    await _write(response, event("hello", {"heard": streams.is_heard}))
    while await stream.wait(HEARTBEAT_S):
        await _write(response, stream.take() or event("beat", {}))
        if now() >= look_at:
            if not await _may_listen(request, stream):
                return
            look_at = now() + LOOK_AGAIN_S


async def _write(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(WRITE_WITHIN_S):
        await response.write(data)


async def _may_listen(request: web.Request, stream: Stream) -> bool:
    """Whether the session goes on, of an administrator still. An open page is no click."""
    secret = session_secret(request)
    if secret is None:
        return False
    try:
        visitor = (
            await request.app[SIGNING_IN].get().visitor(secret, client_of(request), clicked=False)
        )
        if visitor is None or not visitor.is_admin:
            return False
        request.app[STREAMS].change_pages(stream, await _pages(request, visitor))
    except TransientError:
        log.warning("live_session_unknown")  # the database is away: looked at again later
    except web.HTTPServiceUnavailable:
        return False  # stopping
    return True


async def _pages(request: web.Request, visitor: Visitor) -> frozenset[str]:
    shown = await request.app[CHANNELS].get().of_workspace(visitor.workspace.id)
    return frozenset(each.channel.id for each in shown)


async def end_streams(app: web.Application) -> None:
    app[STREAMS].end()
