"""`up` and `down`: the supervisor as a process of its own, which outlives the command."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from deploy.local.errors import StackError
from deploy.local.stack import Say
from deploy.local.state import ROOT, StateFolder

POLL_S = 0.1
STOP_WITHIN_S = 90.0  # three stages of at most 25 s, and some


def start_detached(
    folder: StateFolder,
    command: Sequence[str],
    say: Say,
    environment: Mapping[str, str] = os.environ,
) -> subprocess.Popen[bytes]:
    """Start a supervisor and return when everything is ready, passing on its progress lines.

    Args:
        command: what runs `supervising.supervise` on this folder.
        environment: what it gets, besides `STATE_DIR`.

    Returns:
        The supervisor's process. It outlives us; who lives on may want to reap it.

    Raises:
        StackError: it ended instead; what it said has been passed on.
    """
    folder.make()
    log = folder.supervisor_log
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=ROOT,
            env={**environment, "STATE_DIR": str(folder.path), "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
    lines = _Lines(folder, say)
    try:
        while folder.read_status(process.pid).get("phase") != "ready":
            lines.pass_on()
            if process.poll() is not None:
                lines.pass_on()
                raise StackError("the stack did not start")
            time.sleep(POLL_S)
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        lines.pass_on()
        raise
    lines.pass_on()
    return process


def wait_until_ready(folder: StateFolder, supervisor: int) -> None:
    """Wait for somebody else's start to end.

    Raises:
        StackError: it failed.
    """
    while folder.supervisor() == supervisor:
        if folder.read_status(supervisor).get("phase") == "ready":
            return
        time.sleep(POLL_S)
    raise StackError(f"the stack that was starting has ended: see {folder.supervisor_log}")


def stop_detached(folder: StateFolder, supervisor: int) -> None:
    """Stop a supervisor and wait until it, and so everything it ran, has ended.

    Raises:
        StackError: it took too long and was killed; its children ended with it.
    """
    if not is_stopping(folder, supervisor):  # a second signal would mean: kill
        with suppress(ProcessLookupError):
            os.kill(supervisor, signal.SIGTERM)
    wait_until_stopped(folder, supervisor)


def is_stopping(folder: StateFolder, supervisor: int) -> bool:
    return folder.read_status(supervisor).get("phase") in {"stopping", "stopped", "failed"}


def wait_until_stopped(folder: StateFolder, supervisor: int) -> None:
    """Wait for a supervisor that has been told to stop; kill it if it doesn't.

    Raises:
        StackError: it had to be killed; its children ended with it.
    """
    until = time.monotonic() + STOP_WITHIN_S
    while folder.supervisor() == supervisor:
        if time.monotonic() > until:
            with suppress(ProcessLookupError):
                os.kill(supervisor, signal.SIGKILL)
            raise StackError(f"not stopped within {STOP_WITHIN_S:.0f} s, so killed")
        time.sleep(POLL_S)


class _Lines:
    """Whole lines that were added to the supervisor's log since the last look."""

    def __init__(self, folder: StateFolder, say: Say) -> None:
        self._log = folder.supervisor_log
        self._say = say
        self._read = 0

    def pass_on(self) -> None:
        with self._log.open("rb") as log:
            log.seek(self._read)
            whole, newline, _ = log.read().rpartition(b"\n")
        self._read += len(whole) + len(newline)
        if newline:
            self._say(whole.decode("utf-8", errors="replace"))
