"""How fast work may begin, from how late the loop is, and how much of it may be under way, from how
long it takes. Pure: what it is told is all it knows.

Who begins two thousand turns in one pass of the loop hears from nobody until all of them have had
their first piece of it: that costs heartbeats, and so the partitions.
"""

from libs.common.shortest import Shortest

TOO_LATE_S = 0.01
"""A loop that comes so much later than asked is at its limit: whoever waits for it, waits long."""
AT_ONCE = 32
"""Keys that may begin between two passes of the loop."""

FIRST_PER_S = 100.0
LEAST_PER_S = 100.0
"""However late the loop is: others may make it late, and a tenth of a processor is left for those
who have waited for long."""
MOST_PER_S = 2000.0
MORE_PER_S = 1000.0  # each second

TOO_LONG_S = 0.1
"""So much longer than at its quickest, or twice as long, may work take with old work beside it."""
TOO_MANY_SHARE, FEWEST_ENDED = 0.25, 16
"""Of a round, so much has to have taken too long: some may have reasons of their own."""
QUICKEST_FOR_S = 60.0
FIRST_PLACES, FEWEST_PLACES = 32.0, 4.0
MORE_PLACES, MORE_SHARE = 4.0, 0.125  # with each round, once it is known what is too many
KNOWN_FOR_S = 60.0


class Places:
    """How many keys of old work may be under way at a time.

    A loop that waits for a slow database is in time, and whoever writes now waits behind all that
    is in line there. As in congestion control: twice as many with each round, until work takes
    longer than it should; then half as many, and from there on only a few more with each round,
    until that was long ago.
    """

    def __init__(self, most: int) -> None:
        self._most = float(most)
        self._quickest = Shortest(QUICKEST_FOR_S)
        self.begin_anew()

    def begin_anew(self) -> None:
        """There was no old work for a while: how much of it is too much, nobody knows any more."""
        self._places = min(FIRST_PLACES, self._most)
        self._changed_at = self._halved_at = float("-inf")
        self._begin_round()

    def get(self) -> int:
        return int(self._places)

    def note(self, began_at: float, now: float, away_s: float, *, is_full: bool) -> None:
        """Some work, old or not, has come to its end.

        Args:
            away_s: how much of the time it was with a model, or waited for a person.
            is_full: whether the places were in use: else there is nothing to learn for them.
        """
        took_s = max(0.0, now - began_at - away_s)
        self._quickest.note(now, took_s)
        quickest_s = self._quickest.get()
        is_slow = took_s > quickest_s + max(TOO_LONG_S, quickest_s)
        if is_full and not is_slow:
            self._grow(now)
        if began_at < self._changed_at:
            return  # it has not seen the latest change
        self._ended += 1
        self._slow += is_slow
        if self._ended < self._round:
            return
        if self._slow > TOO_MANY_SHARE * self._ended:
            self._places = max(min(FEWEST_PLACES, self._most), self._places / 2)
            self._halved_at = self._changed_at = now
        self._begin_round()

    def _begin_round(self) -> None:
        self._round = max(FEWEST_ENDED, self.get())
        self._ended = self._slow = 0  # of what began since the latest change

    def _grow(self, now: float) -> None:
        is_known = now - self._halved_at < KNOWN_FOR_S
        share = max(MORE_PLACES / self._places, MORE_SHARE) if is_known else 1.0
        self._places = min(self._most, self._places + share)


class Pace:
    """How many keys of old work may begin.

    As in congestion control: more and more as long as the loop is in time, half of it after a look
    that came too late. So old work takes what fresh work leaves of the processor, whatever a piece
    of it costs.
    """

    def __init__(self) -> None:
        self._per_s = FIRST_PER_S
        self._saved = 0.0

    def grant(self, passed_s: float, late_s: float) -> int:
        """How many more keys may begin now.

        Args:
            passed_s: time since the last look.
            late_s: by how much of it the loop was later than asked.
        """
        if late_s > TOO_LATE_S:
            self._per_s = max(LEAST_PER_S, self._per_s / 2)
        else:
            self._per_s = min(MOST_PER_S, self._per_s + MORE_PER_S * passed_s)
        self._saved += self._per_s * passed_s
        whole = int(self._saved)
        self._saved -= whole
        return whole


def at_once(late_s: float, ended: int) -> int:
    """How many keys of any kind may begin now, however many wait; never none.

    Args:
        late_s: by how much the loop was later than asked since the last look.
        ended: how many keys have come to their end since then.

    Where the loop is late, whoever has ended is replaced: so as many as before are at work, and
    one more. Fewer would help nobody where the processor is slow for reasons of its own, such as a
    container's limit: work that waits for a model takes none of it.
    """
    return min(AT_ONCE, 1 + ended) if late_s > TOO_LATE_S else AT_ONCE
