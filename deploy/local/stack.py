"""The whole stack in order: infrastructure, topics, services, seed; and back again."""

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from deploy.local.child import Child, Component
from deploy.local.environment import KAFKA
from deploy.local.errors import StackError
from deploy.local.plan import Plan
from deploy.local.ports import HOST
from deploy.local.services import SERVICES
from deploy.local.state import StateFolder

SEED_WITHIN_S = 60.0

Say = Callable[[str], None]


class Progress:
    """One line a step, with the seconds since the start."""

    def __init__(self, write: Say) -> None:
        self._write = write
        self._began = time.monotonic()

    def __call__(self, text: str) -> None:
        self._write(f"{self.elapsed_s:6.1f} s  {text}")

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began


class Status:
    """`stack.json`: what others may know about the stack, written anew at every change."""

    def __init__(self, folder: StateFolder, port_offset: int) -> None:
        self._folder = folder
        self._children: list[Child] = []
        self._fields: dict[str, Any] = {
            "pid": os.getpid(),
            "phase": "starting",
            "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "port_offset": port_offset,
        }

    def watch(self, children: Iterable[Child]) -> None:
        self._children.extend(children)

    def set(self, phase: str, **fields: Any) -> None:  # noqa: ANN401 - plain JSON values
        self._fields |= {"phase": phase, **fields}
        self.write()

    def write(self) -> None:
        components = {
            child.component.name: {
                "pid": child.pid,
                "port": child.component.port,
                "state": child.state,
                "restarts": child.restarts,
                "log": str(child.log),
            }
            for child in self._children
        }
        self._folder.write_status({**self._fields, "components": components})


class Stack:
    """Runs a plan until it is told to stop."""

    def __init__(self, plan: Plan, folder: StateFolder, status: Status, progress: Progress) -> None:
        self._plan = plan
        self._status = status
        self._say = progress
        self._infrastructure = self._children(plan.infrastructure, folder)
        self._services = self._children(plan.services, folder)
        status.watch([*self._infrastructure, *self._services])
        self._keepers: list[asyncio.Task[None]] = []

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None] = lambda: None) -> None:
        """Start everything, keep it running until `stop` is set, and end it in order.

        Raises:
            StackError: something can't be started; everything else has been stopped again.
        """
        try:
            if await self._started_unless(stop):
                on_ready()
                self._told_ready()
                await self._keep_until(stop)
        finally:
            self._status.set("stopping")
            await self._stop_all()

    def kill(self) -> None:
        """No more patience: what still runs is killed, and `run` ends."""
        for child in [*self._services, *self._infrastructure]:
            child.kill()

    async def _started_unless(self, stop: asyncio.Event) -> bool:
        """Whether all is up; False if we were told to stop before."""
        starting = asyncio.create_task(self._start_all(), name="start")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                return False
            await starting
            return True
        finally:
            for task in (starting, stopping):
                task.cancel()
            await asyncio.gather(starting, stopping, return_exceptions=True)

    async def _start_all(self) -> None:
        await self._start(self._infrastructure)
        options = self._plan.options
        if options.needs_topics:
            await self._make_topics()
        await self._start(self._services)
        if options.needs_seed:
            await self._seed()
        first = " (the first start)" if self._plan.first_start else ""
        self._say(f"ready{first}")

    def _told_ready(self) -> None:
        """Last of all: `up` returns when it reads this."""
        self._status.set("ready", ready_after_s=round(self._say.elapsed_s, 1), addresses=self._urls)

    async def _start(self, children: list[Child]) -> None:
        """Side by side; the first failure ends the others' start."""
        try:
            async with asyncio.TaskGroup() as group:
                for child in children:
                    group.create_task(self._start_one(child), name=child.component.name)
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _start_one(self, child: Child) -> None:
        await child.start()
        self._say(f"{child.component.name} ready on {HOST}:{child.component.port}")

    async def _make_topics(self) -> None:
        from deploy.local.topics import ensure_topics  # here: takes time that Kafka's start hides

        self._say(await ensure_topics(self._plan.environment[KAFKA]))

    async def _seed(self) -> None:
        from deploy.local.seed import connect_in_console, seed

        connect = connect_in_console if self._plan.options.has_console else seed
        try:
            async with asyncio.timeout(SEED_WITHIN_S):
                self._say(await connect(self._plan.environment))
        except TimeoutError:
            raise StackError(f"connecting the first Page took over {SEED_WITHIN_S:.0f} s") from None
        except Exception as error:  # whatever its HTTP, Kafka or database calls raise
            reason = f"{type(error).__name__}: {error}"
            raise StackError(f"the first Page can't be connected ({reason})") from error

    async def _keep_until(self, stop: asyncio.Event) -> None:
        for child in [*self._infrastructure, *self._services]:
            name = f"keep {child.component.name}"
            self._keepers.append(asyncio.create_task(child.keep(), name=name))
        stopping = asyncio.create_task(stop.wait(), name="stop")
        done, _ = await asyncio.wait(
            {stopping, *self._keepers}, return_when=asyncio.FIRST_COMPLETED
        )
        if stopping not in done:  # a keeper never ends by itself: a bug, or no more processes
            stopping.cancel()
            await next(iter(done))

    async def _stop_all(self) -> None:
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        children = [*self._infrastructure, *self._services]
        for stage in sorted({child.component.stage for child in children}, reverse=True):
            running = [c for c in children if c.component.stage == stage and c.pid is not None]
            await asyncio.gather(*(child.stop() for child in running))
            for child in running:
                self._say(f"{child.component.name} stopped")

    def _children(self, components: Iterable[Component], folder: StateFolder) -> list[Child]:
        return [Child(each, folder.log_of(each.name), self._status.write) for each in components]

    @property
    def _urls(self) -> dict[str, str]:
        ports = self._plan.options.ports
        running = {child.component.name for child in self._services}
        return {
            spec.name: f"http://{HOST}:{ports[spec.name]}{spec.path}"
            for spec in SERVICES
            if spec.name in running
        }
