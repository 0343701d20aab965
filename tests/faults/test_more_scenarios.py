"""The other scenarios, on a stack of their own: its database gets slower with every message, and
what sends consumers back to the beginning of their topics takes as long as all that was before.
"""

from collections.abc import AsyncIterator

import pytest

from tests.faults.ground import breakable_stack, open_ground
from tests.faults.run import Ground, Run
from tests.faults.scenarios import REST, side_by_side
from tests.faults.short import nothing_came_later, play_shortly

GROUPS = side_by_side(REST)


@pytest.fixture(scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    with breakable_stack(tmp_path_factory.mktemp("more-faults")) as stack:
        async with open_ground(stack) as opened:
            yield opened


@pytest.mark.parametrize("name", GROUPS)
async def test_nothing_is_lost_nothing_doubled_and_order_kept(
    ground: Ground, played: list[Run], name: str
) -> None:
    played += await play_shortly(ground, GROUPS[name])


async def test_and_nothing_has_come_later(played: list[Run]) -> None:
    await nothing_came_later(played)
