"""Slow and too many clients, over raw sockets, with deadlines shortened by the settings."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import structlog
from aiohttp import web
from prometheus_client import REGISTRY

from libs.common import deadlines, discreet
from libs.common.deadlines import GuardedRunner, Limits
from libs.common.web import Readiness
from services.gateway import bodies
from services.gateway.app import create_app, create_runner
from services.gateway.handlers import PUBLISHER
from tests.unit.gateway.conftest import FakePublisher, gateway_settings
from tests.unit.gateway.webhooks import META_BODY, META_SIGNATURE

TIMEOUT_S = 0.4
SLACK_S = 20.0  # for a busy machine: a deadline that doesn't work takes for ever
LONG_S = 30.0  # so long nobody waits
HEAD = (
    "POST /webhooks/messenger HTTP/1.1\r\nHost: gateway\r\n"
    f"X-Hub-Signature-256: {META_SIGNATURE}\r\n"
)
REQUEST = f"{HEAD}Content-Length: {len(META_BODY)}\r\n\r\n".encode() + META_BODY


@dataclass
class Socket:
    """One raw connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> bytes:
        """The next answer's head and body."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        return head + await asyncio.wait_for(self.reader.readexactly(length), 5)

    async def rest(self) -> bytes:
        """All that comes until the other side closes."""
        received = b""
        try:
            while data := await asyncio.wait_for(self.reader.read(65536), TIMEOUT_S + SLACK_S):
                received += data
        except ConnectionError:  # cut off, with something of ours unread
            pass
        return received

    def is_open(self) -> bool:
        return not self.reader.at_eof() and self.reader.exception() is None


@asynccontextmanager
async def serving(runner: GuardedRunner) -> AsyncIterator[Callable[[], Awaitable[Socket]]]:
    """Serve on a free port; yields how to connect."""
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site.port
    sockets: list[Socket] = []

    async def connect() -> Socket:
        sockets.append(Socket(*await asyncio.open_connection("127.0.0.1", port)))
        return sockets[-1]

    try:
        yield connect
    finally:
        for each in sockets:
            each.writer.close()
        await runner.cleanup()


Connect = Callable[[], Awaitable[Socket]]

PATIENT = Limits(header_timeout_s=60, idle_timeout_s=60, busy_timeout_s=60, max_connections=5)


def guarded(publisher: FakePublisher, limits: Limits) -> GuardedRunner:
    """A gateway whose connections have these limits."""
    app = create_app(gateway_settings(), Readiness())
    app[PUBLISHER].set(publisher)
    return GuardedRunner(app, limits)


@asynccontextmanager
async def gateway(
    publisher: FakePublisher, header_s: float, body_s: float, idle_s: float
) -> AsyncIterator[Connect]:
    settings = gateway_settings(
        header_timeout_s=header_s, body_timeout_s=body_s, idle_timeout_s=idle_s, max_connections=5
    )
    app = create_app(settings, Readiness())
    app[PUBLISHER].set(publisher)
    async with serving(create_runner(app)) as connect:
        yield connect


@pytest.fixture
async def connect(publisher: FakePublisher) -> AsyncIterator[Connect]:
    """Connections to a gateway with room for five, for those who are quick enough."""
    async with gateway(publisher, LONG_S, LONG_S, LONG_S) as connect:
        yield connect


@pytest.fixture
async def hasty(publisher: FakePublisher) -> AsyncIterator[Connect]:
    """As `connect`, with all deadlines at `TIMEOUT_S`: a good client of a busy machine misses
    them, too, unless time is the test's own (`clock`)."""
    async with gateway(publisher, TIMEOUT_S, TIMEOUT_S, TIMEOUT_S) as connect:
        yield connect


