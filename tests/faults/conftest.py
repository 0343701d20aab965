"""One stack for all scenarios."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.faults.ground import breakable_stack, open_ground
from tests.faults.run import Ground, Run
from tests.stack import LocalStack


@pytest.fixture(scope="package")
def breakable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    with breakable_stack(tmp_path_factory.mktemp("faults")) as stack:
        yield stack


@pytest.fixture(scope="package")
async def ground(breakable: LocalStack) -> AsyncIterator[Ground]:
    async with open_ground(breakable) as opened:
        yield opened


@pytest.fixture(scope="module")
def played() -> list[Run]:
    """All runs of a file so far."""
    return []
