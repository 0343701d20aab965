"""Marks in what a model reads: a colleague's words, and what a message replies to.

Nobody but us can make one: what looks like a mark in anybody's words loses its bracket.
"""

import re
import unicodedata
from typing import Final

COLLEAGUE: Final = "[a colleague wrote]"
END: Final = "[end of colleague]"
REPLY: Final = "(in reply to “{quoted}”)"

_UNSEEN = "[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]*"
_WORDS = "|".join(
    r"\W+".join(_UNSEEN.join(word) for word in words.split())
    for words in ("a colleague wrote", "end of colleague", "in reply to")
)
# from the end of the word before, so that a long row of brackets is looked at once
_MARK = re.compile(rf"(?:(?<=\w)|^)(?P<before>\W+)(?:{_WORDS})\b", re.IGNORECASE)
_OURS = re.compile("|".join(map(re.escape, (COLLEAGUE, END))), re.IGNORECASE)


def by_colleague(text: str) -> str:
    """Words of a person of the business, which stand among the assistant's own."""
    return f"{COLLEAGUE} {unmarked(text)} {END}"


def in_reply(quoted: str, text: str) -> str:
    """A message with what it replies to, on a line of its own."""
    line = " ".join(unmarked(quoted).split()).translate({ord("“"): '"', ord("”"): '"'})
    return f"{REPLY.format(quoted=line)}\n{unmarked(text)}"


def unmarked(text: str) -> str:
    """Without the opening brackets of what reads like a mark. The words stay."""
    made = list(text)
    for mark in _MARK.finditer("".join(map(_bare, text))):
        for at in range(*mark.span("before")):
            if unicodedata.category(text[at]) == "Ps":
                made[at] = ""
    return "".join(made)


def without_marks(text: str) -> str:
    """What a model wrote, should it have copied our marks."""
    return _OURS.sub("", text)


def _bare(sign: str) -> str:
    """The plain form of a letter in another width or style: one for one, so that places stay."""
    plain = unicodedata.normalize("NFKC", sign)
    return plain if len(plain) == 1 else sign
