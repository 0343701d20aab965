"""The inbox: the list of conversations, the one that is open, and what is known about it."""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from aiohttp import web
from pydantic import AwareDatetime

from services.console.domain.inbox import TABS, Counts, Filters, Listing, Row
from services.console.domain.inbox_words import Line, Past, line_of, past_of, window_of
from services.console.inbox import (
    SHOWN_AT_ONCE,
    BadCursorError,
    Inbox,
    Looking,
    UnknownConversationError,
    WrittenSinceError,
)
from services.console.internal import ServiceAwayError, ServiceRefusedError
from services.console.records import ConnectedChannel
from services.console.web.access import Access, add_page, visitor_of
from services.console.web.forms import Form, FormModel
from services.console.web.live import touched
from services.console.web.pages import (
    CHANNELS,
    INBOX,
    PICTURES,
    go_and_say,
    go_to,
    render,
    show,
)
from services.console.web.thread import thread_context

log = structlog.get_logger(__name__)

CONVERSATION = "{conversation:[0-9]+:[0-9]+}"
MOST_AT_ONCE = 100
PAST_SHOWN = 10
WRITTEN_SINCE = "Not marked as done: the person has just written."
KEPT_S = 86_400  # a picture, by the browser
NOTHING = Counts()


class SeenForm(FormModel):
    at: AwareDatetime


class DoneForm(FormModel):
    """`wrote_at`: when the person last wrote, as far as is shown."""

    done: bool
    wrote_at: AwareDatetime | None = None


@dataclass(frozen=True)
class Shown:
    """The list as it is shown. `away`: a reference for the log; nothing could be read."""

    filters: Filters
    pages: Sequence[ConnectedChannel]
    lines: tuple[Line, ...] = ()
    counts: Counts = NOTHING
    next: str | None = None
    is_rest: bool = False
    away: str | None = None


def add_routes(app: web.Application) -> None:
    add_page(app, "GET", "/inbox", show_inbox, Access.ADMIN)
    add_page(app, "GET", "/inbox/list", show_list, Access.ADMIN)
    base = f"/inbox/{CONVERSATION}"
    add_page(app, "GET", base, show_conversation, Access.ADMIN)
    add_page(app, "GET", f"{base}/panes", show_panes, Access.ADMIN)
    add_page(app, "GET", f"{base}/details", show_details, Access.ADMIN)
    add_page(app, "GET", f"{base}/picture", picture, Access.ADMIN)
    add_page(app, "POST", f"{base}/seen", seen, Access.ADMIN)
    add_page(app, "POST", f"{base}/done", done, Access.ADMIN)


async def show_inbox(request: web.Request) -> web.StreamResponse:
    """GET: the list, and nothing opened."""
    listed = await _listed(request)
    return await show(request, "inbox.html", **_frame(request, listed), row=None)


async def show_list(request: web.Request) -> web.StreamResponse:
    """GET: the list alone. 503 with its error in place when it can't be read."""
    listed = await _listed(request)
    status = 503 if listed.away else 200
    return render(request, "inbox_list.html", status=status, **_frame(request, listed))


async def show_conversation(request: web.Request) -> web.StreamResponse:
    """GET: the list, and one conversation opened."""
    listed, panes = await asyncio.gather(_listed(request), _panes(request))
    return await show(request, "inbox.html", **_frame(request, listed), **panes)


async def show_panes(request: web.Request) -> web.StreamResponse:
    """GET: one conversation and what is known about it, without the list."""
    frame = _frame(request, Shown(Filters.of(request.query), ()))
    return render(request, "inbox_panes.html", **frame, **await _panes(request))


async def show_details(request: web.Request) -> web.StreamResponse:
    """GET: the head of one conversation and what is known about it, without its messages."""
    row = await _row(request)
    frame = _frame(request, Shown(Filters.of(request.query), ()))
    about = await _about(request, row)
    return render(request, "inbox_details.html", **frame, row=row, **about)


async def picture(request: web.Request) -> web.StreamResponse:
    """GET: the person's picture, from Meta. 404: there is none to be had."""
    row = await _row(request)
    found = await request.app[PICTURES].get().fetch(row.picture_url) if row.picture_url else None
    kept = {"Cache-Control": f"private, max-age={KEPT_S if found else KEPT_S // 24}"}
    if found is None:
        return web.Response(status=404, headers=kept)
    return web.Response(body=found.content, content_type=found.content_type, headers=kept)


async def seen(request: web.Request) -> web.StreamResponse:
    """POST `at`: somebody has looked at the messages up to then."""
    workspace, conversation = visitor_of(request).workspace, request.match_info["conversation"]
    await _inbox(request).page_of(workspace.id, conversation)
    form = await Form.read(SeenForm, request)
    if form.value is None:
        raise web.HTTPBadRequest(text="Say `at`: the moment of the latest message, with its zone.")
    await _inbox(request).seen(workspace.id, conversation, form.value.at)
    touched(request, conversation)
    if _is_script(request):
        return web.Response(status=204)
    return go_to(request, Filters.of(request.query).at(request.path.removesuffix("/seen")))


