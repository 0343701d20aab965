"""A report for a terminal, for somebody who asks for help, and for programs. No secret is in it.

Pages' names and Meta's words are others': to a terminal they are only letters.
"""

from datetime import UTC
from textwrap import wrap
from typing import Any

from libs.common.text import printable
from services.console.doctor.domain.findings import Finding, Report, State

MARKS: dict[State, str] = {
    "ok": "ok",
    "waiting": "waiting",
    "unknown": "unknown",
    "failed": "FAILED",
}
_WIDTH = 100
_INDENT = " " * 35


def as_text(report: Report) -> str:
    """Line by line, with the cure below what is not ok."""
    lines = [printable(report.headline), ""]
    for section, findings in report.sections:
        lines.append(printable(section))
        lines += [line for finding in findings for line in _lines_of(finding)]
        lines.append("")
    counts = ", ".join(
        f"{count} {name}" for state, name in MARKS.items() if (count := report.count(state))
    )
    at = report.at.astimezone(UTC)
    lines.append(f"{counts.lower()}. {at:%Y-%m-%d %H:%M:%S} UTC, took {report.took_s:.1f} s.")
    return "\n".join(lines)


def _lines_of(finding: Finding) -> list[str]:
    verdict = finding.verdict
    words = wrap(printable(verdict.words), _WIDTH - len(_INDENT)) or [""]
    head = f"  {MARKS[verdict.state]:<9}{printable(finding.line.title):<23} {words[0]}"
    rest = [_INDENT + line for line in words[1:]]
    cure = wrap(printable(f"→ {verdict.cure}"), _WIDTH - len(_INDENT)) if verdict.cure else []
    return [head, *rest, *(_INDENT + line for line in cure)]


def as_json(report: Report) -> dict[str, Any]:
    """The same for programs."""
    return {
        "state": report.state,
        "headline": report.headline,
        "at": report.at.astimezone(UTC).isoformat(),
        "took_s": report.took_s,
        "findings": [_json(finding) for finding in report.findings],
    }


def _json(finding: Finding) -> dict[str, Any]:
    line, verdict = finding.line, finding.verdict
    return {
        "id": line.id,
        "section": line.section,
        "title": line.title,
        "page_id": line.page_id,
        "state": verdict.state,
        "words": verdict.words,
        "cure": verdict.cure,
        "because": verdict.because,
        "details": dict(verdict.details),
    }
