"""What is left of a conversation when its older messages are to be forgotten. Pure.

Texts go, and what was only there for their sake. What tells copies and late receipts from news
stays: ids and moments.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from services.conversation.domain.inbox_rows import Row
from services.conversation.domain.state import State


def without_old(state: State, until: datetime) -> State:
    """What the assistant remembers, without all that is older."""
    turn, requested = state.turn, state.requested
    return state.model_copy(
        update={
            "history": tuple(line for line in state.history if line.at >= until),
            "pending": tuple(each for each in state.pending if each.at is None or each.at >= until),
            "turn": turn if turn is not None and turn.answered_at >= until else None,
            "requested": requested if requested is not None and requested.at >= until else None,
        }
    )


def row_without_old(row: Row, until: datetime) -> Row:
    """The row of a list, without the beginning of a message that is older."""
    after = row.copy()
    if after.last is not None and after.last.at < until:
        after.last = None
    if after.asked is not None and after.asked.at < until:
        after.asked = replace(after.asked, summary="")
    return after


def oldest_of(state: State) -> datetime | None:
    """Of what the assistant remembers, the oldest."""
    return min((line.at for line in state.history), default=None)


def latest_of(document: Mapping[str, Any]) -> datetime | None:
    """Of a message that never came itself, when the latest edit or reaction was."""
    moments = [(document.get("said") or {}).get("at")]
    moments += [each.get("at") for each in (document.get("reactions") or {}).values()]
    return max((each for each in moments if each is not None), default=None)
