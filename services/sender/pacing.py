"""How fast one Page is called, and who goes first."""

import asyncio
from collections import deque

BURST_SHARE = 0.05  # of a second's calls may go at once, and one more: a late timer is made up for
STEADY_SHARE = 0.99  # of the allowed rate, on the long run
SECOND_S = 1.002  # Meta's second, with what clocks that count whole milliseconds may be off
SHORTEST_FOR_S = 10.0  # at least so long, and at most twice that, the shortest answer is remembered
RECOVERY_PER_S = 0.02  # of the full rate
GIVING_WAY = 0.75  # what is left of the pace after a limit error
LOWEST_PACE = 0.05
SLOW_FROM, SLOWER_FROM = 75.0, 90.0  # percent of Meta's allowance


def ceiling_for(percent: float) -> float:
    """Which share of the full rate is left when so much of Meta's allowance is used.

    All of it below 75 %, half at 90 %, a tenth at 100 %, evenly in between.
    """
    if percent < SLOW_FROM:
        return 1.0
    if percent < SLOWER_FROM:
        return 1.0 - 0.5 * (percent - SLOW_FROM) / (SLOWER_FROM - SLOW_FROM)
    return max(0.1, 0.5 - 0.4 * (percent - SLOWER_FROM) / (100.0 - SLOWER_FROM))


class Shortest:
    """The shortest time that an answer took of late. Pure: times are given."""

    def __init__(self) -> None:
        self._since = float("-inf")
        self._now, self._before = float("inf"), float("inf")

    def note(self, now: float, took_s: float) -> None:
        if now - self._since > SHORTEST_FOR_S:
            self._since, self._before, self._now = now, self._now, float("inf")
        self._now = min(self._now, took_s)

    def get(self) -> float:
        """0 while nothing is known."""
        shortest = min(self._now, self._before)
        return shortest if shortest < float("inf") else 0.0


class Window:
    """The calls that Meta may count into one second, and whether one more may join them. Pure:
    times are given.

    When Meta counts a call we cannot see: some time after it begins and before it is answered, and
    a machine or a network that stalls can move that moment by any part of the time between. So a
    call takes up its place from when it is let in until a second after its answer, less the
    shortest time that an answer takes: all calls have that in common, so it moves none of them
    nearer to another. However calls bunch on the way, no second at Meta's end has more of them,
    as long as one of the last seconds' calls met no delay.
    """

    def __init__(self, per_s: float) -> None:
        self._most = max(1, int(per_s))
        self._open = 0
        self._answered: deque[float] = deque()
        self._shortest = Shortest()

    def is_full(self, now: float) -> bool:
        while self._answered and self._free_at() <= now:
            self._answered.popleft()
        return self._open + len(self._answered) >= self._most

    def wait_s(self, now: float) -> float:
        """Until it is not full any more; without end where that takes an answer."""
        if not self.is_full(now):
            return 0.0
        return max(0.0, self._free_at() - now) if self._answered else float("inf")

    def let_in(self) -> None:
        self._open += 1

    def let_out(self, now: float, begun_at: float | None) -> None:
        """The call was answered, or nobody waits for that any more; None: it never began."""
        self._open -= 1
        if begun_at is not None:
            self._shortest.note(now, max(0.0, now - begun_at))
            self._answered.append(now)

    def _free_at(self) -> float:
        return self._answered[0] + SECOND_S - self._shortest.get()


