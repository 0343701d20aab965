"""What happened in the demo: scenes, and in them lines, counts and checks, in their order."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

Side = Literal["person", "page", "aside"]


@dataclass(frozen=True)
class Line:
    """What somebody said; `aside` is what happens behind the scene. `note` stands by the name."""

    side: Side
    who: str
    text: str
    note: str = ""


@dataclass(frozen=True)
class Check:
    """Something that must hold. Expected and seen are told where it does not."""

    name: str
    held: bool
    expected: str = ""
    seen: str = ""


@dataclass(frozen=True)
class Table:
    """Counts: a row is a name, its values, and what they mean."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[int, ...], str], ...]


@dataclass
class Scene:
    title: str
    lines: list[Line] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)


class Show(Protocol):
    """Whoever is told while it happens."""

    def begin(self, page_name: str) -> None: ...

    def scene(self, number: int, title: str) -> None: ...

    def line(self, line: Line) -> None: ...

    def table(self, table: Table) -> None: ...

    def check(self, check: Check) -> None: ...


class Transcript:
    """Keeps everything, and passes it on as it comes."""

    def __init__(self, shows: Sequence[Show] = ()) -> None:
        self.scenes: list[Scene] = []
        self._shows = shows

    def begin(self, page_name: str) -> None:
        for show in self._shows:
            show.begin(page_name)

    def scene(self, title: str) -> None:
        self.scenes.append(Scene(title))
        for show in self._shows:
            show.scene(len(self.scenes), title)

    def line(self, line: Line) -> None:
        self.scenes[-1].lines.append(line)
        for show in self._shows:
            show.line(line)

    def aside(self, text: str) -> None:
        self.line(Line("aside", "", text))

    def table(self, table: Table) -> None:
        self.scenes[-1].tables.append(table)
        for show in self._shows:
            show.table(table)

    def check(self, name: str, held: bool, *, expected: object = "", seen: object = "") -> None:
        if not self.scenes:
            self.scene("Before the story begins")
        check = Check(name, held, str(expected), str(seen))
        self.scenes[-1].checks.append(check)
        for show in self._shows:
            show.check(check)

    def expect(self, name: str, expected: object, seen: object) -> None:
        """A check that two things are equal."""
        self.check(name, expected == seen, expected=expected, seen=seen)

    @property
    def checks(self) -> list[Check]:
        return [check for scene in self.scenes for check in scene.checks]

    @property
    def failed(self) -> list[Check]:
        return [check for check in self.checks if not check.held]

    @property
    def held(self) -> bool:
        """Whether there was something to check, and all of it held."""
        return bool(self.checks) and not self.failed

    def to_json(self, seconds: float) -> dict[str, Any]:
        return {
            "held": self.held,
            "checks": len(self.checks),
            "failed": len(self.failed),
            "seconds": round(seconds, 1),
            "scenes": [asdict(scene) for scene in self.scenes],
        }
