"""`python -m tests.bench`: what the services cost, beside what they could cost at least.

Ratios of things measured in turns, and counters. Absolute numbers say as much about the machine.
"""

import argparse
import asyncio
import json
import logging
import os
import platform
import sys
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.local.topics import ensure_topics
from libs.common import logging as project_logging
from tests.bench import counters, folding, gateway, inbox, sending, turns
from tests.bench.figures import Figure, table
from tests.bench.processes import ROOT
from tests.bench.rounds import Say
from tests.stack import Servers, servers

RESULT = ROOT / ".local" / "bench.json"
Benchmark = Callable[[Servers, int, Say], Awaitable[list[Figure]]]
BENCHMARKS: dict[str, Benchmark] = {
    "counters": counters.measure,
    "gateway": gateway.measure,
    "folding": folding.measure,
    "sending": sending.measure,
    "inbox": inbox.measure,
    "turns": turns.measure,  # last: it fills the database, and the stand-in has no indexes
}
BUSY_SHARE = 0.3  # of the CPUs, at work for others before we begin


def say(text: str) -> None:
    """Progress, beside the result."""
    print(f"  {text}", file=sys.stderr, flush=True)


async def run(names: list[str], rounds: int, where: Servers) -> list[Figure]:
    await ensure_topics(where.bootstrap_servers)
    figures: list[Figure] = []
    for name in names:
        say(f"{name} …")
        figures += await BENCHMARKS[name](where, rounds, say)
    return figures


def report(figures: list[Figure], rounds: int, busy: float) -> dict[str, Any]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "cpus": os.cpu_count(),
            "system": platform.platform(),
            "python": platform.python_version(),
            "busy_before": round(busy, 2),
        },
        "rounds": rounds,
        "figures": [figure.to_json() for figure in figures],
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="of everything measured in turns")
    parser.add_argument("--only", default=",".join(BENCHMARKS), help="comma separated")
    parser.add_argument("--json", action="store_true", help="print the report instead of the table")
    options = parser.parse_args()
    names = options.only.split(",")
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    project_logging.configure("bench", level="warning")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a topic just made has no leader yet
    busy = os.getloadavg()[0] / (os.cpu_count() or 1)
    say("Kafka and the database …")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, servers(Path(folder)) as where:
        figures = asyncio.run(run(names, options.rounds, where))
    result = json.dumps(report(figures, options.rounds, busy), indent=2)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(result + "\n", encoding="utf-8")
    print(result if options.json else table(figures))
    if busy > BUSY_SHARE:
        say(f"noisy: the CPUs were {busy:.0%} busy with something else when this began")
    for figure in figures:
        if figure.is_broken_promise:
            say(f"wrong: {figure.name} is {figure.median:g}, promised {figure.goal}")
    return 1 if any(figure.is_broken_promise for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
