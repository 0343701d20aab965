"""The spans of records: put on the log, and handled by whoever takes them from there."""

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Literal

from libs.common import tracing
from libs.common.events import Record, topic_of
from libs.common.kafka.batch import KeyBatch
from libs.common.kafka.records import ConsumedRecord

TRACEPARENT = "traceparent"

Traced = Literal["batch", "record", "no"]
"""What of a consumer's work is a span: each batch, in the trace of its first record; each record,
which its handler sees to; or nothing, where batches are of everybody at once."""


def producing(records: Sequence[Record]) -> AbstractContextManager[None]:
    """Records on their way to the log, within the trace at hand; they take it along."""
    if not tracing.is_on() or not records:
        return tracing.OFF
    topic = topic_of(records[0])
    return tracing.step(
        f"send {topic}",
        kind="producer",
        topic=topic,
        records=len(records),
        record_type=records[0].type,
    )


def processing(
    record: ConsumedRecord, group: str, *, expected: tracing.Expected = (), records: int = 1
) -> AbstractContextManager[None]:
    """A record in somebody's hands, in the trace that it brings along, or in one that begins."""
    if not tracing.is_on():
        return tracing.OFF
    return tracing.entry(
        f"process {record.topic}",
        kind="consumer",
        parent=record.headers.get(TRACEPARENT),
        expected=expected,
        topic=record.topic,
        group=group,
        partition=record.partition,
        offset=record.offset,
        records=records,
        record_type=record.headers.get("type", b"").decode("utf-8", "replace"),
        waited_s=round(max(0.0, time.time() - record.timestamp_ms / 1000), 3),
    )


@contextmanager
def processing_batch(batch: KeyBatch, group: str) -> Iterator[None]:
    """A batch in somebody's hands, in its first record's trace.

    Those of the others are linked to it, whether they were there at first or joined meanwhile: in
    each of them a span says where the record was handled.
    """
    with processing(batch.records[0], group, records=len(batch.records)):
        try:
            yield
        finally:
            if len(batch.records) > 1:
                tracing.note(joined=len(batch.records) - 1)
                tracing.joined(f"join {batch.records[0].topic}", lambda: _others(batch))


def _others(batch: KeyBatch) -> Iterator[str]:
    for record in batch.records[1:]:
        if (parent := record.headers.get(TRACEPARENT)) is not None:
            yield parent.decode("ascii", "replace")
