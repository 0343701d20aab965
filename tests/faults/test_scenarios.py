"""Messages on their way while something goes wrong; `make faults` plays it with many seeds."""

import pytest

from tests.faults.run import Ground, Run
from tests.faults.scenarios import TURNS, side_by_side
from tests.faults.short import nothing_came_later, play_shortly

GROUPS = side_by_side(TURNS)


@pytest.mark.parametrize("name", GROUPS)
async def test_nothing_is_lost_nothing_doubled_and_order_kept(
    ground: Ground, played: list[Run], name: str
) -> None:
    played += await play_shortly(ground, GROUPS[name])


async def test_and_nothing_has_come_later(played: list[Run]) -> None:
    await nothing_came_later(played)
