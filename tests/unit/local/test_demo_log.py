"""What the demo knows of the log: person by person, as soon as it is there."""

import asyncio
from datetime import UTC, datetime

import pytest

from deploy.local.demo.log import Log
from libs.common.events import AnyRecord, ChannelUpdated, MessageRead, TakeoverRequested

NOW = datetime(2026, 11, 25, tzinfo=UTC)
WITHIN_S = 10.0


def requested(psid: str, reason: str = "asked") -> TakeoverRequested:
    return TakeoverRequested(
        event_id=f"{psid}-{reason}", page_id="1", psid=psid, occurred_at=NOW, reason=reason
    )


def heard(*records: AnyRecord) -> Log:
    log = Log()
    for record in records:
        log.heard(record)
    return log


def test_events_are_kept_by_person_and_kind_in_the_order_of_the_log() -> None:
    read = MessageRead(event_id="r", page_id="1", psid="7", occurred_at=NOW, watermark_ms=1)
    of_the_page = ChannelUpdated(event_id="u", page_id="1", occurred_at=NOW)
    log = heard(requested("7"), read, requested("8"), of_the_page, requested("7", "model_failed"))
    reasons = [request.reason for request in log.of("7", TakeoverRequested)]
    assert reasons == ["asked", "model_failed"]
    assert log.of("7", MessageRead) == [read]
    assert log.of("9", TakeoverRequested) == []


async def test_an_event_that_is_waited_for_is_known_as_soon_as_it_comes() -> None:
    log = heard(requested("7"))
    waiting = asyncio.create_task(log.wait_for("7", TakeoverRequested, 2, WITHIN_S))
    await asyncio.sleep(0)
    log.heard(requested("8"))
    await asyncio.sleep(0)
    assert not waiting.done()
    log.heard(requested("7", "model_failed"))
    assert len(await waiting) == 2


async def test_an_event_that_does_not_come_is_not_waited_for_for_ever() -> None:
    with pytest.raises(TimeoutError):
        await heard(requested("7")).wait_for("7", TakeoverRequested, 2, 0.02)
