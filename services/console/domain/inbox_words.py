"""What stands in a line of the inbox's list, in words. Pure: the time is passed in."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from libs.common.window import HUMAN_AGENT_WINDOW, STANDARD_WINDOW
from services.console.domain.inbox import Last, Row
from services.console.domain.messages import Message
from services.console.domain.thread_words import system_line

SOON = timedelta(hours=4)
"""The reply window gets a mark when no more than this is left of it."""

Kind = Literal["good", "warn", "bad", "calm"]

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_NO_TEXT = {
    "text": "",
    "attachment": "Sent an attachment",
    "postback": "Tapped a button",
    "deleted": "Took the message back",
}


@dataclass(frozen=True)
class Mark:
    """A small mark: icon and word. `title` says it at length."""

    kind: Kind
    icon: str
    label: str
    title: str


@dataclass(frozen=True)
class Preview:
    """The latest message in one line, and whose it is; "" is the person's own."""

    who: str
    text: str

    @property
    def said(self) -> str:
        return f"{self.who}: {self.text}" if self.who else self.text


@dataclass(frozen=True)
class Line:
    """One conversation as its line in the list says it."""

    row: Row
    initial: str
    ago: str
    preview: Preview | None
    owner: Mark
    marks: tuple[Mark, ...]
    waiting: str
    summary: str

    @property
    def sentence(self) -> str:
        """All of it as it is read aloud."""
        name = [self.row.shown_name, f"{self.row.unread} unread" if self.row.unread else ""]
        name.append(f"{self.ago} ago" if self.ago.endswith(("min", "h", "d")) else self.ago)
        said = self.preview.said if self.preview else ""
        wish = f"{self.waiting}: {self.summary}" if self.summary else self.waiting
        marks = ", ".join(each.label for each in (self.owner, *self.marks))
        parts = (", ".join(filter(None, name)), said, wish, marks, self.number)
        return " ".join(f"{each.rstrip('.')}." for each in parts if each)

    @property
    def number(self) -> str:
        count = self.row.messages
        return "1 message" if count == 1 else f"{count} messages"

    @property
    def unread(self) -> str:
        return "99+" if self.row.unread > 99 else str(self.row.unread)


def line_of(row: Row, now: datetime, *, account_id: str | None, name: str) -> Line:
    """Args: account_id, name: of whoever looks: what they wrote is "You"."""
    marks = (returns(row, now), window_mark(row, now), trouble(row))
    return Line(
        row=row,
        initial=row.shown_name[:1].upper(),
        ago=ago(row.last_activity_at, now) if row.last_activity_at else "",
        preview=preview(row.last, name) if row.last else None,
        owner=owner(row, account_id),
        marks=tuple(mark for mark in marks if mark is not None),
        waiting=f"Wants a human for {span(now - row.asked.at)}" if row.asked else "",
        summary=first_line(row.asked.summary) if row.asked else "",
    )


def ago(at: datetime, now: datetime) -> str:
    """As short as it goes: `now`, `5 min`, `3 h`, `2 d`, `12 Nov`, `12 Nov 2025`."""
    age = now - at
    if age < _MINUTE:
        return "now"
    if age < timedelta(days=7):
        return span(age, parts=1)
    day = at.astimezone(UTC)
    return f"{day:%-d %b}" if day.year == now.astimezone(UTC).year else f"{day:%-d %b %Y}"


def span(length: timedelta, parts: int = 2) -> str:
    """`28 min`, `2 h 10 min`, `5 d`: hours with their minutes, days alone; at least `1 min`."""
    if length < _HOUR:
        return f"{max(1, length // _MINUTE)} min"
    if length < _DAY:
        minutes = (length % _HOUR) // _MINUTE
        hours = f"{length // _HOUR} h"
        return f"{hours} {minutes} min" if minutes and parts > 1 else hours
    return f"{length // _DAY} d"


def preview(last: Last, name: str) -> Preview:
    """Args: name: of whoever looks."""
    text = last.text or _NO_TEXT[last.kind]
    if last.kind == "deleted":
        text = _NO_TEXT["deleted"]
    if last.direction == "in":
        return Preview("", text)
    if last.origin == "human":
        return Preview("You" if last.by_name == name else last.by_name or "Human", text)
    return Preview("From Facebook" if last.origin == "human_facebook" else "Assistant", text)


def owner(row: Row, account_id: str | None) -> Mark:
    """Who answers: the assistant, or which human."""
    if row.mode == "ai":
        return Mark("calm", "bot", "AI", "The assistant answers")
    if row.by is not None and row.by == account_id:
        return Mark("good", "user-round", "Human · You", "You answer; the assistant is paused")
    who = row.by_name or ("Facebook" if row.by == "facebook" else "somebody")
    return Mark("good", "user-round", f"Human · {who}", f"{who} answers; the assistant is paused")


def returns(row: Row, now: datetime) -> Mark | None:
    """When the assistant comes back by itself."""
    if row.mode != "human" or row.auto_resume_at is None:
        return None
    left = row.auto_resume_at - now
    label = f"Back in {span(left)}" if left > timedelta(0) else "Back any moment"
    return Mark("calm", "timer", label, "The assistant comes back by itself")


def window_mark(row: Row, now: datetime) -> Mark | None:
    """The reply window, when little or nothing is left of it."""
    if row.last_user_message_at is None:
        return None
    age = now - row.last_user_message_at
    if age < STANDARD_WINDOW - SOON:
        return None
    if age < STANDARD_WINDOW:
        left = span(STANDARD_WINDOW - age)
        return Mark("warn", "hourglass", f"{left} left", f"The reply window closes in {left}")
    if age < HUMAN_AGENT_WINDOW:
        left = span(HUMAN_AGENT_WINDOW - age)
        words = f"24 hours are over: only a human may write, for another {left}"
        return Mark("calm", "hourglass", f"Human only · {left}", words)
    return Mark("calm", "lock-keyhole", "Window closed", "Nobody may write until the person does")


def window_of(row: Row, now: datetime) -> tuple[str, datetime] | None:
    """Who may write until when, or since when nobody may; None: the person never wrote."""
    if row.last_user_message_at is None:
        return None
    closes, human = (
        row.last_user_message_at + each for each in (STANDARD_WINDOW, HUMAN_AGENT_WINDOW)
    )
    if now < closes:
        return "Open until", closes
    return ("Human only, until", human) if now < human else ("Closed since", human)


def trouble(row: Row) -> Mark | None:
    """What was not sent, or may not have been, since the person wrote last."""
    if row.held:
        words = "Nobody knows whether it was sent: look and decide"
        return Mark("bad", "triangle-alert", f"{row.held} held", words)
    if row.failed:
        return Mark("bad", "circle-alert", f"{row.failed} not sent", "Open it to see why")
    return None


@dataclass(frozen=True)
class Past:
    """One line of the history of who had a conversation."""

    at: datetime
    words: str
    note: str = ""


def past_of(document: Mapping[str, Any]) -> Past | None:
    """What a line of a conversation says about who had it; None: something else."""
    if not str(document.get("event") or "").startswith("takeover."):
        return None
    message = Message.model_validate(document)
    line = system_line(message)
    return Past(message.at, line.words, first_line(line.summary)) if line else None


def first_line(text: str) -> str:
    return next(iter(text.strip().splitlines()), "")
