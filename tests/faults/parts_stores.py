"""Faults of Kafka and of the database: away, frozen, slow, without room."""

import asyncio
import time

from tests.faults.breaking import (
    away,
    gateway_watched,
    kept,
    leave_no_room,
    refused,
    stutter,
    until_it_dies,
)
from tests.faults.run import Run
from tests.faults.scenario import Scenario

LOOK_AT_GATEWAY_EVERY_S = 2.0


async def _kafka(run: Run) -> None:
    """Ended in order and away for a while, then frozen, with some talk in between."""
    await _until_all_are_answered(run)
    await run.wait(0.0, 0.5)
    await run.once(lambda: _without_kafka(run))
    run.fault_now()
    await run.until_answered()
    await run.once(lambda: _with_frozen_kafka(run))
    run.fault_now()
    await run.until_answered()


async def _until_all_are_answered(run: Run) -> None:
    """Once: their first questions are known then."""
    await run.until(lambda: all(run.settled_parts(psid) for psid in run.psids))


async def _without_kafka(run: Run) -> None:
    async with gateway_watched(run), away(run, "kafka"):
        await _refused_for(run, run.lasts_s(3.0, 600.0))


async def _with_frozen_kafka(run: Run) -> None:
    async with gateway_watched(run):
        await run.freeze_now("kafka")
        try:
            await _refused_for(run, run.lasts_s(4.0, 120.0))
        finally:
            run.thaw("kafka")


async def _refused_for(run: Run, lasts_s: float) -> None:
    await asyncio.sleep(0.3)  # until what it had on its way is through
    until = time.monotonic() + lasts_s
    while time.monotonic() < until:
        await refused(run)
        await asyncio.sleep(LOOK_AT_GATEWAY_EVERY_S)


async def _mongo(run: Run) -> None:
    """Ended in order and away for a while, then so slow that many give up."""
    await run.until_answered()
    await run.once(lambda: _without_mongo(run))
    run.fault_now()
    await run.until_answered()
    await run.once(lambda: stutter(run, "mongo", run.lasts_s(4.0, 60.0), run.lasts_s(2.0, 5.0)))
    run.fault_now()
    await run.until_answered()


async def _without_mongo(run: Run) -> None:
    async with gateway_watched(run), away(run, "mongo"):
        await asyncio.sleep(run.lasts_s(3.0, 300.0))


async def _no_room(run: Run) -> None:
    """A write that fails ends both Kafka and the database: they are back when there is room."""
    await _until_all_are_answered(run)

    async def fill() -> None:
        async with gateway_watched(run), kept(run, "mongo", leave_no_room):
            async with kept(run, "kafka", leave_no_room):
                await until_it_dies(run, "kafka")
                await _refused_for(run, run.lasts_s(2.0, 60.0))
            await until_it_dies(run, "mongo")  # people talk again, so there is something to write
            await asyncio.sleep(run.lasts_s(0.0, 60.0))

    await run.once(fill)
    run.fault_now()
    await run.until_answered()


STORES = (
    Scenario("kafka away, then frozen", _kafka, rows=(16, 17, 18)),
    Scenario("mongo away, then slow", _mongo, rows=(19,)),
    Scenario("no room on the disk", _no_room, rows=(41,)),
)
