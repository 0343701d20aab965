"""The stack on which scenarios are played, and their play."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp

from deploy.local.environment import KAFKA
from deploy.local.seed import seed as connect_new_pages
from simulator.client import Simulator
from tests.e2e.console import database_of, open_console
from tests.faults.copying import open_copier
from tests.faults.listing import open_listing
from tests.faults.mutants import switching
from tests.faults.run import Ground, Meeting, Plan, Run
from tests.faults.scenario import Scenario
from tests.stack import LocalStack, local_stack

QUICKLY = {  # the sender's patience, as short as the scenarios allow
    "SENDER_HTTP_TIMEOUT_S": "3",
    "SENDER_CLAIM_MARGIN_S": "0.5",
    "SENDER_EVIDENCE_GAP_S": "0.5",
    "SENDER_HOLD_AFTER_S": "20",
    # how soon Kafka gives away what a frozen process has; and LONG=1 plays the real length
    "KAFKA_SESSION_TIMEOUT_S": "30" if os.environ.get("LONG", "0") not in ("", "0") else "6",
    "LLM_TIMEOUT_S": "8",  # three times that, and the fallback goes out
}

# where people are in a hurry: their next message is there before the last one is through
QUIET_S = 0.15
LATENCY_MS = 250


@contextmanager
def breakable_stack(folder: Path) -> Iterator[LocalStack]:
    """A whole stack with a simulated model, whose dead come back at once."""
    with local_stack(
        folder,
        module="tests.faults.supervisor",
        LLM_PROVIDER="simulator",
        **QUICKLY,
        **switching.environment(folder),
    ) as stack:
        yield stack


@asynccontextmanager
async def open_ground(stack: LocalStack) -> AsyncIterator[Ground]:
    async with AsyncExitStack() as opened:
        timeout = aiohttp.ClientTimeout(total=30)
        session = await opened.enter_async_context(aiohttp.ClientSession(timeout=timeout))
        environment = stack.environment
        listing = await opened.enter_async_context(
            open_listing(
                session, stack.url("sender"), environment["SERVICE_TOKEN"], environment[KAFKA]
            )
        )
        console = await opened.enter_async_context(open_console(stack))
        copier = await opened.enter_async_context(open_copier(environment[KAFKA]))
        simulator = Simulator(session, stack.url("simulator"))
        yield Ground(stack, simulator, listing, console, copier)


async def play(
    ground: Ground, scenarios: Sequence[Scenario], seeds: Sequence[int], plan: Plan
) -> list[Run]:
    """Play scenarios side by side, with each seed, to the end of all conversations.

    Each run has a Page of its own, and can be asked for its verdict, more than once.
    """
    await ground.simulator.set_model()
    casts = [(scenario, seed) for scenario in scenarios for seed in seeds]
    together = Meeting(max(1, sum(not scenario.alone for scenario, _ in casts)))
    meetings = {each.name: Meeting(len(seeds)) if each.alone else together for each in scenarios}
    runs = [
        Run(
            ground,
            scenario.name,
            seed,
            replace(plan, hurry=scenario.hurry),
            meetings[scenario.name],
        )
        for scenario, seed in casts
    ]
    for (scenario, _), run in zip(casts, runs, strict=True):
        await run.open()
        if run.plan.hurry:
            await run.simulator.behave(run.page, send_latency_ms=LATENCY_MS)
        await scenario.prepare(run)
    await connect_new_pages(ground.stack.environment)
    await _set_up(ground.stack, runs)
    try:
        async with asyncio.TaskGroup() as group:
            for (scenario, _), run in zip(casts, runs, strict=True):
                group.create_task(_talk_through(scenario, run), name=f"{run.name}, seed {run.seed}")
    finally:
        await ground.simulator.clear_faults()
        await ground.simulator.set_model()
    return runs


async def _set_up(stack: LocalStack, runs: Sequence[Run]) -> None:
    """Who writes on shall have several answers under way, not one to all; and who writes for long
    what is much alike shall not be taken for a bot. Nobody has read these settings yet."""
    async with database_of(stack) as database:
        for run in runs:
            settings: dict[str, float] = {"settings.loop_turns": 0}
            if run.plan.hurry:
                settings["settings.quiet_window_s"] = QUIET_S
            await database["channels"].update_one({"_id": run.page}, {"$set": settings})


async def _talk_through(scenario: Scenario, run: Run) -> None:
    async with run.talking():
        await scenario.play(run)
    await scenario.check(run)
