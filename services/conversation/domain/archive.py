"""Events as the thread view keeps them: one document a message. Pure."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from libs.common.events import (
    AnyRecord,
    Attachment,
    ConversationRecord,
    MessageDelivered,
    MessageEchoed,
    MessageEdited,
    MessageFailed,
    MessageHeld,
    MessageRead,
    MessageReceived,
    MessageSent,
    PostbackReceived,
    ReactionReceived,
    ReferralReceived,
    StandbyReceived,
)
from services.conversation.domain.receive import Arrival
from services.conversation.domain.state import Position

Fields = dict[str, Any]

DELIVERED_MIDS = 50
_MOST_MS = 2**53  # what every reader of JSON can count to; later moments are no moments


@dataclass(frozen=True)
class Entry:
    """What to do with the document `message_id`, so that doing it twice changes nothing.

    `once` is written only if the document is made by this; `fields` always. Without `upsert`, a
    document that is not there stays away.
    """

    message_id: str
    fields: Fields = field(default_factory=dict)
    once: Fields = field(default_factory=dict)
    upsert: bool = True


@dataclass(frozen=True)
class Activity:
    """What some events of one conversation say of it; every part only ever moves forward."""

    page_id: str
    psid: str
    last_activity_at: datetime | None = None
    last_user_message_at: datetime | None = None
    delivered_ms: int = 0
    read_ms: int = 0
    delivered_mids: tuple[str, ...] = ()


def message_id(event: AnyRecord) -> str | None:
    """Where a message of the person, or of Meta's inbox, is kept: `page_id:mid`."""
    match event:
        case MessageReceived() | MessageEchoed() | MessageEdited():
            return f"{event.page_id}:{event.mid}"
        case PostbackReceived() | StandbyReceived():
            return f"{event.page_id}:{event.mid or event.event_id}"
    return None


def copied_id(event: AnyRecord) -> str | None:
    """The document that tells whether this event is a copy of one that came long ago.

    Edits and ends of a message have none of their own: applying them again does no harm.
    """
    match event:
        case MessageEdited() | MessageReceived(is_deleted=True):
            return None
    return message_id(event)


def source_of(position: Position) -> str:
    """Which record made a document: a copy stands elsewhere on the log."""
    return f"{position.partition}:{position.offset}"


def entry_of(arrival: Arrival, own_app_id: str) -> Entry | None:
    """The archive's entry for an event, or None where it is not a message."""
    event = arrival.event
    match event:
        case MessageReceived(is_deleted=True):
            taken_back: Fields = {"is_deleted": True, "text": None, "attachments": []}
            return Entry(str(message_id(event)), taken_back, upsert=False)
        case MessageReceived():
            fields = _inbound(event, "message", event.text)
            return _new(arrival, fields | _attachments(event))
        case PostbackReceived():
            more = {"payload": event.payload}
            return _new(arrival, _inbound(event, "postback", event.title or event.payload) | more)
        case StandbyReceived() if event.text:
            said = _elsewhere(event, "other_app") if event.is_echo else None
            return _new(arrival, said or _inbound(event, "standby", event.text))
        case MessageEchoed() if event.app_id != own_app_id:
            fields = _elsewhere(event, "human_facebook")
            return _new(arrival, fields | _attachments(event))
        case MessageEchoed() if event.send_id:
            return _own_echo(event)
        case MessageEdited():
            changed = {"text": event.text, "edits": event.edit_number}
            return Entry(str(message_id(event)), changed, upsert=False)
        case MessageSent() | MessageFailed() | MessageHeld():
            return Entry(f"{event.page_id}:{event.send_id}", _part(event))
    return None


def activity_of(events: Iterable[AnyRecord]) -> Activity | None:
    """What events of one conversation, in their order, say of it; None: nothing."""
    activity: Activity | None = None
    for event in events:
        if isinstance(event, ConversationRecord) and (news := _news(event)) is not None:
            activity = news if activity is None else _merged(activity, news)
    return activity


def _news(event: ConversationRecord) -> Activity | None:
    page_id, psid, at = event.page_id, event.psid, event.occurred_at
    match event:
        case MessageReceived(is_deleted=False) | PostbackReceived() | ReferralReceived():
            return Activity(page_id, psid, at, at)
        case ReactionReceived(action="react"):
            return Activity(page_id, psid, at, at)
        case MessageEchoed() | StandbyReceived() | MessageSent():
            return Activity(page_id, psid, at)
        case MessageDelivered():
            watermark = _moment_ms(event.watermark_ms)
            return Activity(page_id, psid, delivered_ms=watermark, delivered_mids=event.mids)
        case MessageRead():  # what is read has been delivered
            watermark = _moment_ms(event.watermark_ms)
            return Activity(page_id, psid, delivered_ms=watermark, read_ms=watermark)
    return None


