"""The parts of the system as cards: what was found of each, with its figures. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from services.console.doctor.domain.findings import Finding, Report, State, worst
from services.console.doctor.domain.system import GROUPS, KAFKA, MODEL, MONGODB
from services.console.domain.call_figures import Calls

SERVICES = ("gateway", "conversation", "sender", "takeover", "analytics", "console")
GRAPH, DEAD = "meta.reachable", "kafka.dead_letters"
_OUTCOMES = {
    "refused": "Refused by Facebook",
    "limited": "Too many at once",
    "token": "Token refused",
    "unsure": "No clear answer",
    "not_sent": "Not reached",
    "unknown": "Answer not understood",
}
"""Of calls to Facebook, in words. Those of the model are its codes, with spaces."""


@dataclass(frozen=True)
class Card:
    """One part of the system.

    Args:
        name: stable, e.g. `sender` or `kafka`.
        rows: figures, each with what it is.
        leads_to: where more of it is.
    """

    name: str
    title: str
    state: State
    words: str
    cure: str = ""
    rows: Sequence[tuple[str, str]] = field(default_factory=tuple)
    leads_to: str | None = None


@dataclass(frozen=True)
class NotSent:
    """What was held or has failed on the workspace's Pages, among the latest of each.

    Args:
        code: of the latest refusal by Facebook, and when that was.
    """

    held: int = 0
    failed: int = 0
    is_cut: bool = False
    code: int | None = None
    code_at: datetime | None = None


def cards(
    findings: Sequence[Finding],
    graph: Calls,
    model: Calls,
    span: timedelta,
    not_sent: NotSent | None = None,
    shown: Callable[[datetime], str] = str,
) -> list[Card]:
    """In the order of a message's way. Parts that nobody has looked at are left out.

    Args:
        span: how far back the calls reach.
        not_sent: None: nobody can tell.
        shown: a moment for people.
    """
    found = {each.id: each for each in findings}
    made = [_service(name, found) for name in SERVICES]
    made += [
        _several("kafka", "Kafka", KAFKA, found, _queues(found)),
        _several("mongodb", "MongoDB", MONGODB, found, ()),
        _calls("facebook", "Facebook", found.get(GRAPH), graph, span, _last(not_sent, shown)),
        _calls("model", "Model", found.get(MODEL), model, span, ()),
        _not_sent(not_sent),
        _dead_letters(found.get(DEAD)),
    ]
    return [each for each in made if each is not None]


def summary(report: Report, made: Sequence[Card]) -> tuple[State, str]:
    """The state of everything, and the worst of it in words: what the doctor found, or figures."""
    broken = next((each for each in made if each.state == "failed"), None)
    if report.state == "failed" or broken is None:
        return report.state, report.headline
    return "failed", f"{broken.title}: {broken.words}"


def _service(name: str, found: Mapping[str, Finding]) -> Card | None:
    finding = found.get(f"service.{name}")
    return None if finding is None else _of(name, name.capitalize(), finding)


def _of(name: str, title: str, finding: Finding, rows: Sequence[tuple[str, str]] = ()) -> Card:
    verdict = finding.verdict
    return Card(name, title, verdict.state, verdict.words, verdict.cure, rows)


def _several(
    name: str,
    title: str,
    first: str,
    found: Mapping[str, Finding],
    rows: Sequence[tuple[str, str]],
) -> Card | None:
    """Of several lines the worst one speaks; where all is well, the first."""
    prefix = first.partition(".")[0] + "."
    lines = [each for each in found.values() if each.id.startswith(prefix) and each.id != DEAD]
    if first not in found:
        return None
    state = worst(lines)
    speaks = next(each for each in [found[first], *lines] if each.state == state)
    card = _of(name, title, speaks, rows)
    if speaks.id == first:
        return card
    return replace(card, words=f"{speaks.line.title}: {card.words}")


def _queues(found: Mapping[str, Finding]) -> Sequence[tuple[str, str]]:
    rows = []
    for group in GROUPS:
        details = (
            found[line].verdict.details if (line := f"kafka.lag.{group.name}") in found else {}
        )
        if (records := details.get("records")) is None:
            continue
        oldest = details.get("oldest_s", 0)
        rows.append((group.work, f"{records:,} for {oldest} s" if records else "nothing waits"))
    return rows


def _calls(
    name: str,
    title: str,
    finding: Finding | None,
    calls: Calls,
    span: timedelta,
    more: Sequence[tuple[str, str]],
) -> Card | None:
    if finding is None:
        return None
    minutes = max(1, round(span.total_seconds() / 60))
    rows = [(f"Calls in {minutes} min", f"{calls.total:,}")]
    if calls.total:
        rows.append(("Failed", f"{calls.failed:,} ({share(calls.failed, calls.total)})"))
    for outcome, number in sorted(calls.by_outcome.items()):
        if outcome not in ("ok", "cancelled"):
            rows.append(
                (_OUTCOMES.get(outcome, outcome.replace("_", " ").capitalize()), f"{number:,}")
            )
    if calls.mean_s is not None:
        rows.append(("Time, on average", f"{calls.mean_s:.2f} s"))
    card = _of(name, title, finding, (*rows, *more))
    if finding.state in ("ok", "waiting") and calls.is_broken:
        words = f"{share(calls.failed, calls.total)} of its calls fail."
        cure = "What they meet stands below. Messages are tried again; nothing is lost."
        return replace(card, state="failed", words=words, cure=cure)
    return card


def _last(not_sent: NotSent | None, shown: Callable[[datetime], str]) -> Sequence[tuple[str, str]]:
    if not_sent is None or not_sent.code is None or not_sent.code_at is None:
        return ()
    return (("Last code", str(not_sent.code)), ("That was", shown(not_sent.code_at)))


def _not_sent(found: NotSent | None) -> Card | None:
    if found is None:
        return None
    more = " or more" if found.is_cut else ""
    rows = (("Held", f"{found.held}{more}"), ("Failed", f"{found.failed}{more}"))
    words = "Nothing is held."
    state: State = "ok"
    if found.held:
        state = "waiting"
        words = f"{found.held}{more} held: nobody knows whether Facebook took them."
    cure = "Look at the Page's inbox, then send them again or discard them." if found.held else ""
    return Card("messages", "Not sent", state, words, cure, rows, "/health/messages")


def _dead_letters(finding: Finding | None) -> Card | None:
    if finding is None:
        return None
    card = _of("dead_letters", "Dead letters", finding)
    return replace(card, leads_to="/health/dead-letters")


def share(part: int, total: int) -> str:
    """Of hundred; what is not nothing is not 0 %, and what is not all is not 100 %."""
    if not total or not part:
        return "0 %"
    if part == total:
        return "100 %"
    return f"{min(99.9, max(0.1, 100 * part / total)):.1f} %"
