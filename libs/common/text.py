"""How long a text is, as Meta and browsers count it, and how it is shown where lines count."""

import re

_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
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
