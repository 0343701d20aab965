"""How fast each Page may be called, and when it has to wait: one process owns a Page's calls."""

import random
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from typing import Literal

from prometheus_client import Counter, Gauge, Histogram

from libs.common.graph import Usage
from libs.common.metrics import from_zero
from services.sender.draining import Drain
from services.sender.line import Call, Line, Place
from services.sender.line import now as _now
from services.sender.pacing import Allowance, ceiling_for

READS_PER_S = 2.0  # of the Conversations API, whatever a Page may send
READS_BACKOFF_S = 5.0
FIRST_BACKOFF_S = 1.0
MAX_BACKOFF_S = 60.0
PROBE_EVERY_S = 60.0  # with a token that was refused
TELL_EVERY_S = 60.0
FULL_PERCENT = 100.0
USAGE_FOR_S = 3600.0
OLD_WAITS_S = 60.0
LONG_STOP_S = 10.0
"""A stop that lasts longer is not waited out in place: what waits is put away (`keeper.py`)."""

Kind = Literal["text", "media"]

PAUSES = from_zero(
    Counter(
        "assistant_page_pauses_total", "Times a Page's sending was stopped for a while.", ["cause"]
    ),
    ["limit", "app_limit", "usage", "token"],
)
TURN_SECONDS = from_zero(
    Histogram(
        "assistant_page_turn_seconds",
        "How long a part waited for leave to call Meta.",
        ["origin"],
        buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    ),
    ["assistant", "human"],
)
SLOWEST = Gauge("assistant_page_pace_ratio", "Share of its full rate that the slowest Page takes.")
MOST_USED = Gauge("assistant_page_usage_ratio", "Share of Meta's allowance of the Page nearest it.")
WAITING = Gauge("assistant_page_waiting_parts", "Parts in line for leave to call, all Pages.")
STOPPED = Gauge(
    "assistant_pages_stopped",
    "Pages that are not called for now.",
    ["cause"],  # limit, token
)


class Stop:
    """Until when nothing may be called, on the event loop's clock."""

    def __init__(self) -> None:
        self._until = float("-inf")

    def left_s(self) -> float:
        return self._until - _now()

    def extend(self, seconds: float) -> None:
        self._until = max(self._until, _now() + seconds)

    def end(self) -> None:
        self._until = float("-inf")


