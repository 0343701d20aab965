"""How long a service takes from its start to its first `/readyz` with 200, and what imports take.

Kafka and the database are there. One service at a time, and nothing else runs.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.figures import Figure
from tests.bench.line import Outside, environment_of
from tests.bench.processes import ROOT, server
from tests.bench.rounds import Say, interleaved
from tests.ports import free_port
from tests.stack import Servers

SERVICES = ("gateway", "conversation", "sender", "takeover", "analytics", "console")
MAX_ROUNDS = 3


async def measure(servers: Servers, rounds: int, say: Say) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        outside_port = free_port()
        async with Outside().listening(outside_port):
            shared = environment_of(servers, Path(folder), outside_port)

            async def run(name: str) -> tuple[float, float]:
                ready_s = await _ready_s(name, shared)
                imports_s = await _imports_s(name, shared)
                say(f"{name}: ready after {ready_s:.2f} s, imports {imports_s:.2f} s")
                return ready_s, imports_s

            await interleaved(list(SERVICES), 1, run)  # compiles what was never imported
            runs = await interleaved(list(SERVICES), min(rounds, MAX_ROUNDS), run)
    figures = []
    for name in SERVICES:
        figures += [
            Figure(f"start-up: {name} ready", tuple(ready for ready, _ in runs[name]), "s"),
            Figure("  of that, imports", tuple(imports for _, imports in runs[name]), "s"),
        ]
    return figures


async def _ready_s(name: str, shared: dict[str, str]) -> float:
    environment = {**shared, "HTTP_PORT": str(free_port())}
    began_at = time.perf_counter()
    async with server(f"services.{name}", environment):
        return time.perf_counter() - began_at


async def _imports_s(name: str, shared: dict[str, str]) -> float:
    """A Python that imports the service and ends."""
    began_at = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", f"import services.{name}.__main__"),
        cwd=ROOT,
        env={**shared, "PYTHONPATH": str(ROOT), "HTTP_PORT": "1"},
    )
    if await process.wait():
        raise RuntimeError(f"services.{name} can't be imported")
    return time.perf_counter() - began_at
