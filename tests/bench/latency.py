"""From a webhook to the Send API at ten messages a second, beside three bare hops over Kafka.

Gateway, conversation and sender are processes. The quiet window is 0, and the offline assistant
answers, which takes no time: what is measured is what the product adds.
"""

from tests.bench.figures import Figure, Goal, ratios
from tests.bench.hops import bare_hops
from tests.bench.line import line, p50, p99
from tests.bench.rounds import Say, interleaved
from tests.stack import Servers

PER_S = 10
SECONDS = 20
PEOPLE = 100  # each twice in a round
MAX_ROUNDS = 3
MEDIAN = Goal("at most", 3)
WORST = Goal("at most", 6)
PAGE = "300"


async def measure(servers: Servers, rounds: int, say: Say) -> list[Figure]:
    people = [(PAGE, f"31{number:06d}") for number in range(PEOPLE)]
    async with line(servers, [PAGE]) as ours, bare_hops(servers) as hops:

        async def run(name: str) -> list[float]:
            waits: list[float] = []
            for _ in range(PER_S * SECONDS // PEOPLE):
                if name == "ours":
                    waits += await ours.waits_ms(people, PER_S)
                else:
                    waits += await hops.waits_ms(len(people), PER_S)
            say(f"{name}: p50 {p50(waits):.1f} ms, p99 {p99(waits):.1f} ms")
            return waits

        await ours.waits_ms(people, 2 * PER_S)  # everybody is known from now on
        await hops.waits_ms(PEOPLE, 2 * PER_S)
        runs = await interleaved(["ours", "bare"], min(rounds, MAX_ROUNDS), run)
    whole, bare = runs["ours"], runs["bare"]
    return [
        ratios(
            "webhook to Send API : three bare Kafka hops, p50",
            [p50(waits) for waits in whole],
            [p50(waits) for waits in bare],
            goal=MEDIAN,
        ),
        ratios(
            "webhook to Send API : three bare Kafka hops, p99",
            [p99(waits) for waits in whole],
            [p99(waits) for waits in bare],
            goal=WORST,
        ),
        Figure("  webhook to Send API, p50", tuple(p50(waits) for waits in whole), "ms"),
        Figure("  webhook to Send API, p99", tuple(p99(waits) for waits in whole), "ms"),
        Figure("  three bare hops, p50", tuple(p50(waits) for waits in bare), "ms"),
        Figure("  three bare hops, p99", tuple(p99(waits) for waits in bare), "ms"),
    ]
