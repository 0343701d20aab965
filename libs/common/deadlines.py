"""Deadlines for connections, and how many there may be: aiohttp has neither.

A `GuardedConnection` stands between the transport and aiohttp's own protocol, passes everything
on and knows in which of four states the connection is:

| State | Begins | Ends within |
|---|---|---|
| receiving | with the connection, or with the first byte after an answer | `header_timeout_s` |
| reading | with a header block whose body is not complete | `body_timeout_s` |
| busy | with a complete request | `busy_timeout_s` |
| idle | with the answer | `idle_timeout_s` |

What overstays is cut off. A service that sets a deadline where it reads bodies, and answers with
408, needs none here. Only public interfaces of aiohttp and asyncio are used.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, cast

from aiohttp import StreamReader, web
from prometheus_client import Counter, Gauge

from libs.common.descriptors import room_for_connections
from libs.common.discreet import discreet_logger
from libs.common.metrics import from_zero

if TYPE_CHECKING:
    from aiohttp.web_server import Server

CONNECTIONS = Gauge("assistant_http_connections", "Open connections.")
CUT_OFF = from_zero(
    Counter(
        "assistant_http_connections_cut_off_total",
        "Connections that we ended, by what they were too slow or too many for.",
        ["reason"],  # reason: receiving, reading, busy, idle (too long so), evicted, full
    ),
    ["receiving", "reading", "busy", "idle", "evicted", "full"],
)

RECEIVING: Final = "receiving"
READING: Final = "reading"
BUSY: Final = "busy"
IDLE: Final = "idle"

LINGER_S = 1.0
"""How long an unread body is still taken in after the answer, so that the answer arrives."""

CUT_OFF_IN_A_PASS = 32
_MAX_TICK_S = 0.5

RequestHandler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Shortcut = Callable[[RequestHandler], RequestHandler]


@dataclass(frozen=True)
class Limits:
    """How long a connection may stay in a state, and how many there may be at once.

    None: for as long as it takes. Answers that go on and on need that of `busy_timeout_s`.
    """

    header_timeout_s: float
    idle_timeout_s: float
    busy_timeout_s: float | None = None
    body_timeout_s: float | None = None
    max_connections: int = 2000


class Doorkeeper:
    """Makes guarded connections, and looks now and then which of them overstay."""

    def __init__(self, make_protocol: Callable[[], asyncio.Protocol], limits: Limits) -> None:
        self._make_protocol = make_protocol
        self._max_connections = min(limits.max_connections, room_for_connections())
        self._stay_s = {
            RECEIVING: limits.header_timeout_s,
            READING: _or_ever(limits.body_timeout_s),
            BUSY: _or_ever(limits.busy_timeout_s),
            IDLE: limits.idle_timeout_s,
        }
        self._tick_s = min(_MAX_TICK_S, limits.header_timeout_s / 4, limits.idle_timeout_s / 4)
        self._open: set[GuardedConnection] = set()
        # those we wait for, the longest waiting first: a dict keeps the order
        self._waiting: dict[GuardedConnection, None] = {}
        self._ticking: asyncio.TimerHandle | None = None

    @property
    def connections(self) -> "list[GuardedConnection]":
        """Those that are open, as aiohttp's own server has them."""
        return list(self._open)

    def __call__(self) -> "GuardedConnection":
        return GuardedConnection(self, self._make_protocol)

    def admit(self, connection: "GuardedConnection") -> bool:
        """Let a connection in. A full house shows out the one that has kept us waiting longest."""
        if len(self._open) >= self._max_connections:
            if not self._waiting:
                CUT_OFF.labels("full").inc()
                return False
            next(iter(self._waiting)).cut_off("evicted")
        self._open.add(connection)
        CONNECTIONS.inc()
        self.entered(connection, RECEIVING)
        if self._ticking is None:
            self._tick()
        return True

    def entered(self, connection: "GuardedConnection", state: str) -> None:
        """Note a connection's new state and until when it may stay in it."""
        if connection not in self._open:
            return  # it ended while its request was being handled
        connection.state = state
        connection.deadline = monotonic() + self._stay_s[state]
        self._waiting.pop(connection, None)
        if state is not BUSY:  # we wait for them, not they for us
            self._waiting[connection] = None

    def forget(self, connection: "GuardedConnection") -> None:
        if connection in self._open:
            self._open.discard(connection)
            self._waiting.pop(connection, None)
            CONNECTIONS.dec()

    def _tick(self) -> None:
        """One timer for all: a timer of its own would cost every request two.

        Those who came together overstay together, and to end two thousand takes 0.2 s: some in each
        pass of the loop, so that good requests get in between.
        """
        loop = asyncio.get_running_loop()
        now = monotonic()
        overdue = (each for each in self._open if each.deadline <= now)
        some = list(islice(overdue, CUT_OFF_IN_A_PASS))
        for connection in some:
            connection.cut_off(connection.state)
        pause_s = 0.0 if len(some) == CUT_OFF_IN_A_PASS else self._tick_s
        self._ticking = loop.call_later(pause_s, self._tick) if self._open else None


