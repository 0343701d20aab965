"""Words as the index of the offline assistant sees them: folded, and in pieces where need be.

People type without marks and capitals ("khong", "Oeffnungszeiten"), and some scripts put no space
between words: those are cut into overlapping pieces, which is what FTS5's own `trigram` tokenizer
does too, but that one cannot see a Chinese word of two letters.
"""

import re
import unicodedata
from collections.abc import Iterator

_MARKS = re.compile("[\u0300-\u036f]+")  # of Latin, Greek and Cyrillic; Thai vowels stay
_LETTERS = str.maketrans({"đ": "d", "ø": "o", "ł": "l", "ı": "i", "æ": "ae", "œ": "oe"})
_DIGRAPH = re.compile("([aou])e")  # ä as ae: done to both sides, so that it need not be German
_POSSESSIVE = re.compile(r"['’]s\b")
_RUNS = re.compile(
    "(?P<pairs>[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff]+)"
    "|(?P<triples>[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]+)"
    "|(?P<word>(?:(?![\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
    "\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff])"
    "[^\\W_]|[\u0610-\u061a\u064b-\u065f\u0900-\u0903\u093a-\u094f\u0962\u0963\u0981-\u0983"
    "\u09bc-\u09cd\u0b80-\u0bff])+)"
)
_ENDINGS = re.compile("(?:ations?|ings?|ungen|ung|ies|ied|ers?|ens?|ed|es|en|s|y|e)$")
_SHORT_WORD_ENDINGS = ("", "s", "es", "ing", "ings", "ed", "er", "ment", "ments")


def fold(text: str) -> str:
    """Lower case, without accents; the same for a letter with an umlaut and its two letters."""
    plain = unicodedata.normalize("NFKC", text).casefold().translate(_LETTERS)
    bare = _MARKS.sub("", unicodedata.normalize("NFD", plain))
    return _DIGRAPH.sub(r"\1", unicodedata.normalize("NFC", bare))


def tokens(text: str) -> Iterator[str]:
    """Folded words; pieces of two or three letters where a script has no spaces."""
    for run in _RUNS.finditer(_POSSESSIVE.sub("", fold(text))):
        if run["word"]:
            yield run["word"]
        else:
            yield from _pieces(run.group(), 2 if run["pairs"] else 3)


def is_piece(token: str) -> bool:
    """Whether a token is a piece of a run of letters, and no word."""
    run = _RUNS.match(token)
    return run is not None and run["word"] is None


def expression(token: str) -> str:
    """What to ask FTS5 for a token in any of its usual endings.

    Long words match by their beginning; short ones would match too much that way ("car", "card"),
    so their endings are listed.
    """
    if is_piece(token) or token.isdigit():
        return f'"{token}"'
    stem = _ENDINGS.sub("", token) if len(token) > 5 else token.removesuffix("s")
    if len(stem) < 4 or (len(stem) == 4 and stem in (token, token.removesuffix("s"))):
        stem = stem if len(stem) > 2 else token
        return " OR ".join(f'"{stem}{ending}"' for ending in _SHORT_WORD_ENDINGS)
    return f'"{stem}"*'


def _pieces(run: str, length: int) -> Iterator[str]:
    for start in range(max(1, len(run) - length + 1)):
        yield run[start : start + length]
