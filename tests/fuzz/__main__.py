"""`python -m tests.fuzz`: all targets under atheris, one after the other, for some minutes in all.

What was learnt stays in `.local/fuzz/TARGET/` and is where the next run begins. What breaks a law
is printed with the command that repeats it, and lies in `.local/fuzz/`.
"""

import argparse
import importlib.util
import json
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.fuzz.targets import TARGETS, Target

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".local" / "fuzz"
RESULT = ROOT / ".local" / "fuzz.json"
ONE_INPUT_WITHIN_S = 20
MOST_MEMORY_MB = 1024
GRACE_S = 300  # to begin with, and to end, on a busy machine

_EXECUTIONS = re.compile(r"(?:stat::number_of_executed_units: +|Done |#)(\d+)")
_COVERAGE = re.compile(r"cov: (\d+)")
_ARTIFACT = re.compile(r"written to (\S+)")


@dataclass(frozen=True)
class Hunted:
    """What one target's time brought."""

    target: str
    executions: int
    seconds: float
    coverage: int
    found: str | None
    """The file with the input that broke a law."""


def hunt(name: str, target: Target, seconds: int) -> Hunted:
    corpus = FOLDER / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number:03}").write_bytes(seed)
    began_at = time.monotonic()
    log = FOLDER / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.fuzz.hunt", name, str(corpus)),
                f"-max_total_time={seconds}",
                f"-max_len={target.most_bytes}",
                f"-timeout={ONE_INPUT_WITHIN_S}",
                f"-rss_limit_mb={MOST_MEMORY_MB}",
                f"-artifact_prefix={FOLDER}/{name}-",
                "-print_final_stats=1",
            ],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            status = process.wait(seconds + GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
    said = log.read_text(encoding="utf-8", errors="replace")
    executions = [int(number) for number in _EXECUTIONS.findall(said)]
    artifact = _ARTIFACT.search(said)
    found = (artifact[1] if artifact else f"see {log}") if status else None
    if found is not None:
        print(said[-4000:])
    return Hunted(
        name,
        max(executions, default=0),
        round(time.monotonic() - began_at, 1),
        max(map(int, _COVERAGE.findall(said)), default=0),
        found,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="for all targets together")
    parser.add_argument("--only", default=",".join(TARGETS), help="comma separated")
    options = parser.parse_args()
    names = options.only.split(",")
    if unknown := set(names) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    if importlib.util.find_spec("atheris") is None:
        parser.error("atheris is missing: make fuzz installs it (Linux on x86-64 only)")
    seconds = max(1, round(options.minutes * 60 / len(names)))
    results = []
    print(f"{'target':16}{'executions':>12}{'a second':>10}{'coverage':>10}  found")
    for name in names:
        result = hunt(name, TARGETS[name], seconds)
        results.append(result)
        rate = result.executions / max(result.seconds, 0.1)
        print(
            f"{name:16}{result.executions:>12,}{rate:>10,.0f}{result.coverage:>10}  "
            f"{result.found or 'nothing'}",
            flush=True,
        )
    RESULT.write_text(json.dumps([asdict(each) for each in results], indent=2) + "\n")
    for result in results:
        if result.found:
            print(f"repeat: python -m tests.fuzz.hunt {result.target} {result.found}")
    return 1 if any(result.found for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
