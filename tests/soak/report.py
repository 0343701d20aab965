"""The result of a soak as JSON, as a table, and in the documentation. Pure but for one file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tests.soak.sampling import MEASURED
from tests.soak.soak import Outcome, quantile

BEGIN, END = "<!-- soak: begin -->", "<!-- soak: end -->"

HEAD: tuple[str, ...] = (
    "Process",
    "Lives",
    "Warm minutes",
    "MiB at rest",
    "MiB/h (95 %)",
    "Descriptors",
    "Tasks",
    "Most lag",
)

Json = Mapping[str, Any]


def to_json(outcome: Outcome) -> dict[str, Any]:
    waits_s = [(wait.answered_at - wait.asked_at) / 1000 for wait in outcome.crowd.waits]
    for broken in outcome.breaker.done:
        broken.felt_by(outcome.crowd.waits)
    return {
        "seed": outcome.seed,
        "minutes": outcome.minutes,
        "saturation": [vars(level) for level in outcome.saturation],
        "rate_per_s": outcome.rate_per_s,
        "people_at_once": outcome.people,
        **outcome.crowd.to_json(),
        "judge": outcome.judging.to_json(),
        "p50_s": quantile(waits_s, 50),
        "p99_s": quantile(waits_s, 99),
        "faults": [broken.to_json() for broken in outcome.breaker.done],
        "processes": {name: each.to_json() for name, each in outcome.processes.items()},
        "minutes_seen": outcome.minutes_seen,
        "complaints": outcome.complaints,
    }


def table(found: Json) -> str:
    """For people who wait for it."""
    return "\n".join([*_facts(found), "", *_aligned(_rows(found))])


def _facts(found: Json) -> list[str]:
    judge, faults = found["judge"], found["faults"]
    waits = [each["recovered_after_s"] for each in faults]
    most = max((level["answers_per_s"] for level in found["saturation"]), default=None)
    bears = "" if most is None else f"The stack bore {most:.1f} answers/s. "
    named = ("lost", "doubled", "out of order", "sent twice", "listed in vain")
    wrong = ", ".join(f"{name} {judge['complaints'].get(name, 0)}" for name in named)
    lines = [
        f"Seed {found['seed']}, {found['minutes']} minutes, {len(faults)} faults. {bears}"
        f"Load: {found['rate_per_s']:.1f} questions/s.",
        f"{judge['questions']} questions of {judge['judged']} people, {judge['answers']} answers: "
        f"{wrong}.",
    ]
    if found["p50_s"] is not None and found["p99_s"] is not None:
        lines.append(
            f"From question to answer: p50 {found['p50_s']:.2f} s, p99 {found['p99_s']:.2f} s."
        )
    if waits:
        lines.append(
            f"After a fault, what was open then was answered within {median(waits):.1f} s in the "
            f"median, {max(waits):.1f} s at most."
        )
    return lines


def _rows(found: Json) -> list[tuple[str, ...]]:
    rows = [HEAD]
    for name, process in found["processes"].items():
        memory = process["memory"]
        rows.append(
            (
                name if name in MEASURED else f"({name})",
                f"{process['lives']}",
                f"{process['warm_minutes']:.0f}",
                _from_to(memory),
                _slope(memory),
                _from_to(process["descriptors"]),
                _from_to(process["tasks"]),
                _short(process["lag_most"]),
            )
        )
    return rows


def _slope(growth: Json) -> str:
    if growth.get("per_hour") is None:
        return ""
    return f"{growth['per_hour']:+.1f} ({growth['lowest']:+.1f} … {growth['highest']:+.1f})"


def _from_to(growth: Json) -> str:
    if growth["first"] is None or growth["last"] is None:
        return ""
    return f"{growth['first']:.0f} … {growth['last']:.0f}"


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def write_docs(page: Path, found: Json) -> None:
    """Put the result between the marks of a page.

    Raises:
        ValueError: the page has no such marks.
    """
    text = page.read_text(encoding="utf-8")
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no {BEGIN} and {END}")
    page.write_text(f"{head}{begin}\n{markdown(found)}\n{end}{tail}", encoding="utf-8")


def markdown(found: Json) -> str:
    """All of it, as a part of a page."""
    head, *rows = (f"| {' | '.join(row)} |" for row in _rows(found))
    complaints = [f"- {each}" for each in found["complaints"]] or ["No complaints."]
    return "\n".join([*_facts(found), "", head, "|---" * len(HEAD) + "|", *rows, "", *complaints])
