"""How a service starts, runs and stops.

HTTP comes first, so that probes have an answer while Kafka and MongoDB are being reached; then the
resources, in order, tried again for as long as what they need is not there. At the end HTTP goes
first, so that no request meets a closed producer; then the resources in reverse.
"""

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

import structlog
from aiohttp import web
from prometheus_client import Gauge

from libs.common import logging as project_logging
from libs.common import tracing
from libs.common.descriptors import raise_limit
from libs.common.errors import PermanentError, TransientError
from libs.common.settings import EX_CONFIG, HttpSettings, RuntimeSettings
from libs.common.tracing import TracingSettings
from libs.common.web import Readiness

STOP_WITHIN_S = 25.0  # promised: a pod's grace period is 30 s
HTTP_DRAIN_S = 5.0
ACCEPTED_IN_A_PASS, QUEUED = 32, 4096  # connections; Linux allows no longer queue by default
LEAVE_WITHIN_S = 1.0  # before that, for those who keep connections open
LONGEST_PAUSE_S = 2.0  # between two looks for what is needed: who comes last is waited for by all

LOOP_LAG = Gauge("assistant_event_loop_lag_seconds", "How late the event loop's last second came.")
TASKS = Gauge("assistant_tasks", "Tasks that the event loop holds at this moment.")

log = structlog.get_logger(__name__)


class Worker(Protocol):
    """Something that runs until it is told to stop."""

    async def run(self) -> None: ...

    async def stop(self, drain_timeout_s: float) -> None: ...


class WorkerEndedError(PermanentError):
    """A worker ended without having been told to."""

    code = "worker_ended"


class Lifetime:
    """Until when a service runs: a signal, or the first worker that ends by itself."""

    def __init__(self, drain_timeout_s: float = 20.0) -> None:
        self._ended = asyncio.Event()
        self._drain_timeout_s = drain_timeout_s
        self.error: BaseException | None = None

    def end(self, error: BaseException | None = None) -> None:
        if not self._ended.is_set():
            self.error = error
            self._ended.set()

    async def wait(self) -> None:
        await self._ended.wait()

    @property
    def ended(self) -> bool:
        return self._ended.is_set()

    @asynccontextmanager
    async def running(self, worker: Worker, name: str) -> AsyncIterator[None]:
        """Run a worker inside the block; if it ends there by itself, the service has failed."""
        stopping = False
        task = asyncio.create_task(worker.run(), name=name)
        task.add_done_callback(lambda task: self._worker_done(task, stopping=stopping))
        try:
            yield
        finally:
            stopping = True
            await worker.stop(self._drain_timeout_s)
            with suppress(asyncio.CancelledError, Exception):  # told by _worker_done already
                await task

    def _worker_done(self, task: "asyncio.Task[None]", *, stopping: bool) -> None:
        error = None if task.cancelled() else task.exception()
        if error is None and not stopping:  # a service without its worker only looks alive
            error = WorkerEndedError(task.get_name())
        if error is not None:
            log.error(
                "worker_failed", task=task.get_name(), error=type(error).__name__, exc_info=error
            )
            self.end(error)


class _ToldToStopError(Exception):
    """While the resources were being opened."""


Resources = Callable[[Lifetime], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Service:
    """What `serve` needs to know. `runner` may bring a service's own connection rules."""

    name: str
    app: web.Application
    readiness: Readiness
    resources: Resources
    runner: Callable[[web.Application], web.AppRunner] | None = None


def run(
    service: Callable[[], Service],
    http: HttpSettings,
    runtime: RuntimeSettings,
    name: str,
    traces: TracingSettings | None = None,
) -> None:
    """Run a service until SIGTERM or SIGINT. Exit status 1 if a worker failed."""
    project_logging.configure(
        name,
        level=runtime.log_level,
        form=runtime.log_format,
        hash_key=runtime.log_hash_key.get_secret_value().encode(),
    )
    raise_limit()
    if traces is not None:
        try:
            tracing.start(name, traces)
        except tracing.TracingUnavailableError as error:
            print(error, file=sys.stderr)
            sys.exit(EX_CONFIG)
    try:
        status = asyncio.run(serve(service(), http, runtime))
    finally:
        tracing.stop()
    sys.exit(status)


async def serve(service: Service, http: HttpSettings, runtime: RuntimeSettings) -> int:
    lifetime = Lifetime(runtime.drain_timeout_s)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lifetime.end)
    runner = (service.runner or _default_runner)(service.app)
    await runner.setup()
    try:
        await _listen(runner, http)
    except OSError as error:
        log.error("cannot_listen", host=http.host, port=http.port, error=str(error))
        await runner.cleanup()
        return 1
    lag = asyncio.create_task(_watch_loop(), name="loop-lag")
    try:
        await _run_resources(service, lifetime, runner, http)
    finally:
        lag.cancel()
        await runner.cleanup()
    return 1 if lifetime.error else 0


