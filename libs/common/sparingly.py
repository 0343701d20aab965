"""A log line that the outside world can cause is written at most once in a while."""

import time
from collections.abc import Callable


class Sparingly:
    """Says how many occurrences the next line stands for; 0: not yet time for one."""

    def __init__(self, every_s: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._every_s = every_s
        self._clock = clock
        self._quiet_until = float("-inf")
        self._count = 0

    def count(self) -> int:
        self._count += 1
        if self._clock() < self._quiet_until:
            return 0
        self._quiet_until = self._clock() + self._every_s
        count, self._count = self._count, 0
        return count
