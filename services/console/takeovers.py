"""Takeovers and what humans write, as the takeover service keeps and sends them.

Nothing of it is kept here. Every action is in the audit log, which outlives what is erased: it
names the Page, never the person nor a word of what was written.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote

from libs.common.errors import PermanentError
from services.console.audit import Actor, AuditLog
from services.console.channels_store import ChannelStore
from services.console.domain.composer import timer_words
from services.console.domain.messages import Told
from services.console.domain.thread_words import moment, name_of
from services.console.inbox import UnknownConversationError
from services.console.internal import Internal, ServiceRefusedError

LOOK_WITHIN_S = 4.0
CHANGE_WITHIN_S = 20.0
"""Take over answers when nothing of the assistant's is on its way to Facebook any more."""


class ThreadControl(Told):
    """Which app may write, as Facebook has told."""

    ours: bool = True
    owner_app_id: str | None = None


class TagRefusal(Told):
    """Facebook does not let the Page write after 24 hours."""

    refused_at: datetime
    explanation: str = ""
    advice: str = ""


class Takeover(Told):
    """Who has a conversation."""

    mode: Literal["ai", "human"] = "ai"
    epoch: int = 0
    by: str | None = None
    by_name: str | None = None
    since: datetime | None = None
    reason: str | None = None
    auto_resume_at: datetime | None = None
    thread: ThreadControl | None = None
    human_agent: TagRefusal | None = None


class SendWindow(Told):
    """As what a message leaves, and until when."""

    rule: str
    messaging_type: str
    tag: str | None = None
    expires_at: datetime


class Accepted(Told):
    """A message is on its way. `waits_for`: why it does not leave yet."""

    command_id: str
    window: SendWindow
    waits_for: str | None = None


class TakeoverRefusedError(PermanentError):
    """It is not possible as things stand. `str` is for people; `reason` the service's own code."""

    code = "takeover_refused"

    def __init__(
        self, reason: str, words: str, field: str | None, facts: Mapping[str, Any]
    ) -> None:
        super().__init__(words)
        self.reason = reason
        self.field = field
        self.facts = facts


