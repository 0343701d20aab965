import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.local.child import Component
from deploy.local.errors import StackError
from deploy.local.stack import Progress, Stack, Status
from deploy.local.state import StateFolder
from tests.unit.local.tiny import component, free_ports, is_free, plan_of
from tests.unit.local.waiting import until


class Running:
    """A stack of tiny components in this process, and what it said."""

    def __init__(self, folder: Path, *components: Component) -> None:
        self.said: list[str] = []
        self.stop = asyncio.Event()
        self.ready = asyncio.Event()
        self.folder = StateFolder(folder)
        self.folder.make()
        status = Status(self.folder, 0)
        progress = Progress(self.said.append)
        self.stack = Stack(plan_of(*components), self.folder, status, progress)

    async def run(self) -> None:
        async with asyncio.timeout(60):
            await self.stack.run(self.stop, self.ready.set)

    def status(self) -> dict[str, dict[str, object]]:
        components: dict[str, dict[str, object]] = self.folder.read_status(os.getpid())[
            "components"
        ]
        return components

    def said_something_like(self, text: str) -> bool:
        return any(text in line for line in self.said)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Component]:
    ports = iter(free_ports(4))

    def make_one(name: str, **how: object) -> Component:
        return component(name, next(ports), tmp_path / "notes", **how)  # type: ignore[arg-type]

    return make_one


async def test_stages_are_stopped_in_reverse_order(
    tmp_path: Path, make: Callable[..., Component]
) -> None:
    running = Running(
        tmp_path, make("kafka", stage=0), make("simulator", stage=1), make("gateway", stage=2)
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(running.run())
        await running.ready.wait()
        running.stop.set()
    assert (tmp_path / "notes").read_text().split() == ["gateway", "simulator", "kafka"]
    assert running.said_something_like("ready (the first start)")


async def test_component_that_cannot_start_ends_the_start_and_all_others(
    tmp_path: Path, make: Callable[..., Component]
) -> None:
    kafka, broken = make("kafka"), make("sender", mode="exit78", stage=2)
    running = Running(tmp_path, kafka, broken, make("gateway", stage=2))
    with pytest.raises(StackError, match="sender ended with exit status 78"):
        await running.run()
    assert "kafka" in (tmp_path / "notes").read_text().split()
    assert is_free(kafka.port)
    assert not running.ready.is_set()


async def test_stop_during_the_start_ends_what_was_started(
    tmp_path: Path, make: Callable[..., Component]
) -> None:
    kafka, deaf = make("kafka"), make("mongo", mode="deaf")
    running = Running(tmp_path, kafka, deaf)
    async with asyncio.TaskGroup() as group:
        group.create_task(running.run())
        await until(lambda: running.said_something_like("kafka ready"), "one of two is ready")
        log = running.folder.log_of("mongo")
        await until(lambda: log.is_file() and "mongo deaf" in log.read_text(), "it can be stopped")
        running.stop.set()
    assert not running.ready.is_set()
    assert sorted((tmp_path / "notes").read_text().split()) == ["kafka", "mongo"]


async def test_status_file_names_the_pids_that_are_true_now(
    tmp_path: Path, make: Callable[..., Component]
) -> None:
    running = Running(tmp_path, make("kafka"), make("gateway", stage=2))
    async with asyncio.TaskGroup() as group:
        group.create_task(running.run())
        await running.ready.wait()
        first = running.status()["gateway"]["pid"]
        assert isinstance(first, int)
        os.kill(first, signal.SIGKILL)
        await until(
            lambda: (
                running.status()["gateway"]["restarts"] == 1
                and running.status()["gateway"]["state"] == "ready"
            ),
            "the gateway is back",
        )
        assert running.status()["gateway"]["pid"] not in {None, first}
        assert running.status()["kafka"]["restarts"] == 0
        running.stop.set()
    assert running.status()["gateway"]["pid"] is None


async def test_no_more_patience_kills_what_will_not_stop(
    tmp_path: Path, make: Callable[..., Component]
) -> None:
    stubborn = make("gateway", mode="stubborn", stage=2, stop_within_s=60)
    running = Running(tmp_path, stubborn)
    async with asyncio.TaskGroup() as group:
        group.create_task(running.run())
        await running.ready.wait()
        running.stop.set()
        await until(lambda: running.status()["gateway"]["state"] == "stopping", "it is asked to")
        running.stack.kill()
    assert is_free(stubborn.port)
