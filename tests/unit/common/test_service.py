"""How a service lives: HTTP first, resources in order and again while away, and an orderly end."""

import asyncio
import os
import re
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace

import aiohttp
import pytest
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from libs.common import service as common_service
from libs.common.deadlines import GuardedRunner, Limits
from libs.common.errors import PermanentError, TransientError
from libs.common.service import Lifetime, Resources, Service, WorkerEndedError, serve
from libs.common.settings import HttpSettings, RuntimeSettings
from libs.common.web import Readiness, base_app
from tests.ports import free_port

DEADLINE_S = 10.0


@dataclass
class Story:
    """What happened, in order, and who waits for it."""

    lines: list[str] = field(default_factory=list)
    told: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def tell(self, line: str) -> None:
        async with self.told:
            self.lines.append(line)
            self.told.notify_all()

    async def wait_for(self, line: str) -> None:
        async with asyncio.timeout(DEADLINE_S), self.told:
            await self.told.wait_for(lambda: line in self.lines)


class Worker:
    """Runs until it is stopped; may fail, or end by itself."""

    def __init__(self, story: Story, ends: Callable[[], Awaitable[None]] | None = None) -> None:
        self._story, self._ends = story, ends
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        await self._story.tell("worker runs")
        if self._ends is not None:
            await self._ends()
        else:
            await self._stopping.wait()
            await self._story.tell("worker drained")

    async def stop(self, drain_timeout_s: float) -> None:
        await self._story.tell(f"worker told to stop within {drain_timeout_s:g} s")
        self._stopping.set()


@asynccontextmanager
async def part(story: Story, name: str) -> AsyncIterator[None]:
    await story.tell(f"{name} opened")
    try:
        yield
    finally:
        await story.tell(f"{name} closed")


class Running:
    """A service under test, on a port of its own."""

    def __init__(self, resources: Resources, free_port: int) -> None:
        self.readiness = Readiness()
        self.app = base_app(self.readiness)
        self.url = f"http://127.0.0.1:{free_port}"
        self.http = HttpSettings(host="127.0.0.1", port=free_port)
        self.service = Service("parcels", self.app, self.readiness, resources)

    async def serve(self) -> int:
        runtime = RuntimeSettings(env="test", drain_timeout_s=7)
        async with asyncio.timeout(DEADLINE_S):
            return await serve(self.service, self.http, runtime)


def two_parts_and_a_worker(
    story: Story, ends: Callable[[], Awaitable[None]] | None = None
) -> Resources:
    @asynccontextmanager
    async def resources(lifetime: Lifetime) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(part(story, "database"))
            await stack.enter_async_context(part(story, "publisher"))
            await stack.enter_async_context(lifetime.running(Worker(story, ends), "parcels"))
            await story.tell("open")
            yield

    return resources


def fail_with(error: Exception) -> None:
    raise error


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
async def story() -> AsyncIterator[Story]:
    yield Story()
    for number in (signal.SIGTERM, signal.SIGINT):  # `serve` leaves them: its process ends
        asyncio.get_running_loop().remove_signal_handler(number)


@pytest.fixture(name="free_port")
def one_free_port() -> int:
    return free_port()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_drains_and_closes_in_reverse(
    story: Story, free_port: int, number: signal.Signals
) -> None:
    running = Running(two_parts_and_a_worker(story), free_port)
    task = asyncio.create_task(running.serve())
    await story.wait_for("worker runs")
    os.kill(os.getpid(), number)
    assert await task == 0
    assert story.lines == [
        "database opened",
        "publisher opened",
        "open",
        "worker runs",
        "worker told to stop within 7 s",
        "worker drained",
        "publisher closed",
        "database closed",
    ]


async def test_probes_are_answered_while_resources_are_away(story: Story, free_port: int) -> None:
    """And the resources are tried again, from the first one on, until they are there."""
    away = [TransientError("no Kafka"), ConnectionRefusedError("no MongoDB")]
    let_in = asyncio.Event()

    @asynccontextmanager
    async def resources(_lifetime: Lifetime) -> AsyncIterator[None]:
        async with part(story, "database"):
            if away:
                raise away.pop()
            await let_in.wait()
            await story.tell("open")
            yield

    running = Running(resources, free_port)
    task = asyncio.create_task(running.serve())
    await story.wait_for("database closed")
    async with aiohttp.ClientSession(running.url) as session:
        async with session.get("/healthz") as response:
            assert response.status == 200
        async with session.get("/readyz") as response:
            assert response.status == 503
        before = await tasks_of(session)
        async with asyncio.TaskGroup() as group:
            for _ in range(50):
                group.create_task(let_in.wait())
            assert await tasks_of(session) - before >= 50  # those of this moment
            let_in.set()
    assert before >= 3  # this test, `serve`, and what watches the loop
    await story.wait_for("open")
    terminate()
    assert await task == 0
    assert story.lines == [
        *["database opened", "database closed"] * 2,
        "database opened",
        "open",
        "database closed",
    ]


