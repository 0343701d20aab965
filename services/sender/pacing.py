"""How fast one Page is called. Pure: times are given."""

from heapq import heappop, heappush

from libs.common.shortest import Shortest

BURST_SHARE = 0.05  # of a second's calls may go at once, and one more: a late timer is made up for
STEADY_SHARE = 0.99  # of the allowed rate, on the long run
SECOND_S = 1.002  # Meta's second, with what clocks that count whole milliseconds may be off
SHORTEST_FOR_S = 10.0  # at least so long, and at most twice that, the shortest answer is remembered
SHORTEST_OF = 50  # answers; the first ones are slow, for everything has to get going
AHEAD_SHARE = 0.1  # of a second's calls may be let in before there is room for them to begin
PATIENCE_S = 0.03  # a call may keep its place so much longer, on average: 3 % of the rate
LONGEST_S = 1.0  # with what others have saved up, one call may keep its place so much longer
MOST_SAVED_S = 30.0  # a tenth of a second, at full rate
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


class Window:
    """The calls that Meta may count into one second, and whether one more may join them.

    When Meta counts a call we cannot see: some time after it begins and before it is answered, and
    a machine or a network that stalls can move that moment by any part of the time between. What
    answers take at least, all calls have in common, and it moves none of them nearer to another.
    The rest of the time a call was away its place stays taken, beyond the second. Then no second
    at Meta's end has more calls, however they bunch on the way.

    That would cost most of the rate where Meta's answers take now long and now short for reasons of
    its own. So only so much is spent on it: `patience_s` a call, saved up while there is no need.

    Between being let in and its beginning, a part is claimed in the database. So that no room is
    empty meanwhile, a few more are let in than may begin.
    """

    def __init__(self, per_s: float, patience_s: float = PATIENCE_S) -> None:
        self._most = max(1, int(per_s))
        self._ahead = int(per_s * AHEAD_SHARE)
        self._patience = patience_s
        self._saved = MOST_SAVED_S
        self._let_in = 0
        self._number = 0
        self._begun: dict[int, float] = {}
        self._free_at: list[float] = []
        self._shortest = Shortest(SHORTEST_FOR_S, SHORTEST_OF)

    def is_full(self, now: float) -> bool:
        """Whether nobody more may be let in."""
        return self._let_in + self._taken(now) >= self._most + self._ahead

    def has_room(self, now: float) -> bool:
        """Whether one of those who were let in may begin."""
        return self._taken(now) < self._most

    def room_in_s(self, now: float) -> float:
        return 0.0 if self.has_room(now) else self._next_free_s(now)

    def _taken(self, now: float) -> int:
        while self._free_at and self._free_at[0] <= now:
            heappop(self._free_at)
        while self._begun and self._latest_free_at() <= now:
            del self._begun[next(iter(self._begun))]
            self._spend(self._longest())
        return len(self._begun) + len(self._free_at)

    def wait_s(self, now: float) -> float:
        """Until it may be not full any more; without end where a call has to begin first."""
        return self._next_free_s(now) if self.is_full(now) else 0.0

    def _next_free_s(self, now: float) -> float:
        moments = self._free_at[:1] + ([self._latest_free_at()] if self._begun else [])
        return max(0.0, min(moments, default=float("inf")) - now)

    def let_in(self) -> None:
        """It begins as soon as there is room, or is given back."""
        self._let_in += 1

    def give_back(self) -> None:
        """One that was let in will not begin."""
        self._let_in -= 1

    def begin(self, now: float) -> int:
        """Of one that was let in. Returns its number, for `end`."""
        self._let_in -= 1
        self._number += 1
        self._begun[self._number] = now
        return self._number

    def end(self, now: float, number: int) -> None:
        """The call was answered, or nobody waits for that any more."""
        begun_at = self._begun.pop(number, None)
        if begun_at is None:
            return  # it took so long that its place was taken away
        self._shortest.note(now, max(0.0, now - begun_at))
        beyond = min(now - begun_at - self._shortest.get(), self._longest())
        heappush(self._free_at, begun_at + SECOND_S + beyond)
        self._spend(beyond)

    def _latest_free_at(self) -> float:
        """When the oldest call gives up its place, answered or not."""
        return next(iter(self._begun.values())) + SECOND_S + self._longest()

    def _longest(self) -> float:
        return max(self._patience, min(self._saved, LONGEST_S))

    def _spend(self, beyond: float) -> None:
        saved = self._saved + self._patience - beyond
        self._saved = max(-MOST_SAVED_S, min(saved, MOST_SAVED_S))


class Allowance:
    """A bucket of calls whose rate gives way at once and comes back slowly. How many of them Meta
    sees in a second is the matter of its `window`.
    """

    def __init__(self, per_s: float) -> None:
        self._steady = per_s * STEADY_SHARE
        self._burst = 1 + per_s * BURST_SHARE
        self._calls = self._burst
        self.window = Window(per_s)
        self._counted_at: float | None = None
        self._ceiling = 1.0
        self._pace = 1.0

    def pace(self, now: float) -> float:
        """The share of the full rate that is taken at present."""
        self._count(now)
        return self._pace

    def take(self, now: float) -> bool:
        """Let a call in, if one may begin: then it is in the `window`."""
        self._count(now)
        if self._calls < 1 - 1e-9 or self.window.is_full(now):
            return False
        self._calls -= 1
        self.window.let_in()
        return True

    def give_back(self, now: float) -> None:
        """A call that was let in will not begin."""
        self._count(now)
        self.window.give_back()
        self._calls = min(self._calls + 1, max(1.0, self._burst * self._pace))

    def wait_s(self, now: float) -> float:
        """Until the next call may begin, at the present pace; without end where one has to end."""
        self._count(now)
        earning_s = (1 - self._calls) / (self._steady * self._pace)
        return max(self.window.wait_s(now), earning_s)

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
