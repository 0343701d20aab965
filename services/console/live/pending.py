"""Which conversations have changed and are not yet to be read anew. Time is passed in, in seconds.

A record on the log is news for the conversation service as well: whoever is told of it at once and
asks, may be given what was before. So a hint waits until the conversation's row has the record.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

LONGEST_WAIT_S = 5.0
"""Then the hint goes out anyway: the row may never have the record, or nobody can be asked."""

MOST_PENDING = 5_000
"""Of more conversations at once only "anything may have changed" is known."""


@dataclass(frozen=True)
class Place:
    """Where a record stands on the log."""

    partition: int
    offset: int


@dataclass(frozen=True)
class Hint:
    """A conversation that is to be read anew."""

    conversation: str
    asks: bool  # whether a human was called for
    since: float  # when the first record that it is about was heard
    was_heard: bool  # False: given after `LONGEST_WAIT_S`


@dataclass
class _Waiting:
    partition: int
    first: int  # the lowest offset that is not in the row, as far as is known
    last: int
    since: float
    asks: bool


class Pending:
    """Conversations with records that are in no row yet."""

    def __init__(self, most: int = MOST_PENDING) -> None:
        self._most = most
        self._waiting: dict[str, _Waiting] = {}
        self._overflowed = False

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def note(self, conversation: str, place: Place, now: float, *, asks: bool = False) -> None:
        """A record of the conversation was heard."""
        known = self._waiting.get(conversation)
        if known is not None and known.partition == place.partition:
            known.first = min(known.first, place.offset)
            known.last = max(known.last, place.offset)
            known.asks |= asks
        elif known is None and len(self._waiting) >= self._most:
            self._overflowed = True
        else:  # another partition: the topic has grown, and rows hold the newest record's place
            since = now if known is None else known.since
            asks = asks or (known is not None and known.asks)
            self._waiting[conversation] = _Waiting(
                place.partition, place.offset, place.offset, since, asks
            )

    def oldest(self, most: int) -> list[str]:
        """Those to ask about next: who waits longest comes first."""
        return list(self._waiting)[:most]

    def answered(self, asked: Iterable[str], rows: Mapping[str, Place], now: float) -> list[Hint]:
        """What may be told after rows were asked for. A conversation without a row goes on waiting.

        While somebody writes without pause, the row is always behind the last record: each step
        that it makes is told.
        """
        hints = []
        for conversation in asked:
            waiting, row = self._waiting.get(conversation), rows.get(conversation)
            if waiting is None:
                continue
            if row is None or row.partition != waiting.partition or row.offset < waiting.first:
                self._to_the_end(conversation)
                continue
            hints.append(Hint(conversation, waiting.asks, waiting.since, was_heard=True))
            if row.offset >= waiting.last:
                del self._waiting[conversation]
            else:
                waiting.first, waiting.since = row.offset + 1, now
                self._to_the_end(conversation)
        return hints

    def overdue(self, now: float) -> list[Hint]:
        """What has waited for too long: told now, and not waited for any more."""
        late = [each for each, it in self._waiting.items() if now - it.since >= LONGEST_WAIT_S]
        return [
            Hint(each, it.asks, it.since, was_heard=False)
            for each in late
            if (it := self._waiting.pop(each))
        ]

    def overflowed(self) -> bool:
        """Whether there were too many to know them all, since this was asked last."""
        overflowed, self._overflowed = self._overflowed, False
        return overflowed

    def clear(self) -> None:
        self._waiting.clear()
        self._overflowed = False

    def _to_the_end(self, conversation: str) -> None:
        """So that others are asked about, too, when there are more than fit into a question."""
        self._waiting[conversation] = self._waiting.pop(conversation)
