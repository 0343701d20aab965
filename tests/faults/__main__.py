"""`python -m tests.faults`: every scenario with many seeds, and what the judge said about each."""

import argparse
import asyncio
import json
import logging
import math
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from libs.common import logging as project_logging
from tests.faults.ground import breakable_stack, open_ground, play
from tests.faults.leaks import grown, lives
from tests.faults.results import Outcome, Results, command, table, told, with_figures
from tests.faults.run import Ground, Plan, Run
from tests.faults.scenario import Scenario
from tests.faults.scenarios import SCENARIOS, named, side_by_side
from tests.leaks import Canaries, found_in_logs, secrets_of
from tests.stack import LocalStack

RESULT = Path(__file__).resolve().parents[2] / ".local" / "faults.json"
LEAST_PEOPLE = 3  # of a run: one of each kind where not everybody waits
SAID = {  # by people, by the model, by colleagues
    "a question": "what do you bake on day",
    "an answer": "(This is the simulated model.)",
    "a line": "of a colleague for guest",
}


def seeds_from(text: str) -> range:
    """`20` is 1 to 20, `7-20` is 7 to 20.

    Raises:
        ValueError: it is neither, or has none in it.
    """
    first, _, last = text.rpartition("-")
    seeds = range(int(first or 1), int(last) + 1)
    if not seeds or seeds[0] < 1:
        raise ValueError(f"no seeds in {text}")
    return seeds


def options(arguments: Sequence[str] | None, environment: Mapping[str, str]) -> argparse.Namespace:
    """From the command line, else from variables, as `make faults` gives them."""

    def given(name: str, default: str) -> str:
        return environment.get(name) or default

    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description="The system under one fault at a time while people talk to its Pages; Meta's "
        "stand-in is the judge. Writes .local/faults.json. Ends with 1 if anything is "
        "complained about.",
    )
    parser.add_argument(
        "--seeds",
        type=seeds_from,
        default=given("SEEDS", "20"),
        help="20 is 1 to 20; 7-20 goes on with the seventh; 7-7 is one (SEEDS)",
    )
    parser.add_argument(
        "--scenario",
        default=given("SCENARIO", ""),
        help="part of a name, or several: 'kafka|mongo'; all by default",
    )
    parser.add_argument(
        "--at-once",
        type=int,
        default=given("AT_ONCE", "4"),
        help="seeds side by side: each with Pages and people of its own, under the same kills",
    )
    parser.add_argument(
        "--people",
        type=int,
        default=given("PEOPLE", "50"),
        help=f"who talk at a time, on all Pages together; on each {LEAST_PEOPLE} at least",
    )
    parser.add_argument(
        "--long",
        action="store_true",
        default=given("LONG", "") not in ("", "0"),
        help="faults last as long as they really do: minutes, some of them ten (LONG=1)",
    )
    parser.add_argument("--list", action="store_true", help="name all scenarios and end")
    parser.add_argument(
        "--docs",
        type=Path,
        metavar="PAGE",
        help="only write the figures of .local/faults.json into this page, docs/reliability.md",
    )
    return parser.parse_args(arguments)


async def play_all(
    stack: LocalStack,
    scenarios: Sequence[Scenario],
    seeds: Sequence[int],
    people: int,
    results: Results,
) -> None:
    """With all these seeds at the same time, one group of scenarios after the other."""
    async with open_ground(stack) as ground:
        played: list[tuple[Run, float]] = []
        for name, group in side_by_side(scenarios).items():
            began, before = time.monotonic(), await lives(stack)
            try:
                runs = await play_group(ground, group, seeds, people, long=results.long)
            except Exception:
                again = command(group[0].name, seeds, long=results.long)
                results.broken.append(f"{name}, seeds {list(seeds)}: broken; again: {again}")
                traceback.print_exc()
                continue
            took_s = time.monotonic() - began
            for run in runs:
                say(f"seed {run.seed:3}  {took_s:5.1f} s  {run.name:36} {await _told(run)}")
            played += [(run, took_s) for run in runs]
            for service, growth in (await grown(stack, before)).items():
                results.held.append((name, service, growth))
                for complaint in growth.complaints:
                    say(f"{service} has {complaint} after {name}")
        for run, took_s in played:  # nothing has come since
            verdict = await run.verdict()
            results.outcomes.append(Outcome(run.name, run.seed, len(run.psids), took_s, verdict))


async def play_group(
    ground: Ground, group: Sequence[Scenario], seeds: Sequence[int], people: int, *, long: bool
) -> list[Run]:
    each = max(LEAST_PEOPLE, math.ceil(people / (len(group) * len(seeds))))
    return await play(
        ground, group, seeds, Plan(people=each, long=long, within_s=1200.0 if long else 180.0)
    )


async def _told(run: Run) -> str:
    verdict = await run.verdict()
    again = ""
    if verdict.complaints:
        again = f"\n    again: {command(run.name, [run.seed], long=run.plan.long)}"
    return f"{told(verdict)}{again}"


def play_on_a_stack(
    folder: Path,
    scenarios: Sequence[Scenario],
    seeds: Sequence[int],
    people: int,
    results: Results,
) -> None:
    """A stack of their own: the stand-in for MongoDB scans, slower with every message."""
    known = len(results.complaints)
    with breakable_stack(folder) as stack:
        asyncio.run(play_all(stack, scenarios, seeds, people, results))
        canaries = Canaries(secrets_of(stack.environment), SAID)
    results.logged += found_in_logs(folder, canaries)
    if len(results.complaints) > known:
        kept = RESULT.parent / f"faults-logs-{seeds[0]}"
        shutil.copytree(folder / "logs", kept, dirs_exist_ok=True)
        say(f"the logs are in {kept}")


def say(text: str) -> None:
    print(text, flush=True)


def write_docs(page: Path) -> int:
    if not RESULT.is_file():
        say(f"there is no {RESULT}: run `make faults` first")
        return 2
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    text = page.read_text(encoding="utf-8")
    page.write_text(with_figures(text, result, SCENARIOS), encoding="utf-8")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = options(arguments, os.environ)
    if chosen.docs:
        return write_docs(chosen.docs)
    scenarios = named(chosen.scenario)
    if chosen.list or not scenarios:
        say("" if chosen.list else f"there is no {chosen.scenario!r} among")
        say("\n".join(each.name for each in SCENARIOS))
        return 0 if chosen.list else 2
    project_logging.configure("faults", level="critical")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # ours, whose Kafka is being killed
    os.environ["LONG"] = "1" if chosen.long else ""  # for the stack
    seeds, results = chosen.seeds, Results(long=chosen.long)
    began_at = datetime.now(UTC).isoformat(timespec="seconds")
    say(
        f"seeds {seeds[0]} to {seeds[-1]}, {chosen.at_once} at a time; {len(scenarios)} scenarios "
        f"under {chosen.people} conversations; again: "
        f"{command(chosen.scenario, seeds, long=chosen.long)}"
    )
    for first in seeds[:: chosen.at_once]:
        some = range(first, min(first + chosen.at_once, seeds.stop))
        with tempfile.TemporaryDirectory(prefix="faults-") as folder:
            play_on_a_stack(Path(folder), scenarios, some, chosen.people, results)
        result = results.to_json(began_at, range(seeds[0], some.stop))
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    say(f"\n{table(result)}\n")
    for complaint in results.complaints:
        say(complaint)
    return 1 if results.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
