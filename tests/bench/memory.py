"""Two thousand turns in flight: what processes take, with a model that thinks for 20 s.

The memory of a process is what the system says (`VmRSS`), when all of them are in flight and the
model has answered none; and its most until all are answered (`VmHWM`).
"""

import asyncio
import secrets

from simulator.completions import ModelSettings
from tests.bench.figures import Figure, Goal
from tests.bench.line import SERVICES, Line, line, rss_mb
from tests.bench.rounds import Say
from tests.stack import Servers

TURNS = 2000
WRITERS_AT_ONCE = 50
MODEL_MS = 20_000
LOOK_EVERY_S = 0.1
WITHIN_S = 240.0
PAGE = "500"
AS_MANY = Goal("at least", TURNS)
MOST = Goal("at most", 150)


async def measure(servers: Servers, _rounds: int, say: Say) -> list[Figure]:
    async with line(servers, [PAGE], model=ModelSettings(delay_ms=MODEL_MS)) as ours:
        idle = _memory(ours)
        run = secrets.randbelow(10**6)
        people = [f"51{run:06d}{number:05d}" for number in range(TURNS)]
        await _all_write(ours, people)
        say(f"{TURNS} people have written")
        in_flight = await _in_flight(ours)
        asked, thinking = ours.outside.model.calls, _memory(ours)
        say(f"{in_flight} in flight, {asked} at the model; {thinking['conversation']:.0f} MB")
        await ours.answered(people, WITHIN_S)
        most = _memory(ours, "VmHWM")
    note = f"{asked} of them at the model, the others on their way there"
    figures = [Figure("memory: turns in flight", (in_flight,), "", AS_MANY, note)]
    for name in SERVICES:
        figures += [
            Figure(f"memory: {name}, {TURNS} turns in flight", (thinking[name],), "MB", MOST),
            Figure(f"  {name}, at rest", (idle[name],), "MB"),
            Figure(f"  {name}, at most", (most[name],), "MB", note="until all were answered"),
        ]
    return figures


async def _all_write(ours: Line, people: list[str]) -> None:
    room = asyncio.Semaphore(WRITERS_AT_ONCE)

    async def write(psid: str) -> None:
        async with room:
            await ours.write(PAGE, psid)

    async with asyncio.TaskGroup() as group:
        for psid in people:
            group.create_task(write(psid))


async def _in_flight(ours: Line) -> int:
    """How many turns there are at once: all of them, or the most there were before the model began
    to answer."""
    most = 0
    async with asyncio.timeout(WITHIN_S):
        while most < TURNS and not ours.outside.texts:
            await asyncio.sleep(LOOK_EVERY_S)
            most = max(most, await ours.turns_in_flight())
    return most


def _memory(ours: Line, what: str = "VmRSS") -> dict[str, float]:
    return {name: rss_mb(pid, what) or 0.0 for name, pid in ours.pids.items()}
