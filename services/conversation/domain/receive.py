"""What an event does to a conversation. Pure: state and event in, state out."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from libs.common.events import (
    AnyRecord,
    MessageEchoed,
    MessageEdited,
    MessageFailed,
    MessageReceived,
    MessageSent,
    PostbackReceived,
    ReactionReceived,
    ReferralReceived,
    StandbyReceived,
    derived_id,
)
from libs.common.events.standby import as_if_ours
from services.conversation.domain.opening import opens_window
from services.conversation.domain.state import Line, Pending, PendingKind, Position, Role, State

HISTORY_LINES = 60
LINE_CHARACTERS = 4000
PENDING_MESSAGES = 50
RECENT_EVENTS = 128
QUOTED_CHARACTERS = 300
ARCHIVED = timedelta(days=7)
"""So long the archive has every message: no workspace may keep them for less."""


@dataclass(frozen=True)
class Rules:
    """What the channel and who has the conversation say about incoming messages."""

    answers: bool
    """Whether the assistant may answer now: channel known, enabled, and no human has it."""
    get_started_payload: str
    session_idle: timedelta
    own_app_id: str
    answers_from: datetime | None = None
    """When the assistant got the conversation back. What was written before was a human's to
    answer, however late it comes to us, and stays as it is."""


@dataclass(frozen=True)
class Arrival:
    """An event, and where it stands on the log.

    `quoted` is the message it replies to, where only the archive knows that one. `logged_at` is
    when it was put on the log, by the clock of who did.
    """

    event: AnyRecord
    position: Position
    quoted: str = ""
    logged_at: datetime | None = None


@lru_cache(maxsize=4096)  # a turn asks for the same few again and again
def short_id(event_id: str) -> str:
    """Event ids carry Meta's long message ids; sixteen characters of hash are enough here."""
    return derived_id(event_id)[:16]


def message_ref(event: AnyRecord) -> str:
    """How the memory names a message: the same for the message, its edit and its end."""
    return short_id(getattr(event, "mid", None) or event.event_id)


def changes_state(event: AnyRecord, own_app_id: str) -> bool:
    """Whether the event is part of what is remembered; the others only concern the archive.

    The echo of what we sent ourselves tells the memory nothing: there is one for every answer.
    """
    match event:
        case MessageReceived() | MessageEdited() | PostbackReceived():
            return True
        case MessageEchoed():
            return not event.is_from(own_app_id)
        case ReactionReceived() | ReferralReceived() | StandbyReceived():
            return True
        case MessageSent(origin="human") | MessageFailed(origin="assistant", part=0):
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


def comes_too_late(arrival: Arrival) -> bool:
    """Whether it came on the log so long after it happened that the archive, which would tell a
    copy, may have forgotten it: only out of the dead letters does anything come so late.
    """
    logged_at = arrival.logged_at
    return logged_at is not None and logged_at - arrival.event.occurred_at > ARCHIVED


def has_to_be_looked_up(state: State, arrival: Arrival) -> bool:
    """Whether only the archive can tell if this is a copy of a message taken in long ago."""
    event = arrival.event
    return (
        not is_known(state, event.event_id)
        and may_be_late_copy(state, event.occurred_at)
        and not is_redelivery(state, arrival.position)
    )


def contradicts(state: State, event: AnyRecord) -> bool:
    """Whether a message that was taken in comes again with other content: what was first counts."""
    if not isinstance(event, MessageReceived) or event.is_deleted:
        return False
    message = message_ref(event)
    if message in state.edited:
        return False
    shown = _shown(event)[:LINE_CHARACTERS]
    return any(line.message == message and line.text != shown for line in state.history)


def receive(
    state: State,
    arrivals: Iterable[Arrival],
    rules: Rules,
    contradicted: Callable[[AnyRecord], None] = lambda _event: None,
) -> State:
    """Take in events in their order. Those that were taken in before change nothing.

    What waits in the end is for the assistant to answer, however it came to wait.

    Args:
        contradicted: told of what was taken in before with other content.
    """
    for arrival in arrivals:
        event = arrival.event
        forgotten = may_be_late_copy(state, event.occurred_at)
        if is_known(state, event.event_id):
            if contradicts(state, event):
                contradicted(event)
            continue
        if forgotten and is_redelivery(state, arrival.position):
            continue
        after = _with_logged_at(state, _apply(state, arrival, rules), arrival)
        state = _remember(after, arrival)
    waiting = tuple(item for item in state.pending if _is_ours_to_answer(item, rules))
    return state if waiting == state.pending else state.model_copy(update={"pending": waiting})


def _with_logged_at(before: State, after: State, arrival: Arrival) -> State:
    """What begins to wait with this arrival knows since when."""
    if arrival.logged_at is None or not after.pending or after.pending == before.pending:
        return after
    *earlier, latest = after.pending
    if latest.message != message_ref(arrival.event) or latest.logged_at is not None:
        return after
    waiting = latest.model_copy(update={"logged_at": arrival.logged_at})
    return after.model_copy(update={"pending": (*earlier, waiting)})