def _moment_ms(value: int) -> int:
    return value if 0 <= value <= _MOST_MS else 0


def _merged(first: Activity, second: Activity) -> Activity:
    mids = dict.fromkeys((*first.delivered_mids, *second.delivered_mids))
    return Activity(
        first.page_id,
        first.psid,
        _latest(first.last_activity_at, second.last_activity_at),
        _latest(first.last_user_message_at, second.last_user_message_at),
        max(first.delivered_ms, second.delivered_ms),
        max(first.read_ms, second.read_ms),
        tuple(mids)[-DELIVERED_MIDS:],
    )


def _latest(first: datetime | None, second: datetime | None) -> datetime | None:
    return max(filter(None, (first, second)), default=None)


def _new(arrival: Arrival, fields: Fields) -> Entry:
    once = fields | {"source": source_of(arrival.position)}
    return Entry(str(message_id(arrival.event)), once=once)


def _common(event: ConversationRecord, text: str | None) -> Fields:
    return {"conversation": event.conversation_id, "at": event.occurred_at, "text": text}


def _inbound(
    event: MessageReceived | PostbackReceived | StandbyReceived, kind: str, text: str | None
) -> Fields:
    return _common(event, text) | {
        "direction": "in",
        "origin": "person",
        "kind": kind,
        "mid": event.mid,
    }


def _elsewhere(event: MessageEchoed | StandbyReceived, origin: str) -> Fields:
    """Written to the person, and not by us."""
    return _common(event, event.text) | {
        "direction": "out",
        "origin": origin,
        "status": "sent",
        "mid": event.mid,
    }


def _attachments(event: MessageReceived | MessageEchoed) -> Fields:
    return {"attachments": [_attachment(item) for item in event.attachments]}


def _attachment(attachment: Attachment) -> Fields:
    """Meta's own payload as JSON text: its keys and numbers are none that we could vouch for."""
    fields = attachment.model_dump(exclude_none=True, exclude={"payload"})
    if attachment.payload is not None:
        fields["payload_json"] = json.dumps(attachment.payload)
    return fields


def _own_echo(event: MessageEchoed) -> Entry:
    """Meta's word that it has our message, and its own time for it, which receipts refer to.

    It may come before `message.sent`, which tells the rest.
    """
    once = _common(event, event.text) | {
        "direction": "out",
        "origin": "assistant",
        "status": "sent",
    }
    facts = {"mid": event.mid, "meta_at": event.occurred_at}
    return Entry(f"{event.page_id}:{event.send_id}", facts, once)


def _part(event: MessageSent | MessageFailed | MessageHeld) -> Fields:
    fields = _common(event, event.text) | {
        "direction": "out",
        "origin": event.origin,
        "status": event.type.removeprefix("message."),
        "send_id": event.send_id,
        "command_id": event.command_id,
        "turn_id": event.turn_id,
        "part": event.part,
        "parts": event.parts,
        "rule": event.rule,
    }
    match event:
        case MessageSent():
            sent = ("mid", "messaging_type", "tag", "window_expires_at", "attempts")
            return fields | {name: getattr(event, name) for name in sent}
        case MessageFailed():
            failed = ("reason", "explanation", "advice", "error_code", "error_subcode")
            return fields | {name: getattr(event, name) for name in failed}
        case MessageHeld():
            return fields | {"reason": event.reason, "explanation": event.explanation}


def status_of(message: Fields, conversation: Fields) -> str:
    """The status shown with a message. Receipts are watermarks of the conversation.

    They compare with Meta's own time of the message, known from its echo; ours is later by as long
    as Meta's answer took, so without an echo a delivery counts by the message's id as well.
    """
    status = str(message.get("status", "received"))
    if status != "sent":
        return status
    at_ms = int((message.get("meta_at") or message["at"]).timestamp() * 1000)
    if at_ms <= conversation.get("read_ms", 0):
        return "read"
    delivered = at_ms <= conversation.get("delivered_ms", 0)
    return "delivered" if delivered or _names(conversation, message.get("mid")) else "sent"


def _names(conversation: Fields, mid: object) -> bool:
    return mid is not None and mid in conversation.get("delivered_mids", ())