class Allowance:
    """A bucket of calls whose rate gives way at once and comes back slowly. Pure: times are given.

    In no second does Meta see more than `per_s` calls: see `Window`.
    """

    def __init__(self, per_s: float) -> None:
        self._steady = per_s * STEADY_SHARE
        self._burst = 1 + per_s * BURST_SHARE
        self._calls = self._burst
        self._window = Window(per_s)
        self._counted_at: float | None = None
        self._ceiling = 1.0
        self._pace = 1.0

    def pace(self, now: float) -> float:
        """The share of the full rate that is taken at present."""
        self._count(now)
        return self._pace

    def take(self, now: float) -> bool:
        """Let a call in, if one may begin. Each one that was let in has to be `let_out`."""
        self._count(now)
        if self._calls < 1 - 1e-9 or self._window.is_full(now):
            return False
        self._calls -= 1
        self._window.let_in()
        return True

    def let_out(self, now: float, begun_at: float | None) -> None:
        """A call is over; None: it never began."""
        self._window.let_out(now, begun_at)

    def wait_s(self, now: float) -> float:
        """Until the next call may begin, at the present pace; without end where one has to end."""
        self._count(now)
        earning_s = (1 - self._calls) / (self._steady * self._pace)
        return max(self._window.wait_s(now), earning_s)

    def give_way(self, now: float) -> None:
        """Meta refused a call for coming too fast."""
        self._count(now)
        self._pace = max(LOWEST_PACE, self._pace * GIVING_WAY)
        self._calls = min(self._calls, 1.0)

    def cap(self, now: float, ceiling: float) -> None:
        """Go no faster than this share of the full rate, until told otherwise."""
        self._count(now)
        self._ceiling = ceiling
        self._pace = min(self._pace, ceiling)

    def _count(self, now: float) -> None:
        passed_s = 0.0 if self._counted_at is None else max(0.0, now - self._counted_at)
        self._counted_at = now
        before = self._pace
        self._pace = min(self._ceiling, before + RECOVERY_PER_S * passed_s)
        earned = passed_s * self._steady * (before + self._pace) / 2
        self._calls = min(self._calls + earned, max(1.0, self._burst * self._pace))


class Line:
    """Those who wait for a call: what humans wrote first, then in the order of coming.

    A person has one part in the line at a time and goes to its end with the next one: however many
    parts one of them has, the others have their turn in between.
    """

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self._humans: deque[asyncio.Future[bool]] = deque()
        self._others: deque[asyncio.Future[bool]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._humans) + len(self._others)

    def take_now(self) -> bool:
        """Pass without waiting, until `over`; False where others wait or no call may begin."""
        return not len(self) and self._allowance.take(_now())

    def over(self, begun_at: float | None) -> None:
        """The call of one who has passed is over; None: it never began."""
        self._allowance.let_out(_now(), begun_at)
        if self._timer is not None:
            self._timer.cancel()
        self._again()

    async def stand(self, *, human: bool, first: bool = False) -> bool:
        """True when it is our turn, until `over`; False if all were sent away.

        Args:
            first: before all others of our line: we had our turn, and it came to nothing.
        """
        if self.take_now():
            return True
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        line = self._humans if human else self._others
        (line.appendleft if first else line.append)(turn)
        self._pump()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result():
                self.over(None)  # it was let in at the same moment
            raise

    def send_away(self) -> None:
        """Nobody gets a turn any more: let all look anew at how things stand."""
        for waiting in (self._humans, self._others):
            while waiting:
                if not (turn := waiting.popleft()).done():
                    turn.set_result(False)

    def _pump(self) -> None:
        """Let pass whoever may, and come back when the next one may."""
        if self._timer is not None:
            return
        while (waiting := self._first()) is not None and self._allowance.take(_now()):
            waiting.popleft().set_result(True)
        if self._first() is None:
            return
        if (wait_s := self._allowance.wait_s(_now())) < float("inf"):  # else an answer wakes us
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._again)

    def _again(self) -> None:
        self._timer = None
        self._pump()

    def _first(self) -> "deque[asyncio.Future[bool]] | None":
        """The line whose head is next; those who gave up are gone from it."""
        for waiting in (self._humans, self._others):
            while waiting and waiting[0].done():
                waiting.popleft()
            if waiting:
                return waiting
        return None


def _now() -> float:
    return asyncio.get_running_loop().time()