class Clock:
    """Stands still until it is told to go on. Who overstays is looked for all the same."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(deadlines, "monotonic", clock)
    return clock


def cut_off(reason: str) -> float:
    name = "assistant_http_connections_cut_off_total"
    return REGISTRY.get_sample_value(name, {"reason": reason}) or 0.0


def open_connections() -> float:
    return REGISTRY.get_sample_value("assistant_http_connections") or 0.0


async def eventually(condition: Callable[[], bool], within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)


async def drip(socket: Socket, data: Iterable[int | bytes], pause_s: float = 0.05) -> None:
    """Send piece by piece, a byte each, for as long as the other side takes it."""
    try:
        for piece in data:
            await socket.send(bytes([piece]) if isinstance(piece, int) else piece)
            await asyncio.sleep(pause_s)
    except ConnectionError:
        pass


@pytest.mark.parametrize("sent", [b"", b"POST /webhooks", HEAD.encode(), b"\r\n", b"\x16\x03\x01"])
async def test_silence_and_half_a_header_block_are_closed(hasty: Connect, sent: bytes) -> None:
    before, started = cut_off("receiving"), time.monotonic()
    socket = await hasty()
    await socket.send(sent)
    received = await socket.rest()
    assert time.monotonic() - started < TIMEOUT_S + SLACK_S
    assert received == b"" or b" 400 " in received  # what can't become a request: at once
    assert cut_off("receiving") == before + 1 or received


async def test_headers_byte_by_byte_have_the_same_deadline(hasty: Connect) -> None:
    socket = await hasty()
    started = time.monotonic()
    dripping = asyncio.create_task(drip(socket, REQUEST))
    assert await socket.rest() == b""
    assert TIMEOUT_S * 0.9 < time.monotonic() - started < TIMEOUT_S + SLACK_S
    await asyncio.wait_for(dripping, 5)


@pytest.mark.parametrize("by_bytes", [False, True])
async def test_half_a_body_gets_408_and_is_closed(publisher: FakePublisher, by_bytes: bool) -> None:
    async with gateway(publisher, LONG_S, TIMEOUT_S, LONG_S) as connect:
        socket = await connect()
        head, _, body = REQUEST.partition(b"\r\n\r\n")
        await socket.send(head + b"\r\n\r\n")
        sending = asyncio.create_task(drip(socket, body) if by_bytes else socket.send(body[:100]))
        started = time.monotonic()
        assert b" 408 " in await socket.rest()
        assert time.monotonic() - started < 2 * TIMEOUT_S + SLACK_S
        await asyncio.wait_for(sending, 20)
    assert publisher.calls == []


async def test_a_body_in_pieces_in_good_time_is_accepted(
    connect: Connect, publisher: FakePublisher
) -> None:
    socket = await connect()
    for start in range(0, len(REQUEST), 100):
        await socket.send(REQUEST[start : start + 100])
        await asyncio.sleep(0.01)
    assert b" 200 " in await socket.answer()
    assert len(publisher.calls) == 1


async def test_a_connection_is_kept_for_the_next_webhook_and_closed_when_none_comes(
    hasty: Connect, publisher: FakePublisher, clock: Clock
) -> None:
    socket = await hasty()
    for _ in range(5):  # together longer than any one deadline
        await socket.send(REQUEST)
        assert b" 200 " in await socket.answer()
        clock.now_s += TIMEOUT_S / 3
        await asyncio.sleep(TIMEOUT_S / 3)  # who overstays is looked for meanwhile
    clock.now_s += TIMEOUT_S
    assert await socket.rest() == b""
    assert len(publisher.calls) == 5


async def test_half_a_header_block_after_an_answer_has_the_deadline_of_headers(
    publisher: FakePublisher,
) -> None:
    limits = Limits(header_timeout_s=TIMEOUT_S, idle_timeout_s=60, busy_timeout_s=60)
    async with serving(guarded(publisher, limits)) as connect:
        socket = await connect()
        await socket.send(REQUEST)
        assert b" 200 " in await socket.answer()
        started = time.monotonic()
        dripping = asyncio.create_task(drip(socket, HEAD.encode()))
        assert await socket.rest() == b""
        assert time.monotonic() - started < TIMEOUT_S + SLACK_S
        await asyncio.wait_for(dripping, 5)


async def test_a_body_declared_too_large_is_refused_before_it_comes(connect: Connect) -> None:
    socket = await connect()
    await socket.send(HEAD.encode() + b"Content-Length: 2000000\r\n\r\n")
    assert b" 413 " in await socket.answer()


async def test_pipelined_webhooks_are_all_answered(
    connect: Connect, publisher: FakePublisher
) -> None:
    socket = await connect()
    await socket.send(REQUEST * 50)
    for _ in range(50):
        assert b" 200 " in await socket.answer()
    assert len(publisher.calls) == 50


async def test_a_client_that_never_reads_is_closed(hasty: Connect) -> None:
    before = cut_off("idle") + cut_off("receiving")
    socket = await hasty()
    socket.writer.transport.pause_reading()  # type: ignore[attr-defined]
    flooding = asyncio.create_task(
        drip(socket, [b"GET /metrics HTTP/1.1\r\nHost: gateway\r\n\r\n" * 100] * 1000, pause_s=0)
    )
    # all buffers between us have to be full before it stops: megabytes of metrics
    await eventually(lambda: cut_off("idle") + cut_off("receiving") == before + 1, within_s=30)
    await asyncio.wait_for(flooding, 5)


async def test_good_traffic_is_served_among_slow_clients(
    hasty: Connect, publisher: FakePublisher, clock: Clock
) -> None:
    slow = [await hasty() for _ in range(4)]
    dripping = [asyncio.create_task(drip(each, REQUEST)) for each in slow]
    good = await hasty()
    for number in range(1, 101):
        await good.send(REQUEST)
        assert b" 200 " in await good.answer()
        assert len(publisher.calls) == number
    clock.now_s += TIMEOUT_S
    for each in slow:
        assert await each.rest() == b""
    await asyncio.wait_for(asyncio.gather(*dripping), 5)


async def test_when_the_house_is_full_the_longest_waiting_goes(publisher: FakePublisher) -> None:
    before = cut_off("evicted")
    async with serving(guarded(publisher, PATIENT)) as connect:
        silent = [await connect() for _ in range(5)]
        good = await connect()
        await good.send(REQUEST)
        assert b" 200 " in await good.answer()
        assert cut_off("evicted") == before + 1
        assert await silent[0].rest() == b""
        assert all(each.is_open() for each in silent[1:])


async def test_who_left_while_being_served_takes_nobodys_place(publisher: FakePublisher) -> None:
    connections = open_connections()
    async with serving(guarded(publisher, PATIENT)) as connect:
        publisher.lets_go.clear()
        left = await connect()
        await left.send(REQUEST)
        await eventually(lambda: publisher.begun > 0)
        left.writer.close()
        await eventually(lambda: open_connections() == connections)
        publisher.lets_go.set()
        await eventually(lambda: len(publisher.calls) == 1)  # the work is finished all the same

        silent = [await connect() for _ in range(6)]
        assert await silent[0].rest() == b""


async def test_nobody_is_turned_out_for_another_while_being_served(
    hasty: Connect, publisher: FakePublisher, clock: Clock
) -> None:
    before = cut_off("full")
    publisher.lets_go.clear()
    served = [await hasty() for _ in range(5)]
    for each in served:
        await each.send(REQUEST)
    await eventually(lambda: publisher.begun == 5)
    assert await (await hasty()).rest() == b""
    assert cut_off("full") == before + 1
    clock.now_s += 2 * TIMEOUT_S  # no deadline of a waiting connection is theirs
    await asyncio.sleep(TIMEOUT_S)
    publisher.lets_go.set()
    for each in served:
        assert b" 200 " in await each.answer()


async def test_what_no_other_deadline_foresees_is_ended_too() -> None:
    async def hang(_request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    app = web.Application()
    app.router.add_get("/", hang)
    before = cut_off("busy")
    runner = GuardedRunner(app, Limits(60, 60, busy_timeout_s=TIMEOUT_S), shutdown_timeout=0.1)
    async with serving(runner) as connect:
        socket = await connect()
        await socket.send(b"GET / HTTP/1.1\r\nHost: gateway\r\n\r\n")
        assert await socket.rest() == b""
        assert cut_off("busy") == before + 1


@pytest.mark.parametrize(
    ("sent", "answers"),
    [
        (HEAD.encode() + b"Content-Length: 5\r\n\r\n" + META_BODY, [b" 400 "]),
        (HEAD.encode() + b"Content-Length: -1\r\n\r\n" + META_BODY, [b" 400 "]),
        (HEAD.encode() + b"Transfer-Encoding: chunked\r\n\r\nXYZ\r\n", [b" 400 "]),
        (
            HEAD.encode() + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            [b" 400 "],
        ),
        (HEAD.encode() + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", [b" 40"]),
        (HEAD.encode() + b"X-Long: " + b"a" * 10_000 + b"\r\n\r\n", [b" 400 "]),
        (HEAD.encode() + b"X-Many: 1\r\n" * 100 + b"\r\n", [b" 400 "]),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n", [b" 400 "]),
    ],
)
async def test_lies_about_the_body_and_odd_headers_end_the_connection(
    publisher: FakePublisher, sent: bytes, answers: list[bytes]
) -> None:
    async with gateway(publisher, LONG_S, LONG_S, TIMEOUT_S) as connect:
        socket = await connect()
        await socket.send(sent)
        received = await socket.rest()
    for answer in answers:
        assert answer in received
    assert b" 200 " not in received
    assert publisher.calls == []


async def test_bad_requests_are_logged_rarely_and_without_their_bytes(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = structlog.testing.CapturingLogger()
    monkeypatch.setattr(discreet, "log", log)
    for _ in range(20):
        socket = await connect()
        await socket.send(b"GET / HTTP/1.1\r\nmy PIN is 4711\r\n\r\n")
        assert b" 400 " in await socket.rest()
    (call,) = log.calls
    assert (call.method_name, call.args) == ("warning", ("bad_request",))
    assert call.kwargs.keys() == {"error", "count"}
    assert "4711" not in str(call)


async def test_a_broken_body_that_nobody_reads_is_no_fault_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else every stranger writes an error with its trace into the log, as often as they like."""

    async def unread(_request: web.Request) -> web.Response:
        return web.Response(text="no")

    log = structlog.testing.CapturingLogger()
    monkeypatch.setattr(discreet, "log", log)
    app = web.Application()
    app.router.add_post("/", unread)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 200\r\n\r\n"
    async with serving(GuardedRunner(app, PATIENT)) as connect:
        for _ in range(3):
            socket = await connect()
            await socket.send(head + b"no gzip" + b"x" * 100)
            assert b" 200 " in await socket.answer()
            await socket.rest()
    (call,) = log.calls
    assert (call.method_name, call.args) == ("warning", ("bad_request",))


