"""The whole system, once for all end-to-end tests of a run, and its stand-in for Facebook."""

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from simulator.client import Simulator
from tests.canaries import watched
from tests.stack import LocalStack, local_stack


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A full local stack, as `make up` starts it. A test that disturbs it sets it right again.

    It ends with the last of these tests: others start stacks, too.
    """
    with local_stack(tmp_path_factory.mktemp("stack")) as running, watched(running):
        yield running


@pytest.fixture
async def simulator(stack: LocalStack) -> AsyncIterator[Simulator]:
    """The stack's simulator, over its control API."""
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield Simulator(session, stack.url("simulator"))
