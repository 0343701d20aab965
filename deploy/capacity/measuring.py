"""What one exchange costs each service, measured on a stack that runs: CPU, round trips, records.

An exchange is one message of a person and its answer, with the echo and both receipts. Costs are
what the services' own metrics tell after many of them, less what they cost when nothing happens.
"""

import asyncio
import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp

from deploy.local.ports import DEFAULTS

SERVICES = ("gateway", "conversation", "sender", "takeover", "analytics", "console")
CPU = "process_cpu_seconds_total"
ROUND_TRIPS = "assistant_mongo_round_trips_total"
RECORDS = "assistant_kafka_records_produced_total"
GRAPH_CALLS = "assistant_graph_calls_total"
WEBHOOKS = "assistant_webhooks_total"
LAG = "assistant_consumer_lag_records"

IDLE_S = 10.0
ASK_EVERY_S = 0.5
QUIET_S = 4.0  # nothing has changed for so long: everything that follows an answer is over
LONGEST_S = 120.0
TEXT = "When are you open, and do you have gluten-free bread?"

_LINE = re.compile(r"^(\w+)(?:\{[^}]*\})? (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Reading:
    """What the services had counted at one moment: by service, then by metric."""

    at: float  # monotonic seconds
    counted: Mapping[str, Mapping[str, float]]

    def sum(self, metric: str) -> float:
        return sum(each.get(metric, 0.0) for each in self.counted.values())


def counts(text: str) -> dict[str, float]:
    """Prometheus' text: the sum over all labels of each counter, and of what waits."""
    found: dict[str, float] = {}
    for name, value in _LINE.findall(text):
        if name.endswith("_total") or name == LAG:
            found[name] = found.get(name, 0.0) + float(value)
    return found


async def measure(host: str, offset: int, *, people: int, messages: int) -> dict[str, Any]:
    """Drive `people` × `messages` exchanges through a running stack, and say what one costs.

    Raises:
        TimeoutError: not all of them were answered in time.
    """
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        stack = _Stack(session, host, offset)
        page = (await stack.simulator("GET", "/pages"))["pages"][0]["id"]
        everybody = [await stack.somebody(page, number) for number in range(people)]
        await _exchanges(stack, page, everybody, 1)  # names are fetched, pools are open
        await stack.quiet()
        first = await stack.read()
        await asyncio.sleep(IDLE_S)
        second = await stack.read()
        await _exchanges(stack, page, everybody, messages)
        await stack.quiet()
        third = await stack.read()
    return _per_exchange(first, second, third, people * messages)


class _Stack:
    def __init__(self, session: aiohttp.ClientSession, host: str, offset: int) -> None:
        self._session = session
        self._urls = {name: f"http://{host}:{port + offset}" for name, port in DEFAULTS.items()}

    async def simulator(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        url = f"{self._urls['simulator']}/simulator/api{path}"
        async with self._session.request(method, url, json=body) as response:
            response.raise_for_status()
            answer: dict[str, Any] = await response.json()
            return answer

    async def somebody(self, page: str, number: int) -> str:
        name = {"first_name": "Ada", "last_name": f"Number {number}"}
        return str((await self.simulator("POST", f"/pages/{page}/people", name))["psid"])

    async def write(self, page: str, psid: str) -> None:
        await self.simulator("POST", f"/pages/{page}/messages", {"psid": psid, "text": TEXT})

    async def answers(self, page: str, psid: str) -> int:
        thread = await self.simulator("GET", f"/pages/{page}/threads/{psid}")
        return sum(each["from"] == "page" for each in thread["messages"])

    async def read_by_person(self, page: str, psid: str) -> None:
        await self.simulator("POST", f"/pages/{page}/reads", {"psid": psid})

    async def read(self) -> Reading:
        texts = await asyncio.gather(*map(self._metrics, SERVICES))
        counted = dict(zip(SERVICES, map(counts, texts), strict=True))
        return Reading(asyncio.get_running_loop().time(), counted)

    async def quiet(self) -> None:
        """Wait until nobody has produced a record for a while, and none waits."""
        loop = asyncio.get_running_loop()
        produced, since, ends = -1.0, loop.time(), loop.time() + LONGEST_S
        while loop.time() - since < QUIET_S:
            if loop.time() > ends:
                raise TimeoutError("the stack does not come to rest: does anybody else use it?")
            reading = await self.read()
            if reading.sum(RECORDS) != produced or reading.sum(LAG) > 0:
                produced, since = reading.sum(RECORDS), loop.time()
            await asyncio.sleep(ASK_EVERY_S)

    async def _metrics(self, service: str) -> str:
        async with self._session.get(f"{self._urls[service]}/metrics") as response:
            response.raise_for_status()
            return await response.text()


async def _exchanges(stack: _Stack, page: str, everybody: list[str], messages: int) -> None:
    """Each person writes, waits for the answer, reads it, and writes again."""

    async def talks(psid: str) -> None:
        for _ in range(messages):
            before = await stack.answers(page, psid)
            await stack.write(page, psid)
            while await stack.answers(page, psid) == before:  # noqa: ASYNC110 - it only tells if asked
                await asyncio.sleep(ASK_EVERY_S)
            await stack.read_by_person(page, psid)

    async with asyncio.timeout(LONGEST_S), asyncio.TaskGroup() as group:
        for psid in everybody:
            group.create_task(talks(psid))


def _per_exchange(first: Reading, second: Reading, third: Reading, n: int) -> dict[str, Any]:
    idle_s, busy_s = second.at - first.at, third.at - second.at

    def grew(service: str, metric: str, a: Reading, b: Reading) -> float:
        return b.counted[service].get(metric, 0.0) - a.counted[service].get(metric, 0.0)

    def each(service: str, metric: str) -> float:
        idle = grew(service, metric, first, second) * busy_s / idle_s
        return max(0.0, grew(service, metric, second, third) - idle) / n

    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} CPUs, {platform.system()}, "
        f"Python {platform.python_version()}",
        "exchanges": n,
        "cpu_ms": {name: round(each(name, CPU) * 1000, 3) for name in SERVICES},
        "idle_cpu_percent": {
            name: round(100 * grew(name, CPU, first, second) / idle_s, 2) for name in SERVICES
        },
        "round_trips": {name: round(each(name, ROUND_TRIPS), 2) for name in SERVICES},
        "records": {name: round(each(name, RECORDS), 2) for name in SERVICES},
        "graph_calls": round(each("sender", GRAPH_CALLS), 2),
        "webhooks": round(each("gateway", WEBHOOKS), 2),
    }
