"""`python -m tests.bench.steady`: posts webhooks at a steady pace, each over its own connection.

The next one does not wait for the one before: what waits is seen as waiting. Times are from before
the connection is asked for until the answer is there.
"""

import argparse
import asyncio
import json
import time
from collections import Counter
from statistics import quantiles

from tests.bench import webhooks
from tests.bench.processes import HOST

ANSWER_WITHIN_S = 20.0


async def post(port: int, request: bytes) -> str:
    """The answer's status; "none" if there was no answer."""
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
            finally:
                writer.close()
    except (OSError, asyncio.IncompleteReadError):
        return "none"
    return head.split(b" ", 2)[1].decode()


async def run(port: int, per_s: float, seconds: float, name: str) -> dict[str, object]:
    count = int(per_s * seconds)
    bodies = [webhooks.body(number, name) for number in range(count)]
    requests = [webhooks.request(body, port) for body in bodies]
    statuses: Counter[str] = Counter()
    taken_s: list[float] = []

    async def one(request: bytes) -> None:
        began_at = time.perf_counter()
        statuses[await post(port, request)] += 1
        taken_s.append(time.perf_counter() - began_at)

    began_at = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number, request in enumerate(requests):
            await asyncio.sleep(began_at + number / per_s - time.perf_counter())
            group.create_task(one(request))
    cuts = quantiles(taken_s, n=100)
    return {
        "statuses": dict(statuses),
        "p50_ms": cuts[49] * 1000,
        "p99_ms": cuts[98] * 1000,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--per-s", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--run", required=True, help="part of every message id")
    options = parser.parse_args()
    print(json.dumps(asyncio.run(run(options.port, options.per_s, options.seconds, options.run))))


if __name__ == "__main__":
    main()
