"""Finding the sections of a knowledge text that answer a question, by SQLite's FTS5."""

import math
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from services.conversation.assistants.knowledge import Knowledge, Section, parse
from services.conversation.assistants.vocabulary import (
    SAME_MEANING,
    asked_for,
    without_stop_words,
)
from services.conversation.assistants.words import expression, is_piece, tokens

MOST_CHARACTERS: Final = 1_000_000
"""Of a knowledge text that are looked at."""
SHORT_SECTION: Final = 900
"""Characters up to which a section is answered with whole; of longer ones, paragraphs."""
LONGEST_ANSWER: Final = 15_000
"""Characters of a section that is still returned whole when its title is asked for."""

_MOST_TERMS = 24
_CANDIDATES = 8
_ENOUGH = 0.35
"""The share of a question's meaning, by weight, that a passage must hold."""
_ENOUGH_WITH_TWO_WORDS = 0.2
_ENOUGH_IN_TITLE = 0.25
_TITLE_IS_ASKED_FOR = 0.6
_ADDS_ENOUGH = 0.25
_QUESTION_WORD_WEIGHT = 0.5
_LEAST_PASSAGES = 20
"""Rarity counts as in a text of this size at least: in a tiny one, every word is frequent."""

_SCHEMA = """CREATE VIRTUAL TABLE passages USING fts5(title, path, body,
    tokenize="unicode61 remove_diacritics 2 categories 'L* N* M* Co'")"""
_INSERT = "INSERT INTO passages (rowid, title, path, body) VALUES (?, ?, ?, ?)"
_RANKED = """SELECT rowid FROM passages WHERE passages MATCH ?
    ORDER BY bm25(passages, 4.0, 1.5, 1.0), rowid LIMIT ?"""
_MATCHING = "SELECT rowid FROM passages WHERE passages MATCH ?"


@dataclass(frozen=True)
class Finding:
    """A section that answers, the text to answer with, and how much of the question it holds.

    `share` runs from 0 to 1.
    """

    section: Section
    text: str
    share: float


@dataclass(frozen=True)
class _Term:
    """Something to look for, and the passages that have it anywhere, and in their title."""

    expression: str
    weight: float
    counts: bool
    rows: frozenset[int]
    titles: frozenset[int]


class KnowledgeIndex:
    """One knowledge text, ready to be asked. Made and asked in one thread at a time."""

    def __init__(self, text: str) -> None:
        self.knowledge: Knowledge = parse(text[:MOST_CHARACTERS])
        self._passages = list(_passages(self.knowledge))
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.execute(_SCHEMA)
        self._database.executemany(
            _INSERT,
            (
                (number, _searchable(section.title), _searchable(section.path), _searchable(body))
                for number, (section, body) in enumerate(self._passages)
            ),
        )

    def close(self) -> None:
        """Free the memory; the index cannot be asked any more."""
        self._database.close()

    def find(self, question: str, most: int = 2) -> list[Finding]:
        """The best sections for one question, best first; none if nothing fits well enough."""
        terms = self._terms(question)
        found: list[Finding] = []
        explained: set[str] = set()
        for row in self._ranked(terms):
            section = self._passages[row][0]
            if len(found) == most or any(section == other.section for other in found):
                continue
            new = [term for term in _held(terms, row) if term.expression not in explained]
            if not _is_enough(terms, row) or (found and _share(terms, new) < _ADDS_ENOUGH):
                continue
            explained.update(term.expression for term in new)
            found.append(Finding(section, self._text(terms, row), _share(terms, _held(terms, row))))
        return found

    def _text(self, terms: list[_Term], row: int) -> str:
        """The whole section if it is short or its title was asked for, else what fits of it."""
        section = self._passages[row][0]
        known = [term for term in terms if term.rows]
        in_title = _in_title(terms, row)
        if _share(known, in_title) >= _TITLE_IS_ASKED_FOR and len(section.whole) <= LONGEST_ANSWER:
            return section.whole
        if len(section.text) <= SHORT_SECTION:
            return section.text or section.whole[:LONGEST_ANSWER]
        share = _share(terms, _held(terms, row))
        rows = [
            other
            for other, (owner, _) in enumerate(self._passages)
            if owner is section and _share(terms, _held(terms, other)) >= share
        ]
        best = sorted({row, *rows[:2]})
        return "\n\n".join(self._passages[each][1] for each in best)[:LONGEST_ANSWER]

    def _ranked(self, terms: list[_Term]) -> list[int]:
        if not terms:
            return []
        either = " OR ".join(f"({term.expression})" for term in terms)
        rows = self._database.execute(_RANKED, (either, _CANDIDATES))
        return [row for (row,) in rows]

    def _terms(self, question: str) -> list[_Term]:
        looked_for = list(dict.fromkeys(tokens(without_stop_words(question))))
        looked_for = [token for token in looked_for if len(token) > 1 or is_piece(token)]
        terms = [
            self._term(_with_same_meaning(token), 1.0, counts=not is_piece(token))
            for token in looked_for[:_MOST_TERMS]
        ]
        hints = dict.fromkeys(asked_for(question))
        terms += [
            self._term(_any_of(words), _QUESTION_WORD_WEIGHT, counts=False) for words in hints
        ]
        return list({term.expression: term for term in reversed(terms)}.values())[::-1]

    def _term(self, looked_for: str, weight: float, *, counts: bool) -> _Term:
        own = self._matching(f"{{title body}} : ({looked_for})")
        size = max(len(self._passages), _LEAST_PASSAGES)
        rarity = math.log(1 + (size - len(own) + 0.5) / (len(own) + 0.5))
        titles = self._matching(f"{{title}} : ({looked_for})")
        return _Term(looked_for, weight * rarity, counts, self._matching(looked_for), titles)

    def _matching(self, looked_for: str) -> frozenset[int]:
        return frozenset(row for (row,) in self._database.execute(_MATCHING, (looked_for,)))


def _passages(knowledge: Knowledge) -> Iterator[tuple[Section, str]]:
    for section in knowledge.sections:
        if not section.whole:
            continue  # nothing to answer with
        if len(section.text) <= SHORT_SECTION:
            yield section, section.text
        else:
            yield from ((section, paragraph) for paragraph in section.paragraphs)


def _searchable(text: str) -> str:
    return " ".join(tokens(text))


def _with_same_meaning(token: str) -> str:
    return _any_of(SAME_MEANING.get(token, (token,)))


def _any_of(words: tuple[str, ...]) -> str:
    return " OR ".join(dict.fromkeys(expression(word) for word in words))


def _held(terms: list[_Term], row: int) -> list[_Term]:
    return [term for term in terms if row in term.rows]


def _in_title(terms: list[_Term], row: int) -> list[_Term]:
    return [term for term in terms if row in term.titles]


def _share(terms: list[_Term], some: list[_Term]) -> float:
    return sum(term.weight for term in some) / sum(term.weight for term in terms)


def _is_enough(terms: list[_Term], row: int) -> bool:
    held = _held(terms, row)
    two_words = sum(term.counts for term in held) >= 2
    enough = _ENOUGH_WITH_TWO_WORDS if two_words else _ENOUGH
    in_title = _share(terms, _in_title(terms, row))
    return _share(terms, held) >= enough or in_title >= _ENOUGH_IN_TITLE
