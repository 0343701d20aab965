"""Cuts a text into messages: at the best place that keeps each within the limit.

Best first: blank line, line, list item (or an indented line, or what follows a colon), sentence,
space, grapheme cluster (what a reader sees as one character). The parts are packed greedily. Only
whitespace at the cuts is lost.

Meta documents 2000 "characters" and no unit. UTF-16 code units are never fewer than characters
in any other reading except bytes, therefore they are the default.
"""

import re
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from typing import Literal

import regex
import sentencex

from libs.common.text import utf16_length

LengthUnit = Literal["utf16", "codepoints", "utf8"]

MIN_LIMIT = 4
"""The longest single character, in UTF-8 bytes: below it a part might hold nothing."""

_WHITESPACE = re.compile(r"\s+")
_NO_BREAK = "\u00a0\u2007\u202f"
_ZERO_WIDTH_SPACE = re.compile("\u200b+")  # ends words in Khmer, Lao, Burmese; not whitespace: kept
_ITEM = re.compile(r"(?:[•◦▪‣*+–—-]|\d{1,9}[.)])\s")
_INTRODUCES = (":", "\uff1a")
_NUMBER_OF_ITEM = re.compile(r"\s*\d{1,9}[.)]\s*")
_CLUSTER = regex.compile(r"\X")

# An address ends at whitespace, quotes, and the punctuation of scripts written without spaces.
_IN_URL = r"[^\s<>\"`{}|\\^“”„«»‹›、。，．！？；：…（）「」『』【】《》〈〉]"
_URL = regex.compile(
    rf"(?i)(?:https?://{_IN_URL}|www\.{_IN_URL}|(?<![\w.@-])(?:[a-z0-9-]++\.)++[a-z]{{2,24}}/)"
    rf"{_IN_URL}*+"
)
_AFTER_URL = ".,;:!?'*_~)]"
_PAIRS = ((")", "("), ("]", "["))

_SCRIPT = regex.compile(
    r"(?P<ja>[\p{Hiragana}\p{Katakana}])|(?P<zh>\p{Han})|(?P<ar>\p{Arabic})|(?P<hi>\p{Devanagari})"
    r"|(?P<ru>\p{Cyrillic})|(?P<el>\p{Greek})|(?P<hy>\p{Armenian})|(?P<my>\p{Myanmar})"
    r"|(?P<am>\p{Ethiopic})|(?P<bn>\p{Bengali})|(?P<pa>\p{Gurmukhi})|(?P<ta>\p{Tamil})"
    r"|(?P<te>\p{Telugu})|(?P<th>\p{Thai})|(?P<ko>\p{Hangul})|(?P<en>\p{Latin})"
)
_SAMPLE_CHARS = 200

_SENTENCE_LOOKAHEAD = 40  # characters: what follows tells `Dr. Smith` from the end of a sentence


def text_length(text: str, unit: LengthUnit = "utf16") -> int:
    """Length of `text` in UTF-16 code units, code points or UTF-8 bytes."""
    if unit == "codepoints" or text.isascii():
        return len(text)
    if unit == "utf16":
        return utf16_length(text)
    return len(text.encode("utf-8", "surrogatepass"))


def split_text(text: str, limit: int, unit: LengthUnit = "utf16") -> list[str]:
    """Split into parts of at most `limit` units each; [] for a blank text.

    A part neither begins nor ends with whitespace, and is never empty. No cut is made inside a
    grapheme cluster or an address, unless that alone exceeds the limit. Lone surrogates become
    U+FFFD, since no encoding can carry them.

    Raises:
        ValueError: `limit` is below `MIN_LIMIT`.
    """
    if limit < MIN_LIMIT:
        raise ValueError(f"limit must be at least {MIN_LIMIT}, not {limit}")
    whole = sendable(text).strip()
    if text_length(whole, unit) <= limit:
        return [whole] if whole else []
    return list(_Splitter(whole, limit, unit).parts())


def split_typed(text: str, limit: int, unit: LengthUnit = "utf16") -> list[str]:
    """What somebody typed: as it is where it fits into one message, else as `split_text` cuts it.

    [] for a blank text. The sender sends these parts, and the console counts them beforehand.
    """
    typed = sendable(text)
    fits = bool(typed.strip()) and text_length(typed, unit) <= limit
    return [typed] if fits else split_text(typed, limit, unit)


