"""One conversation: its messages, who has it, and what may be written. Here what is shown; what is
done to it is in thread_actions.py."""

import asyncio
import secrets
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import structlog
from aiohttp import web

from libs.common.events import human_command_id
from libs.common.paging import cursor_of
from services.console.deliveries import Listed
from services.console.domain.composer import (
    LONGEST,
    LONGEST_TEXT,
    SHORTEST,
    Situation,
    bar_of,
    composer_of,
    timers,
    until_words,
)
from services.console.domain.inbox import Row
from services.console.domain.messages import Message
from services.console.domain.thread import Hands, Known, Part, items_of, newest_at, silence
from services.console.inbox import BadCursorError
from services.console.internal import ServiceAwayError
from services.console.records import ConnectedChannel
from services.console.takeovers import Takeover, ThreadControl
from services.console.web.access import SETTINGS, Access, add_page, visitor_of
from services.console.web.pages import DELIVERIES, INBOX, TAKEOVERS, render

T = TypeVar("T")

AT_ONCE = 50
LONGEST_SEARCH = 100
MOST_PENDING = 50
BASE = "/inbox/{conversation:[0-9]+:[0-9]+}"

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Stretch:
    """Messages as they were read, the oldest first. `away`: a reference; nothing could be read."""

    messages: tuple[Message, ...] = ()
    earlier: str | None = None
    away: str | None = None


@dataclass(frozen=True)
class Asked:
    """Which messages are wanted."""

    before: str | None = None
    find: str = field(default="", repr=False)

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Asked":
        return cls(query.get("before") or None, query.get("find", "").strip()[:LONGEST_SEARCH])

    @property
    def is_latest(self) -> bool:
        return self.before is None and not self.find


def add_routes(app: web.Application) -> None:
    add_page(app, "GET", f"{BASE}/thread", show_thread, Access.ADMIN)
    add_page(app, "GET", f"{BASE}/messages", show_messages, Access.ADMIN)


async def show_thread(request: web.Request) -> web.StreamResponse:
    """GET: the middle pane alone. `pending`: keys of what the page has sent and not seen yet."""
    row = await row_of(request)
    context = await thread_context(request, row)
    return render(request, "thread_pane.html", **context | {"commands": _commands(request, row)})


async def show_messages(request: web.Request) -> web.StreamResponse:
    """GET: messages alone: earlier ones (`before`), or those with a word (`find`)."""
    row = await row_of(request)
    return render(request, "thread_messages.html", **await thread_context(request, row))


def _commands(request: web.Request, row: Row) -> dict[str, str]:
    """By the keys that the page sends under, the commands that these become."""
    keys = request.query.get("pending", "").split(",")[:MOST_PENDING]
    return {key: human_command_id(row.id, key) for key in keys if key}


async def row_of(request: web.Request) -> Row:
    workspace = visitor_of(request).workspace
    return await request.app[INBOX].get().row(workspace.id, request.match_info["conversation"])


async def thread_context(
    request: web.Request,
    row: Row,
    **said: Any,  # noqa: ANN401 - what the page has to say besides
) -> dict[str, Any]:
    """What `thread.html` is made of. A service that is away takes only its own part along.

    Args:
        said: `problem`: what was refused; `typed`, `key`: of a message that was not sent.
    """
    asked = Asked.of(request.query)
    channel, stretch, takeover, listed = await asyncio.gather(
        request.app[INBOX].get().page_of(visitor_of(request).workspace.id, row.id),
        _stretch(request, row, asked),
        _or_none(_takeover(request, row)),
        _or_none(_deliveries(request, row)),
    )
    return {
        "row": row,
        "channel": channel,
        "asked": asked,
        "stretch": stretch,
        **_parts(request, row, channel, stretch, takeover or _by_row(row), listed, asked),
        "is_sure": takeover is not None,
        "decides": listed is not None,
        "commands": {},
        "problem": None,
        "typed": "",
        "key": secrets.token_urlsafe(18),
        "confirm": None,
        **said,
    }


