"""The transcript as people read it: the person on the left, the Page on the right."""

import textwrap
from collections.abc import Callable, Mapping

from deploy.local.demo.running import Running
from deploy.local.demo.transcript import Check, Line, Table, Transcript
from libs.common.text import printable

WIDTH = 96
PERSON_INDENT, PAGE_INDENT, CHECK_INDENT = 4, 24, 4
SHOWN_WHOLE = 14  # lines of a message; of a longer one, its beginning and its end
BEGINNING, END = 7, 3
SEEN_CHARACTERS = 600
ASIDE = "nobody"

BOLD, DIM, RED, GREEN, BLUE, CYAN = "1", "2", "31", "32", "34", "36"


def wants_colour(environment: Mapping[str, str], *, is_terminal: bool) -> bool:
    """Colours are for terminals, and not for people who don't want them (no-color.org)."""
    unwanted = environment.get("NO_COLOR") or environment.get("TERM") == "dumb"
    return is_terminal and not unwanted


class Printer:
    """Writes each thing as soon as it has happened."""

    def __init__(self, write: Callable[[str], None], *, colour: bool, width: int = WIDTH) -> None:
        self._write = write
        self._colour = colour
        self._width = min(width, WIDTH)
        self._speaker = ""  # of the last line: the next one goes on with it

    def begin(self, page_name: str) -> None:
        self._write("")
        self._write(self.styled(f"People write to the Page “{printable(page_name)}”", BOLD))
        self._write(
            self._indented(
                "A simulator stands in for Facebook, and an offline demo model for the LLM; all "
                "else is the real system. The checks are made on the simulator's own record of "
                "what arrived, not on what the services say.",
                0,
                DIM,
            )
        )

    def end(self, transcript: Transcript, seconds: float, running: Running) -> None:
        """How it came out, and where to go from here."""
        checks, failed = len(transcript.checks), len(transcript.failed)
        took = f"in {seconds:.0f} s"
        if transcript.held:
            self._write("\n" + self.styled(f"{checks} checks held, {took}.", GREEN, BOLD))
            self._write(f"\n  chat yourself   open {running.urls['simulator']}/ in a browser")
            self._write(f"  logs            {running.logs}")
            self._write("  stop it all     make down")
            return
        self._write("\n" + self.styled(f"{failed} of {checks} checks failed, {took}.", RED, BOLD))
        for name in [check.name for check in transcript.failed]:
            self._write(self._indented(name, 4, first="  ✗ "))
        self._write(f"\n  what the services say   {running.logs}")
        self._write("  how they stand          make status")
        self._write(
            self._indented(
                "The story knows the answers of a fresh stack: LLM_PROVIDER=offline, which is the "
                "default, and the assistant's knowledge text as it comes. `make clean` forgets "
                "what was changed.",
                2,
                DIM,
            )
        )

    def scene(self, number: int, title: str) -> None:
        self._write("\n" + self.styled(f"{number}. {title}", BOLD))

    def line(self, line: Line) -> None:
        match line.side:
            case "aside":
                if self._speaker == ASIDE:
                    self._write("")
                self._write(self._indented(line.text, CHECK_INDENT, DIM))
                self._speaker = ASIDE
            case "person":
                self._bubble(line, PERSON_INDENT, CYAN)
            case "page":
                self._bubble(line, PAGE_INDENT, BLUE)

    def check(self, check: Check) -> None:
        self._speaker = ""
        mark = self.styled("✓", GREEN) if check.held else self.styled("✗", RED, BOLD)
        self._write(self._indented(check.name, CHECK_INDENT + 2, first=f"    {mark} "))
        if not check.held:
            for name, text in (("expected", check.expected), ("seen", check.seen)):
                shown = text if len(text) <= SEEN_CHARACTERS else text[:SEEN_CHARACTERS] + "…"
                first = f"{' ' * (CHECK_INDENT + 4)}{name:<9} "
                self._write(self._indented(shown or "nothing", len(first), RED, first=first))

    def table(self, table: Table) -> None:
        names = max(len(name) for name, _, _ in table.rows) + 2
        widths = [len(column) + 2 for column in table.columns]
        head = "".join(
            f"{column:>{width}}" for column, width in zip(table.columns, widths, strict=True)
        )
        self._write("")
        self._write(self.styled(f"{'':{CHECK_INDENT + names}}{head}", DIM))
        for name, values, meaning in table.rows:
            cells = "".join(
                f"{value:>{width}}" for value, width in zip(values, widths, strict=True)
            )
            row = f"{'':{CHECK_INDENT}}{name:<{names}}{cells}"
            self._write(f"{row}   {self.styled(meaning, DIM)}".rstrip())
        self._write("")

    def styled(self, text: str, *codes: str) -> str:
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if self._colour and text else text

    def _bubble(self, line: Line, indent: int, colour: str) -> None:
        note = self.styled(f", {printable(line.note)}", DIM) if line.note else ""
        if note or line.who != self._speaker:
            self._write(f"{' ' * indent}{self.styled(printable(line.who), colour, BOLD)}{note}")
        self._speaker = line.who
        bar = f"{' ' * indent}{self.styled('│', colour)} "
        for text in abridged(self._wrapped(line.text, indent + 2)):
            self._write(f"{bar}{text}".rstrip())

    def _wrapped(self, text: str, indent: int) -> list[str]:
        return [
            wrapped
            for written in text.split("\n")
            for wrapped in textwrap.wrap(
                printable(written, keep="\t"),
                max(self._width - indent, 30),
                subsequent_indent=_hanging(written),
                break_long_words=False,
                break_on_hyphens=False,
            )
            or [""]
        ]

    def _indented(self, text: str, indent: int, *codes: str, first: str | None = None) -> str:
        lines = self._wrapped(text, indent)
        starts = [" " * indent if first is None else first, *[" " * indent] * (len(lines) - 1)]
        return "\n".join(
            f"{start}{self.styled(line, *codes) if codes else line}"
            for start, line in zip(starts, lines, strict=True)
        )


def abridged(lines: list[str]) -> list[str]:
    """A message that fills the screen, as its beginning and its end."""
    if len(lines) <= SHOWN_WHOLE:
        return lines
    left_out = len(lines) - BEGINNING - END
    return [*lines[:BEGINNING], f"⋯ {left_out} more lines", *lines[-END:]]


def _hanging(line: str) -> str:
    """List items go on under their text."""
    item = len(line) - len(line.lstrip(" "))
    return " " * (item + 2) if line[item : item + 2] == "• " else " " * item
