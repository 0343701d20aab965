"""What the services count about themselves, read from their `/metrics`."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from simulator.client import Simulator

EVENTS = "assistant_webhook_events_total"
WEBHOOKS = "assistant_webhooks_total"
PRODUCED = "assistant_kafka_records_produced_total"
CONSUMED = "assistant_consumer_records_total"
ROUND_TRIPS = "assistant_mongo_round_trips_total"
GRAPH_CALLS = "assistant_graph_calls_total"
COUNTED = frozenset({EVENTS, WEBHOOKS, PRODUCED, CONSUMED, ROUND_TRIPS, GRAPH_CALLS})
SERVICES = ("gateway", "conversation", "sender")

QUIET_S = 1.0  # nothing counted for so long: what was under way has ended
POLL_S = 0.1

Key = tuple[str, str, frozenset[tuple[str, str]]]  # service, counter, labels


@dataclass(frozen=True)
class Counts:
    """All counters at one moment, or what was added between two."""

    values: Mapping[Key, int]

    def total(self, service: str, counter: str, **labels: str) -> int:
        """The sum of a service's counter, over all labels that are not given."""
        wanted = labels.items()
        return sum(
            value
            for (of, name, has), value in self.values.items()
            if of == service and name == counter and wanted <= set(has)
        )

    def by(self, service: str, counter: str, label: str) -> dict[str, int]:
        """A service's counter for each value of one label; zeros are left out."""
        found = sorted({dict(key[2]).get(label, "") for key in self.values if key[1] == counter})
        sums = {value: self.total(service, counter, **{label: value}) for value in found}
        return {value: count for value, count in sums.items() if count}

    def since(self, earlier: "Counts") -> "Counts":
        return Counts(
            {key: value - earlier.values.get(key, 0) for key, value in self.values.items()}
        )


class Meter:
    """Reads the counters of a running stack."""

    def __init__(
        self, session: aiohttp.ClientSession, urls: Mapping[str, str], simulator: Simulator
    ) -> None:
        self._session = session
        self._urls = urls
        self._simulator = simulator

    async def now(self) -> Counts:
        values: dict[Key, int] = {}
        for service in SERVICES:
            async with self._session.get(f"{self._urls[service]}/metrics") as response:
                response.raise_for_status()
                values |= parse(service, await response.text())
        return Counts(values)

    async def quiet(self, within_s: float) -> Counts:
        """The counters when nothing is on its way any more: they stand still, no webhook waits.

        Raises:
            TimeoutError: there is always something going on.
        """
        async with asyncio.timeout(within_s):
            counts, since = await self.now(), time.monotonic()
            while time.monotonic() - since < QUIET_S:
                await asyncio.sleep(POLL_S)
                waiting = (await self._simulator.webhooks())["pending"]
                if waiting or (await self.now()) != counts:
                    counts, since = await self.now(), time.monotonic()
            return counts


def parse(service: str, text: str) -> dict[Key, int]:
    """The counters that are looked at, from a service's `/metrics`."""
    return {
        (service, sample.name, frozenset(sample.labels.items())): int(sample.value)
        for sample in _samples(text)
        if sample.name in COUNTED
    }


@dataclass(frozen=True)
class _Sample:
    name: str
    labels: dict[str, str]
    value: float


def _samples(text: str) -> Iterator[_Sample]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield _Sample(sample.name, sample.labels, sample.value)
