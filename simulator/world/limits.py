"""Meta's limits on calls. In memory only: a restarted simulator starts with fresh ones.

Source: Messenger Platform rate limits: 300 sends a second, 2 calls a second of the Conversations
API, 10 calls in 10 minutes of the Messenger profile, 200 calls a day for each person that the Page
can message.
"""

from collections import deque
from dataclasses import dataclass, field

from simulator.world.units import Milliseconds

CONVERSATION_CALLS_PER_S = 2
DAILY_CALLS_PER_PERSON = 200
FEWEST_PEOPLE = 1000  # a Page of two people is not starved after an afternoon of trying things
REGAIN_MINUTES = 1
_SECOND, _TEN_MINUTES, _HOUR, _DAY_HOURS = 1000, 600_000, 3_600_000, 24


class CallWindow:
    """Calls of the last second or so. Refused ones count: calling on prolongs the block."""

    def __init__(self, length_ms: Milliseconds = _SECOND) -> None:
        self._at: deque[Milliseconds] = deque()
        self._length_ms = length_ms

    def add(self, now: Milliseconds) -> int:
        """Note a call and tell how many there were in the time that ends with it."""
        while self._at and self._at[0] <= now - self._length_ms:
            self._at.popleft()
        self._at.append(now)
        return len(self._at)


class DailyCalls:
    """Calls of the rolling 24 hours, to the hour."""

    def __init__(self) -> None:
        self._hours: deque[list[int]] = deque()  # [hour, calls], oldest first
        self._total = 0

    def add(self, now: Milliseconds) -> int:
        hour = now // _HOUR
        while self._hours and self._hours[0][0] <= hour - _DAY_HOURS:
            self._total -= self._hours.popleft()[1]
        if not self._hours or self._hours[-1][0] != hour:
            self._hours.append([hour, 0])
        self._hours[-1][1] += 1
        self._total += 1
        return self._total


@dataclass(slots=True)
class PageLimits:
    """The counters of one Page."""

    sends: CallWindow = field(default_factory=CallWindow)
    conversations: CallWindow = field(default_factory=CallWindow)
    profile: CallWindow = field(default_factory=lambda: CallWindow(_TEN_MINUTES))
    day: DailyCalls = field(default_factory=DailyCalls)
    calls_today: int = 0

    def usage_percent(self, people: int) -> int:
        """How much of the day's allowance is used; may pass 100."""
        allowed = DAILY_CALLS_PER_PERSON * max(people, FEWEST_PEOPLE)
        return self.calls_today * 100 // allowed
