"""A turn: what to ask, and what its answer does to the conversation. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from libs.common.events import derived_id
from services.conversation.domain import requests
from services.conversation.domain.receive import (
    HISTORY_LINES,
    LINE_CHARACTERS,
    Arrival,
    is_known,
    is_later_copy,
    message_ref,
)
from services.conversation.domain.state import (
    HumanRequest,
    Line,
    Pending,
    State,
    Takeover,
    Turn,
    TurnKind,
)

Need = Literal["nothing", "welcome", "text_only", "answer"]

QUESTION_CHARACTERS = 12_000  # several messages as long as Messenger lets people write them
BYTES_PER_TOKEN = 3.5
"""A cautious average over languages: only a budget depends on it, never a limit of a provider."""


@dataclass(frozen=True)
class Answer:
    """A reply ready to be stored: the model's, or one of the channel's fixed texts.

    `request` calls for a human. After `silence` nobody is answered for a while. `model_s` is how
    long the model was waited for, attempts in vain and the pauses between them included.
    """

    kind: TurnKind
    text: str
    model: str
    duration_s: float = 0.0
    input_tokens: int | None = None
    output_tokens: int | None = None
    failure: str | None = None
    failed_attempts: int = 0
    request: HumanRequest | None = None
    silence: timedelta | None = None
    model_s: float = field(default=0.0, compare=False)


def needed(state: State) -> Need:
    """What the waiting messages ask for. Text beside an attachment is a question like any other."""
    kinds = {waiting.kind for waiting in state.pending}
    if "text" in kinds:
        return "answer"
    if "get_started" in kinds:
        return "welcome"
    return "text_only" if kinds else "nothing"


def question(state: State) -> str:
    """The waiting messages as one question, the newest of them if they are very long.

    A tapped Get Started is no part of it.
    """
    texts: list[str] = []
    left = QUESTION_CHARACTERS
    for waiting in reversed(state.pending):
        if waiting.kind == "get_started" or not waiting.text:
            continue
        left -= len(waiting.text) + 1
        if left < 0:
            break
        texts.append(waiting.text)
    return "\n".join(reversed(texts))


def replied_to(state: State) -> str:
    """What the waiting messages reply to, each message once."""
    return "\n".join(dict.fromkeys(item.quoted for item in state.pending if item.quoted))


def dismissed(state: State) -> State:
    """Nothing waits any more, and nothing is said."""
    return state.model_copy(update={"pending": ()})


def earlier_lines(state: State, budget_tokens: int) -> tuple[Line, ...]:
    """The session's newest lines that fit the budget, without those that wait for an answer."""
    waiting = {pending.message for pending in state.pending}
    lines: list[Line] = []
    left = budget_tokens * BYTES_PER_TOKEN
    for line in reversed(state.history):
        if line.message in waiting:
            continue
        left -= len(line.text.encode()) + len(line.quoted.encode()) + 8
        if left < 0:
            break
        lines.append(line)
    return tuple(reversed(lines))


def turn_id(conversation: str, asked: Sequence[Pending]) -> str:
    """The same for the same waiting messages: a repeated turn makes the same ids."""
    return derived_id("turn", conversation, asked[0].message)


def finish(
    state: State,
    conversation: str,
    answer: Answer,
    takeover: Takeover,
    now: datetime,
    asked: Sequence[Pending] | None = None,
) -> tuple[State, Turn]:
    """The state in which the answer stands and what it answers waits no more, and its turn.

    Args:
        asked: what it answers, by default all that waits.
    """
    asked = state.pending if asked is None else asked
    answered = tuple(waiting.message for waiting in asked)
    this_turn = turn_id(conversation, asked)
    # not before what it answers, however clocks differ: else it may be of who was erased since
    answered_at = _storable(max(now, *(each.at or now for each in asked)))
    request = answer.request
    if request is not None and requests.is_told(state, request, takeover.epoch, answered_at):
        request = None
    turn = Turn(
        turn_id=this_turn,
        command_id=derived_id("reply", this_turn),
        kind=answer.kind,
        text=answer.text,
        epoch=takeover.epoch,
        answered=answered,
        messages_answered=len(answered),
        answered_at=answered_at,
        model=answer.model,
        duration_s=answer.duration_s,
        input_tokens=answer.input_tokens,
        output_tokens=answer.output_tokens,
        failure=answer.failure,
        failed_attempts=answer.failed_attempts,
        request=request,
        model_s=answer.model_s,
        waiting_since=max((each.logged_at for each in asked if each.logged_at), default=None),
    )
    if request is not None:
        state = requests.told(state, request, takeover.epoch, answered_at)
    if answer.silence is not None:
        state = state.model_copy(update={"silent_until": answered_at + answer.silence})
    history = state.history
    if answer.text:
        text = answer.text[:LINE_CHARACTERS]
        line = Line(message=turn.command_id, role="assistant", text=text, at=answered_at)
        history = (*history, line)[-HISTORY_LINES:]
    left = tuple(waiting for waiting in state.pending if waiting.message not in answered)
    return state.model_copy(update={"pending": left, "turn": turn, "history": history}), turn


def _storable(moment: datetime) -> datetime:
    """As the database keeps it, in milliseconds: a repeated command is the same to the byte."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def to_publish_again(state: State, arrivals: Sequence[Arrival]) -> Turn | None:
    """The stored turn, if the log hands us again what it answered: its command may not have left.

    The offset of an event is committed only after its turn's command is on the log, so a turn that
    did not get there always sees its events again. A copy that stands further on says nothing.
    """
    turn = state.turn
    if turn is None:
        return None
    again = {
        message_ref(arrival.event)
        for arrival in arrivals
        if is_known(state, arrival.event.event_id) and not is_later_copy(state, arrival.position)
    }
    return turn if again & set(turn.answered) else None
