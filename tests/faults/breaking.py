"""How parts of a stack are kept broken for a while, and what the gateway says meanwhile."""

import asyncio
import os
import resource
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from simulator.client import SimulatorError
from tests.faults.run import Run
from tests.processes import usage
from tests.stack import LocalStack

LOOK_EVERY_S = 0.05
BACK_WITHIN_S = 120.0
ANSWERED_WITHIN_S = 5.0  # by the gateway, whatever it says
MORE_MEMORY_MIB = 40.0
NO_ROOM = 1  # byte: whatever is written lies behind it


@asynccontextmanager
async def kept(run: Run, name: str, do: Callable[[int], None]) -> AsyncIterator[None]:
    """Inside, this is done to each process of a component, over and over. Afterwards it is killed,
    and ready again when the block has been left."""

    async def keep() -> None:
        while True:
            pid = run.stack.component(name)["pid"]
            if pid is not None:
                with suppress(ProcessLookupError):
                    do(pid)
            await asyncio.sleep(LOOK_EVERY_S)

    keeping = asyncio.create_task(keep(), name=f"keep-{name}")
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await asyncio.to_thread(start_again, run.stack, name)


@asynccontextmanager
async def away(run: Run, name: str) -> AsyncIterator[None]:
    """Inside, nobody listens: it is ended in order, and its next process stands still before its
    first line until the block is left. Then it starts."""
    restarts = run.stack.component(name)["restarts"]
    os.kill(run.stack.component(name)["pid"], signal.SIGTERM)
    async with asyncio.timeout(BACK_WITHIN_S):
        while (now := run.stack.component(name))["restarts"] == restarts or now["pid"] is None:
            await asyncio.sleep(0.01)
    os.kill(now["pid"], signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(now["pid"], signal.SIGCONT)
        await asyncio.to_thread(run.stack.wait_until_back, name, restarts + 1, BACK_WITHIN_S)


def start_again(stack: LocalStack, name: str) -> None:
    """Kill it if it lives; return when a process that nobody has touched is ready."""
    now = stack.component(name)
    if now["pid"] is not None:
        with suppress(ProcessLookupError):
            os.kill(now["pid"], signal.SIGKILL)
        stack.wait_until_back(name, now["restarts"] + 1, BACK_WITHIN_S)
    else:
        stack.wait_until_back(name, now["restarts"], BACK_WITHIN_S)


async def until_it_dies(run: Run, name: str) -> None:
    """Wait until a process of it has ended, of what is done to it."""
    restarts = run.stack.component(name)["restarts"]
    async with asyncio.timeout(BACK_WITHIN_S):
        while run.stack.component(name)["restarts"] == restarts:
            await asyncio.sleep(LOOK_EVERY_S)


def leave_no_room(pid: int) -> None:
    """No file of the process can grow: as on a full disk, a write fails and nothing else does."""
    _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (NO_ROOM, most))


async def stutter(run: Run, name: str, lasts_s: float, every_s: float) -> None:
    """It works for a moment now and then: what is asked is answered up to so much later."""
    until = time.monotonic() + lasts_s
    while time.monotonic() < until:
        await run.freeze_now(name)
        try:
            await asyncio.sleep(every_s)
        finally:
            run.thaw(name)
        await asyncio.sleep(0.3)


async def refused(run: Run) -> None:
    """What the gateway says to a webhook while nothing can reach the log: 503, and soon.

    The event is known, and answered long ago: should it get onto the log later, it changes nothing.
    """
    webhook = run.people[0].first
    assert webhook is not None
    began = time.monotonic()
    try:
        status = (await run.simulator.webhook(run.page, webhook.body()))["status"]
    except SimulatorError as error:
        run.complain(f"no answer of the gateway: {error}")
        return
    took_s = time.monotonic() - began
    if status != 503:
        run.complain(f"{status} while the log was away")
    if took_s > ANSWERED_WITHIN_S:
        run.complain(f"an answer of the gateway took {took_s:.1f} s")


@asynccontextmanager
async def gateway_watched(run: Run) -> AsyncIterator[None]:
    """What it holds afterwards is what it held before, but for a little."""
    pid = run.stack.component("gateway")["pid"]
    before = usage(pid)
    yield
    after = usage(pid)
    if before is None or after is None:
        run.complain("the gateway died")
    elif after.anonymous_mib - before.anonymous_mib > MORE_MEMORY_MIB:
        run.complain(f"the gateway grew to {after.anonymous_mib:.0f} MiB")