def _parts(
    request: web.Request,
    row: Row,
    channel: ConnectedChannel,
    stretch: Stretch,
    takeover: Takeover,
    listed: Listed | None,
    asked: Asked,
) -> dict[str, Any]:
    now = datetime.now(UTC)
    composer = composer_of(now, _situation(row, channel, takeover))
    bar = bar_of(
        takeover.mode,
        takeover.by,
        takeover.by_name,
        visitor_of(request).account.id,
        until=takeover.auto_resume_at,
        since=takeover.since,
    )
    hands = Hands(
        is_human=takeover.mode == "human",
        assistant_may=composer.lock is None and composer.window.kind == "open",
        human_may=composer.lock is None,
    )
    parts = listed.deliveries if listed else ()
    known = Known(
        {each.id: Part(each.state, each.generation) for each in parts},
        hands if listed else None,
        request.app[SETTINGS].graph.facebook_app_id,
        asked.find,
    )
    preset = channel.settings.auto_resume_minutes
    return {
        "server_now": now,
        "items": items_of(stretch.messages, known, now.date()),
        "newest_at": newest_at(stretch.messages),
        "silence": None
        if asked.find or asked.before
        else silence(
            stretch.messages,
            paused=not channel.enabled,
            who=None if bar.kind == "assistant" else bar.who,
            ours=takeover.thread is None or takeover.thread.ours,
        ),
        "bar": bar,
        "bar_until": until_words(bar.until, now),
        "composer": composer,
        "timers": timers(preset),
        "preset": str(preset) if preset else "none",
        "shortest": SHORTEST,
        "longest": LONGEST,
        "longest_text": LONGEST_TEXT,
        "cursor_at": _cursor_at,
    }


def _situation(row: Row, channel: ConnectedChannel, takeover: Takeover) -> Situation:
    refusal = takeover.human_agent
    return Situation(
        name=row.shown_name,
        last_user_message_at=row.last_user_message_at,
        is_enabled=channel.enabled,
        status=channel.status,
        status_words=channel.state.words,
        thread_ours=takeover.thread is None or takeover.thread.ours,
        refused_at=refusal.refused_at if refusal else None,
        refusal=refusal.explanation if refusal else "",
        refusal_advice=refusal.advice if refusal else "",
    )


async def _stretch(request: web.Request, row: Row, asked: Asked) -> Stretch:
    try:
        found, earlier = (
            await request.app[INBOX]
            .get()
            .messages(
                visitor_of(request).workspace.id,
                row.id,
                cursor=asked.before,
                limit=AT_ONCE,
                search=asked.find or None,
            )
        )
    except BadCursorError:
        raise web.HTTPBadRequest(text="Open the conversation again.") from None
    except ServiceAwayError as error:
        reference = secrets.token_hex(4)
        log.warning("thread_away", service=error.service, reason=reference)
        return Stretch(away=reference)
    messages = [Message.model_validate(each) for each in reversed(found)]
    return Stretch(tuple(messages), earlier)


def _takeover(request: web.Request, row: Row) -> Awaitable[Takeover]:
    workspace = visitor_of(request).workspace
    return request.app[TAKEOVERS].get().state(workspace.id, row.id)


def _deliveries(request: web.Request, row: Row) -> Awaitable[Listed]:
    workspace = visitor_of(request).workspace
    return request.app[DELIVERIES].get().of_conversation(workspace.id, row.id)


async def _or_none(asked: Awaitable[T]) -> T | None:
    """None: the service is away."""
    try:
        return await asked
    except ServiceAwayError as error:
        log.warning("thread_part_away", service=error.service)
        return None


def _by_row(row: Row) -> Takeover:
    """As the events tell, where the takeover service gives no answer."""
    return Takeover(
        mode=row.mode,
        epoch=row.epoch,
        by=row.by,
        by_name=row.by_name,
        since=row.since,
        auto_resume_at=row.auto_resume_at,
        thread=ThreadControl(ours=row.thread_ours),
    )


def _cursor_at(message: Message) -> str:
    """Where a stretch has to begin that ends with this message."""
    return cursor_of(message.at + timedelta(milliseconds=1), "")
