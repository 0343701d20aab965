"""Requests to the sender. Keyed by page, so that one sender owns a page's rate limit."""

from typing import Literal

from pydantic import Field

from libs.common.events.base import ConversationRecord, UtcDatetime, derived_id
from libs.common.events.outcomes import Origin

SenderAction = Literal["mark_seen", "typing_on", "typing_off"]


class SendText(ConversationRecord):
    """Send a text in as many parts as it needs. `event_id` is the `command_id`.

    The same `command_id` may come any number of times; it is sent once. `epoch` is the takeover
    epoch the assistant's turn began with: after a takeover it no longer fits, and nothing is sent.
    """

    type: Literal["send.text"] = "send.text"
    origin: Origin
    text: str
    turn_id: str | None = None
    epoch: int | None = Field(None, description="required for the assistant")
    by: str | None = Field(None, description="who wrote a human's text, as the console knows them")
    by_name: str | None = None
    waiting_since: UtcDatetime | None = Field(
        None,
        description="when the latest message that the assistant answers here was put on the log",
    )
    model_s: float | None = Field(None, description="how much of the time since, the model took")

    @property
    def command_id(self) -> str:
        return self.event_id


def human_command_id(conversation: str, key: str) -> str:
    """The `command_id` of what a human writes under an idempotency key of theirs."""
    return derived_id("human message", conversation, key)


class SendKept(ConversationRecord):
    """Take up what the sender has put away for this person. From the sender to itself: the record
    brings it to whoever owns the Page, in the person's order. One too many does no harm."""

    type: Literal["send.kept"] = "send.kept"


class SendAction(ConversationRecord):
    """Show that we have seen, or are writing. Worth nothing a few seconds later: never retried."""

    type: Literal["send.action"] = "send.action"
    actions: tuple[SenderAction, ...] = Field(min_length=1, description="in this order")