async def tasks_of(session: aiohttp.ClientSession) -> int:
    async with session.get("/metrics") as response:
        found = re.search(r"^assistant_tasks (\d+)", await response.text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


async def test_service_that_waits_for_its_resources_can_be_stopped(
    story: Story, free_port: int
) -> None:
    @asynccontextmanager
    async def resources(_lifetime: Lifetime) -> AsyncIterator[None]:
        await story.tell("tried")
        fail_with(TransientError("no Kafka"))
        yield

    task = asyncio.create_task(Running(resources, free_port).serve())
    await story.wait_for("tried")
    terminate()
    assert await task == 0
    assert set(story.lines) == {"tried"}


async def test_service_that_is_still_opening_its_resources_can_be_stopped(
    story: Story, free_port: int
) -> None:
    """Where Kafka or the database answers slowly, the whole of the start would not fit into the
    time in which a service has to end."""

    @asynccontextmanager
    async def resources(_lifetime: Lifetime) -> AsyncIterator[None]:
        async with part(story, "store"):
            await asyncio.Event().wait()
            yield

    task = asyncio.create_task(Running(resources, free_port).serve())
    await story.wait_for("store opened")
    terminate()
    assert await task == 0
    assert story.lines == ["store opened", "store closed"]


async def test_error_in_the_code_of_the_start_ends_it(story: Story, free_port: int) -> None:
    @asynccontextmanager
    async def resources(_lifetime: Lifetime) -> AsyncIterator[None]:
        async with part(story, "database"):
            fail_with(ValueError("a bug"))
            yield

    with pytest.raises(ValueError, match="a bug"):
        await Running(resources, free_port).serve()
    assert story.lines == ["database opened", "database closed"]


async def test_failed_worker_ends_the_service_with_status_1(story: Story, free_port: int) -> None:
    async def fail() -> None:
        raise RuntimeError("broken")

    assert await Running(two_parts_and_a_worker(story, fail), free_port).serve() == 1
    assert story.lines[-2:] == ["publisher closed", "database closed"]


async def test_worker_that_just_ends_has_failed_too(story: Story, free_port: int) -> None:
    async def end() -> None:
        await story.tell("worker ends")

    assert await Running(two_parts_and_a_worker(story, end), free_port).serve() == 1
    assert "worker ends" in story.lines


async def test_cancelled_worker_has_failed_too() -> None:
    async def cancel() -> None:
        raise asyncio.CancelledError

    lifetime = Lifetime()
    async with lifetime.running(Worker(Story(), cancel), "parcels"), asyncio.timeout(DEADLINE_S):
        await lifetime.wait()
    assert isinstance(lifetime.error, WorkerEndedError)


async def test_worker_told_to_stop_has_not_failed(story: Story) -> None:
    lifetime = Lifetime()
    async with lifetime.running(Worker(story), "parcels"):
        await story.wait_for("worker runs")
    assert not lifetime.ended
    assert lifetime.error is None


async def test_error_that_began_the_end_is_the_one_that_counts() -> None:
    lifetime = Lifetime()
    lifetime.end()
    lifetime.end(RuntimeError("while draining"))
    assert lifetime.error is None


async def test_port_that_is_taken_is_an_error_and_nothing_is_opened(
    story: Story, free_port: int
) -> None:
    runner = web.AppRunner(web.Application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", free_port).start()
    try:
        assert await Running(two_parts_and_a_worker(story), free_port).serve() == 1
    finally:
        await runner.cleanup()
    assert story.lines == []


async def test_of_many_who_connect_at_once_few_are_taken_in_a_pass_and_none_is_refused(
    free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []  # in which pass of the loop
    passes, make = 0, web.Server.__call__

    def counted(server: web.Server) -> RequestHandler:
        taken.append(passes)
        return make(server)

    monkeypatch.setattr(web.Server, "__call__", counted)
    runner = web.AppRunner(web.Application())
    await runner.setup()
    await common_service._listen(runner, HttpSettings(host="127.0.0.1", port=free_port))
    clients = [socket.create_connection(("127.0.0.1", free_port), DEADLINE_S) for _ in range(300)]
    try:
        async with asyncio.timeout(DEADLINE_S):
            while len(taken) < len(clients):
                passes += 1
                await asyncio.sleep(0)
    finally:
        for client in clients:
            client.close()
        await runner.cleanup()
    assert max(Counter(taken).values()) == common_service.ACCEPTED_IN_A_PASS


async def test_request_in_flight_is_answered_before_its_resources_go(
    story: Story, free_port: int
) -> None:
    running = Running(two_parts_and_a_worker(story), free_port)

    async def slow(_request: web.Request) -> web.Response:
        await story.tell("request begun")
        terminate()
        await asyncio.sleep(0.1)
        await story.tell("request answered")
        return web.Response(text="done")

    running.app.router.add_get("/slow", slow)
    task = asyncio.create_task(running.serve())
    await story.wait_for("worker runs")
    async with aiohttp.ClientSession(running.url) as session, session.get("/slow") as response:
        assert await response.text() == "done"
    assert await task == 0
    order = [story.lines.index(line) for line in ("request answered", "worker drained")]
    assert order == sorted(order)


def guarded(app: web.Application) -> web.AppRunner:
    """As the gateway and the console have it."""
    return GuardedRunner(app, Limits(header_timeout_s=5, idle_timeout_s=5))


@pytest.mark.parametrize("runner", [None, guarded])
async def test_kept_connections_are_told_to_go_before_they_are_closed(
    story: Story,
    free_port: int,
    runner: Callable[[web.Application], web.AppRunner] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else what a proxy sends along one, just as it closes, is lost; a POST is not repeated."""
    monkeypatch.setattr(common_service, "LEAVE_WITHIN_S", DEADLINE_S / 2)
    running = Running(two_parts_and_a_worker(story), free_port)
    running.service = replace(running.service, runner=runner)
    task = asyncio.create_task(running.serve())
    await story.wait_for("worker runs")
    reader, writer = await asyncio.open_connection("127.0.0.1", free_port)

    async def ask() -> bytes:
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: parcels\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(len(b'{"status": "alive"}'))
        return head.lower()

    async with asyncio.timeout(DEADLINE_S):
        assert b"connection: close" not in await ask()
        terminate()
        while not running.readiness.leaving:
            await asyncio.sleep(0.01)
        last = await ask()
        assert last.startswith(b"http/1.1 200")
        assert b"connection: close" in last
        assert await reader.read() == b""
        assert await task == 0
    writer.close()


async def test_silent_connections_do_not_hold_the_end_up(
    story: Story, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common_service, "LEAVE_WITHIN_S", 0.05)
    running = Running(two_parts_and_a_worker(story), free_port)
    task = asyncio.create_task(running.serve())
    await story.wait_for("worker runs")
    reader, writer = await asyncio.open_connection("127.0.0.1", free_port)
    terminate()
    async with asyncio.timeout(DEADLINE_S):
        assert await task == 0
        assert await reader.read() == b""
    writer.close()


async def test_resources_that_never_close_do_not_hold_the_end_up(
    story: Story, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common_service, "STOP_WITHIN_S", 0.05)

    @asynccontextmanager
    async def resources(_lifetime: Lifetime) -> AsyncIterator[None]:
        async with part(story, "database"):
            await story.tell("open")
            yield
            await asyncio.Event().wait()

    task = asyncio.create_task(Running(resources, free_port).serve())
    await story.wait_for("open")
    terminate()
    assert await task == 0
    assert story.lines[-1] == "database closed"


async def test_resources_that_are_there_and_wrong_end_the_service_at_once(free_port: int) -> None:
    attempts = 0

    @asynccontextmanager
    async def resources(_lifetime: Lifetime) -> AsyncIterator[None]:
        nonlocal attempts
        attempts += 1
        if attempts:  # always: without a way on, this would be no context manager
            raise PermanentError("the wrong database")
        yield

    async with asyncio.timeout(DEADLINE_S):
        assert await Running(resources, free_port).serve() == 1
    assert attempts == 1
