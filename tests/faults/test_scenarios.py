"""Every scenario with two seeds, side by side; `make faults` plays them with many."""

from collections.abc import Sequence

import pytest

from tests.faults.ground import play
from tests.faults.run import Ground, Plan, Run
from tests.faults.scenario import Scenario
from tests.faults.scenarios import SCENARIOS, side_by_side
from tests.faults.world import WORLD

SEEDS = (1, 2)
PEOPLE, FEW = 10, 3  # a run; where a scenario brings guests of its own, few are enough
GROUPS = side_by_side(SCENARIOS)


@pytest.fixture(scope="module")
def played() -> list[Run]:
    """All runs so far."""
    return []


@pytest.mark.parametrize(
    "group", GROUPS, ids=[group[0].beside or group[0].name for group in GROUPS]
)
async def test_nothing_is_lost_nothing_doubled_and_order_kept(
    ground: Ground, played: list[Run], group: Sequence[Scenario]
) -> None:
    people = FEW if group[0] in WORLD else PEOPLE
    runs = await play(ground, group, SEEDS, Plan(people=people))
    played += runs
    for run in runs:
        verdict = await run.verdict()
        assert not verdict.complaints, f"{run.name}, seed {run.seed}"
        assert verdict.questions >= people
        assert verdict.overlaps or not run.plan.hurry  # order was at stake


async def test_and_nothing_has_come_later(played: list[Run]) -> None:
    for run in played:
        assert not (await run.verdict()).complaints, f"{run.name}, seed {run.seed}"
