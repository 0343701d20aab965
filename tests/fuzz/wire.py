"""A service's HTTP side without sockets: bytes in, bytes out, and what was thought of them.

aiohttp's parser, our deadlines, middlewares and handlers are the real ones. Only the transport is
made of memory, and the log (Kafka) only remembers. Nothing waits for time: fast enough to fuzz.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from libs.common.deadlines import BUSY, GuardedConnection, GuardedRunner

QUIET_TURNS = 6  # of the loop: so long nothing happens when all is done that can be
MOST_TURNS = 20_000

_HEAD = re.compile(rb"HTTP/\d\.\d (\d{3}) [^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n")
_LENGTH = re.compile(rb"content-length: (\d+)\r\n", re.IGNORECASE)


class MemoryTransport(asyncio.Transport):
    """What a protocol writes to."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self._protocol = protocol
        self.written = bytearray()
        self.closed = False

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def write(self, data: Any) -> None:  # noqa: ANN401 - whatever has bytes
        if not self.closed:
            self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    abort = close

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0


@dataclass(frozen=True)
class Answer:
    """One answer as it went out."""

    status: int
    head: bytes
    body: bytes


@dataclass
class Seen:
    """What came of one connection."""

    answers: list[Answer]
    rest: bytes
    """What was written and is no complete answer: there has to be none."""
    was_closed: bool
    faults: list[str] = field(default_factory=list)
    """Exceptions that nobody caught."""

    @property
    def statuses(self) -> list[int]:
        return [answer.status for answer in self.answers]


class Faults:
    """What the loop and our handler of aiohttp's errors complain about."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def of_loop(self, _loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        error = context.get("exception")
        self.found.append(f"{context.get('message')}: {type(error).__name__}: {error}")

    def take(self) -> list[str]:
        found, self.found = self.found, []
        return found


class Wire:
    """Connections to one application."""

    def __init__(self, make: Callable[[], GuardedConnection], faults: Faults) -> None:
        self._make = make
        self._faults = faults

    async def send(self, *pieces: bytes, leave_after: int | None = None) -> Seen:
        """Open a connection, send, and leave when nothing more is to be expected.

        `leave_after`: so many turns of the loop after each piece, whatever is going on.
        """
        connection = self._make()
        transport = MemoryTransport(connection)
        connection.connection_made(transport)
        for piece in pieces:
            if transport.closed:
                break
            connection.data_received(piece)
            if leave_after is None:
                await _until_quiet(connection, transport)
            for _ in range(leave_after or 0):
                await asyncio.sleep(0)
        was_closed = transport.closed
        transport.close()
        for _ in range(QUIET_TURNS):
            await asyncio.sleep(0)
        answers, rest = answers_in(bytes(transport.written))
        return Seen(answers, rest, was_closed, self._faults.take())


async def _until_quiet(connection: GuardedConnection, transport: MemoryTransport) -> None:
    """Nothing has changed for some turns of the loop, and no request is being handled."""
    quiet, before = 0, (-1, "")
    for _ in range(MOST_TURNS):
        await asyncio.sleep(0)
        now = (len(transport.written), connection.state)
        quiet = quiet + 1 if now == before and connection.state != BUSY else 0
        before = now
        if transport.closed or quiet >= QUIET_TURNS:
            return
    raise AssertionError("a request takes for ever")


def answers_in(written: bytes) -> tuple[list[Answer], bytes]:
    """The complete answers in what was written, and what is left over."""
    answers: list[Answer] = []
    while match := _HEAD.match(written):
        length = _LENGTH.search(match[2])
        end = match.end() + (int(length[1]) if length else 0)
        if len(written) < end:
            break
        answers.append(Answer(int(match[1]), match[2], written[match.end() : end]))
        written = written[end:]
    return answers, written


@asynccontextmanager
async def wire_to(
    app: web.Application, make_runner: Callable[[web.Application], GuardedRunner]
) -> AsyncIterator[Wire]:
    """The application, with its service's own runner."""
    faults, loop = Faults(), asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(faults.of_loop)
    runner = make_runner(app)
    await runner.setup()
    doorkeeper = runner.server
    assert doorkeeper is not None
    try:
        yield Wire(doorkeeper, faults)  # type: ignore[arg-type]  # as sites use it
    finally:
        loop.set_exception_handler(before)
        await runner.cleanup()
