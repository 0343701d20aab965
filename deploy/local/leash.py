"""Runs a command that must not outlive the supervisor, even one killed with -9.

`python -I -S leash.py SUPERVISOR_PID COMMAND...`, started by the supervisor itself. On Linux the
kernel is asked to kill this process when its parent dies, and the command then takes its place:
same pid, no process in between. Elsewhere this process stays between the two, watches the parent
and passes signals on.

A script of its own that imports little: it runs before every child.
"""

import os
import signal
import subprocess
import sys
import time
from types import FrameType

PR_SET_PDEATHSIG = 1  # <sys/prctl.h>; survives exec
WATCH_EVERY_S = 0.25


def main() -> None:
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux" and _die_with_parent():
        if os.getppid() != parent:  # it died before the kernel knew that we care
            sys.exit(1)
        os.execvp(command[0], command)  # noqa: S606 - the supervisor's own command
    sys.exit(_stay_between(parent, command))


def _die_with_parent() -> bool:
    """Ask the kernel for SIGKILL when the parent's thread that started us ends."""
    import ctypes

    try:
        libc = ctypes.CDLL(None, use_errno=True)
        return bool(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False


def _stay_between(parent: int, command: list[str]) -> int:
    """Run the command as a child; its exit status, or 1 if the parent died first."""
    child: subprocess.Popen[bytes] | None = None
    came: list[int] = []

    def pass_on(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        if child is not None:
            child.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, pass_on)
    child = subprocess.Popen(command)
    for early in tuple(came):  # while there was no child yet; one that comes twice does no harm
        child.send_signal(early)
    while child.poll() is None:
        if os.getppid() != parent:
            child.kill()
            child.wait()
            return 1
        time.sleep(WATCH_EVERY_S)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


if __name__ == "__main__":
    main()
