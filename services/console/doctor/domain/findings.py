"""Lines, what was found for each, and what all of it comes to.

A line that stands on another one is not looked at when that one is broken: it is unknown, and names
the line that has to be mended first. So one cause is one failure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

State = Literal["ok", "waiting", "unknown", "failed"]
"""`waiting`: nothing is wrong, and something is still to come, as the first message."""

ALL_OK, SOMETHING_FAILED, COULD_NOT_LOOK = 0, 1, 2
_WORST_LAST: tuple[State, ...] = ("ok", "waiting", "unknown", "failed")


@dataclass(frozen=True)
class Line:
    """Something to look at.

    Args:
        id: stable, for programs, e.g. `address.certificate` or `page.4225.token`.
        needs: lines that have to be ok, or this one can't be judged.
        page_id: of the Page that it is about.
        is_live: changes while somebody watches: messages that come and go.
    """

    id: str
    section: str
    title: str
    needs: tuple[str, ...] = ()
    page_id: str | None = None
    is_live: bool = False


@dataclass(frozen=True)
class Verdict:
    """What was found: in words, with what to do about it. `details` are for programs: JSON.

    `because`: the line that keeps this one from being judged.
    """

    state: State
    words: str
    cure: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    because: str | None = None


@dataclass(frozen=True)
class Finding:
    """A line with its verdict."""

    line: Line
    verdict: Verdict

    @property
    def id(self) -> str:
        return self.line.id

    @property
    def state(self) -> State:
        return self.verdict.state


Found = Mapping[str, Finding]


def ok(words: str, **details: Any) -> Verdict:  # noqa: ANN401 - JSON
    return Verdict("ok", words, details=details)


def waiting(words: str, cure: str = "", **details: Any) -> Verdict:  # noqa: ANN401
    return Verdict("waiting", words, cure, details)


def failed(words: str, cure: str, **details: Any) -> Verdict:  # noqa: ANN401
    return Verdict("failed", words, cure, details)


def unknown(words: str, cure: str = "", **details: Any) -> Verdict:  # noqa: ANN401
    return Verdict("unknown", words, cure, details)


def unknown_because(root: Finding) -> Verdict:
    """Not to be judged until `root` is mended."""
    return Verdict("unknown", f"Not known before “{root.line.title}” is ok.", because=root.id)


def missing_ground(line: Line, found: Found) -> Verdict | None:
    """Why a line can't be judged: the broken line that is at the bottom of it; None: it can."""
    for need in line.needs:
        finding = found.get(need)
        if finding is not None and finding.state in ("failed", "unknown"):
            return unknown_because(_root(finding, found))
    return None


def _root(finding: Finding, found: Found) -> Finding:
    because = finding.verdict.because
    return _root(found[because], found) if because and because in found else finding


def worst(findings: Iterable[Finding]) -> State:
    """`ok` where there is nothing."""
    return max((each.state for each in findings), key=_WORST_LAST.index, default="ok")


@dataclass(frozen=True)
class Report:
    """All that was found, in the order in which it is shown."""

    at: datetime
    findings: tuple[Finding, ...]
    took_s: float = 0.0

    @property
    def state(self) -> State:
        return worst(self.findings)

    @property
    def exit_code(self) -> int:
        if self.state == "failed":
            return SOMETHING_FAILED
        return COULD_NOT_LOOK if self.state == "unknown" else ALL_OK

    @property
    def headline(self) -> str:
        """All of it in one sentence or two."""
        chosen = [each for each in self.findings if each.state == self.state]
        if self.state == "ok" or not chosen:
            return "All good: every link from Meta to the reply works."
        first = chosen[0]
        title = first.line.title[:1].lower() + first.line.title[1:]
        name = f"{first.line.section}, {title}: {first.verdict.words}"
        if self.state == "waiting":
            return f"All good so far. {name} {first.verdict.cure}".rstrip()
        if self.state == "failed":
            others = len(chosen) - 1
            more = f" {others} more failed." if others else ""
            return f"{name}{more}"
        return f"Nothing has failed, and not everything could be looked at. {name}"

    @property
    def sections(self) -> Sequence[tuple[str, tuple[Finding, ...]]]:
        """In the order of their first lines. Pages of the same name are told apart by their ids."""
        places = dict.fromkeys((each.line.section, each.line.page_id) for each in self.findings)
        names = [name for name, _ in places]
        return [
            (
                name if names.count(name) == 1 else f"{name} ({page_id})",
                tuple(
                    each
                    for each in self.findings
                    if (each.line.section, each.line.page_id) == (name, page_id)
                ),
            )
            for name, page_id in places
        ]

    def count(self, state: State) -> int:
        return sum(each.state == state for each in self.findings)

    def updated(self, newer: Iterable[Finding]) -> "Report":
        """The same report with some lines looked at again."""
        by_id = {each.id: each for each in newer}
        return replace(self, findings=tuple(by_id.get(each.id, each) for each in self.findings))
