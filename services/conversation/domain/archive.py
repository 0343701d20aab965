"""Events as the thread view keeps them: one document a message. Pure."""

from dataclasses import dataclass
from typing import Any

from libs.common.events import (
    AnyRecord,
    MessageEchoed,
    MessageEdited,
    MessageFailed,
    MessageHeld,
    MessageReceived,
    MessageSent,
    PostbackReceived,
    StandbyReceived,
)

Fields = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """What to do with the document `message_id`.

    `insert` entries only ever create it (a second delivery changes nothing); the others set fields,
    and create it where `upsert` says so.
    """

    message_id: str
    fields: Fields
    insert: bool = False
    upsert: bool = True


def message_id(event: AnyRecord) -> str | None:
    """Where a message of the person, or of Meta's inbox, is kept: `page_id:mid`."""
    match event:
        case MessageReceived() | MessageEchoed() | MessageEdited():
            return f"{event.page_id}:{event.mid}"
        case PostbackReceived() | StandbyReceived():
            return f"{event.page_id}:{event.mid or event.event_id}"
    return None


def entry_of(event: AnyRecord, own_app_id: str) -> Entry | None:
    """The archive's entry for an event, or None where it is not a message.

    Our own echoes are left out: `message.sent` tells the same and more.
    """
    match event:
        case MessageReceived():
            fields = _inbound(event, "message", event.text)
            attachments = [item.model_dump(exclude_none=True) for item in event.attachments]
            return _new(event, fields | {"attachments": attachments})
        case PostbackReceived():
            fields = _inbound(event, "postback", event.title or event.payload)
            return _new(event, fields | {"payload": event.payload})
        case StandbyReceived() if event.text:
            return _new(event, _inbound(event, "standby", event.text))
        case MessageEchoed() if event.app_id != own_app_id:
            fields = _common(event, event.text) | {
                "direction": "out",
                "origin": "human_facebook",
                "status": "sent",
                "mid": event.mid,
            }
            return _new(event, fields)
        case MessageEdited():
            changed = {"text": event.text, "edits": event.edit_number}
            return Entry(str(message_id(event)), changed, upsert=False)
        case MessageSent() | MessageFailed() | MessageHeld():
            return Entry(f"{event.page_id}:{event.send_id}", _part(event))
    return None


def _new(event: AnyRecord, fields: Fields) -> Entry:
    return Entry(str(message_id(event)), fields, insert=True)


def _common(event: Any, text: str | None) -> Fields:  # noqa: ANN401 - any conversation record
    return {"conversation": event.conversation_id, "at": event.occurred_at, "text": text}


def _inbound(event: Any, kind: str, text: str | None) -> Fields:  # noqa: ANN401
    return _common(event, text) | {
        "direction": "in",
        "origin": "person",
        "kind": kind,
        "mid": event.mid,
    }


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


def status_of(message: Fields, delivered_ms: int, read_ms: int) -> str:
    """The status shown with an outbound message: receipts are watermarks, not marks on messages."""
    status = str(message.get("status", "received"))
    if status != "sent":
        return status
    at_ms = int(message["at"].timestamp() * 1000)
    if at_ms <= read_ms:
        return "read"
    return "delivered" if at_ms <= delivered_ms else "sent"
