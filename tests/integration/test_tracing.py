"""One trace from a webhook to the Send API, through the log; and nothing in it that is private."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from libs.common import tracing
from libs.common.events import ChannelUpdated
from libs.common.settings import KafkaSettings
from tests.integration.traced_system import System, traced_system
from tests.stack import Servers
from tests.traces import Spans, failed, trace_of

WITHIN_S = 30.0
SENT = "POST graph messages"


@pytest.fixture(scope="module")
async def system(
    kafka: KafkaSettings, running_servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[System]:
    folder: Path = tmp_path_factory.mktemp("facebook")
    async with traced_system(kafka, running_servers.mongodb_uri, folder) as running:
        yield running


async def until(spans: Spans, condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():
            await asyncio.sleep(0.02)


def way(spans: Spans, span: ReadableSpan) -> list[str]:
    """The names down to it; of the test's topics without what makes them unique."""
    return [name.partition(" test-")[0] + _topic(name) for name in spans.way_to(span)]


def _topic(name: str) -> str:
    return next((f" {kind}" for kind in ("events", "commands") if f" test-{kind}-" in name), "")


async def answered(system: System, text: str, **settings: object) -> tuple[str, str]:
    """Somebody writes and has an answer; the Page and the person."""
    page = await system.page(**settings)
    psid = await system.person(page)
    system.spans.clear()
    await system.facebook.write(page, psid, text)
    await until(system.spans, lambda: len(system.spans.named("deliver a part")) == 1)
    return page, psid


async def test_a_webhook_its_answer_and_what_became_of_it_are_one_trace(system: System) -> None:
    await answered(system, "When is the canary shop open?", quiet_window_s=0)
    spans = system.spans
    post = spans.one(SENT)
    assert way(spans, post) == [
        "POST /webhooks/messenger",
        "send events",
        "process events",
        "send commands",
        "process commands",
        "deliver a part",
        SENT,
    ]
    for name in ("ask the model", "claim", "settle"):
        assert trace_of(spans.one(name)) == trace_of(post)
    about_it = [span for span in spans.all() if said(span, "record_type") == "message.sent"]
    ways = [way(spans, span)[-2:] for span in about_it]  # who reads it may be done before
    assert ways.count(["deliver a part", "send events"]) == 1
    assert said(spans.one("deliver a part"), "outcome") == "sent"
    assert [event.name for event in spans.one("deliver a part").events] == ["turn", "decided"]
    assert not [span.name for span in spans.all() if failed(span)]
    assert system.found_canaries() == []


async def test_what_a_human_writes_is_one_trace_from_the_console_on(system: System) -> None:
    page, psid = await answered(system, "canary", quiet_window_s=0)
    system.spans.clear()
    path = f"/internal/v1/conversations/{page}:{psid}"
    human = {"by": "canary-account", "by_name": "Cy Canary"}
    with tracing.entry("POST /the console", kind="server"):
        await system.console.call("takeover", "POST", f"{path}/takeover", body=human)
        await system.console.call(
            "takeover",
            "POST",
            f"{path}/messages",
            body={**human, "text": "A canary of a human's."},
            headers={"Idempotency-Key": "canary-1"},
        )
    await until(system.spans, lambda: len(system.spans.named("deliver a part")) == 1)
    assert way(system.spans, system.spans.one(SENT)) == [
        "POST /the console",
        "ask takeover",
        "POST /internal/v1/conversations/{conversation}/messages",
        "send commands",
        "process commands",
        "deliver a part",
        SENT,
    ]
    assert system.found_canaries() == []


async def test_the_messages_of_a_burst_point_to_the_turn_that_answers_them(system: System) -> None:
    page = await system.page(quiet_window_s=0.5)
    psid = await system.person(page)
    system.spans.clear()
    await system.facebook.write(page, psid, "When is the shop")
    await system.facebook.write(page, psid, "open, canary?")
    await until(system.spans, lambda: len(system.spans.named("deliver a part")) == 1)
    turn = next(
        span
        for span in system.spans.all()
        if said(span, "outcome") == "answer" and span.name.startswith("process ")
    )
    joins = [link.context.trace_id for link in turn.links]
    webhooks = {trace_of(span) for span in system.spans.named("POST /webhooks/messenger")}
    assert set(joins) | {trace_of(turn)} <= webhooks
    assert len(joins) == 1
    assert "quiet" in [event.name for event in turn.events]


async def test_a_command_that_was_put_away_goes_on_in_its_own_trace(system: System) -> None:
    page = await system.page(quiet_window_s=0)
    psid = await system.person(page)
    await system.facebook.set_token(page, "revoked")
    system.spans.clear()
    await system.facebook.write(page, psid, "When is the canary shop open?")
    await until(system.spans, lambda: any(said(s, "outcome") == "kept" for s in system.spans.all()))
    first = trace_of(system.spans.named("deliver a part")[0])

    await system.facebook.set_token(page, "valid")
    now = datetime.now(UTC)
    await system.tell(ChannelUpdated(event_id=f"u-{page}", page_id=page, occurred_at=now))
    await until(
        system.spans,
        lambda: any(said(s, "outcome") == "sent" for s in system.spans.named("deliver a part")),
    )
    sent = [span for span in system.spans.named(SENT) if not failed(span)]
    assert [trace_of(span) for span in sent] == [first]
    (late,) = [
        span
        for span in system.spans.named("take up a kept command")
        if span.links and not said(span, "outcome")
    ]
    assert trace_of(late) == first
    assert {link.context.trace_id for link in late.links} != {first}
    assert system.found_canaries() == []


def said(span: ReadableSpan, fact: str) -> object:
    return (span.attributes or {}).get(f"assistant.{fact}")