async def test_a_fault_of_ours_is_logged_by_place_and_kind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(_request: web.Request) -> web.Response:
        raise ValueError("what somebody wrote")

    log = structlog.testing.CapturingLogger()
    monkeypatch.setattr(discreet, "log", log)
    app = web.Application()
    app.router.add_get("/", fail)
    async with serving(GuardedRunner(app, PATIENT)) as connect:
        socket = await connect()
        await socket.send(b"GET / HTTP/1.1\r\nHost: gateway\r\n\r\n")
        assert b" 500 " in await socket.answer()
    (call,) = log.calls
    assert call.kwargs["error"] == "ValueError"
    assert "in fail" in call.kwargs["exception"]


async def test_a_client_that_leaves_within_its_body_is_counted_and_forgotten(
    connect: Connect, publisher: FakePublisher
) -> None:
    def broken() -> float:
        name = "assistant_webhooks_total"
        return REGISTRY.get_sample_value(name, {"outcome": "broken_body"}) or 0.0

    before, connections = broken(), open_connections()
    socket = await connect()
    await socket.send(REQUEST[:-10])
    await eventually(lambda: open_connections() == connections + 1)
    socket.writer.close()
    await eventually(lambda: broken() == before + 1)
    await eventually(lambda: open_connections() == connections)
    assert publisher.calls == []


