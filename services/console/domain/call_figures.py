"""How calls to Facebook and to the model went lately, from what services count of themselves. Pure.

A service may run as several processes behind one address, of which each look meets one. So samples
are kept apart by process: only what the same process counted between two looks is a difference.
With several processes the numbers are of those that answered; shares and times are right all the
same.
"""

import math
import re
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

WINDOW = timedelta(minutes=15)
MOST_PROCESSES = 50
FEW = 5  # calls of which no share says anything
TOO_MANY = 0.2  # failed, of all

Kind = Literal["graph", "model"]
Counts = Mapping[str, float]

_LINE = re.compile(
    r"^(assistant_\w+|process_start_time_seconds)(?:\{([^}]*)\})? (\S+)", re.MULTILINE
)
_OUTCOME = re.compile(r'outcome="([^"]*)"')
_NAMES = {
    "assistant_graph_calls_total": "graph",
    "assistant_graph_call_seconds_sum": "graph_s",
    "assistant_model_calls_total": "model",
    "assistant_model_seconds_sum": "model_s",
    "assistant_model_seconds_count": "model_timed",
    "assistant_graph_call_seconds_count": "graph_timed",
    "process_start_time_seconds": "started",
}
TROUBLE: Mapping[Kind, frozenset[str] | None] = {
    # a refusal is an answer: the message's fault, or its time's; a limit is waited for
    "graph": frozenset({"unsure", "not_sent", "unknown"}),
    "model": None,  # all but ok
}
"""Outcomes that mean that something is broken; None: all but `ok` and `cancelled`."""


def counts_of(metrics: str) -> dict[str, float]:
    """What is wanted of a service's `/metrics`, added up over everything but the outcome."""
    found: dict[str, float] = defaultdict(float)
    for name, labels, value in _LINE.findall(metrics):
        if (short := _NAMES.get(name)) is None:
            continue
        outcome = _OUTCOME.search(labels)
        try:
            number = float(value)
        except ValueError:
            continue
        if math.isfinite(number):
            found[f"{short}.{outcome[1]}" if outcome else short] += number
    return dict(found)


@dataclass(frozen=True)
class Calls:
    """Calls of one kind within the window."""

    kind: Kind
    by_outcome: Mapping[str, int] = field(default_factory=dict)
    mean_s: float | None = None

    @property
    def total(self) -> int:
        return sum(self.by_outcome.values())

    @property
    def failed(self) -> int:
        """Those that mean that something is broken."""
        kinds = TROUBLE[self.kind]
        return sum(
            number
            for outcome, number in self.by_outcome.items()
            if (outcome not in ("ok", "cancelled") if kinds is None else outcome in kinds)
        )

    @property
    def is_broken(self) -> bool:
        return self.total >= FEW and self.failed / self.total >= TOO_MANY


@dataclass
class _Process:
    samples: deque[tuple[datetime, Counts]] = field(default_factory=deque)


class Figures:
    """The samples of the last minutes."""

    def __init__(self) -> None:
        self._processes: dict[tuple[str, float], _Process] = {}
        self._since: datetime | None = None

    def note(self, service: str, counts: Counts, at: datetime) -> None:
        self._since = self._since or at
        name = (service, counts.get("started", 0.0))
        self._processes.setdefault(name, _Process()).samples.append((at, counts))
        self._forget(at)

    def span(self, now: datetime) -> timedelta:
        """How far back they reach."""
        return min(now - self._since, WINDOW) if self._since else timedelta(0)

    def processes(self, service: str) -> int:
        """Of how many processes they are."""
        return sum(name == service for name, _ in self._processes)

    def calls(self, kind: Kind, now: datetime) -> Calls:
        self._forget(now)
        grown: dict[str, float] = defaultdict(float)
        for (_, started), process in self._processes.items():
            first, last = process.samples[0][1], process.samples[-1][1]
            if started and datetime.fromtimestamp(started, UTC) >= now - self.span(now):
                first = {}  # all that it counted is of this time
            for key, value in last.items():
                grown[key] += max(0.0, value - first.get(key, 0.0))
        by_outcome = {
            key.partition(".")[2]: round(number)
            for key, number in grown.items()
            if key.startswith(f"{kind}.") and round(number)
        }
        timed = grown[f"{kind}_timed"]
        return Calls(kind, by_outcome, grown[f"{kind}_s"] / timed if timed else None)

    def _forget(self, now: datetime) -> None:
        for name, process in [*self._processes.items()]:
            while process.samples and process.samples[0][0] < now - WINDOW:
                process.samples.popleft()
            if not process.samples:
                del self._processes[name]
        while len(self._processes) > MOST_PROCESSES:
            del self._processes[next(iter(self._processes))]
