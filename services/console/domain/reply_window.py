"""Whether somebody may write to the person now, as what, and until when. Pure: time is passed in.

The sender decides with the same rules when a message's turn comes; this is what is shown before.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from libs.common.window import HUMAN_AGENT_WINDOW, STANDARD_WINDOW

Kind = Literal["open", "human_only", "closed", "never"]

SOON = timedelta(hours=4)


@dataclass(frozen=True)
class ReplyWindow:
    """The window as it is now.

    Args:
        until: when this kind of it ends; of a closed one, since when it is closed. None: never
            was one.
        opened_at: when the person last wrote.
    """

    kind: Kind
    until: datetime | None = None
    opened_at: datetime | None = None

    @property
    def may_write(self) -> bool:
        return self.kind in ("open", "human_only")

    def left(self, now: datetime) -> timedelta:
        if self.until is None or not self.may_write:
            return timedelta()
        return max(self.until - now, timedelta())

    def is_soon(self, now: datetime) -> bool:
        """Little is left of it."""
        return self.may_write and self.left(now) < SOON

    def words(self, now: datetime) -> str:
        """As it stands beside the takeover bar; the script counts on in the same words."""
        if self.kind == "open":
            return f"Reply window: {span(self.left(now))}"
        if self.kind == "human_only":
            return f"Human reply only: {span(self.left(now))} left"
        return "Reply window closed" if self.kind == "closed" else "No reply window yet"


def reply_window(last_user_message_at: datetime | None, now: datetime) -> ReplyWindow:
    """A message from the future of our clock counts as written now, as for the sender."""
    if last_user_message_at is None:
        return ReplyWindow("never")
    opened_at = min(last_user_message_at, now)
    standard, tagged = opened_at + STANDARD_WINDOW, opened_at + HUMAN_AGENT_WINDOW
    if now < standard:
        return ReplyWindow("open", standard, opened_at)
    kind: Kind = "human_only" if now < tagged else "closed"
    return ReplyWindow(kind, tagged, opened_at)


def span(length: timedelta) -> str:
    """How long, to the minute: `5 d 3 h`, `21 h 14 min`, `9 min`, `less than 1 min`."""
    minutes = int(length.total_seconds()) // 60
    if minutes < 1:
        return "less than 1 min"
    days, hours = divmod(minutes // 60, 24)
    minutes %= 60
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{minutes} min"
