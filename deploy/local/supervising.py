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

Planner = Callable[[Options, Mapping[str, str], StateFolder, Say], Plan]


def supervise(
    options: Options, folder: StateFolder, write: Say, planner: Planner = make_plan
) -> None:
    """Run the stack until a signal says stop.

    Raises:
        StackError: it is running already, a port is busy, or something can't be started.
    """
    with folder.held():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # nothing to stop in order yet
        status = Status(folder, options.offset)
        progress = Progress(write)
        try:
            status.write()
            check_ports(options)
            plan = planner(options, os.environ, folder, progress)
            asyncio.run(_run(plan, folder, status, progress, write))
        except StackError as error:
            status.set("failed", error=str(error))
            raise
        except KeyboardInterrupt:
            pass
        status.set("stopped")


async def _run(
    plan: Plan, folder: StateFolder, status: Status, progress: Progress, write: Say
) -> None:
    stack = Stack(plan, folder, status, progress)
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            write("killing what still runs")
            stack.kill()
        else:
            write("stopping; once more to kill")
            stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, on_signal)
    await stack.run(stop, lambda: write(farewell(plan.options, folder)))


def farewell(options: Options, folder: StateFolder) -> str:
    """What a person needs to know once everything runs."""
    pages = [
        f"  open http://{HOST}:{options.ports[spec.name]}{spec.path}  {spec.what_for}"
        for spec in SERVICES
        if spec.path and spec.name in options.names
    ]
    where = f"  logs in {folder.path / 'logs'}, secrets in {folder.secrets}"
    return "\n".join(["", *pages, where, "", BANNER])
