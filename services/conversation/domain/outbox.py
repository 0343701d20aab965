"""What a stored turn puts on the log. Pure, and the same each time: a repeat changes nothing."""

from libs.common.events import SendText, TurnCompleted, TurnFailed, derived_id
from services.conversation.domain.state import Turn


def records_of(
    turn: Turn, page_id: str, psid: str
) -> tuple[SendText, TurnCompleted] | tuple[SendText, TurnFailed]:
    """The command that sends the reply, and the fact of the turn."""
    command = SendText(
        event_id=turn.command_id,
        page_id=page_id,
        psid=psid,
        occurred_at=turn.answered_at,
        origin="assistant",
        text=turn.text,
        turn_id=turn.turn_id,
        epoch=turn.epoch,
    )
    if turn.failure is None:
        return command, _completed(turn, page_id, psid)
    failed = TurnFailed(
        event_id=derived_id("turn.failed", turn.turn_id),
        page_id=page_id,
        psid=psid,
        occurred_at=turn.answered_at,
        turn_id=turn.turn_id,
        reason=turn.failure,
        attempts=turn.failed_attempts,
    )
    return command, failed


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
