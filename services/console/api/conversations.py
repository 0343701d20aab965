"""`/api/v1`: conversations, their messages, and marking them as done."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from services.console.api.operations import NOT_FOUND, Body, Call, Operation, Refusal, Shown
from services.console.api.privacy import BAD_CURSOR, SERVICE_AWAY, AwayError
from services.console.domain.inbox import LONGEST_SEARCH, Filters, Row, Tab
from services.console.domain.tokens import Scope
from services.console.inbox import Inbox, Looking
from services.console.internal import ServiceAwayError
from services.console.web.live import touched
from services.console.web.pages import INBOX

CURSOR = Field(None, max_length=300, description="`next` of the answer before")


class LastShown(Shown):
    """The latest message of a conversation, in one line."""

    direction: Literal["in", "out"]
    origin: Literal["person", "assistant", "human", "human_facebook"]
    by_name: str | None = Field(description="who wrote it, of a human's")
    kind: Literal["text", "attachment", "postback", "deleted"]
    text: str
    at: datetime


class AskedShown(Shown):
    """The call for a human that nobody has followed yet."""

    reason: str
    summary: str
    at: datetime


class ConversationShown(Shown):
    """One Page with one person."""

    id: str = Field(description="`page:person`")
    page_id: str
    psid: str = Field(description="the person's page-scoped id")
    name: str | None = Field(description="as Facebook says; null: it says nothing")
    mode: Literal["ai", "human"] = Field(description="who answers")
    epoch: int = Field(description="one more with each change of who answers")
    by: str | None = Field(
        description="of `human`: the account, or `facebook`: in Meta's own inbox"
    )
    by_name: str | None
    since: datetime | None
    auto_resume_at: datetime | None = Field(description="when the assistant comes back by itself")
    asked: AskedShown | None = Field(description="null: nobody wants a human, or one came")
    last: LastShown | None
    last_activity_at: datetime | None
    last_user_message_at: datetime | None = Field(description="the reply window counts from it")
    first_seen_at: datetime | None
    inbound_count: int
    outbound_count: int
    unread: int = Field(description="what the person wrote since somebody looked")
    held: int = Field(description="messages of which nobody knows whether they were sent")
    failed: int = Field(description="messages not sent since the person's last one")
    done: bool

    @classmethod
    def of(cls, row: Row) -> "ConversationShown":
        return cls.model_validate({name: getattr(row, name) for name in _FIELDS} | _parts(row))


_FIELDS = tuple(name for name in ConversationShown.model_fields if name not in ("asked", "last"))


def _parts(row: Row) -> dict[str, Any]:
    return {
        "asked": row.asked.model_dump() if row.asked else None,
        "last": row.last.model_dump() if row.last else None,
    }


class ConversationList(Shown):
    """A stretch of the list. The longest wait first in `needs_human`, else the latest first."""

    conversations: list[ConversationShown]
    next: str | None = Field(description="the `cursor` of what follows; null at the end")


class ConversationsWanted(Body):
    """Which conversations, and which stretch of them."""

    tab: Tab = Field("all", description="`all`: what is not done; `mine`: the token's account's")
    page: str | None = Field(None, pattern=r"^[0-9]{1,32}$", description="null: every Page")
    unread: bool = Field(False, description="only those with something unread")
    search: str = Field("", max_length=LONGEST_SEARCH, description="beginnings of the name's words")
    cursor: str | None = CURSOR
    limit: int = Field(50, ge=1, le=100)


class MessageList(Shown):
    """A stretch of a conversation, the newest first."""

    messages: list[dict[str, Any]] = Field(
        description="as they are kept: `id`, `direction`, `origin`, `text`, `status`, `at`, and "
        "why each was sent or not"
    )
    next: str | None = Field(description="the `cursor` of what follows; null at the end")


class MessagesWanted(Body):
    """Which stretch of a conversation."""

    search: str = Field("", max_length=LONGEST_SEARCH, description="part of the text")
    cursor: str | None = CURSOR
    limit: int = Field(50, ge=1, le=200)


class DoneWanted(Body):
    """Done, or open again."""

    done: bool


async def list_conversations(call: Call) -> ConversationList:
    query: ConversationsWanted = call.query
    filters = Filters(query.tab, query.page, query.unread, query.search.strip())
    looking = Looking(call.workspace_id, call.caller.actor.account_id)
    with _told():
        found = await _inbox(call).conversations(
            looking, filters, cursor=query.cursor, limit=query.limit
        )
    shown = [ConversationShown.of(row) for row in found.conversations]
    return ConversationList(conversations=shown, next=found.next)


async def show_conversation(call: Call) -> ConversationShown:
    with _told():
        row = await _inbox(call).row(call.workspace_id, call.path["conversation"])
    return ConversationShown.of(row)


async def list_messages(call: Call) -> MessageList:
    query: MessagesWanted = call.query
    with _told():
        found, following = await _inbox(call).messages(
            call.workspace_id,
            call.path["conversation"],
            cursor=query.cursor,
            limit=query.limit,
            search=query.search.strip() or None,
        )
    return MessageList(messages=found, next=following)


async def mark_done(call: Call) -> ConversationShown:
    wanted: DoneWanted = call.body
    with _told():
        row = await _inbox(call).set_done(
            call.caller.actor, call.path["conversation"], done=wanted.done
        )
    touched(call.request, row.id)
    return ConversationShown.of(row)


@contextmanager
def _told() -> Iterator[None]:
    """An error of the service behind, as one that is documented."""
    try:
        yield
    except ServiceAwayError as error:
        raise AwayError(str(error)) from None


def _inbox(call: Call) -> Inbox:
    return call.request.app[INBOX].get()


KNOWN: tuple[Refusal, ...] = (NOT_FOUND, SERVICE_AWAY)

CONVERSATION_OPERATIONS = (
    Operation(
        "GET",
        "/conversations",
        "listConversations",
        "List conversations",
        "Conversations",
        Scope.CONVERSATIONS_READ,
        list_conversations,
        ConversationList,
        query=ConversationsWanted,
        refusals=(BAD_CURSOR, SERVICE_AWAY),
    ),
    Operation(
        "GET",
        "/conversations/{conversation}",
        "getConversation",
        "Show a conversation: who answers, and how it stands",
        "Conversations",
        Scope.CONVERSATIONS_READ,
        show_conversation,
        ConversationShown,
        refusals=KNOWN,
    ),
    Operation(
        "GET",
        "/conversations/{conversation}/messages",
        "listMessages",
        "Read a conversation's messages, the newest first",
        "Conversations",
        Scope.CONVERSATIONS_READ,
        list_messages,
        MessageList,
        query=MessagesWanted,
        refusals=(*KNOWN, BAD_CURSOR),
    ),
    Operation(
        "POST",
        "/conversations/{conversation}/done",
        "markConversationDone",
        "Mark a conversation as done, or open it again; the person's next message opens it, too",
        "Conversations",
        Scope.CONVERSATIONS_WRITE,
        mark_done,
        ConversationShown,
        body=DoneWanted,
        refusals=KNOWN,
    ),
)
