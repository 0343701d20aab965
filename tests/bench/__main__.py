"""`python -m tests.bench`: what the services cost, beside what they could cost at least.

Ratios of things measured in turns, and counters. Absolute numbers say as much about the machine.
"""

import argparse
import asyncio
import json
import logging
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path

from deploy.local.topics import ensure_topics
from libs.common import logging as project_logging
from tests.bench import (
    backlog,
    counters,
    fairness,
    folding,
    gateway,
    inbox,
    latency,
    memory,
    sending,
    slow_clients,
    startup,
    turns,
)
from tests.bench.figures import Figure, table
from tests.bench.peers import bench as peers
from tests.bench.processes import busy_share
from tests.bench.report import BUSY_SHARE, report, store, stored, with_figures
from tests.bench.rounds import Say
from tests.stack import Servers, servers

BUSY_FOR_S = 3.0
Benchmark = Callable[[Servers, int, Say], Awaitable[list[Figure]]]
BENCHMARKS: dict[str, Benchmark] = {
    "counters": counters.measure,
    "gateway": gateway.measure,
    "slow_clients": slow_clients.measure,
    "peers": peers.measure,
    "folding": folding.measure,
    "sending": sending.measure,
    "latency": latency.measure,
    "fairness": fairness.measure,
    "memory": memory.measure,
    "backlog": backlog.measure,
    "startup": startup.measure,
    "inbox": inbox.measure,
    "turns": turns.measure,
}


def say(text: str) -> None:
    """Progress, beside the result."""
    print(f"  {text}", file=sys.stderr, flush=True)


async def run(name: str, rounds: int, where: Servers) -> list[Figure]:
    await ensure_topics(where.bootstrap_servers)
    return await BENCHMARKS[name](where, rounds, say)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="of everything measured in turns")
    parser.add_argument("--only", default=",".join(BENCHMARKS), help="comma separated")
    parser.add_argument("--json", action="store_true", help="print the report instead of the table")
    parser.add_argument("--docs", type=Path, help="measure nothing: write the last figures there")
    options = parser.parse_args()
    if options.docs is not None:
        page = options.docs.read_text(encoding="utf-8")
        written = with_figures(page, stored(), list(BENCHMARKS))
        options.docs.write_text(written, encoding="utf-8")
        return 0
    names = options.only.split(",")
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    return measure(names, options.rounds, as_json=options.json)


def measure(names: list[str], rounds: int, *, as_json: bool) -> int:
    """Each benchmark with a Kafka and a database of its own: what one leaves on the log, another
    would read. What is measured is stored at once; one that breaks keeps nobody from the rest."""
    project_logging.configure("bench", level="warning")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a topic just made has no leader yet
    busy = busy_share(BUSY_FOR_S)
    began_at = time.monotonic()
    measured: dict[str, list[Figure]] = {}
    for number, name in enumerate(names, start=1):
        say(f"{name} … ({number} of {len(names)}, {time.monotonic() - began_at:.0f} s)")
        try:
            with (
                tempfile.TemporaryDirectory(prefix="bench-") as folder,
                servers(Path(folder)) as where,
            ):
                measured[name] = asyncio.run(run(name, rounds, where))
        except Exception:
            traceback.print_exc()
            continue
        store(report({name: measured[name]}, rounds, busy))
    figures = [figure for each in measured.values() for figure in each]
    print(json.dumps(report(measured, rounds, busy), indent=2) if as_json else table(figures))
    if busy > BUSY_SHARE:
        say(f"noisy: the CPUs were {busy:.0%} busy with something else when this began")
    wrong = [f"{name} broke" for name in names if name not in measured]
    wrong += [
        f"{figure.name} is {figure.median:g}, promised {figure.goal}"
        for figure in figures
        if figure.is_broken_promise
    ]
    for each in wrong:
        say(f"wrong: {each}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