def sendable(text: str) -> str:
    """The text as it can be encoded: surrogate pairs joined, what has no partner as U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class _Splitter:
    """One text on its way into parts. Positions are indices into the text."""

    def __init__(self, text: str, limit: int, unit: LengthUnit) -> None:
        self._text = text
        self._limit = limit
        self._before = _length_before(text, unit)
        self._urls = self._urls_within_limit()
        self._paragraphs: list[int] = []
        self._lines: list[int] = []
        self._items: list[int] = []
        self._spaces: list[int] = []
        self._find_whitespace()

    def parts(self) -> Iterator[str]:
        start = 0
        while start < len(self._text):
            end = self._cut(start)
            yield self._text[start:end].rstrip()
            start = self._skip_whitespace(end)

    def _cut(self, start: int) -> int:
        """Where the part that begins at `start` ends: the last cut of the best kind that fits."""
        end = self._reach(start)
        if end == len(self._text):
            return end
        for cuts in (self._paragraphs, self._lines, self._items):
            if cut := _last_within(cuts, start, end):
                return cut
        return (
            self._last_sentence(start, end)
            or _last_within(self._spaces, start, end)
            or self._last_cluster(start, end)
        )

    def _reach(self, start: int) -> int:
        """The furthest position that a part from `start` may extend to."""
        if self._before is None:
            return min(start + self._limit, len(self._text))
        return bisect_right(self._before, self._before[start] + self._limit) - 1

    def _last_cluster(self, start: int, end: int) -> int:
        """The last cluster boundary outside of addresses; inside, where nothing else is left."""
        # One character more than fits: whether a cluster goes on depends on the next one only.
        # A slice, because the search looks back as far as it can, over all flags in a row.
        window = _CLUSTER.finditer(self._text[start : end + 1])
        ends = [start + match.end() for match in window if start + match.end() <= end]
        outside = (cut for cut in reversed(ends) if not self._is_in_url(cut))
        return next(outside, ends[-1] if ends else end)

    def _skip_whitespace(self, position: int) -> int:
        match = _WHITESPACE.match(self._text, position)
        return match.end() if match else position

    def _find_whitespace(self) -> None:
        """Sort the whitespace into kinds of cuts. A cut stands where the whitespace begins."""
        for match in _WHITESPACE.finditer(self._text):
            if self._carries_mark(match.end()):
                continue
            self._kind_of(match.group(), match.start(), match.end()).append(match.start())
        zero_width = (match.end() for match in _ZERO_WIDTH_SPACE.finditer(self._text))
        extra = [cut for cut in zero_width if not self._is_in_url(cut)]
        if extra:
            self._spaces = sorted({*self._spaces, *extra})

    def _kind_of(self, whitespace: str, start: int, end: int) -> list[int]:
        match len(f"x{whitespace}x".splitlines()) - 1:
            case 0:
                return [] if not whitespace.strip(_NO_BREAK) else self._spaces
            case _ if self._text[start - 1 : start] in _INTRODUCES:
                return self._items  # "We have:" belongs to the list that follows
            case 1:
                is_indented = whitespace[-1] in " \t"
                is_item = is_indented or _ITEM.match(self._text, end)
                return self._items if is_item else self._lines
            case _:
                return self._paragraphs

    def _carries_mark(self, position: int) -> bool:
        """Whether what stands here combines with the whitespace before it into one cluster."""
        char = self._text[position : position + 1]
        return bool(char) and (char == "\u200d" or unicodedata.category(char).startswith("M"))

    def _last_sentence(self, start: int, end: int) -> int:
        """The last end of a sentence; 0 if there is none.

        Looks at one part's length at a time: on one long line, sentencex takes quadratic time.
        """
        text = self._text[start : end + _SENTENCE_LOOKAHEAD]
        segments = sentencex.segment(_language(text), text)
        ends = _sentence_ends(segments, start) if "".join(segments) == text else []
        fitting = (cut for cut in reversed(ends) if start < cut <= end)
        return next((cut for cut in fitting if self._may_end_sentence(cut)), 0)

    def _may_end_sentence(self, position: int) -> bool:
        return self._is_between_clusters(position) and not self._is_in_url(position)

    def _is_between_clusters(self, position: int) -> bool:
        """Judged by the two neighbours, in doubt no: after marks and joiners it takes more."""
        before, after = self._text[position - 1 : position], self._text[position : position + 1]
        return after.isspace() or (
            _CLUSTER.match(before + after).end() == 1 and not self._carries_mark(position - 1)
        )

    def _urls_within_limit(self) -> list[tuple[int, int]]:
        spans = (_url_span(match.group(), match.start()) for match in _URL.finditer(self._text))
        return [span for span in spans if self._reach(span[0]) >= span[1]]

    def _is_in_url(self, position: int) -> bool:
        index = bisect_right(self._urls, (position,)) - 1
        return index >= 0 and self._urls[index][0] < position < self._urls[index][1]


def _last_within(cuts: list[int], start: int, end: int) -> int:
    """The last cut after `start` and not after `end`; 0 if there is none."""
    index = bisect_right(cuts, end) - 1
    return cuts[index] if index >= 0 and cuts[index] > start else 0


def _length_before(text: str, unit: LengthUnit) -> list[int] | None:
    """The length of the text before each position; None where it is the position itself."""
    if text_length(text, unit) == len(text):
        return None
    if unit == "utf16":
        widths = (1 + (char > "\uffff") for char in text)
    else:
        widths = (len(char.encode()) for char in text)
    return list(accumulate(widths, initial=0))


def _url_span(url: str, start: int) -> tuple[int, int]:
    """Without the punctuation that belongs to the sentence; brackets count if they pair up."""
    end = len(url)
    unpaired = {closer: url.count(closer) - url.count(opener) for closer, opener in _PAIRS}
    while end and url[end - 1] in _AFTER_URL:
        last = url[end - 1]
        if last in unpaired:
            if unpaired[last] <= 0:
                break
            unpaired[last] -= 1
        end -= 1
    return start, start + end


def _sentence_ends(segments: list[str], start: int) -> list[int]:
    """Where the sentences end, without the space after them, in a text whose first is at `start`.

    Not the last one's, whose end is not known, and not the number of an item (`1. `).
    """
    after = accumulate(map(len, segments), initial=start)
    return [
        begin + len(segment.rstrip())
        for begin, segment in zip(after, segments[:-1], strict=False)
        if not _NUMBER_OF_ITEM.fullmatch(segment)
    ]


def _language(text: str) -> str:
    """The most likely language by script alone; Kana outweighs the Han it is mixed with."""
    found = Counter(match.lastgroup for match in _SCRIPT.finditer(text[:_SAMPLE_CHARS]))
    if found["ja"] * 4 > found["zh"]:
        found["ja"] += found["zh"]
    language = max(found, key=lambda name: found[name], default="en")
    return language or "en"
