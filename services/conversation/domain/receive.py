"""What an event does to a conversation. Pure: state and event in, state out."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from libs.common.events import (
    AnyRecord,
    MessageEchoed,
    MessageEdited,
    MessageReceived,
    MessageSent,
    PostbackReceived,
    ReactionReceived,
    ReferralReceived,
    StandbyReceived,
    derived_id,
)
from services.conversation.domain.state import Line, Pending, PendingKind, Position, Role, State

HISTORY_LINES = 60
LINE_CHARACTERS = 4000
PENDING_MESSAGES = 50
RECENT_EVENTS = 128
QUOTED_CHARACTERS = 300


@dataclass(frozen=True)
class Rules:
    """What the channel says about incoming messages."""

    answers: bool
    """Whether the assistant may answer now: channel known, enabled, and no human has it."""
    get_started_payload: str
    session_idle: timedelta
    own_app_id: str


@dataclass(frozen=True)
class Arrival:
    """An event, and where it stands on the log.

    `quoted` is the message it replies to, where only the archive knows that one.
    """

    event: AnyRecord
    position: Position
    quoted: str = ""


def short_id(event_id: str) -> str:
    """Event ids carry Meta's long message ids; sixteen characters of hash are enough here."""
    return derived_id(event_id)[:16]


def message_ref(event: AnyRecord) -> str:
    """How the memory names a message: the same for the message, its edit and its end."""
    return short_id(getattr(event, "mid", None) or event.event_id)


def changes_state(event: AnyRecord) -> bool:
    """Whether the event is part of what is remembered; the others only concern the archive."""
    match event:
        case MessageReceived() | MessageEdited() | PostbackReceived() | MessageEchoed():
            return True
        case ReactionReceived() | ReferralReceived() | StandbyReceived():
            return True
        case MessageSent(origin="human"):
            return True
    return False


def is_known(state: State, event_id: str) -> bool:
    return short_id(event_id) in state.recent


def is_redelivery(state: State, position: Position) -> bool:
    """Whether the log hands us this very record once more: everything up to here was taken in."""
    latest = state.position
    return (
        latest is not None
        and latest.partition == position.partition
        and position.offset <= latest.offset
    )


def is_later_copy(state: State, position: Position) -> bool:
    """Whether a record whose event is known stands behind the one that was taken in."""
    latest = state.position
    return (
        latest is not None
        and latest.partition == position.partition
        and position.offset > latest.offset
    )


def may_be_late_copy(state: State, occurred_at: datetime) -> bool:
    """Whether the event is as old as some that `recent` forgot."""
    return state.recent_since is not None and occurred_at <= state.recent_since


def has_to_be_looked_up(state: State, arrival: Arrival) -> bool:
    """Whether only the archive can tell if this is a copy of a message taken in long ago."""
    event = arrival.event
    return (
        not is_known(state, event.event_id)
        and may_be_late_copy(state, event.occurred_at)
        and not is_redelivery(state, arrival.position)
    )


def receive(state: State, arrivals: Iterable[Arrival], rules: Rules) -> State:
    """Take in events in their order. Those that were taken in before change nothing."""
    for arrival in arrivals:
        event = arrival.event
        forgotten = may_be_late_copy(state, event.occurred_at)
        if is_known(state, event.event_id):
            continue
        if forgotten and is_redelivery(state, arrival.position):
            continue
        state = _remember(_apply(state, arrival, rules), arrival)
    return state


def _remember(state: State, arrival: Arrival) -> State:
    recent = (*state.recent, short_id(arrival.event.event_id))
    since = state.recent_since
    if len(recent) > RECENT_EVENTS:
        recent = recent[-RECENT_EVENTS:]
        # the forgotten one is no newer than the newest activity, which is all that is known of it
        since = _latest(since, state.last_activity_at)
    return state.model_copy(
        update={
            "recent": recent,
            "recent_since": since,
            "last_activity_at": _latest(state.last_activity_at, arrival.event.occurred_at),
            "position": arrival.position,
        }
    )


def _apply(state: State, arrival: Arrival, rules: Rules) -> State:
    event = arrival.event
    match event:
        case MessageReceived(is_deleted=True):
            return _unsent(state, message_ref(event))
        case MessageReceived():
            return _message(state, event, rules, arrival.quoted)
        case MessageEdited():
            return _edited(state, message_ref(event), (event.text or "").strip())
        case PostbackReceived():
            return _postback(state, event, rules)
        case ReactionReceived(action="react") | ReferralReceived():
            return _opens_window(state, event.occurred_at)
        case MessageEchoed() if event.app_id != rules.own_app_id:
            return _line(state, event, "human", event.text or "")
        case MessageSent(origin="human"):
            return _line(state, event, "human", event.text)
        case _:
            return state


