"""`python -m tests.bench.steady`: posts webhooks at a steady pace, each over its own connection, or
over connections that are kept, as a proxy in front does.

The next one does not wait for the one before: what waits is seen as waiting. Times are from before
the connection is asked for until the answer is there.
"""

import argparse
import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from statistics import quantiles

from tests.bench import webhooks
from tests.bench.processes import HOST

ANSWER_WITHIN_S = 20.0


Post = Callable[[bytes], Awaitable[str]]
"""A request to the status of its answer; OSError or IncompleteReadError if there is none."""
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def over_new_connections(port: int) -> Post:
    async def post(request: bytes) -> str:
        reader, writer = await asyncio.open_connection(HOST, port)
        try:
            return await _status(reader, writer, request)
        finally:
            writer.close()

    return post


def over_kept_connections(port: int) -> Post:
    """The one that was used last is used again."""
    free: list[Streams] = []

    async def post(request: bytes) -> str:
        while free:
            reader, writer = free.pop()
            if not reader.at_eof():
                break
            writer.close()  # the server has let it go
        else:
            reader, writer = await asyncio.open_connection(HOST, port)
        try:
            status = await _status(reader, writer, request)
        except BaseException:
            writer.close()
            raise
        free.append((reader, writer))
        return status

    return post


async def _status(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> str:
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    await reader.readexactly(int(length[1]) if length else 0)
    return head.split(b" ", 2)[1].decode()


async def run(
    port: int, per_s: float, seconds: float, name: str, *, kept: bool
) -> dict[str, object]:
    count = int(per_s * seconds)
    bodies = [webhooks.body(number, name) for number in range(count)]
    requests = [webhooks.request(body, port) for body in bodies]
    statuses: Counter[str] = Counter()
    taken_s: list[float] = []
    post = (over_kept_connections if kept else over_new_connections)(port)

    async def one(request: bytes) -> None:
        began_at = time.perf_counter()
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                statuses[await post(request)] += 1
        except (OSError, asyncio.IncompleteReadError):
            statuses["none"] += 1
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
    parser.add_argument("--kept", action="store_true", help="keep connections")
    options = parser.parse_args()
    pace = (options.port, options.per_s, options.seconds)
    print(json.dumps(asyncio.run(run(*pace, options.run, kept=options.kept))))


if __name__ == "__main__":
    main()
