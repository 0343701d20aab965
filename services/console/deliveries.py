"""Parts that were held or have failed, as the sender lists them, and what people decide about them.

Nothing of it is kept here. The sender's API asks nobody whose Page a part belongs to: before a
decision, the part is looked up in the list of its conversation, whose Page has to be ours.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict

from libs.common.errors import PermanentError
from services.console.audit import Actor, AuditLog
from services.console.channels_store import ChannelStore
from services.console.internal import Internal, ServiceRefusedError

State = Literal["held", "failed", "again", "sent"]

AT_ONCE = 8  # Pages asked side by side
MOST = 200  # the sender's own limit
DECIDE_WITHIN_S = 15.0

REFUSED: Mapping[str, str] = {
    "not_found": "It is not there any more: it was sent, discarded, or its person was erased.",
    "already_sent": "It has arrived after all, so nothing is sent again.",
    "changed": "Somebody decided about it meanwhile. Look at the list again.",
    "discarded": "It was discarded, and can't be sent any more.",
    "not_kept": "Its text is not kept any more: it is older than the workspace keeps messages.",
    "superseded_by_human": "A person has this conversation: the assistant's message stays unsent. "
    "Return it to the assistant first, or write yourself.",
}
"""Why the sender refuses a decision, in words."""


class DecisionRefusedError(PermanentError):
    """The sender does not do it. `str` is for people; `reason` one of those in `REFUSED`."""

    code = "decision_refused"

    def __init__(self, reason: str) -> None:
        super().__init__(REFUSED.get(reason, "It can't be done now."))
        self.reason = reason


class Delivery(BaseModel):
    """One part as the sender tells of it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    conversation: str
    page_id: str
    psid: str
    part: int = 0
    parts: int = 1
    origin: str = "assistant"
    by_name: str | None = None
    text: str = ""
    state: State
    generation: int = 0
    attempts: int = 0
    at: datetime
    reason: str | None = None
    explanation: str = ""
    advice: str = ""
    error_code: int | None = None
    error_subcode: int | None = None
    meta_message: str | None = None
    fbtrace_id: str | None = None
    window_expires_at: datetime | None = None


class Listed(BaseModel):
    """A stretch of a list, the latest first; `next` continues it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    deliveries: tuple[Delivery, ...]
    next: str | None = None


class Deliveries:
    """For administrators of the workspaces that Pages belong to."""

    def __init__(self, internal: Internal, channels: ChannelStore, audit: AuditLog) -> None:
        self._internal = internal
        self._channels = channels
        self._audit = audit

    async def of_page(
        self,
        workspace_id: str,
        page_id: str,
        state: State | None = None,
        *,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Listed:
        """What was held or has failed for a Page, the latest first.

        Raises:
            UnknownChannelError: the Page is not in the workspace.
            ServiceAwayError
            ServiceRefusedError: the cursor was not handed out.
        """
        await self._channels.in_workspace(workspace_id, page_id)
        return await self._listed("pages", page_id, state, cursor, limit)

    async def of_pages(
        self, page_ids: Sequence[str], state: State | None = None, *, limit: int = 50
    ) -> Listed:
        """The latest of several Pages, which the caller knows to be their workspace's.

        `next` only says that there is more: one list of all has no cursor.

        Raises: ServiceAwayError.
        """
        room = asyncio.Semaphore(AT_ONCE)

        async def ask(page_id: str) -> Listed:
            async with room:
                return await self._listed("pages", page_id, state, None, limit)

        lists = await asyncio.gather(*map(ask, page_ids))
        found = sorted(
            (each for listed in lists for each in listed.deliveries),
            key=lambda each: (each.at, each.id),
            reverse=True,
        )
        is_cut = len(found) > limit or any(listed.next for listed in lists)
        return Listed(deliveries=tuple(found[:limit]), next="more" if is_cut else None)

    async def of_conversation(self, workspace_id: str, conversation: str) -> Listed:
        """The same of one conversation (`page_id:psid`).

        Raises:
            UnknownChannelError: its Page is not in the workspace.
            ServiceAwayError
        """
        await self._channels.in_workspace(workspace_id, _page_of(conversation))
        return await self._listed("conversations", conversation, None, None, MOST)

    async def send_again(
        self, actor: Actor, conversation: str, send_id: str, generation: int | None = None
    ) -> Delivery:
        """Have a part sent once more.

        Args:
            generation: as it was shown to whoever decides; None: whatever it is now.

        Raises:
            UnknownChannelError: the conversation's Page is not in the actor's workspace.
            DecisionRefusedError: the sender says why not.
            ServiceAwayError: it may have been done; asking again does no harm.
        """
        async with self._deciding(actor, "delivery.sent_again", conversation, send_id):
            return await self._decide(conversation, send_id, "send-again", generation)

    async def discard(
        self, actor: Actor, conversation: str, send_id: str, generation: int | None = None
    ) -> Delivery:
        """Give a held part up, or take a failed one off the list. As `send_again`."""
        async with self._deciding(actor, "delivery.discarded", conversation, send_id):
            return await self._decide(conversation, send_id, "discard", generation)

    @asynccontextmanager
    async def _deciding(
        self, actor: Actor, action: str, conversation: str, send_id: str
    ) -> AsyncIterator[None]:
        page_id = _page_of(conversation)
        channel = await self._channels.in_workspace(actor.workspace_id, page_id)
        # the audit log is kept: it names the part, and not the person
        doing = self._audit.doing(actor, action, target=channel.page_name, target_id=send_id)
        async with doing:
            yield

    async def _decide(
        self, conversation: str, send_id: str, decision: str, generation: int | None
    ) -> Delivery:
        if not await self._is_listed(conversation, send_id):
            raise DecisionRefusedError("not_found")
        path = f"/internal/v1/deliveries/{quote(send_id, safe='')}/{decision}"
        body: dict[str, Any] = {} if generation is None else {"generation": generation}
        try:
            answer = await self._internal.call(
                "sender", "POST", path, body=body, timeout_s=DECIDE_WITHIN_S
            )
        except ServiceRefusedError as error:
            if error.status not in (404, 409):
                raise
            raise DecisionRefusedError(error.reason) from None
        return Delivery.model_validate(answer.get("delivery"))

    async def _is_listed(self, conversation: str, send_id: str) -> bool:
        cursor: str | None = None
        while True:
            listed = await self._listed("conversations", conversation, None, cursor, MOST)
            if any(each.id == send_id for each in listed.deliveries):
                return True
            if (cursor := listed.next) is None:
                return False

    async def _listed(
        self, kind: str, name: str, state: State | None, cursor: str | None, limit: int
    ) -> Listed:
        query = {"limit": str(limit)}
        if state is not None:
            query["state"] = state
        if cursor is not None:
            query["cursor"] = cursor
        path = f"/internal/v1/{kind}/{quote(name, safe='')}/deliveries"
        return Listed.model_validate(await self._internal.call("sender", "GET", path, query=query))


def _page_of(conversation: str) -> str:
    return conversation.partition(":")[0]
