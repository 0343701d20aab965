"""What a service held before some runs and holds after them: memory, descriptors, tasks."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from deploy.local.services import SERVICES
from tests.processes import tasks, usage
from tests.stack import LocalStack

MORE_DESCRIPTORS = 60
MORE_TASKS = 60
SETTLED_WITHIN_S = 45.0  # a connection to Meta is kept for 15 s, and looked at every 15 s
LOOK_EVERY_S = 0.5


@dataclass(frozen=True)
class Life:
    """One process of a service, at one moment."""

    pid: int
    rss_mib: float
    descriptors: int
    tasks: int | None = None
    """None: it did not say."""


@dataclass(frozen=True)
class Growth:
    """Of one service, in one life. None: it died meanwhile, or said nothing."""

    rss_mib: float | None = None
    descriptors: int | None = None
    tasks: int | None = None

    @property
    def complaints(self) -> list[str]:
        """Memory grows while a service fills its caches: that is for the soak to judge."""
        found = []
        if self.descriptors is not None and self.descriptors > MORE_DESCRIPTORS:
            found.append(f"{self.descriptors} more descriptors")
        if self.tasks is not None and self.tasks > MORE_TASKS:
            found.append(f"{self.tasks} more tasks")
        return found


def growth(before: Life, after: Life) -> Growth:
    if before.pid != after.pid:
        return Growth()
    tasks = None
    if before.tasks is not None and after.tasks is not None:
        tasks = after.tasks - before.tasks
    return Growth(
        round(after.rss_mib - before.rss_mib, 1), after.descriptors - before.descriptors, tasks
    )


async def lives(stack: LocalStack) -> dict[str, Life]:
    """All services of ours, but the simulator."""
    found = {}
    async with aiohttp.ClientSession() as session:
        for spec in SERVICES:
            pid = stack.component(spec.name)["pid"]
            if spec.name == "simulator" or pid is None or (now := usage(pid)) is None:
                continue
            told = await tasks(session, stack.url(spec.name))
            found[spec.name] = Life(pid, now.rss_mib, now.descriptors, told)
    return found


async def grown(stack: LocalStack, before: Mapping[str, Life]) -> dict[str, Growth]:
    """Since `before`; what is only being closed gets a while."""
    until = asyncio.get_running_loop().time() + SETTLED_WITHIN_S
    while True:
        now = await lives(stack)
        found = {name: growth(before[name], now[name]) for name in before.keys() & now.keys()}
        is_late = asyncio.get_running_loop().time() > until
        if is_late or not any(each.complaints for each in found.values()):
            return found
        await asyncio.sleep(LOOK_EVERY_S)
