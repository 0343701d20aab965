"""Text from a model, or for one, made fit to be sent and stored."""

import re
from typing import Final

from libs.common.text import beginning

MOST_CHARACTERS: Final = 20_000
"""Of an answer; what is longer is no answer to a message."""

_LINE_ENDS = re.compile("\r\n?|[\u2028\u2029\u0085]")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\uffff]")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """Without control characters except line ends and tabs; always encodable; no blank margins."""
    plain = _CONTROL.sub("", _LINE_ENDS.sub("\n", text))
    return _LONE_SURROGATE.sub("\ufffd", plain).strip()


def shorten(text: str, most: int = MOST_CHARACTERS) -> str:
    """At most so many characters, cut between paragraphs, lines or words if possible."""
    if len(text) <= most:
        return text
    kept = beginning(text, most - 1)
    for gap in ("\n\n", "\n", " "):
        at = kept.rfind(gap)
        if at > most * 0.8:
            kept = kept[:at]
            break
    return kept.rstrip() + "…"
