"""Good webhooks while thousands of others hold connections and say next to nothing.

The same gateway, in turns: alone, and under attack. Good traffic comes at a steady pace, far below
what the gateway could do: what is measured is whether it waits, and not how much there is of it.
"""

import asyncio
import json
import secrets
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from tests.bench.figures import Figure, Goal, ratios
from tests.bench.posting import server_environment
from tests.bench.processes import ROOT, output_of, server
from tests.bench.rounds import Say, interleaved
from tests.ports import free_port
from tests.stack import Servers

ATTACKERS = 5000
MOST_ROUNDS = 3  # of half a minute each
PER_S = 50
SECONDS = 10.0
GOOD_WITHIN_S = SECONDS + 60.0
ATTACK_S = 600.0  # at most: it is ended when its round is over
STARTED_WITHIN_S = 120.0
CLOSED_WITHIN_S = 15.0
NEW, KEPT = "new connections", "kept connections"
ALONE, ATTACKED = "alone", "attacked"
MOST_P99 = Goal("at most", 2.0)
LONGEST_STAY = Goal("at most", CLOSED_WITHIN_S)


@dataclass(frozen=True)
class Run:
    """What one run showed."""

    p50_ms: float
    p99_ms: float
    refused: int
    """Good webhooks without a 200: Meta would send them again."""


async def measure(servers: Servers, rounds: int, say: Say) -> list[Figure]:
    environment = server_environment(servers, free_port())
    port = int(environment["HTTP_PORT"])
    stays: list[float] = []
    async with server("services.gateway", environment):
        await _good(port, NEW)  # warm

        async def run(name: str) -> Run:
            how, _, state = name.partition(", ")
            async with _attacked(port, stays) if state == ATTACKED else nullcontext():
                result = await _good(port, how)
            say(f"{name}: p50 {result.p50_ms:.2f} ms, p99 {result.p99_ms:.2f} ms")
            return result

        names = [f"{how}, {state}" for how in (NEW, KEPT) for state in (ALONE, ATTACKED)]
        runs = await interleaved(names, min(rounds, MOST_ROUNDS), run)
    figures = [figure for how in (NEW, KEPT) for figure in _figures(how, runs)]
    if stays:
        figures.append(Figure("longest stay of a slow client", tuple(stays), "s", LONGEST_STAY))
    return figures


@asynccontextmanager
async def _attacked(port: int, stays: list[float]) -> AsyncIterator[None]:
    """While this lasts, `ATTACKERS` connections are held, each opened anew when it is closed."""
    flags = ["--port", str(port), "--connections", str(ATTACKERS)]
    flags += ["--seconds", str(ATTACK_S), "--again"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.fuzz.attackers", *flags),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(STARTED_WITHIN_S):
            await process.stdout.readline()  # all have come
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        said, _ = await process.communicate()
        if said:
            report: dict[str, Any] = json.loads(said.splitlines()[-1])
            stays.append(max(report["longest_s"].values(), default=0.0))


async def _good(port: int, how: str) -> Run:
    flags = ["--port", str(port), "--per-s", str(PER_S), "--seconds", str(SECONDS)]
    flags += ["--kept"] * (how == KEPT)
    flags += ["--run", secrets.token_hex(4)]
    seen = json.loads(await output_of("tests.bench.steady", *flags, within_s=GOOD_WITHIN_S))
    accepted = seen["statuses"].get("200", 0)
    return Run(seen["p50_ms"], seen["p99_ms"], sum(seen["statuses"].values()) - accepted)


def _figures(how: str, runs: Mapping[str, list[Run]]) -> list[Figure]:
    alone, attacked = runs[f"{how}, {ALONE}"], runs[f"{how}, {ATTACKED}"]
    name = f"good webhooks' p99 over {how}, {ATTACKERS:,} slow clients : none"
    p99 = ([run.p99_ms for run in attacked], [run.p99_ms for run in alone])
    figures = [ratios(name, *p99, goal=MOST_P99)]
    for title, some in ((ALONE, alone), (ATTACKED, attacked)):
        figures += [
            Figure(f"  {title}, p50", tuple(run.p50_ms for run in some), "ms"),
            Figure(f"  {title}, p99", tuple(run.p99_ms for run in some), "ms"),
            Figure(f"  {title}, good ones refused", tuple(run.refused for run in some), ""),
        ]
    return figures
