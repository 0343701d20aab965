"""The internal HTTP API, for the console. `docs/openapi-takeover.json` describes it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from libs.common.paging import After, cursor_of
from libs.common.web import Late, invalid, problem
from services.takeover.api import (
    LONGEST_KEY,
    ExtendBody,
    HumanAgent,
    ListedTakeover,
    ListQuery,
    MessageAnswer,
    MessageBody,
    ResumeBody,
    TakeBody,
    TakeoverList,
    TakeoverState,
    openapi,
)
from services.takeover.domain.transitions import Command, Extend, Resume, Take
from services.takeover.human_agent import TagRefusal
from services.takeover.keeper import Keeper, Outcome, UnknownConversationError
from services.takeover.messages import Denied, KeyReusedError, Writer, Written, needs_tag
from services.takeover.roster import Row
from services.takeover.store import Found

B = TypeVar("B", bound=BaseModel)

IDEMPOTENCY_KEY = "Idempotency-Key"


class Rows(Protocol):
    """What the list needs of `Roster`."""

    async def listed(self, page_id: str, after: After | None, limit: int) -> list[Row]: ...


class Permissions(Protocol):
    """What is needed of `HumanAgentStore`."""

    async def refusal(self, page_id: str) -> TagRefusal | None: ...


KEEPER: web.AppKey[Late[Keeper]] = web.AppKey("keeper", Late)
WRITER: web.AppKey[Late[Writer]] = web.AppKey("writer", Late)
ROWS: web.AppKey[Late[Rows]] = web.AppKey("rows", Late)
PERMISSIONS: web.AppKey[Late[Permissions]] = web.AppKey("permissions", Late)


def add_routes(app: web.Application) -> None:
    conversation = "/internal/v1/conversations/{conversation}"
    app.router.add_post(f"{conversation}/takeover", take)
    app.router.add_get(f"{conversation}/takeover", show)
    app.router.add_post(f"{conversation}/takeover/extend", extend)
    app.router.add_post(f"{conversation}/takeover/resume", resume)
    app.router.add_post(f"{conversation}/messages", write)
    app.router.add_get("/internal/v1/pages/{page_id}/takeovers", list_of_page)
    app.router.add_get("/internal/v1/pages/{page_id}/human-agent", human_agent_of_page)
    app.router.add_get("/internal/v1/openapi.json", describe)


async def take(request: web.Request) -> web.Response:
    """POST: answer only when no message of the assistant can leave any more."""
    body = await _body(request, TakeBody)
    if isinstance(body, web.Response):
        return body
    command = Take(body.by, body.by_name, body.auto_resume_minutes, body.take_from)
    return await _carry_out(request, command, until_quiet=True)


async def extend(request: web.Request) -> web.Response:
    """POST: another timer."""
    body = await _body(request, ExtendBody)
    if isinstance(body, web.Response):
        return body
    return await _carry_out(request, Extend(body.by, body.auto_resume_minutes, body.by_name))


async def resume(request: web.Request) -> web.Response:
    """POST: hand back to the assistant."""
    body = await _body(request, ResumeBody)
    if isinstance(body, web.Response):
        return body
    return await _carry_out(request, Resume(body.by, body.by_name))


async def show(request: web.Request) -> web.Response:
    """GET: who has the conversation."""
    try:
        found = await request.app[KEEPER].get().find(request.match_info["conversation"])
    except UnknownConversationError:
        return _unknown()
    return await _state(request, found)


async def write(request: web.Request) -> web.Response:
    """POST: a human's message, sent once for each key."""
    body = await _body(request, MessageBody)
    if isinstance(body, web.Response):
        return body
    key = request.headers.get(IDEMPOTENCY_KEY, "").strip()
    if not 0 < len(key) <= LONGEST_KEY or not key.isascii():
        words = f"give each message a key of 1 to {LONGEST_KEY} ASCII characters"
        return problem(422, "invalid_header", words, field=IDEMPOTENCY_KEY)
    written = Written(key, body.by, body.by_name, body.text)
    conversation = request.match_info["conversation"]
    try:
        answer = await request.app[WRITER].get().write(conversation, written)
    except UnknownConversationError:
        return _unknown()
    except KeyReusedError:
        words = "this key belongs to another message: use a new one"
        return problem(422, "idempotency_key_reused", words, field=IDEMPOTENCY_KEY)
    if isinstance(answer, Denied):
        return problem(409, answer.code, answer.message, facts=_plain(answer.facts))
    refusal = None
    if needs_tag(answer):
        page_id = conversation.partition(":")[0]
        refusal = await request.app[PERMISSIONS].get().refusal(page_id)
    shown = MessageAnswer.model_validate(
        {
            "command_id": answer.command_id,
            "window": answer.window,
            "waits_for": answer.waits_for,
            "human_agent": refusal,
        }
    )
    return _json(shown, 202)


async def list_of_page(request: web.Request) -> web.Response:
    """GET: the Page's conversations in takeover."""
    try:
        query = ListQuery.model_validate(dict(request.query))
    except ValidationError as error:
        return invalid(error, "invalid_query")
    rows = request.app[ROWS].get()
    found = await rows.listed(request.match_info["page_id"], query.cursor, query.limit)
    last = found[-1] if len(found) == query.limit else None
    following = cursor_of(last.since, last.conversation) if last and last.since else None
    shown = [ListedTakeover.model_validate(row.model_dump()) for row in found]
    return _json(TakeoverList(takeovers=shown, next=following), 200)


async def human_agent_of_page(request: web.Request) -> web.Response:
    """GET: whether Meta refuses the Page's messages after 24 hours."""
    refusal = await request.app[PERMISSIONS].get().refusal(request.match_info["page_id"])
    return _json(HumanAgent(refusal=refusal), 200)


async def describe(_request: web.Request) -> web.Response:
    """GET: this API as an OpenAPI document."""
    return web.json_response(openapi())


async def _carry_out(
    request: web.Request, command: Command, *, until_quiet: bool = False
) -> web.Response:
    keeper = request.app[KEEPER].get()
    try:
        outcome = await keeper.carry_out(request.match_info["conversation"], command)
    except UnknownConversationError:
        return _unknown()
    if outcome.refused is not None:
        return _refused(outcome)
    if until_quiet:
        await keeper.until_quiet(outcome.found)
    return await _state(request, outcome.found)


def _refused(outcome: Outcome) -> web.Response:
    state = outcome.found.state
    if outcome.refused is not None and outcome.refused.code == "already_taken":
        names = ("by", "by_name", "since", "auto_resume_at")
        facts = {name: getattr(state, name) for name in names}
        return problem(409, "already_taken", "somebody else has it", facts=_plain(facts))
    return problem(409, "not_taken_over", "the assistant has the conversation")


async def _state(request: web.Request, found: Found) -> web.Response:
    page_id = found.conversation.partition(":")[0]
    refusal = await request.app[PERMISSIONS].get().refusal(page_id)
    names = TakeoverState.model_fields.keys() - {"conversation", "human_agent"}
    facts = {name: getattr(found.state, name) for name in names}
    state = TakeoverState(conversation=found.conversation, human_agent=refusal, **facts)
    return _json(state, 200)


async def _body(request: web.Request, model: type[B]) -> B | web.Response:
    try:
        return model.model_validate_json(await request.read())
    except ValidationError as error:
        return invalid(error, "invalid_body")


def _unknown() -> web.Response:
    return problem(404, "not_found", "nobody has ever written in this conversation")


def _json(model: BaseModel, status: int) -> web.Response:
    return web.json_response(model.model_dump(mode="json"), status=status)


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in facts.items()
    }