async def test_unfinished_bodies_of_strangers_have_so_much_room_and_small_ones_always_pass(
    publisher: FakePublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else some hundred of them, unsigned, take more memory than the process may have."""
    room = bodies.Room(100_000)
    monkeypatch.setattr(bodies, "_room", room)
    large = HEAD.encode() + b"Content-Length: 120000\r\n\r\n" + b"x" * 110_000
    async with serving(guarded(publisher, PATIENT)) as connect:
        first = await connect()
        await first.send(large)
        await eventually(lambda: room.left < 50_000)

        second = await connect()
        await second.send(large)
        answer = await second.answer()
        assert b" 503 " in answer
        assert b"connection: close" in answer.lower()

        third = await connect()
        await third.send(REQUEST)
        assert b" 200 " in await third.answer()

        first.writer.close()
        await eventually(lambda: room.left == 100_000)


async def test_stopping_does_not_wait_for_silent_clients(publisher: FakePublisher) -> None:
    before = open_connections()
    app = create_app(gateway_settings(), Readiness())
    app[PUBLISHER].set(publisher)
    async with serving(create_runner(app)) as connect:
        for _ in range(3):
            await connect()
        await eventually(lambda: open_connections() == before + 3)
        started = time.monotonic()
    assert time.monotonic() - started < SLACK_S
    await eventually(lambda: open_connections() == before)