class Takeovers:
    """For administrators of the workspaces that Pages belong to."""

    def __init__(self, internal: Internal, channels: ChannelStore, audit: AuditLog) -> None:
        self._internal = internal
        self._channels = channels
        self._audit = audit

    async def state(self, workspace_id: str, conversation: str) -> Takeover:
        """Who has it now.

        Raises:
            UnknownConversationError: there is none, or it is another workspace's.
            ServiceAwayError
        """
        await self._page_name(workspace_id, conversation)
        return Takeover.model_validate(await self._call("GET", conversation, "/takeover"))

    async def take(
        self,
        actor: Actor,
        conversation: str,
        minutes: int | None,
        take_from: str | None = None,
    ) -> Takeover:
        """Take it over. Once this returns, no message of the assistant can leave any more.

        Args:
            minutes: then the assistant has it again by itself; None: when somebody returns it.
            take_from: take it even from this account, if it still has it.

        Raises:
            UnknownConversationError
            TakeoverRefusedError: `already_taken`: somebody else has it.
            ServiceAwayError: it may have been done; asking again does no harm.
        """
        body = {"auto_resume_minutes": minutes, "take_from": take_from}
        async with self._doing(actor, "conversation.taken_over", conversation, minutes=minutes):
            return await self._change(actor, conversation, "/takeover", body)

    async def extend(self, actor: Actor, conversation: str, minutes: int) -> Takeover:
        """The time until the assistant returns begins anew. As `take`; `not_taken_over`."""
        body = {"auto_resume_minutes": minutes}
        async with self._doing(actor, "conversation.extended", conversation, minutes=minutes):
            return await self._change(actor, conversation, "/takeover/extend", body)

    async def resume(self, actor: Actor, conversation: str) -> Takeover:
        """Return it to the assistant, whoever has it. As `take`."""
        async with self._doing(actor, "conversation.resumed", conversation):
            return await self._change(actor, conversation, "/takeover/resume", {})

    async def write(self, actor: Actor, conversation: str, text: str, key: str) -> Accepted:
        """Write to the person; the same key sends once, however often it is asked for.

        Raises:
            UnknownConversationError
            TakeoverRefusedError: why it can't be sent; the key was used for another text.
            ServiceAwayError: it may or may not be sent; the same again, with the same key, tells.
        """
        async with self._doing(actor, "conversation.written_in", conversation):
            answer = await self._call(
                "POST",
                conversation,
                "/messages",
                body={**_who(actor), "text": text},
                headers={"Idempotency-Key": key},
            )
            return Accepted.model_validate(answer)

    async def _change(
        self, actor: Actor, conversation: str, path: str, body: dict[str, Any]
    ) -> Takeover:
        given = {name: value for name, value in body.items() if value is not None}
        answer = await self._call("POST", conversation, path, body={**_who(actor), **given})
        return Takeover.model_validate(answer)

    async def _call(
        self,
        method: str,
        conversation: str,
        path: str,
        *,
        body: dict[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        timeout_s = LOOK_WITHIN_S if method == "GET" else CHANGE_WITHIN_S
        whole = f"/internal/v1/conversations/{quote(conversation, safe='')}{path}"
        try:
            return await self._internal.call(
                "takeover", method, whole, body=body, headers=headers, timeout_s=timeout_s
            )
        except ServiceRefusedError as error:
            if error.status == 404:
                raise UnknownConversationError("there is no such conversation") from None
            words = refused_words(error.reason, error.facts)
            raise TakeoverRefusedError(error.reason, words, error.field, error.facts) from None

    @asynccontextmanager
    async def _doing(
        self, actor: Actor, action: str, conversation: str, *, minutes: int | None = None
    ) -> AsyncIterator[None]:
        name = await self._page_name(actor.workspace_id, conversation)
        told = {} if minutes is None else {"returns_after": timer_words(minutes)}
        page_id = conversation.partition(":")[0]
        async with self._audit.doing(actor, action, target=name, target_id=page_id, **told):
            yield

    async def _page_name(self, workspace_id: str, conversation: str) -> str:
        channel = await self._channels.channel(conversation.partition(":")[0])
        if channel is None or channel.workspace_id != workspace_id:
            raise UnknownConversationError("there is no such conversation")
        return channel.page_name


def _who(actor: Actor) -> dict[str, Any]:
    return {"by": actor.account_id, "by_name": actor.shown_name[:200]}


_WORDS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "already_taken": lambda facts: f"{_owner(facts)} has this conversation{_since(facts)}.",
    "taken_by_other": lambda facts: f"{_owner(facts)} has this conversation{_since(facts)}.",
    "not_taken_over": lambda _: "The assistant has this conversation.",
    "idempotency_key_reused": lambda _: "This was sent already, with another text. Send it again.",
    "window_closed": lambda facts: _closed(facts),
    "no_user_message": lambda _: "A Page may not write first: wait until the person writes.",
    "may_be_sent": lambda _: (
        "It may have been sent the first time: look whether it appears. Now it can't be."
    ),
    "channel_disabled": lambda _: "The Page is not connected, or it is paused.",
    "thread_owned_by_other_app": lambda _: "Another app has this conversation at Facebook.",
}


def refused_words(code: str, facts: Mapping[str, Any]) -> str:
    """Why the takeover service refuses something, for people."""
    words = _WORDS.get(code)
    return words(facts) if words else "The takeover service can't do this."


def _owner(facts: Mapping[str, Any]) -> str:
    by, by_name = facts.get("by"), facts.get("by_name")
    return name_of(by if isinstance(by, str) else None, str(by_name) if by_name else None)


def _since(facts: Mapping[str, Any]) -> str:
    at = _moment(facts.get("since"))
    return f" since {at}" if at else ""


def _closed(facts: Mapping[str, Any]) -> str:
    at = _moment(facts.get("closed_at"))
    since = f" It closed at {at}." if at else ""
    return f"The reply window is closed.{since} It opens again as soon as the person writes."


def _moment(value: object) -> str:
    try:
        return moment(datetime.fromisoformat(value)) if isinstance(value, str) else ""
    except ValueError:
        return ""