class Page:
    """One Page's turn-taking. Times are seconds on the event loop's clock.

    In no second does Meta see more than `per_s` calls. The more of its allowance is used by what
    Meta says, the fewer. After a refused token, one call at a time finds out whether the next one
    is taken.
    """

    def __init__(
        self, per_s: float, drain: Drain, *, media_per_s: float = 10.0, app: Stop | None = None
    ) -> None:
        self._allowances: dict[Kind, Allowance] = {
            "text": Allowance(per_s),
            "media": Allowance(min(media_per_s, per_s)),
        }
        self._lines = {
            kind: Line(allowance, self._closed_s, self._admit)
            for kind, allowance in self._allowances.items()
        }
        self._reads = Line(Allowance(READS_PER_S), self._closed_to_reads_s, self._admit)
        self._drain = drain
        self._stop, self._app = Stop(), app or Stop()
        self._token_stop, self._reads_stop = Stop(), Stop()
        self._limited_in_a_row = 0
        self._suspect = False
        self._probing = False
        self._told_at = float("-inf")
        self._numbers = count()
        self._used_percent, self._used_until = 0.0, float("-inf")
        drain.when_begun(self._send_away)

    @property
    def token_is_suspect(self) -> bool:
        """Whether the token was refused and nothing has gone through since."""
        return self._suspect

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return sum(len(line) for line in self._lines.values())

    def pace(self) -> float:
        return min(allowance.pace(_now()) for allowance in self._allowances.values())

    def used(self) -> float:
        """Share of Meta's allowance that is used, by its latest word. What is older than the hour
        that Meta counts says nothing any more: others may be calling for the Page by now."""
        return self._used_percent / 100 if _now() < self._used_until else 0.0

    def stopped_for_s(self) -> float:
        """How long no call will be let through; 0 or less: some may be."""
        return max(self._stop.left_s(), self._app.left_s(), self._token_stop.left_s())

    def place(self, *, human: bool = False, old: bool = False) -> Place:
        """The next place in line.

        A human's is before all of the assistant's. One for what is `old` is behind those of others
        also where they come within the next minute, so that it goes while there is room, and in
        the end in any case.
        """
        return not human, _now() + (OLD_WAITS_S if old else 0.0), next(self._numbers)

    @asynccontextmanager
    async def turn(
        self, patience_s: float, place: Place | None = None, *, kind: Kind = "text"
    ) -> AsyncIterator[Call | None]:
        """Wait for leave to make one call; None if it will not come within `patience_s`, or if
        the Page has been stopped for long.

        Args:
            place: who comes back with the same one is as far as before; None: the next one.

        Raises:
            DrainingError: the service stops.
        """
        began_at = _now()
        place = place or self.place()
        call = await self._stand(self._lines[kind], place, patience_s)
        if call is None:
            yield None
            return
        TURN_SECONDS.labels("assistant" if place[0] else "human").observe(_now() - began_at)
        with self._over(call):
            yield call

    @contextmanager
    def turn_now(self) -> Iterator[Call | None]:
        """Leave for a call that would be worth nothing later: now, or not at all."""
        call = None if self._suspect else self._lines["text"].take_now()
        if call is None:
            yield None
            return
        with self._over(call):
            yield call

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[bool]:
        """Wait for leave to read from the Conversations API, and read within the context. False:
        the Page has been stopped for long.

        Raises:
            DrainingError: the service stops.
        """
        call = await self._stand(self._reads, self.place(), float("inf"))
        if call is None:
            yield False
            return
        with self._over(call):
            await call.room()
            with call:
                yield True

    def limited(self, retry_after_s: float | None, *, whole_app: bool = False) -> float:
        """Meta wants less: stop for as long as it says, else longer each time. Returns how long."""
        if self.stopped_for_s() <= 0:  # answers to calls begun earlier tell nothing new
            self._limited_in_a_row += 1
            PAUSES.labels("app_limit" if whole_app else "limit").inc()
            for allowance in self._allowances.values():
                allowance.give_way(_now())
        doublings = min(self._limited_in_a_row - 1, 10)
        backoff_s = min(FIRST_BACKOFF_S * 2**doublings, MAX_BACKOFF_S)
        pause_s = retry_after_s or backoff_s * random.uniform(0.5, 1.0)
        (self._app if whole_app else self._stop).extend(pause_s)
        self._look_anew()
        return pause_s

    def reads_limited(self, retry_after_s: float | None) -> None:
        """Meta wants fewer reads; sending is another allowance."""
        self._reads_stop.extend(retry_after_s or READS_BACKOFF_S)
        self._reads.allowance.give_way(_now())

    def heed(self, usage: Usage) -> None:
        """Meta says how much of its allowance is used: slow down, or stop, before it refuses.

        To be called only when it says so: no word about usage is not a usage of zero.
        """
        self._used_percent, self._used_until = usage.percent, _now() + USAGE_FOR_S
        for allowance in self._allowances.values():
            allowance.cap(_now(), ceiling_for(usage.percent))
        if usage.regain_s > 0 or usage.percent >= FULL_PERCENT:
            if self.stopped_for_s() <= 0:
                PAUSES.labels("usage").inc()
            self._stop.extend(usage.regain_s or MAX_BACKOFF_S)
            self._look_anew()

    def token_rejected(self, probe_every_s: float = PROBE_EVERY_S) -> bool:
        """Meta refused the token: stop, then probe. True if it is time to tell the others."""
        self._suspect = True
        self._token_stop.extend(probe_every_s)
        self._look_anew()
        PAUSES.labels("token").inc()
        tell = _now() - self._told_at >= TELL_EVERY_S
        if tell:
            self._told_at = _now()
        return tell

    def remember(self, *, suspect: bool, stopped_for_s: float) -> None:
        """What another process knew of the Page when it put something away."""
        self._suspect = self._suspect or suspect
        self._stop.extend(stopped_for_s)

    def answered(self) -> None:
        """Meta took a call, or refused it for its own sake: the Page works."""
        self._limited_in_a_row = 0
        if self._suspect:
            self._suspect = False
            self._told_at = float("-inf")  # the next refusal is news, however soon it comes
            self._token_stop.end()
            self._pump()

    def reconsider(self) -> None:
        """The channel was changed, perhaps reconnected: find out at once."""
        self._token_stop.end()
        self._pump()

    async def _stand(self, line: Line, place: Place, patience_s: float) -> Call | None:
        until = _now() + patience_s
        while True:
            self._drain.check()
            left_s = until - _now()
            if left_s <= 0 or self.stopped_for_s() > LONG_STOP_S:
                return None
            call = await line.stand(place, left_s)
            if call is None:
                continue
            if self.stopped_for_s() <= 0:
                return call
            self._end(call)  # the Page was stopped at the same moment

    def _closed_s(self) -> float:
        """Until somebody may pass. Without end while one finds out about the token."""
        if self._suspect and self._probing:
            return float("inf")
        return self.stopped_for_s()

    def _closed_to_reads_s(self) -> float:
        return max(self._closed_s(), self._reads_stop.left_s())

    def _admit(self, line: Line) -> Call:
        if self._suspect:
            self._probing = True
        return Call(line, is_probe=self._suspect)

    @contextmanager
    def _over(self, call: Call) -> Iterator[None]:
        try:
            yield
        finally:
            self._end(call)

    def _end(self, call: Call) -> None:
        call.give_back()
        if call.is_probe:
            self._probing = False
            self._pump()

    def _look_anew(self) -> None:
        """Who waits in line for a short stop keeps the place; for a long one it is given up."""
        if self.stopped_for_s() > LONG_STOP_S:
            self._send_away()

    def _send_away(self) -> None:
        for line in self._all_lines():
            line.send_away()

    def _pump(self) -> None:
        for line in self._all_lines():
            line.pump()

    def _all_lines(self) -> list[Line]:
        return [*self._lines.values(), self._reads]


