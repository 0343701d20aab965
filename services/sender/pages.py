"""How fast each Page may be called, and when it has to wait: one process owns a Page's calls."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiolimiter import AsyncLimiter
from prometheus_client import Counter

from libs.common.graph import Usage
from services.sender.draining import Drain

BURST_SHARE = 0.1  # of a second's calls may go at once; what is left flows evenly
READS_PERIOD_S = 0.5  # the Conversations API takes 2 calls a second and Page
FIRST_BACKOFF_S = 1.0
MAX_BACKOFF_S = 60.0
PROBE_EVERY_S = 60.0  # with a token that was refused
TELL_EVERY_S = 60.0
FULL_PERCENT = 100.0
PACES = ((90.0, 0.1), (75.0, 0.5), (0.0, 1.0))
"""From how much of Meta's allowance on, which share of the usual rate."""

PAUSES = Counter(
    "assistant_page_pauses_total", "Times a Page's sending was stopped for a while.", ["cause"]
)


class Page:
    """One Page's turn-taking. Times are seconds on the event loop's clock.

    In any one second no more than `per_s` calls begin: a burst of a tenth, and the rest evenly.
    The more of its allowance is used by what Meta says, the fewer. After a refused token, one call
    at a time finds out whether the next one is taken.
    """

    def __init__(self, per_s: float, drain: Drain) -> None:
        self._buckets = {pace: _bucket(per_s * pace) for _, pace in PACES}
        self._pace = 1.0
        self._drain = drain
        self._paused_until = float("-inf")
        self._limited_in_a_row = 0
        self._suspect = False
        self._probing = False
        self._told_at = float("-inf")
        self._changed = asyncio.Event()
        self.reads = AsyncLimiter(1, READS_PERIOD_S)

    @property
    def _bucket(self) -> AsyncLimiter:
        return self._buckets[self._pace]

    @property
    def token_is_suspect(self) -> bool:
        """Whether the token was refused and nothing has gone through since."""
        return self._suspect

    @asynccontextmanager
    async def turn(self, patience_s: float) -> AsyncIterator[bool]:
        """Wait for leave to make one call; False if it did not come within `patience_s`.

        Raises:
            DrainingError: the service stops.
        """
        if not await self._admitted(patience_s):
            yield False
            return
        probing = self._suspect
        self._probing = probing
        try:
            yield True
        finally:
            if probing:
                self._probing = False
                self._wake_all()

    async def take_now(self) -> bool:
        """Leave for a call that would be worth nothing later: now, or not at all."""
        if self._suspect or self._wait_s() > 0 or not self._bucket.has_capacity():
            return False
        await self._bucket.acquire()
        return True

    def limited(self, retry_after_s: float | None) -> float:
        """Meta wants less: stop for as long as it says, else longer each time. Returns how long."""
        if self._wait_s() <= 0:  # answers to calls begun earlier tell nothing new
            self._limited_in_a_row += 1
            PAUSES.labels("limit").inc()
        backoff_s = min(FIRST_BACKOFF_S * 2 ** (self._limited_in_a_row - 1), MAX_BACKOFF_S)
        pause_s = retry_after_s or backoff_s * random.uniform(0.5, 1.0)
        self._pause(pause_s)
        return pause_s

    def heed(self, usage: Usage) -> None:
        """Meta says how much of its allowance is used: slow down, or stop, before it refuses.

        To be called only when it says so: no word about usage is not a usage of zero.
        """
        self._pace = next(pace for percent, pace in PACES if usage.percent >= percent)
        if usage.regain_s > 0 or usage.percent >= FULL_PERCENT:
            if self._wait_s() <= 0:
                PAUSES.labels("usage").inc()
            self._pause(usage.regain_s or MAX_BACKOFF_S)

    def token_rejected(self) -> bool:
        """Meta refused the token: stop, then probe. True if it is time to tell the others."""
        self._suspect = True
        self._pause(PROBE_EVERY_S)
        PAUSES.labels("token").inc()
        tell = _now() - self._told_at >= TELL_EVERY_S
        if tell:
            self._told_at = _now()
        return tell

    def answered(self) -> None:
        """Meta took a call, or refused it for its own sake: the Page works."""
        self._limited_in_a_row = 0
        if self._suspect:
            self._suspect = False
            self._wake_all()

    def reconsider(self) -> None:
        """The channel was changed, perhaps reconnected: find out at once."""
        if self._suspect:
            self._paused_until = float("-inf")
        self._wake_all()

    async def wait_for_change(self, seconds: float) -> None:
        """Raises: DrainingError: the service stops."""
        await self._drain.wait_for(self._changed, seconds)

    async def _admitted(self, patience_s: float) -> bool:
        until = _now() + patience_s
        while True:
            self._drain.check()
            if self._is_open():
                await self._bucket.acquire()
                if self._is_open():  # it may have been closed while we stood in line
                    return True
            left_s = until - _now()
            if left_s <= 0:
                return False
            wait_s = self._wait_s()
            await self.wait_for_change(min(wait_s, left_s) if wait_s > 0 else left_s)

    def _is_open(self) -> bool:
        return self._wait_s() <= 0 and not (self._suspect and self._probing)

    def _wait_s(self) -> float:
        return self._paused_until - _now()

    def _pause(self, seconds: float) -> None:
        self._paused_until = max(self._paused_until, _now() + seconds)

    def _wake_all(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Pages:
    """Every Page this process has sent for."""

    def __init__(self, per_s: float, drain: Drain) -> None:
        self._per_s = per_s
        self._drain = drain
        self._pages: dict[str, Page] = {}

    def __getitem__(self, page_id: str) -> Page:
        page = self._pages.get(page_id)
        if page is None:
            page = self._pages[page_id] = Page(self._per_s, self._drain)
        return page

    def heed(self, page_id: str, usage: Usage) -> None:
        self[page_id].heed(usage)

    def reconsider(self, page_id: str) -> None:
        if page_id in self._pages:
            self._pages[page_id].reconsider()


def _bucket(per_s: float) -> AsyncLimiter:
    burst = max(1.0, per_s * BURST_SHARE)
    steady = max(per_s - burst, per_s * BURST_SHARE)
    return AsyncLimiter(burst, burst / steady)


def _now() -> float:
    return asyncio.get_running_loop().time()
