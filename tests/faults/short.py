"""The scenarios as `make test` plays them: two seeds side by side, with few people."""

import math
from collections.abc import Sequence

from tests.faults.ground import play
from tests.faults.run import Ground, Plan, Run
from tests.faults.scenario import Scenario
from tests.faults.world import WORLD

SEEDS = (1, 2)
FEWEST, MOST = 3, 10  # on a Page: one of each kind where not everybody waits
TOGETHER = 60  # about so many, on all Pages


async def play_shortly(ground: Ground, group: Sequence[Scenario]) -> list[Run]:
    """The runs, when their people have no complaint.

    Raises:
        AssertionError: they have, or nothing was at stake.
    """
    share = math.ceil(TOGETHER / (len(group) * len(SEEDS)))
    guests_are_enough = group[0] in WORLD  # they bring their own
    people = FEWEST if guests_are_enough else max(FEWEST, min(MOST, share))
    runs = await play(ground, group, SEEDS, Plan(people=people))
    for run in runs:
        verdict = await run.verdict()
        assert not verdict.complaints, f"{run.name}, seed {run.seed}: {verdict.complaints}"
        assert verdict.questions >= people
        assert verdict.overlaps or not run.plan.hurry  # order was at stake
    return runs


async def nothing_came_later(runs: Sequence[Run]) -> None:
    """Raises: AssertionError: something has."""
    assert runs
    for run in runs:
        assert not (await run.verdict()).complaints, f"{run.name}, seed {run.seed}"
