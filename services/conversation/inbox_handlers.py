"""The internal HTTP API of the inbox: rows listed, searched, counted; looked at, and done.

| | |
|---|---|
| `POST /internal/v1/inbox/list` | `{conversations: [row], next}` |
| `POST /internal/v1/inbox/counts` | `{needs_human, mine, assistant, all, done, unread}` |
| `POST /internal/v1/inbox/rows` | `{conversations: [row]}`, those that there are |
| `POST /internal/v1/inbox/{conversation}/seen` | `{conversation: row}`: looked at up to `at` |
| `POST /internal/v1/inbox/{conversation}/done` | `{conversation: row}`: done, or not any more |

No count goes beyond 1000. What is asked for stands in the body, and so in no log. Service token.
"""

from datetime import datetime
from typing import Annotated, Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from libs.common.events import UtcDatetime
from libs.common.mongo import Document
from libs.common.paging import Cursor, cursor_of
from libs.common.web import Late, invalid, problem
from services.conversation.domain.inbox import marked, seen
from services.conversation.inbox_store import InboxStore, Tab, Wanted

INBOX: web.AppKey[Late[InboxStore]] = web.AppKey("inbox", Late)

MOST_PAGES = 1000
MOST_ROWS = 100
LONGEST_SEARCH = 200

Id = Annotated[str, Field(min_length=1, max_length=200)]
B = TypeVar("B", bound=BaseModel)


class Body(BaseModel):
    """Nothing that is not known is let pass: it would be ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CountsBody(Body):
    """Whose conversations: those of these Pages. `by`: whose own."""

    pages: list[Id] = Field(max_length=MOST_PAGES)
    by: Id | None = None


class ListBody(CountsBody):
    """Which of them, and which stretch of the list."""

    tab: Tab = "all"
    unread: bool = False
    search: str | None = Field(None, max_length=LONGEST_SEARCH)
    cursor: Cursor | None = None
    limit: int = Field(50, ge=1, le=100)


class RowsBody(Body):
    """Which ones."""

    conversations: list[Id] = Field(max_length=MOST_ROWS)


class SeenBody(Body):
    """The moment of the newest message that was looked at."""

    at: UtcDatetime


class DoneBody(Body):
    """Done, or open again. `wrote_at`: done only if the person has not written since then."""

    done: bool
    wrote_at: UtcDatetime | None = None


def add_inbox_routes(app: web.Application) -> None:
    app[INBOX] = Late("the database")
    app.router.add_post("/internal/v1/inbox/list", list_rows)
    app.router.add_post("/internal/v1/inbox/counts", count_rows)
    app.router.add_post("/internal/v1/inbox/rows", show_rows)
    app.router.add_post("/internal/v1/inbox/{conversation}/seen", mark_seen)
    app.router.add_post("/internal/v1/inbox/{conversation}/done", mark_done)


async def list_rows(request: web.Request) -> web.Response:
    """POST: who waits for a human by how long they have, the others by their latest activity."""
    body = await _body(request, ListBody)
    if isinstance(body, web.Response):
        return body
    wanted = Wanted(body.pages, body.tab, body.by, body.unread, body.search)
    found = await request.app[INBOX].get().listed(wanted, body.cursor, body.limit)
    shown = [row_shown(each) for each in found]
    following = _next(found, body.tab) if len(found) == body.limit else None
    return web.json_response({"conversations": shown, "next": following})


async def count_rows(request: web.Request) -> web.Response:
    """POST: how many each tab has."""
    body = await _body(request, CountsBody)
    if isinstance(body, web.Response):
        return body
    return web.json_response(await request.app[INBOX].get().counts(body.pages, body.by))


async def show_rows(request: web.Request) -> web.Response:
    """POST: rows by their ids, in no order."""
    body = await _body(request, RowsBody)
    if isinstance(body, web.Response):
        return body
    found = await request.app[INBOX].get().rows(body.conversations)
    return web.json_response({"conversations": [row_shown(each) for each in found]})


async def mark_seen(request: web.Request) -> web.Response:
    """POST: nothing up to that moment is unread any more. Harmless again."""
    body = await _body(request, SeenBody)
    if isinstance(body, web.Response):
        return body
    name, at = request.match_info["conversation"], body.at
    return _changed(await request.app[INBOX].get().change(name, lambda row: seen(row, at)))


async def mark_done(request: web.Request) -> web.Response:
    """POST: the person's next message opens it again. As it was: they have just written."""
    body = await _body(request, DoneBody)
    if isinstance(body, web.Response):
        return body
    name = request.match_info["conversation"]
    rows = request.app[INBOX].get()
    return _changed(
        await rows.change(name, lambda row: marked(row, done=body.done, wrote_at=body.wrote_at))
    )


async def _body(request: web.Request, model: type[B]) -> B | web.Response:
    try:
        return model.model_validate_json(await request.read())
    except ValidationError as error:
        return invalid(error, "invalid_body")


def _changed(document: Document | None) -> web.Response:
    if document is None:
        return problem(404, "not_found", "there is no such conversation")
    return web.json_response({"conversation": row_shown(document)})


def _next(found: list[Document], tab: Tab) -> str:
    latest = found[-1]
    at = latest["asked_at"] if tab == "needs_human" else latest["last_activity_at"]
    return cursor_of(at, latest["_id"])


_SHOWN = (
    "last_activity_at",
    "last_user_message_at",
    "inbound_count",
    "outbound_count",
    "unread",
    "mode",
    "epoch",
    "by",
    "by_name",
    "since",
    "auto_resume_at",
    "takeover_reason",
    "thread_ours",
    "held",
    "failed",
    "done",
    "first_seen_at",
    "heard",
)
_LAST = ("direction", "origin", "by_name", "kind", "text", "at")
_ASKED = ("reason", "summary", "at")


def row_shown(document: Document) -> Document:
    """A row as JSON."""
    page_id, _, psid = document["_id"].partition(":")
    row = document["row"]
    return {
        "id": document["_id"],
        "page_id": page_id,
        "psid": psid,
        "name": document.get("name"),
        "picture_url": document.get("picture_url"),
        **{name: _plain(row.get(name)) for name in _SHOWN},
        "last": _some(row.get("last"), _LAST),
        "asked": _some(row.get("asked"), _ASKED),
    }


def _some(fields: Document | None, names: tuple[str, ...]) -> Document | None:
    return {name: _plain(fields.get(name)) for name in names} if fields else None


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever the database holds
    return value.isoformat() if isinstance(value, datetime) else value
