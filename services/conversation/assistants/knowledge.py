"""A knowledge text, which is markdown more or less, as sections that one can answer with."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

DEEPEST: Final = 7
"""The level of titles that are only bold lines or questions: below every markdown heading."""
MOST_TOPICS: Final = 8

_HEADING = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.+?)[ \t]*#*[ \t]*$")
_UNDERLINE = re.compile(r"^ {0,3}(=+|-{3,})[ \t]*$")
_BOLD_LINE = re.compile(r"^\*\*([^*]{2,100}?):?\*\*:?[ \t]*$")
_QUESTION = re.compile(
    r"^\s*(?:\*\*)?\s*(?:Q|Question|Frage|Hỏi|Pregunta)\s*\d*\s*[:.]\s*(.+?)(?:\*\*)?\s*$"
)
_ANSWER = re.compile(r"^\s*(?:\*\*)?\s*(?:A|Answer|Antwort|Đáp|Respuesta|R)\s*[:.]\s*(?:\*\*)?\s*")
_FENCE = re.compile(r"^ {0,3}(```|~~~)")


@dataclass(frozen=True)
class Section:
    """A title and what stands under it.

    `text` is the section's own, `whole` includes the sections below it, word for word.
    """

    title: str
    level: int
    path: str
    text: str
    whole: str
    is_question: bool = False

    @property
    def paragraphs(self) -> list[str]:
        """Its own text in pieces; what ends with a colon stays with the list that follows."""
        pieces: list[str] = []
        for block in _blocks(self.text):
            if pieces and (pieces[-1].endswith(":") or block.startswith(("```", "~~~"))):
                pieces[-1] += "\n\n" + block
            else:
                pieces.append(block)
        return pieces


@dataclass
class _Mark:
    """Where a section begins: `line` is its title's, its text begins at `start`."""

    line: int
    start: int
    level: int
    title: str
    is_question: bool = False


@dataclass(frozen=True)
class Knowledge:
    """All sections in their order, and what they are about."""

    sections: tuple[Section, ...]

    @property
    def topics(self) -> list[str]:
        """Titles to tell people what one can answer: the topmost, at most `MOST_TOPICS`."""
        titled = [section for section in self.sections if section.title]
        stated = [section for section in titled if not section.is_question]
        top = min((section.level for section in stated or titled), default=0)
        titles = [section.title for section in stated or titled if section.level == top]
        return list(dict.fromkeys(titles))[:MOST_TOPICS]


def parse(text: str) -> Knowledge:
    """Split by headings, bold lines and questions. A lone first heading is the document's title."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    marks = _marks(lines)
    if _is_document_title(marks):
        marks[0].level = DEEPEST  # holds its own introduction, not the whole document
    introduction = _text(lines, 0, marks[0].line if marks else len(lines))
    before = [Section("", DEEPEST, "", introduction, introduction)] if introduction else []
    return Knowledge((*before, *_sections(lines, marks)))


def _marks(lines: list[str]) -> list[_Mark]:
    marks: list[_Mark] = []
    fence = ""
    for number, line in enumerate(lines):
        if opened := _FENCE.match(line):
            fence = "" if fence == opened[1] else fence or opened[1]
        elif not fence and (mark := _mark(lines, number, line)):
            marks.append(mark)
    return marks


def _mark(lines: list[str], number: int, line: str) -> _Mark | None:
    if heading := _HEADING.match(line):
        return _Mark(number, number + 1, len(heading[1]), heading[2].strip("*_ "))
    if question := _QUESTION.match(line):
        return _Mark(number, number + 1, DEEPEST, question[1].strip("*_ "), is_question=True)
    alone = number == 0 or not lines[number - 1].strip()
    if alone and (bold := _BOLD_LINE.match(line)):
        return _Mark(number, number + 1, DEEPEST, bold[1].strip())
    under = lines[number + 1] if number + 1 < len(lines) else ""
    if alone and 0 < len(line.strip()) <= 100 and (underline := _UNDERLINE.match(under)):
        return _Mark(number, number + 2, 1 if underline[1][0] == "=" else 2, line.strip())
    return None


def _is_document_title(marks: list[_Mark]) -> bool:
    if len(marks) < 2:
        return False
    level = marks[0].level
    return level < DEEPEST and all(mark.level > level for mark in marks[1:])


def _sections(lines: list[str], marks: list[_Mark]) -> Iterator[Section]:
    above: list[_Mark] = []
    for number, mark in enumerate(marks):
        above = [other for other in above if other.level < mark.level]
        path = " ".join(other.title for other in above)
        yield _section(lines, marks, number, path)
        above.append(mark)


def _section(lines: list[str], marks: list[_Mark], number: int, path: str) -> Section:
    mark = marks[number]
    following = itertools.islice(marks, number + 1, None)
    outside = next((other.line for other in following if other.level <= mark.level), len(lines))
    own_end = marks[number + 1].line if number + 1 < len(marks) else len(lines)
    text, whole = _text(lines, mark.start, own_end), _text(lines, mark.start, outside)
    if mark.is_question:
        text = whole = _ANSWER.sub("", text, count=1)
    return Section(mark.title, mark.level, path, text, whole, mark.is_question)


def _text(lines: list[str], start: int, end: int) -> str:
    return "\n".join(lines[start:end]).strip("\n").rstrip()


def _blocks(text: str) -> list[str]:
    """Blocks between blank lines; the lines of a fence stay together."""
    blocks: list[list[str]] = [[]]
    fenced = False
    for line in text.split("\n"):
        fenced ^= bool(_FENCE.match(line))
        if line.strip() or fenced:
            blocks[-1].append(line)
        elif blocks[-1]:
            blocks.append([])
    return ["\n".join(block) for block in blocks if block]