async def _listen(runner: web.AppRunner, http: HttpSettings) -> None:
    """Of a thousand who connect at once the loop takes a few in each pass, so that those whom it
    has are answered meanwhile; the others wait in the kernel's queue, and none is refused there.

    A server takes as many in one pass as it is told the queue is long: 1,024 took 0.2 s.

    Raises:
        OSError: the address can't be had.
    """
    found = await asyncio.get_running_loop().getaddrinfo(
        http.host, http.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    for family, *_, address in dict.fromkeys(found):  # a host may be named twice
        listener = socket.create_server((str(address[0]), int(address[1])), family=family)
        await web.SockSite(runner, listener, backlog=ACCEPTED_IN_A_PASS).start()
        listener.listen(QUEUED)


def _default_runner(app: web.Application) -> web.AppRunner:
    return web.AppRunner(app, access_log=None, shutdown_timeout=HTTP_DRAIN_S, handle_signals=False)


async def _run_resources(
    service: Service, lifetime: Lifetime, runner: web.AppRunner, http: HttpSettings
) -> None:
    async with AsyncExitStack() as stack:
        if await _open(service, lifetime, stack):
            spare_collector()
            log.info("started", host=http.host, port=http.port)
            await lifetime.wait()
            log.info("stopping")
        service.readiness.clear()
        closing = loop_time() + STOP_WITHIN_S
        if tracing.is_on():
            closing -= tracing.FLUSH_WITHIN_S
        await _take_leave(service.readiness, runner)
        await runner.cleanup()  # requests first, while their resources are still there
        try:
            async with asyncio.timeout_at(closing):
                await stack.aclose()
        except TimeoutError:
            log.error("stop_timed_out", timeout_s=STOP_WITHIN_S)
    log.info("stopped")


async def _take_leave(readiness: Readiness, runner: web.AppRunner) -> None:
    """Let in nobody new, and let those who are connected hear that they should connect elsewhere.

    aiohttp by itself would answer as if the connection stayed, and close it: what a proxy has sent
    along it by then is lost, and a POST is not repeated. Who is silent can't be told.
    """
    for site in list(runner.sites):
        await site.stop()
    readiness.leaving = True
    server = runner.server
    until = loop_time() + LEAVE_WITHIN_S
    while server is not None and server.connections and loop_time() < until:  # noqa: ASYNC110
        await asyncio.sleep(0.02)


def spare_collector() -> None:
    """What is there by now stays until the end: the garbage collector need not look at it again.

    Nearly everything that a request leaves behind is freed by its reference count, so looking for
    cycles that often (700 new objects) is a tenth of the gateway's CPU, and finds next to nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


async def _open(service: Service, lifetime: Lifetime, stack: AsyncExitStack) -> bool:
    """Open the resources, again and again while what they need is away.

    False: told to stop, or what they need is there and wrong.
    """
    pause_s = 0.5
    while not lifetime.ended:
        try:
            async with _given_up_at_the_end(lifetime):
                await stack.enter_async_context(service.resources(lifetime))
        except _ToldToStopError:
            break
        except (TransientError, OSError) as error:
            log.warning("waiting_for_resources", error=type(error).__name__, reason=str(error))
            with suppress(TimeoutError):
                await asyncio.wait_for(lifetime.wait(), pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        except PermanentError as error:
            log.error("cannot_start", error=type(error).__name__, reason=str(error))
            lifetime.end(error)
        else:
            return True
    return False


@asynccontextmanager
async def _given_up_at_the_end(lifetime: Lifetime) -> AsyncIterator[None]:
    """Who is told to stop waits for nothing that is still being opened: where all is slow, that
    would take longer than there is. Raises: _ToldToStopError."""
    limit = asyncio.timeout(None)

    async def watch() -> None:
        await lifetime.wait()
        limit.reschedule(loop_time())

    watching = asyncio.create_task(watch(), name="told-to-stop")
    try:
        async with limit:
            yield
    except TimeoutError:
        if limit.expired():
            raise _ToldToStopError from None
        raise
    finally:
        watching.cancel()


def loop_time() -> float:
    return asyncio.get_running_loop().time()


async def _watch_loop() -> None:
    """A stalled loop loses Kafka's heartbeats, a task that never ends holds memory: make it
    visible."""
    loop = asyncio.get_running_loop()
    TASKS.set_function(lambda: len(asyncio.all_tasks(loop)))
    while True:
        before = loop_time()
        await asyncio.sleep(1.0)
        LOOP_LAG.set(max(0.0, loop_time() - before - 1.0))
