"""Waiting for a condition, with a deadline instead of a hope."""

import asyncio
import time
from collections.abc import Callable

WITHIN_S = 20.0


async def until(condition: Callable[[], bool], what: str) -> None:
    """Let the loop turn until the condition holds."""
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {WITHIN_S:.0f} s: {what}"
        await asyncio.sleep(0.02)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """The same where there is no loop."""
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {WITHIN_S:.0f} s: {what}"
        time.sleep(0.02)
