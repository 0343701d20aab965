"""How much the stack on this machine bears: people who ask as soon as they are answered, ever more
of them, until more people don't get more answers."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from tests.soak.people import Crowd, Guest

ENOUGH_GAIN = 1.10  # as a factor: less is no gain
IN_VAIN = 2  # levels in a row
ANSWERED_WITHIN_S = 60.0
MANY = 1_000_000  # questions: more than anybody asks here


@dataclass(frozen=True)
class Level:
    people: int
    answers_per_s: float


async def levels(
    crowd: Crowd, sizes: Sequence[int], level_s: float, say: Callable[[str], None]
) -> list[Level]:
    """What each size brought, up to those that brought no more. At the end nobody asks."""
    found: list[Level] = []
    over = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        there = 0
        for size in sizes:
            for _ in range(size - there):
                guest = await crowd.come(MANY)
                group.create_task(_ask_on(crowd, guest, over), name=f"guest-{guest.number}")
            there = size
            await asyncio.sleep(level_s / 4)  # until the new ones are in step
            level = Level(size, await _answers_per_s(crowd, level_s))
            say(f"  {level.people:4} people in a closed loop: {level.answers_per_s:.1f} answers/s")
            found.append(level)
            if is_saturated(found):
                break
        over.set()
    await crowd.send_home()
    return found


def is_saturated(found: Sequence[Level]) -> bool:
    """Whether the last two levels brought next to nothing: one alone may have met a bad moment."""
    if len(found) <= IN_VAIN:
        return False
    best = max(level.answers_per_s for level in found[:-IN_VAIN])
    return all(level.answers_per_s < best * ENOUGH_GAIN for level in found[-IN_VAIN:])


async def _answers_per_s(crowd: Crowd, level_s: float) -> float:
    loop = asyncio.get_running_loop()
    began, before = loop.time(), crowd.answered
    await asyncio.sleep(level_s)
    return (crowd.answered - before) / (loop.time() - began)


async def _ask_on(crowd: Crowd, guest: Guest, over: asyncio.Event) -> None:
    with suppress(TimeoutError):  # the judge will see what is missing
        while not over.is_set():
            await crowd.ask(guest)
            await asyncio.wait_for(guest.answered.wait(), ANSWERED_WITHIN_S)
