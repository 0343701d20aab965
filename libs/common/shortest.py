"""The shortest of many times, of late. Pure: times are given."""


class Shortest:
    """What something takes when nothing is in its way."""

    def __init__(self, for_s: float, least: int = 1) -> None:
        """
        Args:
            for_s: at least so long, and at most twice that, the shortest time is remembered.
            least: of so many times; the first ones may be slow, for everything has to get going.
        """
        self._for_s, self._least = for_s, least
        self._since = float("-inf")
        self._now, self._before = float("inf"), float("inf")
        self._count = 0

    def note(self, now: float, took_s: float) -> None:
        if now - self._since > self._for_s:
            self._since, self._before, self._now = now, self._now, float("inf")
        self._now = min(self._now, took_s)
        self._count += 1

    def get(self) -> float:
        """0 while too little is known."""
        return min(self._now, self._before) if self._count >= self._least else 0.0
