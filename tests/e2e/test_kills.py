"""kill -9 in the middle of fifty conversations: every message has one answer, and one only."""

import asyncio
import random

import aiohttp
import pytest

from simulator.client import Simulator
from tests.e2e.live import Verdict, converse, judge
from tests.stack import LocalStack

PEOPLE, ROUNDS = 50, 5
WITHIN_S = 240.0
KILLED = ("gateway", "conversation", "sender", "mongo", "kafka")


@pytest.mark.parametrize("seed", [1])
async def test_every_component_killed_once_under_fifty_conversations(
    simulator: Simulator, stack: LocalStack, seed: int
) -> None:
    chance = random.Random(seed)
    page = str((await simulator.pages())[0]["id"])
    people = [await simulator.add_person(page, "Person", str(n)) for n in range(PEOPLE)]
    talking = [
        asyncio.create_task(converse(simulator, page, psid, ROUNDS, seed + n, WITHIN_S))
        for n, psid in enumerate(people)
    ]
    for name in KILLED:
        await asyncio.sleep(chance.uniform(0.2, 1.5))  # the moment of the fault is random
        restarts = stack.component(name)["restarts"]
        stack.kill(name)
        await asyncio.to_thread(stack.wait_until_back, name, restarts + 1)
    await asyncio.gather(*talking)
    await nothing_on_its_way(stack)
    assert await judge(simulator, page, people, ROUNDS) == Verdict(answers=PEOPLE * ROUNDS)


async def nothing_on_its_way(stack: LocalStack) -> None:
    """Wait until every record is handled: whatever would be sent twice has been sent by then."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(WITHIN_S):
        for name in ("conversation", "sender"):
            quiet = 0
            while quiet < 3:
                async with session.get(f"{stack.url(name)}/metrics") as response:
                    quiet = quiet + 1 if no_lag(await response.text()) else 0
                await asyncio.sleep(1)


def no_lag(metrics: str) -> bool:
    """Whether lag is known, and none is left."""
    values = [
        float(line.rpartition(" ")[2])
        for line in metrics.splitlines()
        if line.startswith(("assistant_consumer_lag_records{", "assistant_consumer_keys_in_flight"))
    ]
    return len(values) > 1 and not any(values)


@pytest.mark.parametrize(("lag", "expected"), [("0.0", True), ("2.0", False)])
def test_lag_is_read_from_the_metrics(lag: str, expected: bool) -> None:
    in_flight = "assistant_consumer_keys_in_flight 0.0"
    assert not no_lag(in_flight)  # it is not known yet
    assert no_lag(f'assistant_consumer_lag_records{{partition="0"}} {lag}\n{in_flight}') is expected
