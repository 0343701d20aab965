"""The inbox: conversations of a workspace's Pages, as the conversation service lists them.

Nothing of them is kept here. Every question names the Pages of the workspace, so that nobody sees
what belongs to another one, whatever id they ask with.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from libs.common.errors import PermanentError
from services.console.audit import Actor, AuditLog
from services.console.channels_store import ChannelStore
from services.console.domain.inbox import Counts, Filters, Listing, Row
from services.console.internal import Internal, ServiceRefusedError
from services.console.records import ConnectedChannel

SHOWN_AT_ONCE = 40
PATH = "/internal/v1/inbox"
_ID = re.compile(r"[0-9]{1,32}:[0-9]{1,32}", re.ASCII)


class UnknownConversationError(PermanentError):
    """There is no such conversation on a Page of the workspace."""

    code = "not_found"


class BadCursorError(PermanentError):
    """It wasn't taken from `next`."""

    code = "bad_cursor"


class WrittenSinceError(PermanentError):
    """It is not done: the person has written something that nobody has seen."""

    code = "written_since"


@dataclass(frozen=True)
class Looking:
    """Who looks: which workspace, and whose conversations are theirs."""

    workspace_id: str
    account_id: str | None


class Inbox:
    """Asks for conversations, and notes that they were looked at or are done."""

    def __init__(self, internal: Internal, channels: ChannelStore, audit: AuditLog) -> None:
        self._internal = internal
        self._channels = channels
        self._audit = audit

    async def pages(self, workspace_id: str) -> dict[str, ConnectedChannel]:
        """The workspace's Pages by id, disconnected ones too: their conversations are kept."""
        found = await self._channels.of_workspace(workspace_id)
        return {each.channel.id: each.channel for each in found}

    async def conversations(
        self,
        looking: Looking,
        filters: Filters,
        *,
        cursor: str | None = None,
        limit: int = SHOWN_AT_ONCE,
    ) -> Listing:
        """A stretch of the list.

        Raises:
            ServiceAwayError
            BadCursorError
        """
        pages = await self._wanted(looking, filters)
        if not pages:
            return Listing()
        body = {
            "pages": pages,
            "tab": filters.tab,
            "by": looking.account_id,
            "unread": filters.unread,
            "search": filters.q or None,
            "cursor": cursor,
            "limit": limit,
        }
        try:
            answer = await self._internal.call("conversation", "POST", f"{PATH}/list", body=body)
        except ServiceRefusedError as error:
            if error.field == "cursor":
                raise BadCursorError("take the cursor from `next` as it is") from None
            raise
        return Listing.model_validate(answer)

    async def counts(self, looking: Looking, filters: Filters) -> Counts:
        """How many there are in each tab, of the wanted Pages. Raises: ServiceAwayError."""
        pages = await self._wanted(looking, filters)
        if not pages:
            return Counts()
        body = {"pages": pages, "by": looking.account_id}
        answer = await self._internal.call("conversation", "POST", f"{PATH}/counts", body=body)
        return Counts.model_validate(answer)

    async def row(self, workspace_id: str, conversation: str) -> Row:
        """One conversation.

        Raises:
            ServiceAwayError
            UnknownConversationError: there is none, or it is another workspace's.
        """
        await self.page_of(workspace_id, conversation)
        rows = await self.rows(workspace_id, [conversation])
        if not rows:
            raise UnknownConversationError("there is no such conversation")
        return rows[0]

    async def rows(self, workspace_id: str, conversations: list[str]) -> list[Row]:
        """Those that there are on Pages of the workspace. Raises: ServiceAwayError."""
        pages = await self.pages(workspace_id)
        ours = [each for each in conversations if _ID.fullmatch(each)]
        ours = [each for each in ours if each.partition(":")[0] in pages]
        if not ours:
            return []
        answer = await self._internal.call(
            "conversation", "POST", f"{PATH}/rows", body={"conversations": ours}
        )
        return list(Listing.model_validate(answer).conversations)

    async def page_of(self, workspace_id: str, conversation: str) -> ConnectedChannel:
        """The Page that a conversation is with.

        Raises: UnknownConversationError: it is not one of the workspace.
        """
        if not _ID.fullmatch(conversation):
            raise UnknownConversationError("there is no such conversation")
        channel = await self._channels.channel(conversation.partition(":")[0])
        if channel is None or channel.workspace_id != workspace_id:
            raise UnknownConversationError("there is no such conversation")
        return channel

    async def seen(self, workspace_id: str, conversation: str, at: datetime) -> Row:
        """Somebody has looked at the messages up to `at`; saying it again does no harm.

        Raises:
            ServiceAwayError
            UnknownConversationError
        """
        await self.page_of(workspace_id, conversation)
        return await self._changed(conversation, "seen", {"at": at.isoformat()})

    async def set_done(
        self, actor: Actor, conversation: str, *, done: bool, wrote_at: datetime | None = None
    ) -> Row:
        """Done, or open again; the person's next message opens it as well.

        The log names the Page, not the person: it outlives what is erased.

        Args:
            wrote_at: when the person last wrote, as far as was shown; None: done whatever came.

        Raises:
            ServiceAwayError
            UnknownConversationError
            WrittenSinceError: the person has written since then.
        """
        body: dict[str, Any] = {"done": done}
        if wrote_at is not None:
            body["wrote_at"] = wrote_at.isoformat()
        channel = await self.page_of(actor.workspace_id, conversation)
        action = "conversation.done" if done else "conversation.reopened"
        async with self._audit.doing(actor, action, target=channel.page_name, target_id=channel.id):
            row = await self._changed(conversation, "done", body)
            if done and not row.done:
                raise WrittenSinceError("the person has written meanwhile")
            return row

    async def messages(
        self,
        workspace_id: str,
        conversation: str,
        *,
        cursor: str | None = None,
        limit: int = 50,
        search: str | None = None,
    ) -> tuple[list[dict[str, Any]], str | None]:
        """A stretch of the messages, the newest first, and the cursor of the next one.

        Raises:
            ServiceAwayError
            UnknownConversationError
            BadCursorError
        """
        await self.page_of(workspace_id, conversation)
        query = {"limit": str(limit), "cursor": cursor, "search": search}
        path = f"/internal/v1/conversations/{_quoted(conversation)}/messages"
        try:
            answer = await self._internal.call(
                "conversation", "GET", path, query={k: v for k, v in query.items() if v}
            )
        except ServiceRefusedError as error:
            if error.status == 404:
                raise UnknownConversationError("there is no such conversation") from None
            if error.field == "cursor":
                raise BadCursorError("take the cursor from `next` as it is") from None
            raise
        return answer.get("messages", []), answer.get("next")

    async def stored(self, workspace_id: str, conversation: str) -> dict[str, Any]:
        """What is kept about the person: `conversation`, `person`, `contact`, each maybe None.

        Raises:
            ServiceAwayError
            UnknownConversationError
        """
        await self.page_of(workspace_id, conversation)
        path = f"/internal/v1/conversations/{_quoted(conversation)}/stored"
        return await self._internal.call("conversation", "GET", path)

    async def _changed(self, conversation: str, what: str, body: dict[str, Any]) -> Row:
        path = f"{PATH}/{_quoted(conversation)}/{what}"
        try:
            answer = await self._internal.call("conversation", "POST", path, body=body)
        except ServiceRefusedError as error:
            if error.status == 404:
                raise UnknownConversationError("there is no such conversation") from None
            raise
        return Row.model_validate(answer["conversation"])

    async def _wanted(self, looking: Looking, filters: Filters) -> list[str]:
        """Ids of the workspace's Pages that are to be looked at."""
        pages = sorted(await self.pages(looking.workspace_id))
        return pages if filters.page is None else [each for each in pages if each == filters.page]


def _quoted(conversation: str) -> str:
    return quote(conversation, safe="")
