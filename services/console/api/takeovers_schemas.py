"""What `/api/v1` takes and shows about takeovers, and about messages that people write."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from services.console.api.operations import Body, Shown
from services.console.deliveries import Delivery
from services.console.domain.composer import LONGEST, LONGEST_TEXT, SHORTEST
from services.console.takeovers import Accepted, Takeover

Minutes = Annotated[int, Field(strict=True, ge=SHORTEST, le=LONGEST)]


def _says_something(text: str) -> str:
    if not text.strip():
        raise ValueError("there is nothing to send")
    return text


class TakeWanted(Body):
    """Take a conversation over."""

    auto_resume_minutes: Minutes | None = Field(
        None, description="then the assistant has it again by itself; null: when it is returned"
    )
    take_from: str | None = Field(
        None, max_length=200, description="account id; take it from there, if it still has it"
    )


class ExtendWanted(Body):
    """The time until the assistant returns begins anew."""

    auto_resume_minutes: Minutes


class TextWanted(Body):
    """What to write to the person."""

    text: Annotated[
        str,
        StringConstraints(strip_whitespace=False, min_length=1, max_length=LONGEST_TEXT),
        AfterValidator(_says_something),
    ]


class DecisionWanted(Body):
    """What is decided about."""

    generation: int | None = Field(
        None, ge=0, le=2**31, strict=True, description="as listed: a decision since then is a 409"
    )


class TakeoverShown(Shown):
    """Who has a conversation."""

    conversation: str
    mode: Literal["ai", "human"]
    epoch: int = Field(description="how often it has changed hands")
    by: str | None = Field(description="account id, or `facebook`")
    by_name: str | None
    since: datetime | None
    auto_resume_at: datetime | None
    thread_ours: bool = Field(description="false: another app may write at Facebook, and not we")

    @classmethod
    def of(cls, conversation: str, takeover: Takeover) -> "TakeoverShown":
        return cls(
            conversation=conversation,
            mode=takeover.mode,
            epoch=takeover.epoch,
            by=takeover.by,
            by_name=takeover.by_name,
            since=takeover.since,
            auto_resume_at=takeover.auto_resume_at,
            thread_ours=takeover.thread is None or takeover.thread.ours,
        )


class MessageAccepted(Shown):
    """The message is on its way. What becomes of it stands among the conversation's messages."""

    command_id: str
    messaging_type: str
    tag: str | None = Field(description="HUMAN_AGENT from 24 hours after the person's last message")
    window_expires_at: datetime
    waits_for: str | None = Field(description="why it does not leave yet, as channel_expired")

    @classmethod
    def of(cls, accepted: Accepted) -> "MessageAccepted":
        return cls(
            command_id=accepted.command_id,
            messaging_type=accepted.window.messaging_type,
            tag=accepted.window.tag,
            window_expires_at=accepted.window.expires_at,
            waits_for=accepted.waits_for,
        )


class DeliveryShown(Shown):
    """A message, or a part of one, that was not sent, or of which nobody knows whether it was."""

    id: str
    conversation: str
    state: Literal["held", "failed", "again", "sent"]
    generation: int
    origin: str
    text: str
    part: int
    parts: int
    at: datetime
    reason: str | None
    explanation: str
    advice: str

    @classmethod
    def of(cls, delivery: Delivery) -> "DeliveryShown":
        return cls.model_validate(delivery.model_dump(include=set(cls.model_fields)))


class DeliveriesShown(Shown):
    """The latest first: 200 at most."""

    deliveries: list[DeliveryShown]
