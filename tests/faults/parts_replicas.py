"""Two replicas of the services that consume: they come and go, and one is a zombie for a while."""

import asyncio
import re
import signal
import time
from collections.abc import Awaitable, Callable

from tests.faults.replicas import Replica, second
from tests.faults.run import Run
from tests.faults.scenario import Scenario

CONSUMERS = ("conversation", "sender")
PARTITIONS = 12
TAKEN_OVER_WITHIN_S = 90.0
LOOK_EVERY_S = 0.2
Work = Callable[[dict[str, Replica]], Awaitable[None]]


async def _with_a_second(run: Run, work: Work) -> None:
    replicas = second(run.stack, *CONSUMERS)
    entered = await asyncio.to_thread(replicas.__enter__)
    try:
        await work(entered)
    finally:
        await asyncio.to_thread(replicas.__exit__, None, None, None)


async def _two_replicas(run: Run) -> None:
    async def play(replicas: dict[str, Replica]) -> None:
        await _come_and_go(run, replicas)
        await _stand_still(run)

    await run.once(lambda: _with_a_second(run, play))


async def _come_and_go(run: Run, replicas: dict[str, Replica]) -> None:
    """Each time by SIGTERM or by SIGKILL; now and then it is the first one that goes."""
    every_s = run.lasts_s(1.0, 10.0)
    until = time.monotonic() + run.lasts_s(6.0, 300.0)
    while time.monotonic() < until:
        await asyncio.sleep(run.chance.uniform(0.2, every_s))
        run.fault_now()
        await _go(run, replicas[run.chance.choice(CONSUMERS)])


async def _go(run: Run, replica: Replica) -> None:
    orderly = run.chance.random() < 0.5
    number = signal.SIGTERM if orderly else signal.SIGKILL
    if run.chance.random() < 0.3:
        if orderly:
            await asyncio.to_thread(run.stack.restart, replica.service, 120.0)
        else:
            restarts = run.stack.component(replica.service)["restarts"]
            run.stack.kill(replica.service)
            await asyncio.to_thread(run.stack.wait_until_back, replica.service, restarts + 1, 120.0)
        return
    status = await asyncio.to_thread(replica.end, number)
    if orderly and status != 0:
        run.complain(f"the second {replica.service} ended with {status}")
    await asyncio.to_thread(replica.start)


async def _stand_still(run: Run) -> None:
    """The first ones, until Kafka has given their partitions to the second ones; then they go on,
    as if nothing had been."""
    alone = {name: _times_alone(run, name) for name in CONSUMERS}
    run.fault_now()
    for name in CONSUMERS:
        await run.freeze_now(name)
    try:
        async with asyncio.timeout(TAKEN_OVER_WITHIN_S):
            while any(_times_alone(run, name) == alone[name] for name in CONSUMERS):
                await asyncio.sleep(LOOK_EVERY_S)
        await asyncio.sleep(run.lasts_s(1.0, 60.0))
    finally:
        for name in CONSUMERS:
            run.thaw(name)
    await run.until_answered()


def _times_alone(run: Run, name: str) -> int:
    """How often the second replica was given all partitions."""
    log = run.stack.folder.log_of(f"{name}-2").read_text(encoding="utf-8")
    return len(re.findall(rf'"group": "{name}", "partitions": {PARTITIONS}, ', log))


REPLICAS = (
    Scenario("replicas come, go and stand still", _two_replicas, rows=(15, 21), hurry=True),
)
