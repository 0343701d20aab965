"""Loopback ports for tests.

Below those that the system gives away by itself, to whoever connects or listens on port 0: one of
these could be taken between our look and whoever listens there in the end. Between those of local
stacks, too. Workers of one run have different ones.
"""

import os
import secrets

from deploy.local.ports import is_busy

LOWEST, HIGHEST = 14_000, 19_000
"""`tests.stack` has its services below, its Kafka above."""


def worker() -> tuple[int, int]:
    """Which of pytest's workers this is, from 0, and how many there are."""
    name = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    return int(name.removeprefix("gw")), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))


_first, _step = worker()
_ours = range(LOWEST + _first, HIGHEST, _step)
_turn = secrets.randbelow(len(_ours))


def free_port() -> int:
    """One that nobody listens on at this moment, and that was not named for long."""
    global _turn
    for _ in _ours:
        _turn = (_turn + 1) % len(_ours)
        if not is_busy(port := _ours[_turn]):
            return port
    raise OSError(f"no free port from {LOWEST} to {HIGHEST}")
