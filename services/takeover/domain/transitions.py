"""What may happen to a takeover: (state, command, now) to the next state and the facts to tell.

| Command | From | To |
|---|---|---|
| `Take` | ai; Facebook's; another admin's, if `take_from` names them | human, epoch + 1 |
| `Extend` | human | human, same epoch, another timer |
| `Resume` | human | ai, epoch + 1 |
| `AutoResume` | human, timer due | ai, epoch + 1 |
| `Erase` | human | ai, epoch + 1 |
| `FacebookReply` | ai | human by Facebook, epoch + 1 |
| | human by Facebook | the timer moves |
| `ThreadControl` | any | the same hands, another owner of the thread |

Whoever asks for what is so already changes nothing: an answer that got lost may be asked for again.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from libs.common.events import (
    TakeoverEnded,
    TakeoverExtended,
    TakeoverStarted,
    derived_id,
)
from services.takeover.domain.state import (
    ERASURE,
    FACEBOOK,
    TIMER,
    Takeover,
    Thread,
    timer,
    whole_ms,
)

Fact = TakeoverStarted | TakeoverExtended | TakeoverEnded
RefusalCode = Literal["already_taken", "not_taken_over"]

OLDEST_REPLY = timedelta(hours=24)
"""A reply in Meta's inbox that we hear of later than that starts nothing: the log was rewound, or
nobody read it for so long that the person and the assistant have gone on since."""


@dataclass(frozen=True, slots=True)
class Take:
    """A person wants the conversation. `take_from`: even if this one has it."""

    by: str
    by_name: str | None = None
    auto_resume_minutes: int | None = None
    take_from: str | None = None


@dataclass(frozen=True, slots=True)
class Extend:
    """The timer begins anew, now."""

    by: str
    auto_resume_minutes: int
    by_name: str | None = None


@dataclass(frozen=True, slots=True)
class Resume:
    """A person hands back to the assistant."""

    by: str
    by_name: str | None = None


@dataclass(frozen=True, slots=True)
class AutoResume:
    """The time may have come."""


@dataclass(frozen=True, slots=True)
class Erase:
    """The person is erased. It ends what they were in, at a moment up to which they were."""

    at: datetime


@dataclass(frozen=True, slots=True)
class FacebookReply:
    """Somebody answered in Meta's own inbox, at that moment by Meta's clock."""

    at: datetime
    auto_resume_minutes: int | None = None


@dataclass(frozen=True, slots=True)
class ThreadControl:
    """Who may write to the person, as told at that moment by Meta's clock.

    `is_guess`: nobody said so, it follows from an event that came on standby.
    """

    at: datetime
    ours: bool
    owner_app_id: str | None = None
    is_guess: bool = False


Command = Take | Extend | Resume | AutoResume | Erase | FacebookReply | ThreadControl


@dataclass(frozen=True, slots=True)
class Changed:
    """The next state, and the fact to tell: none where the log has it already (the thread)."""

    state: Takeover
    fact: Fact | None = None


@dataclass(frozen=True, slots=True)
class Unchanged:
    """It is so already, or is not worth a change any more."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Not possible; `code` is stable."""

    code: RefusalCode


Result = Changed | Unchanged | Refused


def apply(conversation: str, state: Takeover, command: Command, now: datetime) -> Result:
    """What becomes of `state`.

    Raises:
        ValueError: a timer outside of its limits.
    """
    now = whole_ms(now)
    match command:
        case Take():
            return _take(conversation, state, command, now)
        case Extend():
            if state.mode != "human":
                return Refused("not_taken_over")
            until = timer(now, command.auto_resume_minutes)
            return _extend(conversation, state, command.by, command.by_name, until, now)
        case Resume():
            if state.mode != "human":
                return Unchanged()
            return _end(conversation, state, command.by, command.by_name, "resumed", now)
        case AutoResume():
            if not state.is_due(now):
                return Unchanged()
            return _end(conversation, state, TIMER, None, "auto_resume", now)
        case Erase():
            if state.mode != "human":
                return Unchanged()
            at = whole_ms(command.at)
            return _end(conversation, state, ERASURE, None, "erased", min(now, at))
        case FacebookReply():
            return _facebook(conversation, state, command, now)
        case ThreadControl():
            return _thread(state, command)


