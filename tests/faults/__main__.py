"""`python -m tests.faults`: every scenario with many seeds, and what the judge said about each.

SEEDS=20 for the first twenty seeds, SEEDS=7-20 to go on with the seventh; SCENARIO=part-of-a-name;
AT_ONCE=2 for two seeds side by side, each with people of its own, though they meet the same kills;
PEOPLE=20 for so many in each run.
"""

import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from libs.common import logging as project_logging
from tests.faults.ground import breakable_stack, open_ground, play
from tests.faults.judging import Verdict
from tests.faults.run import Ground, Plan, Run
from tests.faults.scenarios import Scenario, named, side_by_side
from tests.stack import LocalStack

RESULT = Path(__file__).resolve().parents[2] / ".local" / "faults.json"


def seeds_from(text: str) -> range:
    """`20` is 1 to 20, `7-20` is 7 to 20."""
    first, _, last = text.rpartition("-")
    return range(int(first or 1), int(last) + 1)


@dataclass
class Results:
    """What came of all runs, by scenario; `broken` are those that did not get to their end."""

    verdicts: dict[str, list[tuple[int, Verdict]]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    @property
    def complaints(self) -> list[str]:
        return self.broken + [
            f"{name}, seed {seed}: {verdict.complaints}"
            for name, verdicts in self.verdicts.items()
            for seed, verdict in verdicts
            if verdict.complaints
        ]

    def to_json(self) -> list[dict[str, Any]]:
        return [
            {"scenario": name, "seed": seed, **vars(verdict)}
            for name, verdicts in self.verdicts.items()
            for seed, verdict in verdicts
        ]


async def play_all(
    stack: LocalStack, scenarios: Sequence[Scenario], seeds: Sequence[int], results: Results
) -> None:
    """With all these seeds at the same time, one group of scenarios after the other."""
    async with open_ground(stack) as ground:
        played: list[Run] = []
        for group in side_by_side(scenarios):
            try:
                played += await play_group(ground, group, seeds)
            except Exception:
                results.broken.append(f"{group[0].name} and those beside it, seeds {list(seeds)}")
                traceback.print_exc()
        for run in played:  # nothing has come since
            verdicts = results.verdicts.setdefault(run.name, [])
            verdicts.append((run.seed, await run.verdict()))


async def play_group(ground: Ground, group: Sequence[Scenario], seeds: Sequence[int]) -> list[Run]:
    began = time.monotonic()
    runs = await play(ground, group, seeds, Plan(people=_people(len(group))))
    took_s = time.monotonic() - began
    for run in runs:
        say(f"seed {run.seed:3}  {took_s:5.1f} s  {run.name:34} {told(await run.verdict())}")
    return runs


def _people(scenarios: int) -> int:
    """In each run: half as many where scenarios are played side by side."""
    people = int(os.environ.get("PEOPLE") or "20")
    return people if scenarios == 1 else max(1, people // 2)


def told(verdict: Verdict) -> str:
    facts = f"{verdict.answers} answers, {verdict.listed} listed"
    if verdict.recovered_after_s:
        facts += f", recovered after {verdict.recovered_after_s:.1f} s"
    return f"{facts}  {verdict.complaints or 'well'}"


def table(results: Results) -> str:
    head = (
        f"{'scenario':34} seeds answers listed  lost doubled order twice over overlaps  "
        "recovered after"
    )
    lines = [head, "-" * len(head)]
    for name, runs in results.verdicts.items():
        verdicts = [verdict for _, verdict in runs]
        waits = [verdict.recovered_after_s for verdict in verdicts]
        lines.append(
            f"{name:34} {len(runs):5} {sum(v.answers for v in verdicts):7} "
            f"{sum(v.listed for v in verdicts):6} {sum(len(v.lost) for v in verdicts):5} "
            f"{sum(len(v.doubled) for v in verdicts):7} "
            f"{sum(len(v.out_of_order) for v in verdicts):5} "
            f"{sum(len(v.sent_twice) for v in verdicts):5} "
            f"{sum(len(v.spoken_over) for v in verdicts):4} "
            f"{sum(v.overlaps for v in verdicts):8}  "
            f"{median(waits):.1f} s, at most {max(waits):.1f} s"
        )
    return "\n".join(lines)


def say(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    seeds = seeds_from(os.environ.get("SEEDS") or "20")
    at_once = int(os.environ.get("AT_ONCE") or "1")
    scenarios = named(os.environ.get("SCENARIO", ""))
    if not scenarios:
        say(f"there is no such scenario; there are: {', '.join(each.name for each in named())}")
        return 2
    project_logging.configure("faults", level="error")
    results = Results()
    for first in seeds[::at_once]:
        # a stack of their own: the stand-in for MongoDB scans, slower with every message
        with tempfile.TemporaryDirectory(prefix="faults-") as folder:
            some = range(first, min(first + at_once, seeds.stop))
            known = len(results.complaints)
            with breakable_stack(Path(folder)) as stack:
                asyncio.run(play_all(stack, scenarios, some, results))
            if len(results.complaints) > known:
                kept = RESULT.parent / f"faults-logs-{first}"
                shutil.copytree(Path(folder) / "logs", kept, dirs_exist_ok=True)
                say(f"the logs are in {kept}")
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(json.dumps(results.to_json(), indent=2) + "\n", encoding="utf-8")
    say(f"\n{table(results)}\n")
    for complaint in results.complaints:
        say(complaint)
    return 1 if results.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
