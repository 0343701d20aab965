"""Two machines that answer each other: found out by how the conversation goes. Pure.

Conservative, because a person who is taken for a machine gets no answer: either many quick turns in
a row in which the other side keeps saying nearly the same, or far more of them whatever it says, or
the same words again and again over an hour.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import SequenceMatcher

from services.conversation.domain.state import Line, State

QUICK = timedelta(seconds=5)
"""From our answer to the other side's next words: people read and type for longer."""
SKEW = timedelta(seconds=1)
"""Of Meta's clock and ours. Words from before our answer are none to it: somebody types on."""
ANY_TEXT_FACTOR = 3
"""So many times more quick turns it takes if the texts differ: there are very quick people."""
SAME_TEXT_WITHIN = timedelta(hours=1)
NEARLY = 0.9
COMPARED_CHARACTERS = 300
_SHORT = 12
"""Of a text shorter than that ("yes", "ok", "thanks") people may well write many."""


@dataclass(frozen=True)
class Exchange:
    """What the other side said at one go, and how long after our answer."""

    text: str
    at: datetime
    pause: timedelta

    @property
    def is_quick(self) -> bool:
        return -SKEW <= self.pause <= QUICK


def is_loop(state: State, turns: int) -> bool:
    """Whether what waits for an answer seems to come from a machine that answers us.

    Args:
        turns: how many turns in a row it takes; 0: never.
    """
    if turns <= 0:
        return False
    said = exchanges(state)
    latest = said[-turns:]
    if len(latest) < turns:
        return False
    same = _are_alike([each.text for each in latest])
    if same and all(each.is_quick for each in latest):
        return True
    if same and latest[-1].at - latest[0].at <= SAME_TEXT_WITHIN and len(latest[-1].text) > _SHORT:
        return True
    many = said[-turns * ANY_TEXT_FACTOR :]
    return len(many) == turns * ANY_TEXT_FACTOR and all(each.is_quick for each in many)


def exchanges(state: State) -> list[Exchange]:
    """The unbroken row of turns at the end: they speak, the assistant answers, and so on.

    A human agent's words, or our last silence, end the row.
    """
    found: list[Exchange] = []
    texts: list[str] = []
    first_at: datetime | None = None
    since = state.silent_until
    for line in reversed(state.history):
        if line.role == "human" or (since is not None and line.at <= since):
            break
        if line.role == "person":
            texts.append(line.text)
            first_at = line.at
        elif first_at is not None:
            found.append(_exchange(texts, first_at, line))
            texts, first_at = [], None
    return found[::-1]


def _exchange(texts: Sequence[str], first_at: datetime, answer: Line) -> Exchange:
    words = " ".join("\n".join(reversed(texts)).casefold().split())
    return Exchange(words[:COMPARED_CHARACTERS], first_at, first_at - answer.at)


def _are_alike(texts: Sequence[str]) -> bool:
    """Whether every text is nearly the one before, or the one before that: some take turns."""
    return all(
        any(_is_nearly(text, other) for other in texts[max(0, index - 2) : index])
        for index, text in enumerate(texts)
        if index > 1
    )


def _is_nearly(text: str, other: str) -> bool:
    if text == other:
        return True
    matcher = SequenceMatcher(None, text, other, autojunk=False)
    return matcher.quick_ratio() >= NEARLY and matcher.ratio() >= NEARLY
