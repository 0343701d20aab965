"""The whole system, once for all end-to-end tests of a run, and its stand-in for Facebook."""

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from simulator.client import Simulator
from tests.canaries import watched
from tests.stack import LocalStack, local_stack


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A full local stack, as `make up` starts it, but that what is killed comes back at once: a
    pause that grows with each kill would be waited for, and tell nothing. A test that disturbs it
    sets it right again.

    It ends with the last of these tests: others start stacks, too.
    """
    folder = tmp_path_factory.mktemp("stack")
    with local_stack(folder, module="tests.faults.supervisor") as running, watched(running):
        yield running


@pytest.fixture(scope="package")
def modelled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A stack whose model is the simulator's, which remembers what it was asked."""
    with local_stack(
        tmp_path_factory.mktemp("modelled"),
        module="tests.faults.supervisor",
        LLM_PROVIDER="simulator",
        CONVERSATION_MODEL_ATTEMPTS="2",
    ) as running:
        yield running


@pytest.fixture
async def simulator(stack: LocalStack) -> AsyncIterator[Simulator]:
    """The stack's simulator, over its control API."""
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield Simulator(session, stack.url("simulator"))
