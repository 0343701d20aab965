"""What a stored turn puts on the log. Pure, and the same each time: a repeat changes nothing."""

from libs.common.events import (
    ConversationRecord,
    SendText,
    TakeoverRequested,
    TurnCompleted,
    TurnFailed,
    derived_id,
)
from services.conversation.domain.state import HumanRequest, Turn


def records_of(turn: Turn, page_id: str, psid: str) -> tuple[ConversationRecord, ...]:
    """The command that sends the reply, the fact of the turn, and the call for a human.

    A channel may have no text for a case: then there is nothing to send, and at most the others.
    """
    records: list[ConversationRecord] = []
    if turn.text:
        records.append(_command(turn, page_id, psid))
    if turn.failure:
        records.append(_failed(turn, page_id, psid))
    elif turn.text:
        records.append(_completed(turn, page_id, psid))
    if turn.request is not None:
        records.append(_requested(turn, turn.request, page_id, psid))
    return tuple(records)


def _command(turn: Turn, page_id: str, psid: str) -> SendText:
    return SendText(
        event_id=turn.command_id,
        page_id=page_id,
        psid=psid,
        occurred_at=turn.answered_at,
        origin="assistant",
        text=turn.text,
        turn_id=turn.turn_id,
        epoch=turn.epoch,
        waiting_since=turn.waiting_since,
        model_s=turn.model_s if turn.waiting_since else None,
    )


def _failed(turn: Turn, page_id: str, psid: str) -> TurnFailed:
    return TurnFailed(
        event_id=derived_id("turn.failed", turn.turn_id),
        page_id=page_id,
        psid=psid,
        occurred_at=turn.answered_at,
        turn_id=turn.turn_id,
        reason=turn.failure or "",
        attempts=turn.failed_attempts,
    )


def _completed(turn: Turn, page_id: str, psid: str) -> TurnCompleted:
    return TurnCompleted(
        event_id=derived_id("turn.completed", turn.turn_id),
        page_id=page_id,
        psid=psid,
        occurred_at=turn.answered_at,
        turn_id=turn.turn_id,
        command_id=turn.command_id,
        kind=turn.kind,
        messages_answered=turn.messages_answered,
        model=turn.model,
        duration_s=turn.duration_s,
        input_tokens=turn.input_tokens,
        output_tokens=turn.output_tokens,
    )


def _requested(turn: Turn, request: HumanRequest, page_id: str, psid: str) -> TakeoverRequested:
    return TakeoverRequested(
        event_id=derived_id("takeover.requested", turn.turn_id),
        page_id=page_id,
        psid=psid,
        occurred_at=turn.answered_at,
        turn_id=turn.turn_id,
        reason=request.reason,
        summary=request.summary,
        cause=request.cause or None,
    )
