"""One Page with 95 % of all messages, beside three others: how long do the others' people wait?

Gateway, conversation and sender are processes, and the model takes 0.2 s. The large Page writes
faster than it is allowed to send, so that its own people wait, in the sender; the others must not.
"""

import asyncio
import secrets

from simulator.completions import ModelSettings
from tests.bench.figures import Figure, Goal, ratios
from tests.bench.line import Line, line, p50, p99
from tests.bench.rounds import Say, interleaved
from tests.stack import Servers

LARGE, OTHERS = "400", ("401", "402", "403")
PER_S = 20.0  # about half of what two processors bear: it is about lines, and not about them
LARGE_SHARE = 0.95
ALLOWED_PER_S = 15
SECONDS = 45
MODEL_MS = 200
MAX_ROUNDS = 3
WITHIN_S = 120.0
UNMOVED = Goal("at most", 2)


async def measure(servers: Servers, rounds: int, say: Say) -> list[Figure]:
    async with line(
        servers,
        [LARGE, *OTHERS],
        model=ModelSettings(delay_ms=MODEL_MS),
        SENDER_TEXT_PER_S=str(ALLOWED_PER_S),
    ) as ours:

        async def run(name: str) -> tuple[list[float], list[float]]:
            waits, large = await _waits_ms(ours, beside=name == "beside")
            say(f"others, {name}: p50 {p50(waits):.0f} ms, p99 {p99(waits):.0f} ms")
            return waits, large

        await _waits_ms(ours, beside=False)  # whatever is slow only once is over
        runs = await interleaved(["alone", "beside"], min(rounds, MAX_ROUNDS), run)
    alone, beside = ([waits for waits, _ in runs[name]] for name in ("alone", "beside"))
    large = [waits for _, waits in runs["beside"]]
    return [
        ratios(
            f"others' p99 beside a Page with {LARGE_SHARE:.0%} of the traffic : alone",
            [p99(waits) for waits in beside],
            [p99(waits) for waits in alone],
            goal=UNMOVED,
        ),
        ratios(
            "  the same, median",
            [p50(waits) for waits in beside],
            [p50(waits) for waits in alone],
        ),
        Figure("  others' p99, alone", tuple(map(p99, alone)), "ms"),
        Figure("  others' p99, beside it", tuple(map(p99, beside)), "ms"),
        Figure(
            "  the large Page's own p99",
            tuple(map(p99, large)),
            "ms",
            note=f"it may send {ALLOWED_PER_S}/s and is asked for {PER_S * LARGE_SHARE:g}/s",
        ),
    ]


async def _waits_ms(ours: Line, *, beside: bool) -> tuple[list[float], list[float]]:
    """What the others' people waited, and those of the large Page, if it writes."""
    run = secrets.randbelow(10**6)
    few, many = PER_S * (1 - LARGE_SHARE), PER_S * LARGE_SHARE
    others = [
        (OTHERS[number % len(OTHERS)], f"41{run:06d}{number:05d}")
        for number in range(round(few * SECONDS))
    ]
    large = [(LARGE, f"42{run:06d}{number:05d}") for number in range(round(many * SECONDS))]
    if not beside:
        return await ours.waits_ms(others, few, WITHIN_S), []
    return await asyncio.gather(
        ours.waits_ms(others, few, WITHIN_S), ours.waits_ms(large, many, WITHIN_S)
    )
