"""Looks at every process of the stack, again and again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import aiohttp

from deploy.local.services import SERVICES
from libs.common.mongo import Database
from tests.processes import MIB, TASKS, metrics, usage
from tests.soak.lives import Process, Sample
from tests.stack import LocalStack

LAG = "assistant_consumer_lag_records"
CONNECTIONS = "assistant_http_connections"
IN_FLIGHT = "assistant_consumer_keys_in_flight"
STAND_INS = ("kafka", "mongo", "simulator")
"""Not what we deploy: measured and not judged."""
MEASURED = tuple(each.name for each in SERVICES if each.name not in STAND_INS)

Phase = Literal["before", "samples", "after"]


@dataclass
class Sampler:
    """Samples by component; `phase` says where they belong to."""

    stack: LocalStack
    session: aiohttp.ClientSession
    phase: Phase = "before"
    processes: dict[str, Process] = field(default_factory=dict)
    began: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    @asynccontextmanager
    async def running(self, every_s: float) -> AsyncIterator[None]:
        task = asyncio.create_task(self._run(every_s), name="sample")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def look(self) -> None:
        status = self.stack.folder.read_status(self.stack.pid).get("components", {})
        await asyncio.gather(
            *(self._look_at(name, entry["pid"]) for name, entry in status.items() if entry["pid"])
        )

    async def _run(self, every_s: float) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            await self.look()
            due = max(due + every_s, loop.time())
            await asyncio.sleep(due - loop.time())

    async def _look_at(self, name: str, pid: int) -> None:
        phase, at_s = self.phase, asyncio.get_running_loop().time() - self.began
        told = await metrics(self.session, self.stack.url(name)) if name in MEASURED else {}
        if (found := usage(pid)) is not None:
            tasks = told[TASKS] - told.get(CONNECTIONS, 0.0) if TASKS in told else None
            sample = Sample(at_s, pid, found, tasks, told.get(LAG), told.get(IN_FLIGHT))
            getattr(self.processes.setdefault(name, Process()), phase).append(sample)


def folder_mib(folder: Path) -> float:
    """All files below it."""
    total = 0
    for each in folder.rglob("*"):
        with suppress(OSError):  # gone meanwhile
            total += each.stat().st_size
    return total / MIB


async def documents(database: Database) -> dict[str, int]:
    """How many each collection has."""
    names = sorted(await database.list_collection_names())
    return {name: await database[name].estimated_document_count() for name in names}
