"""Attackers as processes, around a block in which others are served."""

import asyncio
import json
import resource
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
STARTED_WITHIN_S = 60.0
ENDED_WITHIN_S = 90.0


@dataclass
class Attack:
    """What one process of attackers saw; complete once its block is left."""

    opened: int = 0
    closed: int = 0
    open: int = 0
    longest_s: float = 0.0


def most_connections() -> int:
    """As many as a process here can hold, without a few that it needs for itself."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return hard - 100 if hard != resource.RLIM_INFINITY else 60_000


@asynccontextmanager
async def attacked(port: int, connections: int) -> AsyncIterator[Attack]:
    """From when all of them are there; left when each was closed by the other side."""
    count = min(connections, most_connections())
    flags = ["--port", str(port), "--connections", str(count), "--seconds", str(ENDED_WITHIN_S)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.fuzz.attackers", *flags),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    attack = Attack()
    try:
        async with asyncio.timeout(STARTED_WITHIN_S):
            attack.opened = json.loads(await process.stdout.readline())["attacking"]
        yield attack
        async with asyncio.timeout(ENDED_WITHIN_S + 10):
            report: dict[str, Any] = json.loads(await process.stdout.readline())
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    attack.opened, attack.closed, attack.open = (
        report[name] for name in ("opened", "closed", "open")
    )
    attack.longest_s = max(report["longest_s"].values(), default=0.0)
