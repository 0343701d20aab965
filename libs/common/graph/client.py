"""The Graph API as a Page uses it: one call, one outcome, no second try of its own."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from libs.common.events import SenderAction
from libs.common.graph.answers import (
    CONVERSATIONS,
    MESSAGE,
    PROFILE,
    Profile,
    ThreadMessage,
    parse_message_id,
)
from libs.common.graph.calls import (
    Call,
    DateHook,
    GraphCaller,
    Reply,
    UsageHook,
    open_caller,
    validated,
)
from libs.common.graph.errors import OutcomeUnknownError
from libs.common.graph.usage import Usage
from libs.common.settings import GraphSettings

THREAD_LENGTH = 20  # Meta gives details of the newest twenty messages only


@dataclass(frozen=True, slots=True)
class SendResult:
    """Meta took the message."""

    message_id: str
    usage: Usage | None = None


@asynccontextmanager
async def open_graph(
    settings: GraphSettings,
    *,
    timeout_s: float,
    on_usage: UsageHook | None = None,
    on_date: DateHook | None = None,
) -> AsyncIterator["GraphClient"]:
    """A client whose calls take at most `timeout_s` each."""
    async with open_caller(
        settings, timeout_s=timeout_s, on_usage=on_usage, on_date=on_date
    ) as caller:
        yield GraphClient(caller)


class GraphClient:
    """Calls on behalf of Pages, each with its Page's token.

    Every method raises:
        GraphError: Graph refused; the subclass says why.
        NotSentError: the call never left.
        OutcomeUnknownError: it may or may not have had its effect.
    """

    def __init__(self, caller: GraphCaller) -> None:
        self._caller = caller

    async def send_message(
        self, page_id: str, token: str, payload: Mapping[str, Any]
    ) -> SendResult:
        """Post one message, once. `payload` is the Send API's body."""
        call = Call("messages", "POST", (page_id, "messages"), token, payload, page_id)
        return await self._caller.call(call, _sent)

    async def send_action(self, page_id: str, token: str, psid: str, action: SenderAction) -> None:
        """Show the person one sign."""
        params = {"recipient": {"id": psid}, "sender_action": action}
        call = Call("actions", "POST", (page_id, "messages"), token, params, page_id)
        await self._caller.call(call, lambda _reply: None)

    async def read_thread(self, page_id: str, token: str, psid: str) -> tuple[ThreadMessage, ...]:
        """The newest twenty messages of a thread, or all if there are fewer; the newest first.

        Empty if there is no thread. A reading with gaps is `OutcomeUnknownError`: what is missing
        from it proves nothing.
        """
        fields = f"messages.limit({THREAD_LENGTH}){{id,message,from,created_time}}"
        params = {"platform": "messenger", "user_id": psid, "fields": fields}
        call = Call("conversations", "GET", (page_id, "conversations"), token, params, page_id)
        return await self._caller.call(call, _thread)

    async def read_message(self, page_id: str, token: str, mid: str) -> ThreadMessage:
        """One message by its id. Meta shows the newest twenty of a thread; older ones are gone."""
        params = {"fields": "id,message,from,created_time"}
        call = Call("message", "GET", (mid,), token, params, page_id)
        return await self._caller.call(
            call, lambda reply: validated(MESSAGE, reply.document, reply)
        )

    async def person_profile(self, token: str, psid: str) -> Profile:
        """Names and picture; all empty if the app may not see them."""
        params = {"fields": "first_name,last_name,name,profile_pic"}
        call = Call("profile", "GET", (psid,), token, params)
        return await self._caller.call(
            call, lambda reply: validated(PROFILE, reply.document, reply)
        )


def _sent(reply: Reply) -> SendResult:
    mid = parse_message_id(reply.document)
    if mid is None:
        raise OutcomeUnknownError("no message_id", http_status=reply.status, usage=reply.usage)
    return SendResult(mid, reply.usage)


def _thread(reply: Reply) -> tuple[ThreadMessage, ...]:
    """Graph leaves out what it hides, and says only by `next` that there is more."""
    answer = validated(CONVERSATIONS, reply.document, reply)
    messages = answer.data[0].messages if answer.data else None
    more = messages.paging.next if messages is not None else answer.paging.next
    found = messages.data if messages is not None else ()
    if more and len(found) < THREAD_LENGTH:
        raise OutcomeUnknownError("incomplete reading", http_status=reply.status)
    return found[:THREAD_LENGTH]