def _take(conversation: str, state: Takeover, take: Take, now: datetime) -> Result:
    if state.mode == "human":
        if state.by == take.by:
            return Unchanged()
        if state.by not in (FACEBOOK, take.take_from):
            return Refused("already_taken")
    minutes = take.auto_resume_minutes
    until = None if minutes is None else timer(now, minutes)
    return _start(conversation, state, take.by, take.by_name, "taken", until, now)


def _facebook(conversation: str, state: Takeover, reply: FacebookReply, now: datetime) -> Result:
    """Of a copy, or one from before the latest change of hands, nothing follows."""
    at, minutes = whole_ms(min(reply.at, now)), reply.auto_resume_minutes
    if state.since is not None and at <= state.since and state.mode == "ai":
        return Unchanged()
    until = None if minutes is None else timer(at, minutes)
    if state.mode == "human":
        before = state.auto_resume_at
        if state.by != FACEBOOK or until is None or before is None or until <= before:
            return Unchanged()
        return _extend(conversation, state, FACEBOOK, None, until, now)
    if now - at > OLDEST_REPLY or (until is not None and until <= now):
        return Unchanged()
    return _start(conversation, state, FACEBOOK, None, "facebook_reply", until, now)


def _thread(state: Takeover, told: ThreadControl) -> Result:
    at, thread = whole_ms(told.at), state.thread
    if thread is None:
        if told.ours and told.is_guess:
            return Unchanged()
    elif at < thread.since or (told.is_guess and (at == thread.since or told.ours == thread.ours)):
        return Unchanged()
    owner = None if told.ours else told.owner_app_id
    changed = Thread(ours=told.ours, owner_app_id=owner, since=at)
    if thread == changed or (thread is None and changed.ours):
        return Unchanged()
    return Changed(_next(state, thread=changed))


def _start(
    conversation: str,
    state: Takeover,
    by: str,
    by_name: str | None,
    reason: str,
    until: datetime | None,
    now: datetime,
) -> Changed:
    after = _next(
        state,
        mode="human",
        epoch=state.epoch + 1,
        by=by,
        by_name=by_name,
        since=now,
        auto_resume_at=until,
        reason=reason,
    )
    fact = TakeoverStarted(
        event_id=derived_id("takeover.started", conversation, after.epoch),
        **_about(conversation, now),
        epoch=after.epoch,
        by=by,
        by_name=by_name,
        reason=reason,
        auto_resume_at=until,
    )
    return Changed(after, fact)


def _extend(
    conversation: str,
    state: Takeover,
    by: str,
    by_name: str | None,
    until: datetime,
    now: datetime,
) -> Result:
    if until == state.auto_resume_at:
        return Unchanged()
    after = _next(state, auto_resume_at=until)
    fact = TakeoverExtended(
        event_id=derived_id("takeover.extended", conversation, after.revision),
        **_about(conversation, now),
        epoch=after.epoch,
        by=by,
        by_name=by_name,
        auto_resume_at=until,
    )
    return Changed(after, fact)


def _end(
    conversation: str, state: Takeover, by: str, by_name: str | None, reason: str, now: datetime
) -> Changed:
    after = _next(
        state,
        mode="ai",
        epoch=state.epoch + 1,
        by=by,
        by_name=by_name,
        since=now,
        auto_resume_at=None,
        reason=reason,
    )
    fact = TakeoverEnded(
        event_id=derived_id("takeover.ended", conversation, after.epoch),
        **_about(conversation, now),
        epoch=after.epoch,
        by=by,
        by_name=by_name,
        reason=reason,
    )
    return Changed(after, fact)


def _next(state: Takeover, **changes: object) -> Takeover:
    return state.model_copy(update={**changes, "revision": state.revision + 1})


def _about(conversation: str, now: datetime) -> dict[str, object]:
    page_id, _, psid = conversation.partition(":")
    return {"page_id": page_id, "psid": psid, "occurred_at": now}
