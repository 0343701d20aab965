"""Who has a conversation: the `takeover` part of its document. Every change makes a new one.

Moments are whole milliseconds: the database keeps no more, and a state that was read has to equal
the one that was written.
"""

from datetime import datetime, timedelta
from typing import Literal

from libs.common.events import Model, UtcDatetime

Mode = Literal["ai", "human"]

FACEBOOK = "facebook"
"""Who has it when somebody answered in Meta's own inbox: nobody that we know by name."""
TIMER = "timer"
ERASURE = "erasure"

SHORTEST_MINUTES, LONGEST_MINUTES = 5, 10_080  # a timer: up to 7 days


class Thread(Model):
    """Which app may write to the person (Meta's thread control). Absent means: ours may."""

    ours: bool
    owner_app_id: str | None = None
    since: UtcDatetime


class Takeover(Model):
    """The whole of it. `epoch` counts changes of hands, `revision` every change."""

    mode: Mode = "ai"
    epoch: int = 0
    revision: int = 0
    by: str | None = None
    by_name: str | None = None
    since: UtcDatetime | None = None
    auto_resume_at: UtcDatetime | None = None
    reason: str | None = None
    thread: Thread | None = None

    @property
    def is_ours(self) -> bool:
        """Whether no other app has the thread, as far as anybody has told us."""
        return self.thread is None or self.thread.ours

    def is_due(self, now: datetime) -> bool:
        """Whether the timer says that the assistant has it again."""
        at = self.auto_resume_at
        return self.mode == "human" and at is not None and at <= now


NOBODY = Takeover()


def whole_ms(moment: datetime) -> datetime:
    """As the database keeps it."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def timer(start: datetime, minutes: int) -> datetime:
    """When it is over.

    Raises:
        ValueError: `minutes` is not within 5 minutes and 7 days.
    """
    if not SHORTEST_MINUTES <= minutes <= LONGEST_MINUTES:
        raise ValueError(f"{minutes} is not within {SHORTEST_MINUTES} and {LONGEST_MINUTES}")
    return whole_ms(start) + timedelta(minutes=minutes)
