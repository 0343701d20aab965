"""The internal HTTP API: conversations and their messages, for the console.

Lists are paged: `limit` (1 to 200) entries, and `next`, to be given back as `cursor` for those that
follow; null at the end.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, Field, ValidationError

from libs.common.mongo import Document
from libs.common.paging import Cursor, cursor_of
from libs.common.web import Late, invalid, problem
from services.conversation.contacts_handlers import CONTACTS, person_shown
from services.conversation.domain.archive import reactions_id, status_of, view
from services.conversation.domain.state import Mode
from services.conversation.erasing import PersonReader
from services.conversation.store import ConversationStore

STORE: web.AppKey[Late[ConversationStore]] = web.AppKey("store", Late)
PEOPLE: web.AppKey[Late[PersonReader]] = web.AppKey("people", Late)


class PageQuery(BaseModel):
    """Which stretch of a list is asked for."""

    cursor: Cursor | None = None
    limit: int = Field(50, ge=1, le=200)


class MessagesQuery(PageQuery):
    """Which messages are asked for: `search`, those that say this, in whatever case."""

    search: str | None = Field(None, max_length=200)


class ConversationsQuery(PageQuery):
    """Which conversations are asked for; without `mode`, all."""

    mode: Mode | None = None


Q = TypeVar("Q", bound=PageQuery)


def add_routes(app: web.Application) -> None:
    app.router.add_get("/internal/v1/pages/{page_id}/conversations", list_conversations)
    app.router.add_get("/internal/v1/conversations/{conversation}/messages", list_messages)
    app.router.add_get("/internal/v1/conversations/{conversation}/stored", show_stored)


async def list_conversations(request: web.Request) -> web.Response:
    """GET: `{conversations: [{id, psid, mode, inbound_count, last_activity_at, …}], next}`.

    `human_requested` is `{reason, summary, at}` while a human is wanted and none has come.
    `takeover` is `{by, by_name, since, auto_resume_at, reason}` while a human has it. `thread` is
    `{ours, owner_app_id, since}`: whether another app has it at Meta. `mode=human` or `mode=ai`
    leaves the others out.
    """
    query = _query(request, ConversationsQuery)
    if isinstance(query, web.Response):
        return query
    store = request.app[STORE].get()
    found = await store.conversations(
        request.match_info["page_id"], query.cursor, query.limit, query.mode
    )
    people = await request.app[CONTACTS].get().people([each["_id"] for each in found])
    shown = [_conversation(each) | person_shown(people.get(each["_id"])) for each in found]
    return web.json_response(
        {"conversations": shown, "next": _next(found, "last_activity_at", query.limit)}
    )


async def list_messages(request: web.Request) -> web.Response:
    """GET: `{messages: [{id, direction, origin, text, status, at, …}], next}`, the newest first.

    What Meta has told us of by an echo is `echoed`. `text` is the latest; `edits` counts them.
    `reactions` are those not taken back. `by` and `by_name` say who wrote a human's message. What
    has `kind` `system` is no message: `event` says that a human was called for, took over, extended
    it or ended it, or that another app has, wants or gave back the thread; `messages.expired`, at
    the very end, that older ones went after so many `days`. Of our own messages it also tells why
    they went out, or did not: `rule`, `messaging_type`, `tag`, `window_expires_at`, `epoch`,
    `attempts`, and Meta's answer where it refused.
    """
    query = _query(request, MessagesQuery)
    if isinstance(query, web.Response):
        return query
    store = request.app[STORE].get()
    conversation = await store.conversation(request.match_info["conversation"])
    if conversation is None:
        return problem(404, "not_found", "there is no such conversation")
    found = await store.messages(
        conversation["_id"], query.cursor, query.limit, (query.search or "").strip() or None
    )
    ours = [name for name in map(reactions_id, found) if name is not None]
    reactions = await store.reactions(ours) if ours else {}
    shown = [_message(each, conversation, reactions) for each in found]
    following = _next(found, "at", query.limit)
    if following is None and not query.search:
        shown += _expired(conversation)
    return web.json_response({"messages": shown, "next": following})


async def show_stored(request: web.Request) -> web.Response:
    """GET: `{conversation, person, contact}`, all that is kept but the messages; null: nothing."""
    name = request.match_info["conversation"]
    facts = await request.app[PEOPLE].get().facts(name)
    return web.json_response(facts, dumps=_dumped)


def _dumped(facts: object) -> str:
    return json.dumps(facts, default=_plain)


def _query(request: web.Request, model: type[Q]) -> Q | web.Response:
    try:
        return model.model_validate(dict(request.query))
    except ValidationError as error:
        return invalid(error, "invalid_query")


def _next(found: list[Document], moment: str, limit: int) -> str | None:
    """The cursor of the last entry shown, if there may be more behind it."""
    if len(found) < limit or found[-1].get(moment) is None:
        return None
    return cursor_of(found[-1][moment], found[-1]["_id"])


def _conversation(document: Document) -> Document:
    takeover = document.get("takeover") or {}
    names = ("page_id", "psid", "last_user_message_at", "last_activity_at")
    return {
        "id": document["_id"],
        "mode": takeover.get("mode") or "ai",
        "takeover": _takeover(takeover),
        "thread": _thread(takeover.get("thread")),
        "human_requested": _badge(document.get("requested"), takeover),
        "inbound_count": document.get("inbound_count", 0),
        **{name: _plain(document.get(name)) for name in names},
    }


def _takeover(takeover: Document) -> Document | None:
    """Who has the conversation instead of the assistant."""
    if takeover.get("mode") != "human":
        return None
    names = ("by", "by_name", "since", "auto_resume_at", "reason")
    return {name: _plain(takeover.get(name)) for name in names}


def _thread(thread: Document | None) -> Document:
    """Which app may write, as Meta has told; ours as long as it has told nothing."""
    names = ("owner_app_id", "since")
    told = thread or {}
    return {"ours": told.get("ours", True), **{name: _plain(told.get(name)) for name in names}}


def _badge(requested: Document | None, takeover: Document) -> Document | None:
    """The call for a human that nobody has followed yet: any takeover since then has."""
    if requested is None or takeover.get("epoch", 0) > requested["epoch"]:
        return None
    return {name: _plain(requested[name]) for name in ("reason", "summary", "at")}


def _message(
    document: Document, conversation: Document, reactions: Mapping[str, Document]
) -> Document:
    hidden = ("_id", "source", "meta_at")
    message = view(document, reactions.get(reactions_id(document) or ""))
    shown = {name: _plain(value) for name, value in message.items() if name not in hidden}
    if "attachments" in shown:
        shown["attachments"] = [_attachment(item) for item in shown["attachments"]]
    if "reactions" in shown:
        shown["reactions"] = [{**each, "at": _plain(each["at"])} for each in shown["reactions"]]
    if document.get("kind") == "system":
        return {"id": document["_id"], **shown}
    if "echo" in document:
        shown["echoed"] = True
    return {"id": document["_id"], **shown, "status": status_of(message, conversation)}


def _expired(conversation: Document) -> list[Document]:
    """A line in place of what is not kept any more."""
    if (expired := conversation.get("expired")) is None:
        return []
    name = f"{conversation['_id']}:expired"
    line = {"id": name, "kind": "system", "event": "messages.expired", "days": expired["days"]}
    return [{**line, "at": _plain(expired["until"])}]


def _attachment(attachment: Document) -> Document:
    shown = dict(attachment)
    if (payload := shown.pop("payload_json", None)) is not None:
        shown["payload"] = json.loads(payload)
    return shown


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever the database holds
    return value.isoformat() if isinstance(value, datetime) else value