def _message(state: State, event: MessageReceived, rules: Rules, quoted: str) -> State:
    """The text of a tapped quick reply is its title."""
    text = (event.text or "").strip()
    quoted = (remembered(state, event.reply_to_mid) or quoted)[:QUOTED_CHARACTERS]
    state = _from_person(state, event, rules)
    kinds = " ".join(f"[{attachment.type}]" for attachment in event.attachments)
    shown = f"{text} {kinds}".strip()
    state = _line(state, event, "person", shown, quoted)
    if not shown or not rules.answers:
        return state
    return _wait(state, event, "text" if text else "attachment", shown, quoted)


def remembered(state: State, mid: str | None) -> str:
    """The text of a message that the memory has; empty where only the archive may know it.

    The assistant's own are not known by Meta's id here.
    """
    if mid is None:
        return ""
    message = short_id(mid)
    return next((line.text for line in state.history if line.message == message), "")


def _postback(state: State, event: PostbackReceived, rules: Rules) -> State:
    get_started = event.payload is not None and event.payload == rules.get_started_payload
    if get_started:
        state = _end_session(state)
    state = _from_person(state, event, rules)
    text = (event.title or event.payload or "").strip()
    state = _line(state, event, "person", text)
    if not rules.answers or not (text or get_started):
        return state
    return _wait(state, event, "get_started" if get_started else "text", text)


def _end_session(state: State) -> State:
    """What waits for an answer goes along into the next session: nobody's question is lost."""
    waiting = {pending.message for pending in state.pending}
    history = tuple(line for line in state.history if line.message in waiting)
    return state.model_copy(update={"session_id": "", "history": history})


def _from_person(state: State, event: MessageReceived | PostbackReceived, rules: Rules) -> State:
    """Count, renew the window, and begin a session where there is none or it has gone stale."""
    at, latest = event.occurred_at, state.last_activity_at
    if latest is not None and at - latest > rules.session_idle:
        state = _end_session(state)
    changes: dict[str, object] = {"inbound_count": state.inbound_count + 1}
    if not state.session_id:
        session_id = derived_id("session", event.event_id)
        changes |= {"session_id": session_id, "session_started_at": at}
    return _opens_window(state.model_copy(update=changes), at)


def _opens_window(state: State, at: datetime) -> State:
    """Events may come out of order: the window only ever moves forward."""
    return state.model_copy(
        update={"last_user_message_at": _latest(state.last_user_message_at, at)}
    )


def _line(state: State, event: AnyRecord, role: Role, text: str, quoted: str = "") -> State:
    if not text:
        return state
    line = Line(
        message=message_ref(event),
        role=role,
        text=text[:LINE_CHARACTERS],
        at=event.occurred_at,
        quoted=quoted,
    )
    return state.model_copy(update={"history": (*state.history, line)[-HISTORY_LINES:]})


def _wait(state: State, event: AnyRecord, kind: PendingKind, text: str, quoted: str = "") -> State:
    waiting = Pending(
        message=message_ref(event), kind=kind, text=text[:LINE_CHARACTERS], quoted=quoted
    )
    return state.model_copy(update={"pending": (*state.pending, waiting)[-PENDING_MESSAGES:]})


def _unsent(state: State, message: str) -> State:
    """The person took the message back: it is forgotten, and needs no answer."""
    return state.model_copy(
        update={
            "history": tuple(line for line in state.history if line.message != message),
            "pending": tuple(item for item in state.pending if item.message != message),
        }
    )


def _edited(state: State, message: str, text: str) -> State:
    """What is remembered says what it says now; what has been answered is not answered again."""
    if not text:
        return state
    change = {"text": text[:LINE_CHARACTERS]}

    def renew(item: Line | Pending) -> Line | Pending:
        return item.model_copy(update=change) if item.message == message else item

    return state.model_copy(
        update={
            "history": _each(renew, state.history),
            "pending": _each(renew, state.pending),
        }
    )


def _each(
    change: Callable[[Line | Pending], Line | Pending], items: Iterable[Line | Pending]
) -> tuple[Line | Pending, ...]:
    return tuple(change(item) for item in items)


def _latest(first: datetime | None, second: datetime | None) -> datetime | None:
    return max(filter(None, (first, second)), default=None)
