"""Conversations going on, and the simulator's own record as the judge of what became of them."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from simulator.client import Simulator, Thread

QUESTIONS = (
    "When are you open on Sunday?",
    "Do you deliver?",
    "How can I pay?",
    "Is the rye bread vegan?",
    "Where are you?",
)


@dataclass
class Verdict:
    """What the record says. Empty lists are good."""

    answers: int = 0
    unanswered: list[str] = field(default_factory=list)
    answered_twice: list[str] = field(default_factory=list)
    out_of_order: list[str] = field(default_factory=list)
    sent_twice: list[str] = field(default_factory=list)


async def converse(
    simulator: Simulator, page: str, psid: str, rounds: int, seed: int, within_s: float
) -> None:
    """One person: ask, wait for the answer, ask again. A message in hand is never given up."""
    chance = random.Random(seed)
    for number in range(rounds):
        await simulator.write(page, psid, chance.choice(QUESTIONS))
        await simulator.wait_for_answers(page, psid, number + 1, within_s)
        await asyncio.sleep(chance.uniform(0, 0.5))


async def judge(simulator: Simulator, page: str, people: Sequence[str], rounds: int) -> Verdict:
    """Every message of these people has exactly one answer, in its place, accepted once."""
    verdict = Verdict()
    for psid in people:
        thread = await simulator.thread(page, psid)
        sides = [message["from"] for message in thread["messages"]]
        verdict.answers += sides.count("page")
        if sides.count("page") < rounds:
            verdict.unanswered.append(psid)
        elif sides.count("page") > rounds:
            verdict.answered_twice.append(psid)
        elif sides != ["person", "page"] * rounds:
            verdict.out_of_order.append(psid)
    accepted = Counter(
        call["body"]["message"]["metadata"]
        for call in await simulator.calls(page)
        if call["endpoint"] == "messages" and call["outcome"] == "accepted"
    )
    verdict.sent_twice = [send_id for send_id, times in accepted.items() if times > 1]
    return verdict


def text_of(thread: Thread) -> list[str]:
    return [message["text"] for message in thread["messages"] if message["from"] == "page"]
