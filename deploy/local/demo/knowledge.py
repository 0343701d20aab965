"""What the assistant was told, and whether a message says the same. Pure.

Written without a look at how the services render Markdown: a judge must not copy from the accused.
"""

import re
from itertools import zip_longest
from pathlib import Path

KNOWLEDGE = Path(__file__).resolve().parents[1] / "knowledge.md"

# A word, a number with its separators, or a symbol such as an emoji; apostrophes belong to words.
_TOKEN = re.compile(r"[^\W_]+(?:['’.,:][^\W_]+)*|[\u2600-\u27bf\u2b00-\u2bff\U0001f300-\U0001faff]")
_LINK = re.compile(r"\[([^\]]*)\]\((?:mailto:)?([^)]*)\)")
_DELIMITERS = re.compile(r"^[|\s:-]*-[|\s:-]*$")
_OPENING = 5  # so many words show where an introduction ends
_LEFT_OVER = {
    "emphasis": re.compile(r"\*\*|__|~~|(?<![^\s(])\*(?=\w)|(?<=\w)\*(?![^\s,.;:!?)])"),
    "headings": re.compile(r"^ {0,3}#{1,6} ", re.MULTILINE),
    "tables": re.compile(r"^\s*\||\|\s*$|\|\s*:?-{3,}", re.MULTILINE),
    "links": re.compile(r"\]\("),
    "code": re.compile(r"`"),
    "bullets": re.compile(r"^\s*[-*+] ", re.MULTILINE),
}


def section(title: str, text: str | None = None) -> str:
    """What stands under a heading of the first level, as it was written."""
    source = KNOWLEDGE.read_text(encoding="utf-8") if text is None else text
    for part in re.split(r"^# ", source, flags=re.MULTILINE):
        heading, _, body = part.partition("\n")
        if heading.strip() == title:
            return body.strip()
    raise LookupError(f"{KNOWLEDGE.name} has no section {title!r}")


def titles() -> list[str]:
    """The headings of the first level."""
    text = KNOWLEDGE.read_text(encoding="utf-8")
    return [found.strip() for found in re.findall(r"^# (.+)$", text, flags=re.MULTILINE)]


def tokens(text: str) -> list[str]:
    """Words, numbers and emoji, in their order."""
    return _TOKEN.findall(text)


def deviation(markdown: str, message: str) -> str | None:
    """Where a message leaves what it should say word for word; None: it says all of it, in order.

    An introduction before it is fine. Headers of tables have no place in the order, since they may
    come again in every row.
    """
    wanted, headers = _content(markdown)
    wanted = [word for word in wanted if word not in headers]
    there = [word for word in tokens(message) if word not in headers]
    there = there[_beginning(wanted, there) or 0 :]
    for number, (word, said) in enumerate(zip_longest(wanted, there, fillvalue="(the end)")):
        if word != said:
            before = " ".join(wanted[max(0, number - 4) : number])
            return f"after “{before}”: {said} instead of {word}"
    return None


def begins_with(markdown: str, message: str) -> bool:
    """Whether the first words are in the message, maybe behind an introduction."""
    return _beginning(tokens(markdown), tokens(message)) is not None


def _beginning(wanted: list[str], there: list[str]) -> int | None:
    """Where the wanted words begin."""
    first = wanted[:_OPENING]
    return next((at for at in range(len(there)) if there[at : at + _OPENING] == first), None)


def _content(markdown: str) -> tuple[list[str], set[str]]:
    """The words outside of table headers, in their order, and those of the headers."""
    words: list[str] = []
    headers: set[str] = set()
    lines = markdown.splitlines()
    for line, below in zip_longest(lines, lines[1:], fillvalue=""):
        found = tokens(_LINK.sub(r"\1 \2", line))
        if "|" in line and _DELIMITERS.match(below):
            headers.update(found)
        else:
            words += found
    return words, headers


def left_over_markdown(message: str) -> list[str]:
    """What kinds of Markdown a message still shows to its reader."""
    return [name for name, pattern in _LEFT_OVER.items() if pattern.search(message)]


def utf16_length(text: str) -> int:
    """What Messenger counts: UTF-16 units."""
    return len(text.encode("utf-16-le")) // 2
