"""The internal HTTP API: parts that were held, failed or wait, for the console. Service token.

| | |
|---|---|
| `GET /internal/v1/pages/{page_id}/deliveries` | `{deliveries: [...], next}`, the latest first |
| `GET /internal/v1/conversations/{conversation}/deliveries` | the same, of one conversation |
| `GET /internal/v1/conversations/{conversation}/stored` | `{deliveries: [...]}`, as kept |
| `GET /internal/v1/pages/{page_id}/waiting` | `{waiting: {why: count}}`: commands put away |
| `POST /internal/v1/deliveries/{send_id}/send-again` | 202 `{delivery}`: it will be sent |
| `POST /internal/v1/deliveries/{send_id}/discard` | 200 `{delivery}`: it will not |

Lists: `state` is `held`, `failed` or `again` (to be sent again, on its way); all of them without.
`limit` (1 to 200) entries, and `next`, to be given back as `cursor` for those that follow; null at
the end. What was discarded is not listed.

Decisions: the body may hold `{"generation": n}` as it was listed; somebody else's decision since
then is 409 then. 404: no such part. 409 `already_sent`: its echo came meanwhile; `changed`;
`discarded`; `not_kept`: its workspace keeps its text no longer; `superseded_by_human`. Asked for
twice, a decision has its effect once. What becomes of the part is told on the log as
`message.sent`, `message.failed` or `message.held`.
"""

import json
from typing import Any, Literal

from aiohttp import web
from pydantic import BaseModel, Field, ValidationError

from libs.common.paging import Cursor, cursor_of
from libs.common.web import Late, invalid, problem
from services.sender.decisions import Decisions, NoSuchPartError, NotPossibleError
from services.sender.domain.deliveries import Delivery
from services.sender.erasing import PersonEraser
from services.sender.kept_store import KeptStore
from services.sender.review_store import OPEN_STATES, ReviewStore

REVIEW: web.AppKey[Late[ReviewStore]] = web.AppKey("review", Late)
STORED: web.AppKey[Late[PersonEraser]] = web.AppKey("stored", Late)
KEPT: web.AppKey[Late[KeptStore]] = web.AppKey("kept", Late)
DECISIONS: web.AppKey[Late[Decisions]] = web.AppKey("decisions", Late)


class ListQuery(BaseModel):
    """Which stretch of which list is asked for."""

    state: Literal["held", "failed", "again"] | None = None
    cursor: Cursor | None = None
    limit: int = Field(50, ge=1, le=200)


class Decision(BaseModel):
    """The body of a decision."""

    generation: int | None = Field(None, ge=0)


def add_routes(app: web.Application) -> None:
    app.router.add_get("/internal/v1/pages/{page_id}/deliveries", list_of_page)
    app.router.add_get("/internal/v1/conversations/{conversation}/deliveries", list_of_conversation)
    app.router.add_get("/internal/v1/conversations/{conversation}/stored", show_stored)
    app.router.add_get("/internal/v1/pages/{page_id}/waiting", waiting_of_page)
    app.router.add_post("/internal/v1/deliveries/{send_id}/send-again", send_again)
    app.router.add_post("/internal/v1/deliveries/{send_id}/discard", discard)


async def list_of_page(request: web.Request) -> web.Response:
    """GET: what was held or has failed for a Page."""
    return await _listed(request, {"page_id": request.match_info["page_id"]})


async def list_of_conversation(request: web.Request) -> web.Response:
    """GET: what was held or has failed in a conversation."""
    return await _listed(request, {"conversation": request.match_info["conversation"]})


async def show_stored(request: web.Request) -> web.Response:
    """GET: everything that is kept of what was sent to a person."""
    found = await request.app[STORED].get().stored(request.match_info["conversation"])
    return web.json_response({"deliveries": found}, dumps=_dumped)


async def waiting_of_page(request: web.Request) -> web.Response:
    """GET: what waits until the Page may send again, counted by why."""
    counts = await request.app[KEPT].get().counts(request.match_info["page_id"])
    return web.json_response({"waiting": counts})


async def send_again(request: web.Request) -> web.Response:
    """POST: send the part once more."""
    return await _decide(request, 202)


async def discard(request: web.Request) -> web.Response:
    """POST: give the part up, or take it off the list."""
    return await _decide(request, 200)


async def _listed(request: web.Request, whose: dict[str, str]) -> web.Response:
    try:
        query = ListQuery.model_validate(dict(request.query))
    except ValidationError as error:
        return invalid(error, "invalid_query")
    states = [query.state] if query.state else OPEN_STATES
    found = await request.app[REVIEW].get().listed(whose, states, query.cursor, query.limit)
    shown = [_shown(delivery) for delivery in found]
    return web.json_response({"deliveries": shown, "next": _next(found, query.limit)})


async def _decide(request: web.Request, status: int) -> web.Response:
    try:
        wanted = Decision.model_validate_json(await request.read() or b"{}")
    except ValidationError as error:
        return invalid(error, "invalid_body")
    decisions = request.app[DECISIONS].get()
    decide = decisions.send_again if status == 202 else decisions.discard
    try:
        delivery = await decide(request.match_info["send_id"], wanted.generation)
    except NoSuchPartError:
        return problem(404, "not_found", "there is no such part")
    except NotPossibleError as error:
        return problem(409, error.reason, str(error))
    return web.json_response({"delivery": _shown(delivery)}, status=status)


def _dumped(document: object) -> str:
    return json.dumps(document, default=str)


def _shown(delivery: Delivery) -> dict[str, Any]:
    shown = delivery.model_dump(mode="json")
    conversation = f"{delivery.page_id}:{delivery.psid}"
    return {"id": shown.pop("send_id"), "conversation": conversation, **shown}


def _next(found: list[Delivery], limit: int) -> str | None:
    """The cursor of the last entry shown, if there may be more behind it."""
    if len(found) < limit:
        return None
    return cursor_of(found[-1].at, found[-1].send_id)
