"""When a human is called for, and when the same need has been told already. Pure."""

import re
from datetime import datetime, timedelta

from libs.common.text import beginning
from services.conversation.domain.state import HumanRequest, Line, Requested, State

SAME_REQUEST = timedelta(minutes=5)
"""Asking again within this time is the same request, unless a human came and left meanwhile."""
TROUBLE_AGAIN = timedelta(hours=1)
SUMMARY_CHARACTERS = 500
_SUMMARY_LINES = 3
_TROUBLE = frozenset({"model_failed", "limit_reached", "loop_suspected"})
_GAPS = re.compile(r"\s+")


def asked(state: State) -> HumanRequest:
    """The person's own request; its summary is what they last wrote."""
    return HumanRequest(reason="asked", summary=_last_words(state))


def trouble(state: State, failure: str) -> HumanRequest:
    """A request because no answer could be made. The summary is what stays unanswered."""
    reasons = {"daily_limit": "limit_reached", "loop_suspected": "loop_suspected"}
    return HumanRequest.model_validate(
        {
            "reason": reasons.get(failure, "model_failed"),
            "summary": _last_words(state),
            "cause": failure,
        }
    )


def shortened(text: str) -> str:
    """On one line, and no longer than a summary may be."""
    line = _GAPS.sub(" ", text).strip()
    return (
        line if len(line) <= SUMMARY_CHARACTERS else beginning(line, SUMMARY_CHARACTERS - 1) + "…"
    )


def is_told(state: State, request: HumanRequest, epoch: int, now: datetime) -> bool:
    """Whether humans know of this need already, so that telling it again would only be noise."""
    if request.reason in _TROUBLE:
        return state.trouble_at is not None and now - state.trouble_at < TROUBLE_AGAIN
    latest = state.requested
    return (
        latest is not None
        and latest.reason == request.reason
        and latest.epoch == epoch
        and now - latest.at < SAME_REQUEST
    )


def told(state: State, request: HumanRequest, epoch: int, now: datetime) -> State:
    """The state in which the request is known."""
    requested = Requested(reason=request.reason, summary=request.summary, at=now, epoch=epoch)
    trouble_at = now if request.reason in _TROUBLE else state.trouble_at
    return state.model_copy(update={"requested": requested, "trouble_at": trouble_at})


def _last_words(state: State) -> str:
    """The person's latest lines, the newest last; in a burst, those are the ones that wait."""
    lines: list[Line] = [line for line in state.history if line.role == "person"]
    return shortened(" / ".join(line.text[:SUMMARY_CHARACTERS] for line in lines[-_SUMMARY_LINES:]))
