"""`python -m tests.fuzz.attackers`: clients that hold connections and say next to nothing.

A process of its own: its work is not that of the server. Prints `{"attacking": …}` once all have
tried to connect, and at the end, as JSON, how the connections ended.
"""

import argparse
import asyncio
import json
import os
import resource
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from tests.fuzz.requests import BODY, GET_HEALTH, HOST, LENGTH, LINE, SIGNATURE

CONNECT_WITHIN_S = 10.0
AT_ONCE = 200  # are connecting
DRIP_EVERY_S = 0.5
BACK_AFTER_S = 5.0
"""Who comes back at once is a flood of connections, and not slow: to be limited in front."""
HEAD = LINE + b"\r\n" + HOST + SIGNATURE + LENGTH

BEHAVIOURS: Mapping[str, tuple[bytes, bytes]] = MappingProxyType(
    {  # what is sent at once, and what byte by byte
        "silent": (b"", b""),
        "half a head": (HEAD, b""),
        "a slow head": (b"", HEAD),
        "half a body": (HEAD + b"\r\n" + BODY[:100], b""),
        "a slow body": (HEAD + b"\r\n", BODY),
        "idle": (GET_HEALTH, b""),
    }
)


@dataclass
class Record:
    """What became of all connections."""

    opened: int = 0
    refused: int = 0
    """Nobody let them in, not even to wait."""
    closed: Counter[str] = field(default_factory=Counter)
    longest_s: dict[str, float] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    told_to_stop: bool = False

    def stop(self) -> None:
        self.told_to_stop = True
        self.changed.set()

    @property
    def open(self) -> int:
        return self.opened - self.closed.total()

    def note(self, behaviour: str, stayed_s: float) -> None:
        self.closed[behaviour] += 1
        self.longest_s[behaviour] = max(stayed_s, self.longest_s.get(behaviour, 0.0))
        self.changed.set()

    def report(self) -> dict[str, Any]:
        return {
            "opened": self.opened,
            "refused": self.refused,
            "closed": self.closed.total(),
            "open": self.open,
            "longest_s": {name: round(stay, 2) for name, stay in sorted(self.longest_s.items())},
        }


class Attacker(asyncio.Protocol):
    """One connection. It never leaves by itself."""

    def __init__(self, behaviour: str, record: Record, ended: Callable[[], None]) -> None:
        self._behaviour = behaviour
        self._record = record
        self._ended = ended
        self._at_once, self._slowly = BEHAVIOURS[behaviour]
        self._began_at = 0.0
        self._sent = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._record.opened += 1
        self._began_at = time.monotonic()
        transport.write(self._at_once)
        if self._slowly:
            self._drip()

    def _drip(self) -> None:
        assert self._transport is not None
        if not self._transport.is_closing() and self._sent < len(self._slowly):
            self._transport.write(self._slowly[self._sent : self._sent + 1])
            self._sent += 1
            asyncio.get_running_loop().call_later(DRIP_EVERY_S, self._drip)

    def connection_lost(self, exc: Exception | None) -> None:
        self._record.note(self._behaviour, time.monotonic() - self._began_at)
        self._ended()


async def attack(host: str, port: int, connections: int, seconds: float, again: bool) -> None:
    """Hold connections until all were closed, or for `seconds`. `again`: open others instead."""
    record, loop = Record(), asyncio.get_running_loop()
    slots, names = asyncio.Semaphore(AT_ONCE), list(BEHAVIOURS)
    until = loop.time() + seconds
    tasks: set[asyncio.Task[None]] = set()

    async def open_one(number: int) -> None:
        def ended() -> None:
            if again and not record.told_to_stop:
                loop.call_later(BACK_AFTER_S, start, number + 1)

        async with slots:
            attacker = Attacker(names[number % len(names)], record, ended)
            try:
                async with asyncio.timeout(CONNECT_WITHIN_S):
                    await loop.create_connection(lambda: attacker, host, port)
            except OSError:
                record.refused += 1

    def start(number: int) -> None:
        task = loop.create_task(open_one(number))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    for number in range(connections):
        start(number)
    loop.add_signal_handler(signal.SIGTERM, record.stop)
    await asyncio.wait(set(tasks))
    print(json.dumps({"attacking": record.opened}), flush=True)
    with suppress(TimeoutError):
        async with asyncio.timeout_at(until):
            while (again or record.open) and not record.told_to_stop:
                record.changed.clear()
                await record.changed.wait()
    print(json.dumps(record.report()), flush=True)
    os._exit(0)  # without a word to the thousands that are still there


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True, help="at most so long")
    parser.add_argument("--again", action="store_true", help="open another for each that is closed")
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(
        attack(options.host, options.port, options.connections, options.seconds, options.again)
    )


if __name__ == "__main__":
    main()
