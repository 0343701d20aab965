"""How long somebody stays signed in."""

from dataclasses import dataclass
from datetime import datetime, timedelta

TOUCH_EVERY = timedelta(minutes=1)  # so that a click rarely costs a write


@dataclass(frozen=True)
class Lifetime:
    """Without a click for `idle`, or `absolute` after signing in, a session is over."""

    idle: timedelta
    absolute: timedelta

    def expires_at(self, created_at: datetime, seen_at: datetime) -> datetime:
        """The last moment, exclusive."""
        return min(created_at + self.absolute, seen_at + self.idle)


def needs_touch(seen_at: datetime, now: datetime) -> bool:
    """Whether a click is late enough after the last one noted to be noted."""
    return now - seen_at >= TOUCH_EVERY