class Pages:
    """Every Page this process has sent for. What stops the whole app stops all of them."""

    def __init__(self, per_s: float, drain: Drain, media_per_s: float = 10.0) -> None:
        self._per_s, self._media_per_s = per_s, media_per_s
        self._drain = drain
        self._app = Stop()
        self._pages: dict[str, Page] = {}
        SLOWEST.set_function(lambda: self._over(min, Page.pace, 1.0))
        MOST_USED.set_function(lambda: self._over(max, Page.used, 0.0))
        WAITING.set_function(lambda: sum(page.waiting for page in self._pages.values()))
        STOPPED.labels("limit").set_function(lambda: self._stopped(suspect=False))
        STOPPED.labels("token").set_function(lambda: self._stopped(suspect=True))

    def __getitem__(self, page_id: str) -> Page:
        page = self._pages.get(page_id)
        if page is None:
            page = self._pages[page_id] = Page(
                self._per_s, self._drain, media_per_s=self._media_per_s, app=self._app
            )
        return page

    def heed(self, page_id: str, usage: Usage) -> None:
        self[page_id].heed(usage)

    def reconsider(self, page_id: str) -> None:
        if page_id in self._pages:
            self._pages[page_id].reconsider()

    def _over(
        self,
        choose: Callable[[Collection[float]], float],
        value: Callable[[Page], float],
        otherwise: float,
    ) -> float:
        return choose([value(page) for page in self._pages.values()] or [otherwise])

    def _stopped(self, *, suspect: bool) -> float:
        return sum(
            page.stopped_for_s() > 0 and page.token_is_suspect is suspect
            for page in self._pages.values()
        )
