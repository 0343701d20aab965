"""No orphans: whatever happens to the supervisor, its children end."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.local.child import LEASH
from deploy.local.state import StateFolder
from tests.unit.local.tiny import component, free_ports, is_free
from tests.unit.local.waiting import wait_until

ROOT = LEASH.parents[2]

# A supervisor that starts one child on the leash and then does nothing; `portable` pretends that
# the kernel offers no help.
PARENT = """
import os, runpy, subprocess, sys, time
leash, portable, command = sys.argv[1], sys.argv[2] == "portable", sys.argv[3:]
run = [sys.executable, "-I", "-S", leash]
if portable:
    code = "import sys, runpy; sys.platform = 'other'; leash = sys.argv.pop(1); " \\
        "runpy.run_path(leash, run_name='__main__')"
    run = [sys.executable, "-I", "-S", "-c", code, leash]
child = subprocess.Popen([*run, str(os.getpid()), *command], start_new_session=True)
print(child.pid, flush=True)
sys.exit(child.wait())
"""


@contextmanager
def parent(how: str, *command: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(LEASH), how, *command],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("how", ["kernel", "portable"])
def test_child_ends_when_its_parent_is_killed(how: str, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    command = component("one", port, tmp_path / "notes", mode="stubborn").command
    with parent(how, *command) as process:
        wait_until(lambda: not is_free(port), "the child listens")
        process.kill()
        process.wait()
        wait_until(lambda: is_free(port), "the child has ended")


@pytest.mark.parametrize("how", ["kernel", "portable"])
def test_signals_and_exit_status_pass_through_the_leash(how: str, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    notes = tmp_path / "notes"
    with parent(how, *component("one", port, notes).command) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        wait_until(lambda: not is_free(port), "the child listens")
        os.kill(pid, signal.SIGTERM)
        assert process.wait(timeout=20) == 0
        assert notes.read_text() == "one\n"


HASTY = """
import os, signal, subprocess, sys
from deploy.local import leash
popen = subprocess.Popen
def hasty(command):
    child = popen(command)
    os.kill(os.getpid(), signal.SIGTERM)
    return child
subprocess.Popen = hasty
sys.exit(leash._stay_between(os.getppid(), sys.argv[1:]))
"""


def test_a_signal_that_comes_while_the_child_begins_reaches_it() -> None:
    command = [sys.executable, "-c", HASTY, "sleep", "60"]
    ended = subprocess.run(command, timeout=20, check=False, cwd=ROOT)
    assert ended.returncode == 128 + signal.SIGTERM


@pytest.mark.parametrize("how", ["kernel", "portable"])
def test_status_of_a_failing_command_is_the_leash_s_own(how: str, tmp_path: Path) -> None:
    command = component("one", 1, tmp_path / "notes", mode="exit7").command
    with parent(how, *command) as process:
        assert process.wait(timeout=20) == 7


def test_leash_whose_parent_is_gone_already_starts_nothing(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    command = component("one", port, tmp_path / "notes").command
    not_our_parent = str(os.getppid())
    ended = subprocess.run([sys.executable, LEASH, not_our_parent, *command], timeout=20)
    assert ended.returncode == 1
    assert is_free(port)


def test_killed_supervisor_leaves_no_orphan_and_its_folder_free(tmp_path: Path) -> None:
    ports = free_ports(3)
    folder = StateFolder(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-m", "tests.unit.local.tiny", str(tmp_path), *map(str, ports)], cwd=ROOT
    ) as supervisor:
        try:
            wait_until(
                lambda: folder.read_status(supervisor.pid).get("phase") == "ready", "all is ready"
            )
            supervisor.kill()
            wait_until(lambda: all(map(is_free, ports)), "all children have ended")
            wait_until(lambda: folder.supervisor() is None, "the folder is free again")
        finally:
            supervisor.kill()


def test_supervisor_whose_parent_was_killed_stops_in_order_though_nobody_reads_its_lines(
    tmp_path: Path,
) -> None:
    ports = free_ports(2)
    folder = StateFolder(tmp_path)
    command = [sys.executable, "-m", "tests.unit.local.tiny", str(tmp_path), *map(str, ports)]
    wait = "import subprocess, sys; subprocess.run(sys.argv[1:])"
    with subprocess.Popen(
        [sys.executable, "-c", wait, *command, "--with-parent"], cwd=ROOT, stdout=subprocess.PIPE
    ) as between:
        try:
            wait_until(
                lambda: folder.read_status(folder.supervisor()).get("phase") == "ready", "it runs"
            )
            supervisor = folder.supervisor()
            assert supervisor is not None
            assert between.stdout is not None
            between.stdout.close()
            between.kill()
            wait_until(lambda: folder.supervisor() is None, "it has ended")
        finally:
            between.kill()
    assert (tmp_path / "notes").read_text().split() == ["tiny1", "tiny0"]
    assert all(map(is_free, ports))
    assert folder.read_status(supervisor)["phase"] == "stopped"
