"""The process that runs the stack: `python -m deploy.local run`, in the foreground or detached."""

import asyncio
import os
import signal
from collections.abc import Callable, Mapping

from deploy.local.errors import StackError
from deploy.local.plan import Options, Plan, check_ports, make_plan
from deploy.local.ports import HOST
from deploy.local.services import SERVICES
from deploy.local.stack import Progress, Say, Stack, Status
from deploy.local.state import StateFolder

BANNER = "Development only: loopback addresses, a stand-in for Facebook, a stand-in for MongoDB."

PARENT_EVERY_S = 0.25

Planner = Callable[[Options, Mapping[str, str], StateFolder, Say], Plan]


def supervise(
    options: Options,
    folder: StateFolder,
    write: Say,
    planner: Planner = make_plan,
    *,
    with_parent: bool = False,
) -> None:
    """Run the stack until a signal says stop.

    Args:
        with_parent: stop as well when the process that started us ends, however it does.

    Raises:
        StackError: it is running already, a port is busy, or something can't be started.
    """
    parent = os.getppid() if with_parent else None
    with folder.held():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # nothing to stop in order yet
        status = Status(folder, options.offset)
        progress = Progress(write)
        try:
            status.write()
            check_ports(options)
            plan = planner(options, os.environ, folder, progress)
            stack = Stack(plan, folder, status, progress)
            asyncio.run(_run(stack, write, farewell(plan.options, folder), parent))
        except StackError as error:
            status.set("failed", error=str(error))
            raise
        except KeyboardInterrupt:
            pass
        status.set("stopped")


async def _run(stack: Stack, write: Say, when_ready: str, parent: int | None) -> None:
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            stack.kill()
            write("killing what still runs")
        else:
            stop.set()
            write("stopping; once more to kill")

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # as by nohup
            loop.add_signal_handler(number, on_signal)
    watching = asyncio.create_task(_stop_after(parent, stop), name="watch the parent")
    try:
        await stack.run(stop, lambda: write(when_ready))
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _stop_after(parent: int | None, stop: asyncio.Event) -> None:
    """Set `stop` once the parent is another one than it was: it has ended."""
    while parent is not None:
        if os.getppid() != parent:
            stop.set()
            return
        await asyncio.sleep(PARENT_EVERY_S)


def farewell(options: Options, folder: StateFolder) -> str:
    """What a person needs to know once everything runs."""
    pages = [
        f"  open http://{HOST}:{options.ports[spec.name]}{spec.path}  {spec.what_for}"
        for spec in SERVICES
        if spec.path and spec.name in options.names
    ]
    if "console" in options.names:
        pages.append(f"  sign in there with ADMIN_EMAIL and ADMIN_PASSWORD of {folder.secrets}")
    where = f"  logs in {folder.path / 'logs'}, secrets in {folder.secrets}"
    return "\n".join(["", *pages, where, "", BANNER])
