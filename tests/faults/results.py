"""What came of all runs: as JSON, as a table to read, and as a table for docs/reliability.md."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from tests.faults.judging import Verdict
from tests.faults.leaks import Growth
from tests.faults.scenario import Scenario

BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"


@dataclass(frozen=True)
class Outcome:
    """Of one scenario with one seed."""

    scenario: str
    seed: int
    people: int
    took_s: float
    verdict: Verdict


@dataclass
class Results:
    """`broken` are those that did not get to their end; `held` is what services held after a group
    of scenarios that they had not held before it."""

    long: bool = False
    outcomes: list[Outcome] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    held: list[tuple[str, str, Growth]] = field(default_factory=list)
    """By the group's name and the service's."""
    logged: list[str] = field(default_factory=list)
    """Secrets and texts that stand in logs."""

    @property
    def complaints(self) -> list[str]:
        return [
            *self.broken,
            *(
                f"{each.scenario}, seed {each.seed}: {each.verdict.complaints}; again: "
                f"{command(each.scenario, [each.seed], long=self.long)}"
                for each in self.outcomes
                if each.verdict.complaints
            ),
            *(
                f"{service} after {group}: {', '.join(growth.complaints)}"
                for group, service, growth in self.held
                if growth.complaints
            ),
            *self.logged,
        ]

    def to_json(self, began_at: str, seeds: Sequence[int]) -> dict[str, Any]:
        return {
            "began_at": began_at,
            "seeds": [seeds[0], seeds[-1]],
            "long": self.long,
            "complaints": self.complaints,
            "runs": [
                {
                    "scenario": each.scenario,
                    "seed": each.seed,
                    "people": each.people,
                    "took_s": round(each.took_s, 1),
                    **asdict(each.verdict),
                }
                for each in self.outcomes
            ],
            "held": [
                {"after": group, "service": service, **asdict(growth)}
                for group, service, growth in self.held
            ],
        }


def command(scenario: str, seeds: Sequence[int], *, long: bool = False) -> str:
    """What plays this again."""
    words = [f"SEEDS={seeds[0]}-{seeds[-1]}", f'SCENARIO="{scenario}"']
    return " ".join([*words, *(["LONG=1"] if long else []), "make faults"])


def told(verdict: Verdict) -> str:
    facts = f"{verdict.answers} answers, {verdict.listed} listed"
    if verdict.recovered_after_s:
        facts += f", recovered after {verdict.recovered_after_s:.1f} s"
    return f"{facts}  {verdict.complaints or 'well'}"


@dataclass(frozen=True)
class Sums:
    """Of all runs of one scenario, from `to_json`'s form."""

    runs: int
    questions: int
    answers: int
    listed: int
    lost: int
    doubled: int
    out_of_order: int
    sent_twice: int
    others: int
    recovered_s: tuple[float, float]
    """The median and the most, over runs with somebody who waited when it happened."""

    @classmethod
    def of(cls, runs: Sequence[Mapping[str, Any]]) -> "Sums":
        def listed(*kinds: str) -> int:
            return sum(len(run[kind]) for run in runs for kind in kinds)

        waits = [run["recovered_after_s"] for run in runs if run["recovered_after_s"]] or [0.0]
        return cls(
            len(runs),
            sum(run["questions"] for run in runs),
            sum(run["answers"] for run in runs),
            sum(run["listed"] for run in runs),
            listed("lost"),
            listed("doubled"),
            listed("out_of_order"),
            listed("sent_twice"),
            listed("unlisted", "listed_in_vain", "spoken_over", "also"),
            (median(waits), max(waits)),
        )

    @property
    def waits(self) -> str:
        if not self.recovered_s[1]:
            return "nobody waited"
        return f"{self.recovered_s[0]:.1f} s, at most {self.recovered_s[1]:.1f} s"


def by_scenario(result: Mapping[str, Any]) -> dict[str, Sums]:
    runs: dict[str, list[Mapping[str, Any]]] = {}
    for run in result["runs"]:
        runs.setdefault(run["scenario"], []).append(run)
    return {name: Sums.of(some) for name, some in runs.items()}


def grown_most(result: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The most that each service's process held more after some scenarios than before them."""
    most: dict[str, dict[str, float]] = {}
    for each in result["held"]:
        for kind in ("rss_mib", "descriptors", "tasks"):
            if each[kind] is not None:
                now = most.setdefault(each["service"], {})
                now[kind] = max(now.get(kind, each[kind]), each[kind])
    return most


def table(result: Mapping[str, Any]) -> str:
    """For a terminal."""
    head = f"{'scenario':36} seeds answers listed  lost doubled order twice other  recovered after"
    lines = [head, "-" * len(head)]
    lines += [
        f"{name:36} {s.runs:5} {s.answers:7} {s.listed:6} {s.lost:5} {s.doubled:7} "
        f"{s.out_of_order:5} {s.sent_twice:5} {s.others:5}  {s.waits}"
        for name, s in by_scenario(result).items()
    ]
    lines += [
        f"{service}: at most {_grown(most)} after some scenarios than before"
        for service, most in grown_most(result).items()
    ]
    return "\n".join(lines)


def _grown(most: Mapping[str, float]) -> str:
    names = {"rss_mib": "MiB", "descriptors": "descriptors", "tasks": "tasks"}
    return ", ".join(f"{most[kind]:+g} {name}" for kind, name in names.items() if kind in most)


def with_figures(page: str, result: Mapping[str, Any], scenarios: Iterable[Scenario]) -> str:
    """`page` with the figures of `result` between its markers.

    Raises:
        ValueError: it has no place for them.
    """
    begin, end = page.find(BEGIN), page.find(END)
    if begin < 0 or end < begin:
        raise ValueError(f"no {BEGIN} and {END} in it")
    return f"{page[: begin + len(BEGIN)]}\n{_figures(result, scenarios)}\n{page[end:]}"


def _figures(result: Mapping[str, Any], scenarios: Iterable[Scenario]) -> str:
    rows = {each.name: ", ".join(map(str, each.rows)) for each in scenarios}
    first, last = result["seeds"]
    length = "at their full length" if result["long"] else "in their short form"
    sums = by_scenario(result)
    count = len(result["complaints"])
    verdict = "The judge had nothing to say against it." if not count else f"Complaints: {count}."
    lines = [
        f"Seeds {first} to {last}, {length}, on {result['began_at'][:10]}: "
        f"{sum(s.runs for s in sums.values())} runs, "
        f"{sum(s.questions for s in sums.values()):,} questions, "
        f"{sum(s.answers for s in sums.values()):,} messages of the Pages. {verdict}",
        "",
        "| Scenario | Faults | Runs | Answers | Lost | Doubled | Out of order | Sent twice "
        "| Listed | Other complaints | Answered again after |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {rows.get(name, '')} | {s.runs} | {s.answers:,} | {s.lost} | {s.doubled} "
        f"| {s.out_of_order} | {s.sent_twice} | {s.listed} | {s.others} | {s.waits} |"
        for name, s in sums.items()
    ]
    lines += ["", "What a process held more after some scenarios than before them, at most:", ""]
    lines += [
        f"- {service}: {_grown(most)}" for service, most in sorted(grown_most(result).items())
    ]
    return "\n".join(lines)
