"""Meta through the Graph API, with each Page's own token."""

from collections.abc import Sequence
from typing import Any

from libs.common.channels import Channel
from libs.common.crypto import DecryptionError, KeyRing
from libs.common.events import SenderAction
from libs.common.graph import (
    GraphClient,
    GraphError,
    NotSentError,
    OutcomeUnknownError,
    ThreadMessage,
)
from libs.common.window import Send
from services.sender.domain.evidence import Seen
from services.sender.domain.outcome import MetaError, Outcome, TokenRejected, classify
from services.sender.domain.redaction import redacted
from services.sender.domain.refusals import TokenCause
from services.sender.meta import Answer, CallFailedError, ThreadUnreadableError

UNREADABLE_TOKEN = TokenCause(
    "unreadable",
    "expired",
    "The stored connection to this Page cannot be decrypted: its key was removed.",
    "Put the old key back into ENCRYPTION_KEYS, or press Reconnect on the channel's page.",
)
FAILURES = (GraphError, NotSentError, OutcomeUnknownError, DecryptionError)


class GraphMeta:
    """Sends, reads and shows; what goes wrong becomes an outcome."""

    def __init__(self, graph: GraphClient, keys: KeyRing) -> None:
        self._graph = graph
        self._keys = keys

    async def send(
        self, channel: Channel, psid: str, text: str, send_id: str, decision: Send
    ) -> Answer:
        """Post one part, once; never raises for what Meta or the network does."""
        try:
            token = self._token(channel)
        except DecryptionError:
            return Answer(TokenRejected(UNREADABLE_TOKEN, code=0))
        try:
            result = await self._graph.send_message(
                channel.id, token, payload_of(psid, text, send_id, decision)
            )
        except NotSentError:
            return Answer(classify(may_have_arrived=False))
        except OutcomeUnknownError as error:
            return Answer(classify(status=error.http_status, retry_after_s=error.retry_after_s))
        except GraphError as error:
            said = redacted(error.message, psid, text) or None
            return Answer(_judged(error), error.fbtrace_id, said)
        return Answer(classify(status=200, mid=result.message_id))

    async def thread(self, channel: Channel, psid: str) -> Sequence[Seen]:
        """The latest messages of the thread.

        Raises:
            ThreadUnreadableError: Meta did not give them, for whatever reason.
        """
        try:
            messages = await self._graph.read_thread(channel.id, self._token(channel), psid)
        except FAILURES as error:
            raise ThreadUnreadableError(type(error).__name__, _told_by(error)) from error
        return [_seen(channel, message) for message in messages]

    async def message(self, channel: Channel, mid: str) -> Seen:
        """One message.

        Raises:
            ThreadUnreadableError: Meta did not give it, for whatever reason.
        """
        try:
            message = await self._graph.read_message(channel.id, self._token(channel), mid)
        except FAILURES as error:
            raise ThreadUnreadableError(type(error).__name__, _told_by(error)) from error
        return _seen(channel, message)

    async def act(self, channel: Channel, psid: str, action: SenderAction) -> None:
        """Show one action.

        Raises:
            CallFailedError: it may not be shown, for whatever reason.
        """
        try:
            await self._graph.send_action(channel.id, self._token(channel), psid, action)
        except FAILURES as error:
            raise CallFailedError(type(error).__name__, _told_by(error)) from error

    def _token(self, channel: Channel) -> str:
        return self._keys.decrypt(channel.token, context=channel.id)


def _seen(channel: Channel, message: ThreadMessage) -> Seen:
    return Seen(message.mid, message.from_id == channel.id, message.text, message.created_at)


def payload_of(psid: str, text: str, send_id: str, decision: Send) -> dict[str, Any]:
    """The Send API's body. `metadata` comes back in the echo: the link to this very part."""
    payload: dict[str, Any] = {
        "recipient": {"id": psid},
        "messaging_type": decision.messaging_type,
        "message": {"text": text, "metadata": send_id},
    }
    if decision.tag is not None:
        payload["tag"] = decision.tag
    return payload


def _told_by(error: Exception) -> Outcome | None:
    """What Meta said; None: it said nothing."""
    if isinstance(error, DecryptionError):
        return TokenRejected(UNREADABLE_TOKEN, code=0)
    return _judged(error) if isinstance(error, GraphError) else None


def _judged(error: GraphError) -> Outcome:
    return classify(
        status=error.http_status,
        error=MetaError(error.code_, error.subcode, error.message),
        retry_after_s=error.retry_after_s,
    )
