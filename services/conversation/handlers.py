"""The internal HTTP API: conversations and their messages, for the console.

Paged by `before` (an ISO 8601 moment of the previous page's last entry) and `limit` (1 to 200).
"""

from datetime import datetime
from typing import Any

from aiohttp import web
from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from libs.common.mongo import Document
from libs.common.web import Late, problem
from services.conversation.domain.archive import status_of
from services.conversation.store import ConversationStore

STORE: web.AppKey[Late[ConversationStore]] = web.AppKey("store", Late)


class PageQuery(BaseModel):
    """Which stretch of a list is asked for."""

    before: AwareDatetime | None = None
    limit: int = Field(50, ge=1, le=200)


def add_routes(app: web.Application) -> None:
    app.router.add_get("/internal/v1/pages/{page_id}/conversations", list_conversations)
    app.router.add_get("/internal/v1/conversations/{conversation}/messages", list_messages)


async def list_conversations(request: web.Request) -> web.Response:
    """GET: `{conversations: [{id, psid, mode, inbound_count, last_activity_at, …}]}`."""
    query = _query(request)
    if isinstance(query, web.Response):
        return query
    store = request.app[STORE].get()
    found = await store.conversations(request.match_info["page_id"], query.before, query.limit)
    return web.json_response({"conversations": [_conversation(document) for document in found]})


async def list_messages(request: web.Request) -> web.Response:
    """GET: `{messages: [{id, direction, origin, text, status, at, …}]}`, the newest first."""
    query = _query(request)
    if isinstance(query, web.Response):
        return query
    store = request.app[STORE].get()
    conversation = await store.conversation(request.match_info["conversation"])
    if conversation is None:
        return problem(404, "not_found", "there is no such conversation")
    messages = await store.messages(conversation["_id"], query.before, query.limit)
    return web.json_response({"messages": [_message(item, conversation) for item in messages]})


def _query(request: web.Request) -> PageQuery | web.Response:
    try:
        return PageQuery.model_validate(dict(request.query))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        return problem(422, "invalid_query", first["msg"], field=str(first["loc"][0]))


def _conversation(document: Document) -> Document:
    takeover = document.get("takeover") or {}
    names = ("page_id", "psid", "inbound_count", "last_user_message_at", "last_activity_at")
    return {
        "id": document["_id"],
        "mode": takeover.get("mode", "ai"),
        **{name: _plain(document.get(name)) for name in names},
    }


def _message(document: Document, conversation: Document) -> Document:
    shown = {name: _plain(value) for name, value in document.items() if name != "_id"}
    status = status_of(
        document, conversation.get("delivered_ms", 0), conversation.get("read_ms", 0)
    )
    return {"id": document["_id"], **shown, "status": status}


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever the database holds
    return value.isoformat() if isinstance(value, datetime) else value
