"""What an event does to a conversation. Pure: state and event in, state out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from libs.common.events import (
    AnyRecord,
    MessageEchoed,
    MessageReceived,
    MessageSent,
    PostbackReceived,
    ReactionReceived,
    ReferralReceived,
    derived_id,
)
from services.conversation.domain.state import Line, Pending, Role, State

HISTORY_LINES = 60
LINE_CHARACTERS = 4000
PENDING_MESSAGES = 50
RECENT_EVENTS = 128
LIKE = "👍"


@dataclass(frozen=True)
class Rules:
    """What the channel says about incoming messages."""

    answers: bool
    """Whether the assistant may answer now: channel known, enabled, and no human has it."""
    get_started_payload: str
    session_idle: timedelta
    own_app_id: str


def short_id(event_id: str) -> str:
    """Event ids carry Meta's long message ids; sixteen characters of hash are enough here."""
    return derived_id(event_id)[:16]


def changes_state(event: AnyRecord) -> bool:
    """Whether the event is part of what is remembered; the others are only kept in the archive."""
    return isinstance(
        event,
        MessageReceived | PostbackReceived | MessageEchoed | ReactionReceived | ReferralReceived,
    ) or (isinstance(event, MessageSent) and event.origin == "human")


def is_known(state: State, event_id: str) -> bool:
    return short_id(event_id) in state.recent


def may_be_late_copy(state: State, occurred_at: datetime) -> bool:
    """Whether the archive has to be asked: the event is as old as some that `recent` forgot."""
    return state.recent_since is not None and occurred_at <= state.recent_since


def receive(state: State, events: Sequence[AnyRecord], rules: Rules) -> State:
    """Take in events in their order. Those already in `recent` change nothing."""
    for event in events:
        if not is_known(state, event.event_id):
            state = remember(_apply(state, event, rules), event, keep=len(events))
    return state


def remember(state: State, event: AnyRecord, keep: int = 0) -> State:
    """Note the event as taken in.

    `keep`: events of the batch in hand never fall out, since the archive may not have them yet.
    """
    limit = max(RECENT_EVENTS, keep)
    recent = (*state.recent, short_id(event.event_id))
    since = state.recent_since
    if len(recent) > limit:
        recent = recent[-limit:]
        # the forgotten one is no newer than the newest activity, which is all that is known of it
        since = max(filter(None, (since, state.last_activity_at)), default=None)
    activity = max(filter(None, (state.last_activity_at, event.occurred_at)))
    return state.model_copy(
        update={"recent": recent, "recent_since": since, "last_activity_at": activity}
    )


def _apply(state: State, event: AnyRecord, rules: Rules) -> State:
    match event:
        case MessageReceived(is_deleted=True):
            return state
        case MessageReceived():
            return _message(state, event, rules)
        case PostbackReceived():
            return _postback(state, event, rules)
        case ReactionReceived(action="react") | ReferralReceived():
            return _opens_window(state, event.occurred_at)
        case MessageEchoed() if event.app_id != rules.own_app_id:
            return _line(state, "human", event.text or "", event.occurred_at, event.event_id)
        case MessageSent(origin="human"):
            return _line(state, "human", event.text, event.occurred_at, event.event_id)
        case _:
            return state


def _message(state: State, event: MessageReceived, rules: Rules) -> State:
    text = (event.text or "").strip()
    state = _from_person(state, event.occurred_at, event.event_id, rules)
    kinds = " ".join(f"[{attachment.type}]" for attachment in event.attachments)
    shown = f"{text} {kinds}".strip()
    state = _line(state, "person", shown, event.occurred_at, event.event_id)
    if not shown or not rules.answers:
        return state
    return _wait(state, event.event_id, "text" if text else "attachment", shown)


def _postback(state: State, event: PostbackReceived, rules: Rules) -> State:
    get_started = event.payload is not None and event.payload == rules.get_started_payload
    if get_started:
        state = state.model_copy(update={"session_id": "", "pending": ()})
    state = _from_person(state, event.occurred_at, event.event_id, rules)
    text = (event.title or event.payload or "").strip()
    state = _line(state, "person", text, event.occurred_at, event.event_id)
    if not rules.answers or not (text or get_started):
        return state
    return _wait(state, event.event_id, "get_started" if get_started else "text", text)


def _from_person(state: State, at: datetime, event_id: str, rules: Rules) -> State:
    """Count, renew the window, and begin a session where there is none or it has gone stale."""
    stale = state.last_activity_at is not None and at - state.last_activity_at > rules.session_idle
    fresh = stale or not state.session_id
    changes: dict[str, object] = {"inbound_count": state.inbound_count + 1}
    if fresh:
        changes |= {
            "session_id": derived_id("session", event_id),
            "session_started_at": at,
            "history": (),
        }
    return _opens_window(state.model_copy(update=changes), at)


def _opens_window(state: State, at: datetime) -> State:
    """Events may come out of order: the window only ever moves forward."""
    latest = max(filter(None, (state.last_user_message_at, at)))
    return state.model_copy(update={"last_user_message_at": latest})


def _line(state: State, role: Role, text: str, at: datetime, event_id: str) -> State:
    if not text:
        return state
    line = Line(role=role, text=text[:LINE_CHARACTERS], at=at, event_id=short_id(event_id))
    return state.model_copy(update={"history": (*state.history, line)[-HISTORY_LINES:]})


def _wait(state: State, event_id: str, kind: str, text: str) -> State:
    waiting = Pending.model_validate(
        {"event_id": short_id(event_id), "kind": kind, "text": text[:LINE_CHARACTERS]}
    )
    return state.model_copy(update={"pending": (*state.pending, waiting)[-PENDING_MESSAGES:]})
