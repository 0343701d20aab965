"""Once *Take over* has answered, no message of the assistant leaves: raced, and judged by Meta.

Hundreds of takeovers (`TAKEOVERS=1000` says how many) meet turns at every stage: the quiet window,
the model at work, save and publish, the sender's queue, between the parts of an answer, and while
Meta is being called. The simulator's record is the judge, on the clock of this machine. Mutants
show that it can complain.
"""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from simulator.client import Simulator, answers_in
from tests.e2e.console import Console, open_console
from tests.e2e.shop import open_shop
from tests.faults.mutants.switching import environment, mutated
from tests.stack import LocalStack, local_stack

TAKEOVERS = int(os.environ.get("TAKEOVERS") or 400)
SIDE_BY_SIDE, ROUNDS = 40, 5
MUTANT_TAKEOVERS, MUTANT_RACES = 120, 5
PARTS = 5
ANSWER = "\n\n".join(f"This is part {n} of an answer in five parts." for n in range(PARTS))
QUIET_S, MODEL_MS, LATENCY_MS = 0.2, 200, 60
HOLD_S = 0.6  # ten times as long as a call takes


@dataclass(frozen=True)
class Span:
    """From an answer to *Take over* until the person writes again. Milliseconds, Meta's clock."""

    psid: str
    wrote: float
    answered: float
    until: float


@dataclass
class Verdict:
    """What the simulator's record says about the spans."""

    broken: list[tuple[str, int]] = field(default_factory=list)
    parts_before: Counter[int] = field(default_factory=Counter)
    """How many takeovers came after so many parts of the answer that was under way."""


def judge(spans: Sequence[Span], accepted: Mapping[str, Sequence[int]]) -> Verdict:
    """Compare with when Meta accepted messages of the Page, by person."""
    verdict = Verdict()
    for span in spans:
        moments = accepted[span.psid]
        verdict.broken += [(span.psid, at) for at in moments if span.answered < at < span.until]
        before = sum(span.wrote <= at <= span.answered for at in moments)
        verdict.parts_before[before] += 1
    return verdict


def test_the_judge_complains_about_a_message_after_the_answer_and_no_other() -> None:
    span = Span("1", wrote=100, answered=200, until=300)
    assert judge([span], {"1": [100, 150, 200, 300, 301]}).broken == []
    assert judge([span], {"1": [199, 201]}).broken == [("1", 201)]
    assert judge([span], {"1": [99, 150, 160]}).parts_before == {2: 1}


@pytest.fixture(scope="module")
def racing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A stack with the simulator's model, whose services can be mutated."""
    folder = tmp_path_factory.mktemp("racing")
    with local_stack(
        folder,
        module="tests.faults.supervisor",
        LLM_PROVIDER="simulator",
        SENDER_HTTP_TIMEOUT_S="5",
        SENDER_CLAIM_MARGIN_S="1",
        MONGODB_TIMEOUT_S="20",  # the machine may be busy
        **environment(folder),
    ) as running:
        yield running


@dataclass
class Race:
    """People who write, and an admin who takes them over, on one Page."""

    simulator: Simulator
    console: Console
    page: str
    chance: random.Random
    spans: list[Span] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)
    longest_s: float = 1.0
    """From a message to the last part of its answer, as it goes now: what delays are drawn from."""

    async def run(self, takeovers: int) -> Verdict:
        self.spans.clear()
        people = max(SIDE_BY_SIDE, takeovers // ROUNDS)
        names = [
            await self.simulator.add_person(self.page, "Person", str(n)) for n in range(people)
        ]
        slots = asyncio.Semaphore(SIDE_BY_SIDE)

        async def one(psid: str) -> None:
            async with slots:
                await self._rounds(psid, takeovers // people)

        async with asyncio.TaskGroup() as group:
            for psid in names:
                group.create_task(one(psid))
        assert len(self.spans) == takeovers // people * people
        accepted = {psid: await self._accepted(psid) for psid in names}
        return judge(self.spans, accepted)

    async def _rounds(self, psid: str, rounds: int) -> None:
        conversation = f"{self.page}:{psid}"
        await self._whole_answer(psid, conversation)
        for _ in range(rounds):
            wrote = _now_ms()
            await self.simulator.write(self.page, psid, "What do you have today?")
            await asyncio.sleep(self.chance.uniform(0, self.longest_s * 1.1))
            asked = time.monotonic()
            await self.console.take(conversation)
            answered = _now_ms()
            self.waits_s.append(time.monotonic() - asked)
            await asyncio.sleep(HOLD_S)
            await self.console.resume(conversation)
            await asyncio.sleep(self.chance.uniform(0, 0.2))  # what is old stays unanswered
            self.spans.append(Span(psid, wrote, answered, _now_ms()))

    async def _whole_answer(self, psid: str, conversation: str) -> None:
        """The person is known, and it is known how long an answer takes just now."""
        started = time.monotonic()
        await self.simulator.write(self.page, psid, "Hello?")
        await self.simulator.wait_for_answers(self.page, psid, PARTS, within_s=60)
        took_s = time.monotonic() - started
        self.longest_s += (took_s - self.longest_s) * 0.2

    async def _accepted(self, psid: str) -> list[int]:
        thread = await self.simulator.thread(self.page, psid)
        return [message["at"] for message in answers_in(thread)]


def _now_ms() -> float:
    return time.time() * 1000


@pytest.fixture
async def race(racing: LocalStack) -> AsyncIterator[Race]:
    timeout = aiohttp.ClientTimeout(total=60)
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(timeout=timeout, connector=connector) as session,
        open_console(racing) as console,
    ):
        simulator = Simulator(session, racing.url("simulator"))
        await simulator.set_model(delay_ms=MODEL_MS, reply=ANSWER)
        quiet: dict[str, Any] = {"enabled": False}
        settings = {"quiet_window_s": QUIET_S, "max_message_length": 50, "loop_turns": 0}
        async with open_shop(racing, "Bakery of a race", **settings) as shop:
            await simulator.behave(
                shop.page, send_latency_ms=LATENCY_MS, delivery_receipts=quiet, echoes=quiet
            )
            yield Race(simulator, console, shop.page, random.Random(5))


async def test_no_message_of_the_assistant_leaves_once_take_over_has_answered(race: Race) -> None:
    verdict = await race.run(TAKEOVERS)
    assert verdict.broken == []
    # it says something: takeovers came before the first part, between parts, and after the last
    between = sum(verdict.parts_before[parts] for parts in range(1, PARTS))
    print(f"parts before the takeover: {sorted(verdict.parts_before.items())}")
    waits = sorted(race.waits_s)
    print(
        f"take over answered in {waits[len(waits) // 2]:.2f} s (median), {waits[-1]:.2f} s (most)"
    )
    assert verdict.parts_before[0] >= TAKEOVERS // 20
    assert between >= TAKEOVERS // 20
    assert verdict.parts_before[PARTS] >= 1
    assert max(verdict.parts_before) == PARTS


@pytest.mark.parametrize(
    ("service", "mutation"), [("takeover", "answer_at_once"), ("sender", "fence_off")]
)
async def test_the_judge_complains_about_a_mutant(
    racing: LocalStack, race: Race, service: str, mutation: str
) -> None:
    with mutated(racing, service, mutation):
        for _ in range(MUTANT_RACES):
            if (await race.run(MUTANT_TAKEOVERS)).broken:
                return
    raise AssertionError(f"{MUTANT_RACES} races, and nothing came late")
