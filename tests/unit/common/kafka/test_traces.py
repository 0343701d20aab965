"""Spans of batches in a handler's hands: one for each attempt, in the first record's trace."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from unittest.mock import AsyncMock

import pytest

from libs.common import tracing
from libs.common.errors import PermanentError, TransientError
from libs.common.kafka.batch import KeyBatch
from libs.common.kafka.handling import BatchRunner, Patience
from libs.common.kafka.records import ConsumedRecord
from libs.common.kafka.traces import Traced
from tests.traces import Spans, failed, recorded, trace_of
from tests.unit.common.kafka.records import TOPIC, record

PROCESS = f"process {TOPIC}"


@pytest.fixture
def spans() -> Iterator[Spans]:
    with recorded() as found:
        yield found


class Work:
    """A worker for whom no time passes."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []

    def finish(self, records: Sequence[ConsumedRecord], outcome: str) -> None:
        self.outcomes += [outcome] * len(records)

    def check(self) -> None:
        pass

    async def pause(self, seconds: float) -> None:
        pass


def of_trace(trace: int, offset: int = 0) -> ConsumedRecord:
    known = record(offset, key=b"4225:canary-psid", value=b"canary")
    traceparent = f"00-{trace:032x}-{1:016x}-01".encode()
    return replace(known, headers={**known.headers, "traceparent": traceparent})


async def run(
    handler: Callable[[KeyBatch], Awaitable[None]],
    *records: ConsumedRecord,
    traced: Traced = "batch",
) -> list[str]:
    runner = BatchRunner(
        handler, AsyncMock(), Patience(), topic=TOPIC, group="group", traced=traced
    )
    work = Work()
    await runner.run(KeyBatch(records[0].key, records), work)
    return work.outcomes


async def test_each_attempt_is_a_span_of_the_records_trace(spans: Spans) -> None:
    handler = AsyncMock(side_effect=[TransientError("canary"), None])
    assert await run(handler, of_trace(7)) == ["ok"]
    assert [(trace_of(span), failed(span)) for span in spans.named(PROCESS)] == [
        (7, True),
        (7, False),
    ]
    assert "canary" not in spans.text()


async def test_a_batch_is_in_its_first_records_trace_and_linked_with_the_others(
    spans: Spans,
) -> None:
    async def handle(batch: KeyBatch) -> None:
        tracing.note(outcome="answer")

    await run(handle, of_trace(7), of_trace(8, 1), of_trace(7, 2), record(3), of_trace(9, 4))
    process = spans.one(PROCESS)
    assert trace_of(process) == 7
    assert [link.context.trace_id for link in process.links] == [8, 9]
    assert [trace_of(span) for span in spans.named(f"join {TOPIC}")] == [8, 9]
    said = process.attributes or {}
    assert (said["messaging.batch.message_count"], said["assistant.joined"]) == (5, 4)


async def test_of_a_batch_that_failed_each_record_is_tried_in_its_own_trace(spans: Spans) -> None:
    async def handle(batch: KeyBatch) -> None:
        if any(each.offset == 1 for each in batch.records):
            raise PermanentError("canary")

    assert await run(handle, of_trace(7), of_trace(8, 1)) == ["ok", "dead_letter"]
    tried = [(trace_of(span), failed(span)) for span in spans.named(PROCESS)]
    assert tried == [(7, True), (7, False), (8, True)]


@pytest.mark.parametrize("traced", ["record", "no"])
async def test_handlers_that_see_to_it_themselves_get_no_span(spans: Spans, traced: Traced) -> None:
    seen: list[str | None] = []

    async def handle(_batch: KeyBatch) -> None:
        seen.append(tracing.trace_id())

    await run(handle, of_trace(7), traced=traced)
    assert (seen, spans.all()) == ([None], [])
