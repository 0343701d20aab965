"""What the service remembers of one conversation. Frozen: every change makes a new one."""

from datetime import datetime
from typing import Literal

from libs.common.events import Model

Role = Literal["person", "assistant", "human"]
PendingKind = Literal["text", "attachment", "get_started"]
TurnKind = Literal["answer", "welcome", "text_only", "fallback", "handover"]
RequestReason = Literal[
    "asked",
    "angry",
    "cannot_answer",
    "policy",
    "model_failed",
    "limit_reached",
    "loop_suspected",
]
Mode = Literal["ai", "human"]


class Line(Model):
    """One message as the assistant remembers it. `quoted` is what it replies to, if anything."""

    message: str
    role: Role
    text: str
    at: datetime
    quoted: str = ""


class Pending(Model):
    """Something the person sent that has no answer yet. `at` is when they wrote it, `logged_at`
    when we put it on the log."""

    message: str
    kind: PendingKind
    text: str = ""
    quoted: str = ""
    at: datetime | None = None
    logged_at: datetime | None = None


class HumanRequest(Model):
    """A human is wanted. The person or the model asked, or we can't go on, for this `cause`."""

    reason: RequestReason
    summary: str = ""
    cause: str = ""


class Requested(HumanRequest):
    """The latest request that was told, and under which takeover epoch."""

    at: datetime
    epoch: int


class Turn(Model):
    """The latest answer. Once stored, the model is never asked again for these messages."""

    turn_id: str
    command_id: str
    kind: TurnKind
    text: str
    epoch: int
    answered: tuple[str, ...]
    messages_answered: int
    answered_at: datetime
    model: str
    duration_s: float
    input_tokens: int | None = None
    output_tokens: int | None = None
    failure: str | None = None
    failed_attempts: int = 0
    request: HumanRequest | None = None
    waiting_since: datetime | None = None
    model_s: float = 0.0


class Position(Model):
    """A place on the log."""

    partition: int
    offset: int


class State(Model):
    """The conversation service's own part of a `conversations` document.

    `recent` holds the ids of events already taken in, oldest first. Of what has fallen out of it,
    `recent_since` is the latest event time: an event that is no newer may be a late copy.
    `position` is where the latest event that was taken in stands on the log.
    `last_direct_message_at` leaves out what was said while another app had the thread.
    `trouble_at` is when we last called for a human because we could not go on ourselves.
    Until `silent_until` nobody is answered: another machine seems to write.
    `edited` are the messages of `history` that say something else than at first.
    """

    session_id: str = ""
    session_started_at: datetime | None = None
    last_user_message_at: datetime | None = None
    last_direct_message_at: datetime | None = None
    last_activity_at: datetime | None = None
    inbound_count: int = 0
    history: tuple[Line, ...] = ()
    pending: tuple[Pending, ...] = ()
    recent: tuple[str, ...] = ()
    recent_since: datetime | None = None
    position: Position | None = None
    turn: Turn | None = None
    requested: Requested | None = None
    trouble_at: datetime | None = None
    silent_until: datetime | None = None
    edited: tuple[str, ...] = ()


class Takeover(Model):
    """Who has the conversation: written by the takeover service, absent until it first does.

    `since` is when it last changed hands.
    """

    mode: Mode = "ai"
    epoch: int = 0
    since: datetime | None = None
