import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from deploy.local.child import Child, Component, describe, tail
from deploy.local.errors import StackError
from tests.unit.local.tiny import component, free_ports, is_free
from tests.unit.local.waiting import until


@asynccontextmanager
async def started(of: Component, log: Path) -> AsyncIterator[Child]:
    child = Child(of, log, lambda: None)
    try:
        await child.start()
        yield child
    finally:
        child.kill()
        await child.stop()


@asynccontextmanager
async def kept(child: Child) -> AsyncIterator[None]:
    task = asyncio.create_task(child.keep())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_child_is_ready_when_it_answers_and_gone_when_stopped(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    notes = tmp_path / "notes"
    async with started(component("one", port, notes), tmp_path / "logs/one.log") as child:
        assert child.state == "ready"
        assert not is_free(port)
        await child.stop()
        assert child.pid is None
        assert notes.read_text() == "one\n"
        assert is_free(port)


async def test_child_that_ends_at_once_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    log = tmp_path / "one.log"
    log.write_text("from an earlier start\n")
    child = Child(component("one", port, tmp_path / "notes", mode="exit3"), log, lambda: None)
    with pytest.raises(StackError) as error:
        await child.start()
    assert str(error.value).splitlines() == [
        f"one ended with exit status 3. The end of {log}:",
        "    one exit3",
        "    cannot go on",
    ]


async def test_child_that_never_answers_is_told_when_its_time_is_over(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    deaf = component("one", port, tmp_path / "notes", mode="deaf", start_within_s=1)
    with pytest.raises(StackError, match="one is not ready after 1 s"):
        async with started(deaf, tmp_path / "one.log"):
            pytest.fail("it never answers")


async def test_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    stubborn = component("one", port, tmp_path / "notes", mode="stubborn", stop_within_s=0.5)
    async with started(stubborn, tmp_path / "one.log") as child:
        await child.stop()
        assert child.pid is None
        assert is_free(port)
        assert "killed" in tail(child.log)[-1]


async def test_child_that_dies_is_started_again_with_another_pid(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    async with started(component("one", port, tmp_path / "notes"), tmp_path / "one.log") as child:
        first = child.pid
        assert first is not None
        async with kept(child):
            os.kill(first, signal.SIGKILL)
            await until(lambda: child.state == "ready" and child.restarts == 1, "it is back")
            assert child.pid not in {None, first}
        assert any("ended with SIGKILL" in line for line in tail(child.log))


async def test_preparation_that_fails_is_told_and_nothing_is_started(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    fails = component("one", port, tmp_path / "notes", mode="exit4").command
    whole = component("one", port, tmp_path / "notes")
    prepared = Component(**{**vars(whole), "setup": fails})
    child = Child(prepared, tmp_path / "one.log", lambda: None)
    with pytest.raises(StackError, match="preparing it ended with exit status 4"):
        await child.start()
    assert is_free(port)


@pytest.mark.parametrize(
    ("status", "words"), [(0, "exit status 0"), (78, "exit status 78"), (-9, "SIGKILL")]
)
def test_exit_status_in_words(status: int, words: str) -> None:
    assert describe(status) == words


def test_tail_is_of_the_last_start_and_survives_broken_utf8(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"old\n" + b"".join(b"%d \xff\n" % number for number in range(30)))
    assert tail(log, since=4)[0] == "10 \ufffd"
    assert len(tail(log, since=4)) == 20
    assert tail(log, since=log.stat().st_size) == []
