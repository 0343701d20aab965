"""How long a text is, as Meta and browsers count it, and how it is shown where lines count."""

import re
import unicodedata

_FURTHEST = 100  # characters that may belong to one that a reader sees; marks are piled for fun
_MODIFIERS = "\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff\u0e33\u0eb3"
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def utf16_length(text: str) -> int:
    """In UTF-16 code units: an emoji is two.

    Meta documents "characters" and no unit. These are never fewer than characters in any other
    reading except bytes, and what a browser's `maxlength` and `length` count.
    """
    return len(text) if text.isascii() else len(text) + sum(char > "\uffff" for char in text)


def printable(text: str, *, keep: str = "") -> str:
    """For a log or a terminal: what would begin a line, move the cursor, colour or turn around what
    follows stands there as `\\u001b`, which means the same within JSON.

    Args:
        keep: characters that stay as they are, such as the line breaks of a text of ours.
    """
    return _UNPRINTABLE.sub(
        lambda match: match[0] if match[0] in keep else f"\\u{ord(match[0]):04x}", text
    )


def beginning(text: str, most: int) -> str:
    """At most so many characters of it, and none cut in two that a reader sees as one: a family, a
    flag, a letter with its accents. In doubt it ends earlier, by `_FURTHEST` characters at most.

    For what is shown in short. Parts of messages are cut by all of Unicode's rules, in `splitting`.
    """
    if len(text) <= most:
        return text
    for end in range(most, max(most - _FURTHEST, 0), -1):
        if not _goes_on(text, end):
            return text[:end]
    return text[:most]


def _goes_on(text: str, at: int) -> bool:
    """Whether what stands there belongs to what stands before it."""
    before, here = text[at - 1], text[at]
    if before == "\r" and here == "\n":
        return True
    if unicodedata.category(here)[0] == "M" or "Cf" in map(unicodedata.category, (before, here)):
        return True
    if here in _MODIFIERS or unicodedata.combining(before) == 9:  # a virama: the next letter joins
        return True
    if _is_flag_letter(here) and _is_flag_letter(before):
        first = at - 1
        while first and _is_flag_letter(text[first - 1]):
            first -= 1
        return (at - first) % 2 == 1
    return "\u1160" <= here <= "\u11ff" or "\u1100" <= before <= "\u115f"  # a syllable of letters


def _is_flag_letter(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"
