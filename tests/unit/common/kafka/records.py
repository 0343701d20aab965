"""Ready-made records for the consumer's tests."""

from libs.common.kafka.records import ConsumedRecord

TOPIC = "letters"


def record(
    offset: int,
    key: bytes = b"k",
    *,
    partition: int = 0,
    value: bytes = b"",
    kind: bytes = b"a",
    timestamp_ms: int = 0,
) -> ConsumedRecord:
    return ConsumedRecord(
        topic=TOPIC,
        partition=partition,
        offset=offset,
        key=key,
        value=value,
        headers={"type": kind},
        timestamp_ms=timestamp_ms,
    )