def _is_ours_to_answer(waiting: Pending, rules: Rules) -> bool:
    if not rules.answers or rules.answers_from is None:
        return rules.answers
    return waiting.at is not None and waiting.at >= rules.answers_from


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
    if isinstance(event, StandbyReceived):
        return _overheard(state, as_if_ours(event), rules)
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
            return _addressed(state, event)
        case MessageEchoed() if not event.is_from(rules.own_app_id):
            return _line(state, event, "human", _shown(event))
        case MessageSent(origin="human"):
            return _line(state, event, "human", event.text)
        case MessageFailed(origin="assistant", part=0):
            return _unsaid(state, event.command_id)
        case _:
            return state


def _message(state: State, event: MessageReceived, rules: Rules, quoted: str) -> State:
    """The text of a tapped quick reply is its title."""
    text = (event.text or "").strip()
    quoted = (remembered(state, event.reply_to_mid) or quoted)[:QUOTED_CHARACTERS]
    state = _from_person(state, event, rules)
    shown = _shown(event)
    state = _line(state, event, "person", shown, quoted)
    if not shown:
        return state
    return _wait(state, event, "text" if text else "attachment", shown, quoted)


def _shown(event: MessageReceived | MessageEchoed) -> str:
    kinds = [f"[{attachment.type}]" for attachment in event.attachments]
    return " ".join([(event.text or "").strip(), *kinds]).strip()


def _overheard(state: State, event: AnyRecord, rules: Rules) -> State:
    """Somebody else's to answer, but part of what the assistant has to know afterwards.

    It opens the window for every app, and does not make the thread ours.
    """
    if opens_window(event):
        state = _opens_window(state, event.occurred_at)
    match event:
        case MessageReceived(is_deleted=True):
            return _unsent(state, message_ref(event))
        case MessageReceived():
            quoted = remembered(state, event.reply_to_mid)[:QUOTED_CHARACTERS]
            state = _without_stale_session(state, event.occurred_at, rules)
            return _line(state, event, "person", _shown(event), quoted)
        case PostbackReceived():
            state = _without_stale_session(state, event.occurred_at, rules)
            return _line(state, event, "person", (event.title or "").strip())
        case MessageEdited():
            return _edited(state, message_ref(event), (event.text or "").strip())
        case MessageEchoed() if not event.is_from(rules.own_app_id):
            return _line(state, event, "human", _shown(event))
    return state


def _unsaid(state: State, command_id: str) -> State:
    """An answer of which nothing went out was never given, for example as a human took over."""
    history = tuple(line for line in state.history if line.message != command_id)
    return state.model_copy(update={"history": history})


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
    if not (text or get_started):
        return state
    return _wait(state, event, "get_started" if get_started else "text", text)


def _end_session(state: State) -> State:
    """What waits for an answer goes along into the next session: nobody's question is lost."""
    waiting = {pending.message for pending in state.pending}
    history = tuple(line for line in state.history if line.message in waiting)
    return state.model_copy(update={"session_id": "", "history": history})


def _from_person(state: State, event: MessageReceived | PostbackReceived, rules: Rules) -> State:
    """Count, renew the window, and begin a session where there is none or it has gone stale."""
    at = event.occurred_at
    state = _without_stale_session(state, at, rules)
    changes: dict[str, object] = {"inbound_count": state.inbound_count + 1}
    if not state.session_id:
        session_id = derived_id("session", event.event_id)
        changes |= {"session_id": session_id, "session_started_at": at}
    return _addressed(state.model_copy(update=changes), event)


def _without_stale_session(state: State, at: datetime, rules: Rules) -> State:
    latest = state.last_activity_at
    is_stale = latest is not None and at - latest > rules.session_idle
    return _end_session(state) if is_stale else state


def _addressed(state: State, event: AnyRecord) -> State:
    """The person turned to us: the thread is ours, and most such things open the window."""
    latest = _latest(state.last_direct_message_at, event.occurred_at)
    state = state.model_copy(update={"last_direct_message_at": latest})
    return _opens_window(state, event.occurred_at) if opens_window(event) else state


def _opens_window(state: State, at: datetime) -> State:
    """Events may come out of order: the window only ever moves forward."""
    return state.model_copy(
        update={"last_user_message_at": _latest(state.last_user_message_at, at)}
    )


def _line(state: State, event: AnyRecord, role: Role, text: str, quoted: str = "") -> State:
    message = message_ref(event)
    if not text or any(line.message == message for line in state.history):
        return state  # of one message, two webhooks may tell: standby is one of them
    line = Line(
        message=message,
        role=role,
        text=text[:LINE_CHARACTERS],
        at=event.occurred_at,
        quoted=quoted,
    )
    return state.model_copy(update={"history": (*state.history, line)[-HISTORY_LINES:]})


def _wait(state: State, event: AnyRecord, kind: PendingKind, text: str, quoted: str = "") -> State:
    waiting = Pending(
        message=message_ref(event),
        kind=kind,
        text=text[:LINE_CHARACTERS],
        quoted=quoted,
        at=event.occurred_at,
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

    there = {line.message for line in state.history}
    edited = dict.fromkeys((*state.edited, message))
    return state.model_copy(
        update={
            "edited": tuple(each for each in edited if each in there),
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