async def done(request: web.Request) -> web.StreamResponse:
    """POST `done`: true or false. 409: the person has just written, and it stays open."""
    actor, conversation = visitor_of(request).actor, request.match_info["conversation"]
    await _inbox(request).page_of(actor.workspace_id, conversation)
    form = await Form.read(DoneForm, request)
    if form.value is None:
        raise web.HTTPBadRequest(text="Say `done`: true or false.")
    back = Filters.of(request.query).at(request.path.removesuffix("/done"))
    try:
        await _inbox(request).set_done(
            actor, conversation, done=form.value.done, wrote_at=form.value.wrote_at
        )
    except WrittenSinceError:
        if _is_script(request):
            return web.Response(status=409)
        return await go_and_say(request, back, WRITTEN_SINCE)
    touched(request, conversation)
    return web.Response(status=204) if _is_script(request) else go_to(request, back)


async def _listed(request: web.Request) -> Shown:
    """What can't be read is said in its place: the rest of the page stays."""
    visitor, inbox = visitor_of(request), _inbox(request)
    looking = Looking(visitor.workspace.id, visitor.account.id)
    filters = Filters.of(request.query)
    pages = tuple((await inbox.pages(looking.workspace_id)).values())
    cursor = request.query.get("cursor") or None
    try:
        listing, counts = await _asked(inbox, looking, filters, cursor, _limit(request))
    except BadCursorError:
        raise web.HTTPBadRequest(
            text="This part of the list is gone. Open the inbox again."
        ) from None
    except (ServiceAwayError, ServiceRefusedError) as error:  # refused: it is of another version
        reference = secrets.token_hex(4)
        log.warning("inbox_list_away", service=error.service, error=error.code, reason=reference)
        return Shown(filters, pages, away=reference)
    now = datetime.now(UTC)
    name = visitor.account.shown_name
    lines = [
        line_of(each, now, account_id=looking.account_id, name=name)
        for each in listing.conversations
    ]
    return Shown(filters, pages, tuple(lines), counts, listing.next, is_rest=cursor is not None)


async def _asked(
    inbox: Inbox, looking: Looking, filters: Filters, cursor: str | None, limit: int
) -> tuple[Listing, Counts]:
    return await asyncio.gather(
        inbox.conversations(looking, filters, cursor=cursor, limit=limit),
        inbox.counts(looking, filters),
    )


async def _row(request: web.Request) -> Row:
    workspace = visitor_of(request).workspace
    return await _inbox(request).row(workspace.id, request.match_info["conversation"])


async def _panes(request: web.Request) -> dict[str, Any]:
    """What the conversation's panes are made of."""
    row = await _row(request)
    about, thread = await asyncio.gather(_about(request, row), thread_context(request, row))
    return {**thread, **about, "row": row}


async def _about(request: web.Request, row: Row) -> dict[str, Any]:
    """What is known about a conversation besides its messages."""
    visitor, now = visitor_of(request), datetime.now(UTC)
    channel = await _inbox(request).page_of(visitor.workspace.id, row.id)
    assistant, (contact, past) = await asyncio.gather(
        request.app[CHANNELS].get().assistant_name(channel.assistant_id),
        _known(request, row),
    )
    line = line_of(row, now, account_id=visitor.account.id, name=visitor.account.shown_name)
    return {
        "channel": channel,
        "line": line,
        "assistant": assistant,
        "contact": contact,
        "past": past,
        "window": window_of(row, now),
    }


async def _known(request: web.Request, row: Row) -> tuple[dict[str, Any] | None, list[Past] | None]:
    """The contact that the person is, if any, and who had the conversation lately.

    None: nobody answered. The conversation can be read without it.
    """
    workspace, inbox = visitor_of(request).workspace, _inbox(request)
    try:
        stored, (messages, _) = await asyncio.gather(
            inbox.stored(workspace.id, row.id), inbox.messages(workspace.id, row.id)
        )
    except (ServiceAwayError, UnknownConversationError):
        return None, None
    past = [each for each in map(past_of, messages) if each is not None]
    return stored.get("contact"), past[:PAST_SHOWN]


def _frame(request: web.Request, listed: Shown) -> dict[str, Any]:
    return {
        "listed": listed,
        "filters": listed.filters,
        "tabs": TABS,
        "now": datetime.now(UTC),
        "open_id": request.match_info.get("conversation") or request.query.get("open"),
    }


def _limit(request: web.Request) -> int:
    """How many at once: a list that was made longer is looked at anew in its whole length."""
    wanted = request.query.get("limit", "")
    if not wanted.isascii() or not wanted.isdigit():
        return SHOWN_AT_ONCE
    return min(max(int(wanted[:4]), 1), MOST_AT_ONCE)


def _is_script(request: web.Request) -> bool:
    return request.headers.get("X-Requested-With") == "inbox"


def _inbox(request: web.Request) -> Inbox:
    return request.app[INBOX].get()