def _or_ever(timeout_s: float | None) -> float:
    return math.inf if timeout_s is None else timeout_s


class GuardedConnection(asyncio.Protocol):
    """One connection: aiohttp's protocol with a deadline."""

    def __init__(
        self, doorkeeper: Doorkeeper, make_protocol: Callable[[], asyncio.Protocol]
    ) -> None:
        self._doorkeeper = doorkeeper
        self._make_protocol = make_protocol
        self._inner: asyncio.Protocol | None = None  # made only for those who are let in
        self._transport: asyncio.Transport | None = None
        self.state: str = RECEIVING
        self.deadline = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if not self._doorkeeper.admit(self):
            self._transport.abort()
            return
        self._inner = self._make_protocol()
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._doorkeeper.forget(self)
        if self._inner is not None:
            self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.state is IDLE:
            self._doorkeeper.entered(self, RECEIVING)
        if self._inner is not None:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._inner is not None else None

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()

    def entered(self, state: str) -> None:
        self._doorkeeper.entered(self, state)

    def has_read(self) -> None:
        """The body is complete; it may have been answered before that."""
        if self.state is READING:
            self.entered(BUSY)

    def cut_off(self, reason: str) -> None:
        """End the connection at once; what was not sent yet is dropped."""
        CUT_OFF.labels(reason).inc()
        self._doorkeeper.forget(self)
        if self._transport is not None:
            self._transport.abort()


def _tracked(handle: RequestHandler) -> RequestHandler:
    """Tells a request's connection when it begins and ends, cheaper than a middleware."""

    async def track(request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        connection = transport.get_protocol() if transport is not None else None
        if not isinstance(connection, GuardedConnection):
            return await handle(request)  # gone before it was handled
        if isinstance(request.content, StreamReader) and not request.content.is_eof():
            connection.entered(READING)
            request.content.on_eof(connection.has_read)
        else:
            connection.entered(BUSY)
        try:
            return await handle(request)
        finally:
            connection.entered(IDLE)

    return track


class GuardedRunner(web.AppRunner):
    """An `AppRunner` whose connections are guarded."""

    def __init__(
        self,
        app: web.Application,
        limits: Limits,
        shortcut: Shortcut | None = None,
        **options: Any,  # noqa: ANN401
    ) -> None:
        """Args:
        shortcut: stands before the application, and may answer in its place.
        """
        super().__init__(
            app,
            access_log=None,
            logger=discreet_logger(),
            handle_signals=False,
            lingering_time=min(LINGER_S, limits.idle_timeout_s),
            **options,
        )
        self.limits = limits
        self._shortcut = shortcut
        self._doorkeeper: Doorkeeper | None = None

    @property
    def server(self) -> "Server | None":
        """What a site takes its protocols from."""
        server = super().server
        if server is None:
            return None
        if self._doorkeeper is None:
            handle = server.request_handler
            server.request_handler = _tracked(self._shortcut(handle) if self._shortcut else handle)
            self._doorkeeper = Doorkeeper(server, self.limits)
        return cast("Server", self._doorkeeper)  # sites call it, and its connections are counted
