"""What `make bench` leaves behind: `.local/bench.json`, and the tables of docs/performance.md.

A run with `--only` replaces what it measured, and keeps the rest with the time of its own.
"""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench.figures import Figure, short
from tests.bench.processes import ROOT

RESULT = ROOT / ".local" / "bench.json"
BEGIN = "<!-- figures: written by `python -m tests.bench --docs docs/performance.md` -->"
END = "<!-- end of figures -->"
BUSY_SHARE = 0.3  # of the CPUs, at work for others before we begin
_HEAD = ("| Figure | Goal | Median | Noise | Lowest … highest | |", "|---|---|---|---|---|---|")

Report = dict[str, Any]


def report(measured: Mapping[str, Sequence[Figure]], rounds: int, busy: float) -> Report:
    """Of one run. `busy`: the share of the CPUs that others used when it began."""
    run = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "rounds": rounds,
        "busy_before": round(busy, 2),
    }
    return {
        "machine": {
            "cpus": os.cpu_count(),
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        "benchmarks": {
            name: {**run, "figures": [figure.to_json() for figure in figures]}
            for name, figures in measured.items()
        },
    }


def merged(before: Report, now: Report) -> Report:
    """What was measured now, and of what was measured before all the rest."""
    return {**now, "benchmarks": {**before.get("benchmarks", {}), **now["benchmarks"]}}


def stored(path: Path = RESULT) -> Report:
    """Empty where nothing was measured yet."""
    if not path.exists():
        return {}
    found: Report = json.loads(path.read_text(encoding="utf-8"))
    return found


def store(now: Report, path: Path = RESULT) -> None:
    path.parent.mkdir(exist_ok=True)
    text = json.dumps(merged(stored(path), now), indent=2)
    path.write_text(text + "\n", encoding="utf-8")


def with_figures(page: str, found: Report, order: Sequence[str]) -> str:
    """The page with its tables written anew.

    Raises:
        ValueError: it has no markers, or nothing was measured.
    """
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise ValueError("the page has not exactly one pair of markers")
    if not found.get("benchmarks"):
        raise ValueError("nothing was measured: run make bench first")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{_tables(found, order)}\n\n{END}{after}"


def _tables(found: Report, order: Sequence[str]) -> str:
    machine, benchmarks = found["machine"], found["benchmarks"]
    about = f"Machine: {machine['cpus']} CPUs, {machine['system']}, Python {machine['python']}."
    names = [name for name in order if name in benchmarks]
    return "\n\n".join([about, *(_of_benchmark(name, benchmarks[name]) for name in names)])


def _of_benchmark(name: str, run: Mapping[str, Any]) -> str:
    busy = run["busy_before"]
    noisy = f". **Noisy**: the CPUs were {busy:.0%} busy with something else" * (busy > BUSY_SHARE)
    about = f"`{name}`, {run['at'][:10]}{noisy}:"
    return "\n".join([about, "", *_HEAD, *map(_row, run["figures"])])


def _row(figure: Mapping[str, Any]) -> str:
    several = len(figure["values"]) > 1
    verdict = {None: "", True: "met", False: "**not met**"}[figure["met"]]
    cells = (
        figure["name"].strip(),
        figure["goal"] or "",
        f"{short(figure['median'])} {figure['unit']}".strip(),
        f"±{figure['noise']:.1%}" if several else "",
        f"{short(figure['lowest'])} … {short(figure['highest'])}" if several else "",
        "; ".join(filter(None, (verdict, figure["note"]))),
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
