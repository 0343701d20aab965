"""Reading what the services count: sums, differences, and when a system is at rest."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from deploy.local.demo import counters
from deploy.local.demo.counters import (
    EVENTS,
    PRODUCED,
    ROUND_TRIPS,
    SERVICES,
    Counts,
    Meter,
    parse,
)
from simulator.client import Simulator

METRICS = """\
# HELP assistant_kafka_records_produced_total Records handed to Kafka.
# TYPE assistant_kafka_records_produced_total counter
assistant_kafka_records_produced_total{outcome="acknowledged",topic="messenger.commands"} 4.0
assistant_kafka_records_produced_total{outcome="acknowledged",topic="messenger.events"} 2.0
assistant_kafka_records_produced_total{outcome="failed",topic="messenger.events"} 1.0
assistant_kafka_records_produced_created{outcome="failed",topic="messenger.events"} 1.7e+09
# HELP process_open_fds Number of open file descriptors.
# TYPE process_open_fds gauge
process_open_fds 12.0
"""


def test_counters_are_summed_over_the_labels_that_are_not_asked_for() -> None:
    counts = Counts(parse("gateway", METRICS))
    assert counts.total("gateway", PRODUCED) == 7
    assert counts.total("gateway", PRODUCED, topic="messenger.events") == 3
    assert counts.total("gateway", PRODUCED, topic="messenger.events", outcome="failed") == 1
    assert counts.total("sender", PRODUCED) == 0
    assert counts.total("gateway", ROUND_TRIPS) == 0
    assert counts.by("gateway", PRODUCED, "outcome") == {"acknowledged": 6, "failed": 1}
    assert len(counts.values) == 3


def test_what_was_added_includes_counters_that_are_new() -> None:
    before = Counts(parse("gateway", METRICS))
    more = METRICS.replace("} 2.0", "} 5.0")
    more += "# TYPE assistant_webhook_events_total counter\n"
    more += 'assistant_webhook_events_total{type="message.read"} 3.0\n'
    added = Counts(parse("gateway", more)).since(before)
    assert added.by("gateway", PRODUCED, "topic") == {"messenger.events": 3}
    assert added.by("gateway", EVENTS, "type") == {"message.read": 3}


class System:
    """Services and simulator in one server. It counts on for some reads, then stands still."""

    def __init__(self) -> None:
        self.busy_reads = 0
        self.pending = [0]
        self.value = 0

    async def metrics(self, _request: web.Request) -> web.Response:
        if self.busy_reads > 0:
            self.busy_reads -= 1
            self.value += 1
        name = "assistant_webhook_events_total"
        return web.Response(text=f'# TYPE {name} counter\n{name}{{type="a"}} {self.value}\n')

    async def webhooks(self, _request: web.Request) -> web.Response:
        pending = self.pending.pop(0) if len(self.pending) > 1 else self.pending[0]
        return web.json_response({"pending": pending})


@pytest.fixture
async def system() -> System:
    return System()


@pytest.fixture
async def meter(system: System, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Meter]:
    monkeypatch.setattr(counters, "QUIET_S", 0.05)
    monkeypatch.setattr(counters, "POLL_S", 0.01)
    app = web.Application()
    app.router.add_get("/metrics", system.metrics)
    app.router.add_get("/simulator/api/webhooks", system.webhooks)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        url = str(server.make_url("")).rstrip("/")
        yield Meter(session, dict.fromkeys(SERVICES, url), Simulator(session, url))


async def test_a_system_is_at_rest_when_its_counters_stand_still(
    system: System, meter: Meter
) -> None:
    system.busy_reads = 20
    counts = await meter.quiet(within_s=10)
    assert system.value == 20
    assert counts.total(SERVICES[-1], EVENTS) == 20


async def test_a_webhook_that_waits_is_no_rest(system: System, meter: Meter) -> None:
    system.pending = [1] * 10 + [0]
    await meter.quiet(within_s=10)
    assert system.pending == [0]


async def test_a_system_that_never_rests_is_given_up(system: System, meter: Meter) -> None:
    system.busy_reads = 1_000_000
    with pytest.raises(TimeoutError):
        await meter.quiet(within_s=0.3)


async def test_a_service_that_does_not_answer_is_an_error(system: System) -> None:
    app = web.Application()
    app.router.add_get("/simulator/api/webhooks", system.webhooks)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        url = str(server.make_url("")).rstrip("/")
        meter = Meter(session, dict.fromkeys(SERVICES, url), Simulator(session, url))
        with pytest.raises(aiohttp.ClientResponseError):
            await meter.quiet(within_s=5)
