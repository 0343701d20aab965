"""What became of a reply: facts from the sender and the conversation service."""

from typing import Literal

from pydantic import Field

from libs.common.events.base import ConversationRecord, UtcDatetime

Origin = Literal["assistant", "human"]


class PartRecord(ConversationRecord):
    """About one part of one command. `send_id` is `command_id:part`, parts count from 0."""

    command_id: str
    send_id: str
    part: int = Field(ge=0)
    parts: int = Field(ge=1)
    origin: Origin
    turn_id: str | None = None
    by: str | None = Field(None, description="who wrote a human's text, as the console knows them")
    by_name: str | None = None
    text: str = Field(description="as it went out, or would have")
    rule: str = Field(description="which rule of the messaging window decided")
    epoch: int | None = Field(
        None, description="of the takeover, as the assistant's turn began with it"
    )


class MessageSent(PartRecord):
    """Meta accepted the part."""

    type: Literal["message.sent"] = "message.sent"
    mid: str
    messaging_type: str
    tag: str | None = None
    window_expires_at: UtcDatetime | None = None
    attempts: int = 1


class MessageFailed(PartRecord):
    """The part will not be sent. `reason` is ours and stable; the rest is Meta's answer, if any."""

    type: Literal["message.failed"] = "message.failed"
    reason: str
    explanation: str = Field(description="in plain words, for the console")
    advice: str = ""
    tag: str | None = Field(None, description="that it was refused with, as HUMAN_AGENT")
    window_expires_at: UtcDatetime | None = Field(
        None, description="when the messaging window closed, or would have"
    )
    error_code: int | None = None
    error_subcode: int | None = None
    fbtrace_id: str | None = None
    meta_message: str | None = Field(
        None, description="Meta's own words, without ids and tokens, at most 300 characters"
    )


class MessageHeld(PartRecord):
    """Nobody can tell whether Meta took the part: it waits for a person to decide."""

    type: Literal["message.held"] = "message.held"
    reason: str
    explanation: str


class TurnCompleted(ConversationRecord):
    """The assistant has an answer, and its command is on the log."""

    type: Literal["turn.completed"] = "turn.completed"
    turn_id: str
    command_id: str
    kind: str = Field(description="answer, text_only, welcome, fallback or handover")
    messages_answered: int = Field(ge=0)
    model: str
    duration_s: float
    input_tokens: int | None = None
    output_tokens: int | None = None


class TurnFailed(ConversationRecord):
    """The assistant found no answer: the fallback text went out instead, or nothing."""

    type: Literal["turn.failed"] = "turn.failed"
    turn_id: str
    reason: str
    attempts: int


class TakeoverRequested(ConversationRecord):
    """A human is wanted: the assistant or the person asked, or no answer can be made.

    Once per request, however often it is asked within minutes; once per conversation and hour where
    no answer can be made.
    """

    type: Literal["takeover.requested"] = "takeover.requested"
    turn_id: str | None = None
    reason: str = Field(
        description="asked, angry, cannot_answer, policy: the assistant or the person wants it; "
        "model_failed, limit_reached, loop_suspected: the assistant can't go on"
    )
    summary: str = Field("", description="for the human, at most 500 characters of one line")
    cause: str | None = Field(
        None, description="why the assistant can't go on, as `turn.failed` has it"
    )


class TakeoverStarted(ConversationRecord):
    """A human has the conversation; nothing of an epoch below `epoch` may be sent."""

    type: Literal["takeover.started"] = "takeover.started"
    epoch: int
    by: str = Field(description="who, as the console knows them; facebook: in Meta's own inbox")
    by_name: str | None = Field(None, description="of `by`, for people to read")
    reason: str = Field(description="taken: somebody asked for it; facebook_reply")
    auto_resume_at: UtcDatetime | None = None


class TakeoverExtended(ConversationRecord):
    """The human has the conversation for longer, or for less long, than was said before."""

    type: Literal["takeover.extended"] = "takeover.extended"
    epoch: int = Field(description="of the takeover: nobody else has the conversation now")
    by: str
    by_name: str | None = None
    auto_resume_at: UtcDatetime


class TakeoverEnded(ConversationRecord):
    """The assistant has the conversation again."""

    type: Literal["takeover.ended"] = "takeover.ended"
    epoch: int
    by: str = Field(description="who, as the console knows them; timer: its time had come")
    by_name: str | None = None
    reason: str = Field(description="resumed or auto_resume")
