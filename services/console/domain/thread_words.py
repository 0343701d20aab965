"""A conversation in words: what became of it, how each message stands, and why. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from services.console.domain.messages import Message

FACEBOOK, TIMER, ERASURE = "facebook", "timer", "erasure"
"""Who has a conversation, or gave it back, without being an account of ours."""

ASKED: Mapping[str, str] = {
    "asked": "the person asked for one",
    "angry": "the person is angry",
    "cannot_answer": "it can't answer",
    "policy": "this is for a human",
    "model_failed": "the model gave no answer",
    "limit_reached": "the day's limit is reached",
    "loop_suspected": "this looks like two machines talking",
}
_ACTIONS = {
    "pass": "The conversation was passed to another app at Facebook",
    "take": "Another app took the conversation at Facebook",
    "request": "Another app asked for the conversation at Facebook",
}
StatusKind = Literal["quiet", "good", "warn", "bad"]


@dataclass(frozen=True)
class Status:
    """How a message stands: icon and word."""

    kind: StatusKind
    icon: str
    label: str


_STATUS = {
    "sent": Status("quiet", "check", "Sent"),
    "delivered": Status("quiet", "check-check", "Delivered"),
    "read": Status("good", "check-check", "Read"),
    "failed": Status("bad", "circle-alert", "Not sent"),
    "held": Status("warn", "triangle-alert", "Not certain"),
    "again": Status("quiet", "clock", "Being sent again"),
    "discarded": Status("quiet", "ban", "Discarded"),
}
SENDING = Status("quiet", "clock", "Sending")


def status_of(message: Message, *, is_again: bool = False) -> Status | None:
    """None: it is the person's. `is_again`: somebody has had it sent once more."""
    if message.direction != "out":
        return None
    if is_again:
        return _STATUS["again"]
    if message.reason == "discarded":
        return _STATUS["discarded"]
    return _STATUS.get(message.status or "", SENDING)


@dataclass(frozen=True)
class SystemLine:
    """What became of the conversation: icon, words, and what the assistant says about it."""

    icon: str
    words: str
    summary: str = field(default="", repr=False)
    until: datetime | None = None


def system_line(message: Message, own_app_id: str | None = None) -> SystemLine | None:
    """None: nothing that we have words for."""
    who = name_of(message.by, message.by_name)
    match message.event:
        case "takeover.requested":
            why = ASKED.get(message.reason or "", "")
            words = "The assistant asked for a human" + (f": {why}" if why else "")
            return SystemLine("hand", words, message.summary or "")
        case "takeover.started" if message.by == FACEBOOK:
            words = "Somebody answered on Facebook: the assistant is paused"
            return SystemLine("user-round", words, until=message.auto_resume_at)
        case "takeover.started":
            return SystemLine("user-round", f"{who} took over", until=message.auto_resume_at)
        case "takeover.extended":
            words = f"{who} changed when the assistant returns"
            return SystemLine("timer", words, until=message.auto_resume_at)
        case "takeover.ended" if message.by == TIMER:
            return SystemLine("bot", "The time was over: the assistant has it again")
        case "takeover.ended" if message.by == ERASURE:
            return SystemLine("bot", "Ended, because the person's data were erased")
        case "takeover.ended":
            return SystemLine("bot", f"{who} returned it to the assistant")
        case "handover.changed":
            return _thread_line(message, own_app_id)
        case "messages.expired":
            words = f"Older messages were deleted after {message.days} days"
            return SystemLine("trash-2", words)
    return None


def _thread_line(message: Message, own_app_id: str | None) -> SystemLine | None:
    if own_app_id is not None and message.new_app_id == own_app_id and message.action != "request":
        return SystemLine("undo-2", "The conversation came back to this app at Facebook")
    words = _ACTIONS.get(message.action or "")
    return SystemLine("link", words) if words else None


def name_of(by: str | None, by_name: str | None) -> str:
    """How somebody is called who is not the viewer."""
    if by == FACEBOOK:
        return "Somebody on Facebook"
    return by_name or "Somebody"


@dataclass(frozen=True)
class Fact:
    """One line of "Why"."""

    label: str
    words: str
    is_code: bool = False


_SENT_BY = {
    "standard_window": "Within 24 hours of the person's last message, where everybody may answer.",
    "human_agent_window": "Between 24 hours and 7 days after the person's last message, where only "
    "a human may answer.",
}
_FOUND = "Facebook gave no clear answer at first; it was found to have arrived."
_NOT_SENT_BY = {
    "standard_window": "The 24 hours after the person's last message, in which the assistant may "
    "answer.",
    "human_agent_window": "The 7 days after the person's last message, in which humans may answer.",
    "takeover": "A human took over after the assistant had begun this answer.",
    "channel_disabled": "The Page is not connected, or Messenger is switched off for it.",
    "thread_control": "Another app has the conversation at Facebook, and only one may write.",
    "no_user_message": "A Page may not write first.",
    "meta_refused": "Facebook took the question and refused it.",
    "no_evidence": "No answer from Facebook, and no trace of the message: it may have arrived.",
    "discarded": "Somebody gave it up.",
    "earlier_part_failed": "An earlier part of the same message was not sent.",
    "internal": "Something went wrong here, not at Facebook.",
}


def why(message: Message) -> tuple[Fact, ...]:
    """Why one of our messages went out as it did, or did not: for people, then for support."""
    return tuple(each for each in (*_reasons(message), *_answer(message), *_ids(message)) if each)


def _reasons(message: Message) -> list[Fact | None]:
    is_unsent = message.status in ("failed", "held")
    rule = message.rule or ""
    words = (_NOT_SENT_BY if is_unsent else _SENT_BY).get(rule)
    if rule.startswith("found_by_"):
        words = _FOUND
    known = words or (f"Rule {message.rule}." if message.rule else "Not known yet.")
    return [
        Fact("Rule", known),
        Fact("What happened", message.explanation) if message.explanation else None,
        Fact("What to do", message.advice) if message.advice else None,
        _window(message),
        Fact("Sent as", _kind(message)) if message.messaging_type else None,
        _epoch(message),
        Fact("Attempts", str(message.attempts)) if message.attempts is not None else None,
    ]


def _window(message: Message) -> Fact | None:
    if message.window_expires_at is None:
        return None
    return Fact("Window until", moment(message.window_expires_at))


def _kind(message: Message) -> str:
    if message.tag:
        return f"{message.messaging_type} with the tag {message.tag}: a human wrote it"
    return f"{message.messaging_type}, without a tag"


def _epoch(message: Message) -> Fact | None:
    if message.epoch is None:
        return None
    words = f"{message.epoch}: the conversation has changed hands so often when it was written"
    return Fact("Takeover epoch", words)


def _answer(message: Message) -> list[Fact | None]:
    if message.error_code is None and not message.meta_message:
        return []
    code = "" if message.error_code is None else f"code {message.error_code}"
    if message.error_subcode is not None:
        code += f", subcode {message.error_subcode}"
    said = f"“{message.meta_message}”" if message.meta_message else ""
    return [Fact("Facebook's answer", " · ".join(filter(None, (said, code))))]


def _ids(message: Message) -> list[Fact | None]:
    of = "" if message.part is None else f"{message.part + 1} of {message.parts or 1}"
    named = (
        ("Part", of if (message.parts or 1) > 1 else ""),
        ("Command", message.command_id),
        ("Turn", message.turn_id),
        ("Facebook's id", message.mid),
        ("Facebook's trace", message.fbtrace_id),
    )
    return [Fact(label, value, is_code=label != "Part") for label, value in named if value]


def moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%-d %b %Y, %H:%M} UTC"
