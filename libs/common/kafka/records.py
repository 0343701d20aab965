"""A record as a consumer sees it: bytes, not yet parsed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

OVERHEAD_BYTES = 1024
"""What a buffered record costs besides its payload: objects, dictionaries, bookkeeping."""


class FetchedRecord(Protocol):
    """What the client library hands us."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp: int


@dataclass(frozen=True, slots=True)
class ConsumedRecord:
    """One record of a topic. A record without a key has the key `b""`.

    Of several headers with the same name the last one counts.
    """

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes | None
    headers: Mapping[str, bytes]
    timestamp_ms: int

    @property
    def size(self) -> int:
        """Memory that keeping it costs, in bytes, roughly and never less than the payload."""
        headers = sum(len(name) + len(value) for name, value in self.headers.items())
        return OVERHEAD_BYTES + len(self.key) + len(self.value or b"") + headers


def from_fetched(record: FetchedRecord) -> ConsumedRecord:
    return ConsumedRecord(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key or b"",
        value=record.value,
        headers={name: value or b"" for name, value in record.headers},
        timestamp_ms=record.timestamp,
    )
