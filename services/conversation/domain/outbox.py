"""What a stored turn puts on the log. Pure, and the same each time: a repeat changes nothing."""

from libs.common.events import ConversationRecord, SendText, TurnCompleted, TurnFailed, derived_id
from services.conversation.domain.state import Turn


def records_of(turn: Turn, page_id: str, psid: str) -> tuple[ConversationRecord, ...]:
    """The command that sends the reply, and the fact of the turn.

    A channel may have no text for a case: then there is nothing to send, and at most a failure.
    """
    outcome = _failed(turn, page_id, psid) if turn.failure else _completed(turn, page_id, psid)
    if turn.text:
        return _command(turn, page_id, psid), outcome
    return (outcome,) if turn.failure else ()


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
