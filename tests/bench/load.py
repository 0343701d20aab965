"""`python -m tests.bench.load`: posts webhooks over many connections, and prints what it saw.

A process of its own, and no HTTP client: that would take more CPU than what it measures. All
requests are made before the clock starts.
"""

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from statistics import quantiles

from tests.bench import webhooks
from tests.bench.processes import HOST

_HEAD_END = b"\r\n\r\n"


class Connection(asyncio.Protocol):
    """Posts one request after the other until none is left."""

    def __init__(self, load: "Load") -> None:
        self._load = load
        self._received = b""
        self._began_at = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def post_next(self) -> None:
        assert self._transport is not None
        request = next(self._load.requests, None)
        if request is None:
            self._transport.close()
            return
        self._began_at = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, rest = self._received.partition(_HEAD_END)
        if end and len(rest) >= _content_length(head):
            self._received = b""
            self._load.answered(head.split(b" ", 2)[1], time.perf_counter() - self._began_at)
            self.post_next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.ended()


def _content_length(head: bytes) -> int:
    _, _, after = head.lower().partition(b"content-length:")
    return int(after.split(b"\r\n", 1)[0])


class Load:
    """A bounded number of requests, shared out among the connections."""

    def __init__(self, requests: Iterator[bytes], connections: int) -> None:
        self.requests = requests
        self._open = connections
        self._done = asyncio.Event()
        self._statuses: Counter[str] = Counter()
        self._seconds: list[float] = []

    def answered(self, status: bytes, seconds: float) -> None:
        self._statuses[status.decode()] += 1
        self._seconds.append(seconds)

    def ended(self) -> None:
        self._open -= 1
        if self._open == 0:
            self._done.set()

    async def run(self, port: int, within_s: float) -> dict[str, object]:
        loop = asyncio.get_running_loop()
        made = [
            await loop.create_connection(lambda: Connection(self), HOST, port)
            for _ in range(self._open)
        ]
        began_at = time.perf_counter()
        for _, connection in made:
            connection.post_next()
        await asyncio.wait_for(self._done.wait(), within_s)
        cuts = quantiles(self._seconds, n=100)
        return {
            "seconds": time.perf_counter() - began_at,
            "statuses": dict(self._statuses),
            "p50_ms": cuts[49] * 1000,
            "p99_ms": cuts[98] * 1000,
        }


def _bodies(requests: int, events: int, run: str) -> Iterator[bytes]:
    for number in range(requests):
        if events == 1:
            yield webhooks.body(number, run)
        else:
            yield webhooks.batch(events, run, first=number * events)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--requests", type=int, required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--events", type=int, default=1, help="in one request")
    parser.add_argument("--run", required=True, help="part of every message id")
    parser.add_argument("--within-s", type=float, default=120.0)
    options = parser.parse_args()
    bodies = _bodies(options.requests, options.events, options.run)
    requests = [webhooks.request(content, options.port) for content in bodies]
    load = Load(iter(requests), options.connections)
    print(json.dumps(asyncio.run(load.run(options.port, options.within_s))))


if __name__ == "__main__":
    main()
