"""How far a partition may be committed when its records finish in any order."""

from collections import deque


class OffsetTracker:
    """The records of one partition that have begun, and how many of the first have finished.

    Offsets begin in rising order, with gaps where the log was compacted or holds transaction
    markers. Every operation costs constant time, spread over the records.
    """

    def __init__(self) -> None:
        self._begun: deque[int] = deque()  # not yet committable, oldest first
        self._open: set[int] = set()  # those of them that are not finished
        self._last: int | None = None
        self._committable: int | None = None

    def start(self, offset: int) -> None:
        """Raises: ValueError: this offset, or a later one, has begun before."""
        if self._last is not None and offset <= self._last:
            raise ValueError(f"offset {offset} after {self._last}")
        self._last = offset
        self._begun.append(offset)
        self._open.add(offset)

    def finish(self, offset: int) -> bool:
        """Take note that a record is done with; True if more may be committed now.

        An offset that has not begun, or has finished before, changes nothing.
        """
        if offset not in self._open:
            return False
        self._open.remove(offset)
        moved = False
        while self._begun and self._begun[0] not in self._open:
            self._committable = self._begun.popleft() + 1
            moved = True
        return moved

    @property
    def committable(self) -> int | None:
        """One past the last record before which everything is finished; None: nothing is yet."""
        return self._committable

    @property
    def last(self) -> int | None:
        """The latest offset that has begun."""
        return self._last

    @property
    def oldest(self) -> int | None:
        """The first offset that is not finished."""
        return self._begun[0] if self._begun else None

    @property
    def span(self) -> int:
        """How many records a crash now would bring again: those past `committable`."""
        return len(self._begun)

    @property
    def in_flight(self) -> int:
        """How many records have begun and not finished."""
        return len(self._open)
