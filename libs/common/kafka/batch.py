"""What a handler is given: everything that waits for one key, and what joins meanwhile."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from libs.common.kafka.records import ConsumedRecord


class Source(Protocol):
    """Where further records of the same key come from."""

    def has_more(self) -> bool: ...

    def take(self, limit: int) -> list[ConsumedRecord]: ...

    async def wait_for_more(self, timeout_s: float) -> bool: ...

    def note_away(self, seconds: float) -> None: ...


class KeyBatch:
    """The records of one key, in order. All of them are finished together when the handler returns.

    Without a source it stays as it is: that is how a record is tried alone.
    """

    def __init__(
        self,
        key: bytes,
        records: Sequence[ConsumedRecord],
        source: Source | None = None,
        max_records: int = 500,
    ) -> None:
        self.key = key
        self._records = list(records)
        self._source = source
        self._max_records = max_records

    @property
    def records(self) -> Sequence[ConsumedRecord]:
        """All that have been handed over so far. `take_more` makes it longer."""
        return self._records

    @property
    def is_alone(self) -> bool:
        """Whether this is a record that is tried by itself, because its batch has failed."""
        return self._source is None

    async def wait_for_more(self, timeout_s: float) -> bool:
        """True as soon as further records of this key wait; False after `timeout_s` without.

        False takes its full time also where nothing can come any more, because the batch is full
        or the partition is being taken away: a caller that asks in a loop must not spin.
        """
        if self._source is None or self._room() <= 0:
            await asyncio.sleep(timeout_s)
            return False
        return await self._source.wait_for_more(timeout_s)

    def take_more(self) -> list[ConsumedRecord]:
        """Let what waits now join this batch; returns what has joined."""
        if self._source is None or self._room() <= 0:
            return []
        more = self._source.take(self._room())
        self._records.extend(more)
        return more

    def note_away(self, seconds: float) -> None:
        """So long nothing here was at work on it: a model thought, a person might have written on.

        What is left of the time it takes tells how strained we and our database are.
        """
        if self._source is not None:
            self._source.note_away(seconds)

    def close(self) -> None:
        """Nothing joins from now on: the batch has been finished or given up."""
        self._source = None

    def _room(self) -> int:
        return self._max_records - len(self._records)
