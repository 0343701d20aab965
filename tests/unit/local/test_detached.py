"""A real supervisor, of tiny components, behind the commands `up` and `down`."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from deploy.local.cli import app
from deploy.local.detached import start_detached, stop_detached, wait_until_ready
from deploy.local.errors import StackError
from deploy.local.state import StateFolder
from tests.unit.local.tiny import free_ports, is_free
from tests.unit.local.waiting import wait_until


@dataclass
class Detached:
    """A state folder with a supervisor that the test starts and that never outlives it."""

    folder: StateFolder
    ports: list[int] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    def start(self, components: int) -> int:
        """Start that many tiny components; the supervisor's pid."""
        self.ports = free_ports(components)
        module = [sys.executable, "-m", "tests.unit.local.tiny", str(self.folder.path)]
        self.process = start_detached(
            self.folder, [*module, *map(str, self.ports)], self.said.append
        )
        return self.process.pid

    @property
    def stopped(self) -> list[str]:
        """The components that were asked to stop, in that order."""
        return (self.folder.path / "notes").read_text().split()

    def command(self, *arguments: str, **environment: str) -> Result:
        environment["STATE_DIR"] = str(self.folder.path)
        return CliRunner().invoke(app, arguments, env=environment)


@pytest.fixture
def detached(tmp_path: Path) -> Iterator[Detached]:
    detached = Detached(StateFolder(tmp_path))
    yield detached
    if detached.process is not None:
        detached.process.kill()
        detached.process.wait()


def test_up_returns_when_all_is_ready_and_down_when_all_has_ended(detached: Detached) -> None:
    supervisor = detached.start(components=2)
    assert not any(map(is_free, detached.ports))
    assert "tiny0 ready on" in "\n".join(detached.said)
    assert detached.folder.supervisor() == supervisor

    wait_until_ready(detached.folder, supervisor)  # at once: it is
    stop_detached(detached.folder, supervisor)
    assert all(map(is_free, detached.ports))
    assert detached.folder.supervisor() is None
    assert detached.stopped == ["tiny1", "tiny0"]


def test_up_of_a_stack_that_cannot_start_passes_on_why(detached: Detached) -> None:
    failing = [sys.executable, "-c", "print('port 1 is busy'); exit(1)"]
    with pytest.raises(StackError, match="did not start"):
        start_detached(detached.folder, failing, detached.said.append)
    assert detached.said == ["port 1 is busy"]


def test_interrupt_stops_in_order(detached: Detached) -> None:
    supervisor = detached.start(components=2)
    os.kill(supervisor, signal.SIGINT)  # as Ctrl-C does
    wait_until(lambda: detached.folder.supervisor() is None, "it has ended")
    assert all(map(is_free, detached.ports))
    assert detached.stopped == ["tiny1", "tiny0"]


def test_status_tells_people_what_runs(detached: Detached) -> None:
    assert detached.command("status").output == "not running\n"
    supervisor = detached.start(components=1)
    told = detached.command("status").output
    assert told.startswith(f"ready (pid {supervisor})")
    assert f"127.0.0.1:{detached.ports[0]}" in told


def test_status_tells_programs_the_pid_of_each_component(detached: Detached) -> None:
    assert json.loads(detached.command("status", "--json").output)["running"] is False
    supervisor = detached.start(components=1)
    told = json.loads(detached.command("status", "--json").output)
    assert (told["running"], told["phase"], told["pid"]) == (True, "ready", supervisor)
    component = told["components"]["tiny0"]
    assert component["port"] == detached.ports[0]
    os.kill(component["pid"], 0)  # there is such a process


def test_second_up_says_that_it_is_running(detached: Detached) -> None:
    supervisor = detached.start(components=1)
    again = detached.command("up")
    assert (again.exit_code, again.output) == (0, f"running already (pid {supervisor})\n")
    quietly = detached.command("up", "--quiet")
    assert (quietly.exit_code, quietly.output) == (0, "")


def test_clean_ends_it_and_forgets_its_state(detached: Detached) -> None:
    detached.start(components=1)
    assert detached.command("clean").exit_code == 0
    assert is_free(detached.ports[0])
    assert [each.name for each in detached.folder.path.iterdir()] == ["notes"]
    assert detached.command("down").output == "not running\n"


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["up"], {"ENV": "production"}, "error: ENV=production: "),
        (["run"], {"PORT_OFFSET": "many"}, "error: PORT_OFFSET is wrong: "),
        (["up", "--only", "redis"], {}, "error: --only doesn't know redis"),
    ],
)
def test_wrong_request_is_one_line_and_starts_nothing(
    detached: Detached, arguments: list[str], environment: dict[str, str], message: str
) -> None:
    result = detached.command(*arguments, **environment)
    assert result.exit_code == 1
    assert result.stderr.startswith(message)
    assert len(result.stderr.splitlines()) == 1
    assert detached.folder.supervisor() is None
