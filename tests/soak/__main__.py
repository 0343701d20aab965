"""`python -m tests.soak`: half of what this machine bears, and a fault each minute, for an hour.

The verdict is `.local/soak.json` and the table at the end; exit status 1 on a complaint. Ctrl-C
ends it in order, with the verdict so far.
"""

import argparse
import asyncio
import json
import logging
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from libs.common import logging as project_logging
from tests.faults.mutants import switching
from tests.soak import report
from tests.soak.soak import Outcome, Times, opened
from tests.stack import LocalStack, local_stack

FOLDER = Path(__file__).resolve().parents[2] / ".local"
RESULT = FOLDER / "soak.json"
# a model that is away for some seconds: people shall have its answer all the same
PATIENTLY = {"LLM_PROVIDER": "simulator", "CONVERSATION_MODEL_ATTEMPTS": "10"}


def say(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    options = _options()
    if options.docs:
        report.write_docs(options.docs, json.loads(RESULT.read_text(encoding="utf-8")))
        return 0
    say(f"seed {options.seed}, {options.minutes} minutes; again: make soak SEED={options.seed}")
    project_logging.configure("soak", level="error")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # Kafka is killed: that is no news
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        try:
            with local_stack(folder, **PATIENTLY, **switching.environment(folder)) as stack:
                outcome = asyncio.run(_soak(stack, options))
            found = report.to_json(outcome)
        finally:
            shutil.copytree(folder / "logs", FOLDER / "soak-logs", dirs_exist_ok=True)
    RESULT.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    say(f"\n{report.table(found)}\n\n{RESULT} has all of it; the logs are in {FOLDER}/soak-logs")
    for complaint in found["complaints"]:
        say(f"wrong: {complaint}")
    return 1 if found["complaints"] else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 10_000))
    parser.add_argument("--rate", type=float, help="questions/s, instead of half of what it bears")
    parser.add_argument("--docs", type=Path, help="only write the last result into this page")
    return parser.parse_args()


async def _soak(stack: LocalStack, options: argparse.Namespace) -> Outcome:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    times = Times(minutes=options.minutes)
    async with opened(stack, options.seed, times, say) as soak:
        return await soak.run(options.rate, stop)


if __name__ == "__main__":
    sys.exit(main())
