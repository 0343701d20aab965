"""A soak of some seconds: the command works, and it complains about a service that leaks."""

import asyncio

from tests.faults.mutants.switching import mutated
from tests.soak import report
from tests.soak.lives import Reading
from tests.soak.plan import planned
from tests.soak.soak import Times, opened
from tests.stack import LocalStack

SECONDS = Times(
    minutes=1,
    minute_s=4.0,
    sample_every_s=0.5,
    rest_s=1.2,
    level_s=0.6,
    level_sizes=(4, 8),
    settle_s=180.0,
    reading=Reading(warm_up_s=3600),  # what a process does in its first seconds is no slope
)
SEED = 25  # conversation is killed


async def test_a_short_soak_is_well_but_for_the_service_that_leaks(breakable: LocalStack) -> None:
    said: list[str] = []
    assert planned(SEED, 1)[0].fault.name == "conversation: kill"
    with mutated(breakable, "sender", "leak"):
        async with opened(breakable, SEED, SECONDS, said.append) as soak:
            outcome = await soak.run(None, asyncio.Event())
    found = report.to_json(outcome)
    assert found["judge"]["questions"] >= SECONDS.level_sizes[0]
    assert found["saturation"]
    assert found["judge"]["complaints"] == {}
    assert len(found["faults"]) == 1
    assert {each.partition(":")[0] for each in found["complaints"]} == {"sender"}
    assert any("tasks at rest" in each for each in found["complaints"])
    assert "sender" in report.table(found)
