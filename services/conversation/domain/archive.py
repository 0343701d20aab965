"""Events as the thread view keeps them: one document a message. Pure.

A message's events may come in any order, and any of them twice: an edit before the message, a
reaction before the echo, a copy of the first webhook after the person took everything back. So no
write depends on what is there. Each only says what it knows, as fields that are the same for all
(`$set`), or as a value of which the highest or the lowest stays (`$max`, `$min`). What a message
says now is therefore a value that begins with the number of the edit; of a part, what became of it
begins with whether Meta has it, and when. A document to which the message itself has not come yet
has no `at`, and no list shows it.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from libs.common.events import (
    AnyRecord,
    Attachment,
    ConversationRecord,
    HandoverChanged,
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
    TakeoverEnded,
    TakeoverExtended,
    TakeoverRequested,
    TakeoverStarted,
    derived_id,
)
from libs.common.events.standby import as_if_ours
from services.conversation.domain.opening import opens_window
from services.conversation.domain.receive import Arrival
from services.conversation.domain.state import Position

Fields = dict[str, Any]

DELIVERED_MIDS = 50
_TAKEN_BACK = 1_000_000  # a number no edit has: Meta allows five
_PARTS_OF_A_MESSAGE = frozenset({"said", "attached", "outcome", "echo", "reactions"})
_WHY_NOT_SENT = frozenset(
    {
        "reason",
        "explanation",
        "advice",
        "error_code",
        "error_subcode",
        "fbtrace_id",
        "meta_message",
    }
)
_TOLD_BY = {
    "message.sent": ("mid", "messaging_type", "tag", "window_expires_at", "attempts"),
    "message.failed": (
        "reason",
        "explanation",
        "advice",
        "tag",
        "window_expires_at",
        "error_code",
        "error_subcode",
        "fbtrace_id",
        "meta_message",
    ),
    "message.held": ("reason", "explanation"),
}
_SYSTEM_LINES = {
    "takeover.requested": ("reason", "summary"),
    "takeover.started": ("epoch", "by", "by_name", "reason", "auto_resume_at"),
    "takeover.extended": ("epoch", "by", "by_name", "auto_resume_at"),
    "takeover.ended": ("epoch", "by", "by_name", "reason"),
    "handover.changed": ("action", "previous_app_id", "new_app_id"),
}
_MOST_MS = 2**53  # what every reader of JSON can count to; later moments are no moments


@dataclass(frozen=True)
class Entry:
    """What an event says of the document `message_id`; saying it again changes nothing.

    `fields` are the same whoever writes them. Of the values under one name in `highest` the
    greatest stays, of those in `lowest` the least. Values that are documents compare as in MongoDB:
    field by field, in their order, nothing before any text.
    """

    message_id: str
    fields: Fields = field(default_factory=dict)
    highest: Fields = field(default_factory=dict)
    lowest: Fields = field(default_factory=dict)


@dataclass(frozen=True)
class Activity:
    """What some events of one conversation say of it; every part only ever moves forward.

    But for `oldest_at`, which moves back: nothing of what they say is older. `makes`: a
    conversation that is not there is made.
    """

    page_id: str
    psid: str
    last_activity_at: datetime | None = None
    last_user_message_at: datetime | None = None
    delivered_ms: int = 0
    read_ms: int = 0
    delivered_mids: tuple[str, ...] = ()
    oldest_at: datetime | None = None
    makes: bool = False


def message_id(event: AnyRecord) -> str | None:
    """Where a message of the person, or of Meta's inbox, is kept: `page_id:mid`."""
    match event:
        case MessageReceived() | MessageEchoed() | MessageEdited():
            return f"{event.page_id}:{event.mid}"
        case PostbackReceived():
            return f"{event.page_id}:{event.mid or event.event_id}"
    return None


def copied_id(event: AnyRecord) -> str | None:
    """The document that tells whether this event is a copy of one that came long ago.

    Edits and ends of a message have none of their own: applying them again does no harm.
    """
    if isinstance(event, StandbyReceived):
        event = as_if_ours(event)
    match event:
        case MessageEdited() | MessageReceived(is_deleted=True):
            return None
    return message_id(event)


def source_of(position: Position) -> str:
    """Which record brought a message: a copy stands further on."""
    return f"{position.partition}:{position.offset}"


def entry_of(arrival: Arrival, own_app_id: str) -> Entry | None:
    """The archive's entry for an event, or None where it is not about a message."""
    event = arrival.event
    if isinstance(event, StandbyReceived):
        event = as_if_ours(event)
    match event:
        case MessageReceived(is_deleted=True):
            return _taken_back(event)
        case MessageReceived():
            kept = _kept(arrival.position, _attachments(event))
            fields = _inbound(event) | _known(
                reply_to_mid=event.reply_to_mid, quick_reply_payload=event.quick_reply_payload
            )
            return _new(arrival, event, event.text, fields, {"kind": "message"}, kept)
        case PostbackReceived():
            fields = _inbound(event) | _known(payload=event.payload)
            return _new(arrival, event, event.title or event.payload, fields, {"kind": "postback"})
        case MessageEchoed() if not event.is_from(own_app_id):
            written = {"origin": "human_facebook"}
            kept = _kept(arrival.position, _attachments(event))
            fields = _outbound(event) | _known(app_id=event.app_id)
            return _new(arrival, event, event.text, fields, written, kept)
        case MessageEchoed() if event.send_id:
            return _own_echo(event)
        case MessageEdited():
            return _edit(event)
        case ReactionReceived():
            return _reaction(event)
        case MessageSent() | MessageFailed() | MessageHeld():
            return _part(event)
        case TakeoverRequested() | TakeoverStarted() | TakeoverExtended() | TakeoverEnded():
            return _system_line(event)
        case HandoverChanged(action="pass" | "take" | "request"):
            return _system_line(event)
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
    told = as_if_ours(event) if isinstance(event, StandbyReceived) else event
    if opens_window(told):
        return Activity(page_id, psid, at, at, oldest_at=at, makes=True)
    match event:
        case ReferralReceived() | MessageEchoed() | StandbyReceived() | MessageSent():
            return Activity(page_id, psid, at, oldest_at=at, makes=True)
        case MessageFailed() | MessageHeld():  # so that what it says is not kept for ever
            return Activity(page_id, psid, oldest_at=at, makes=True)
        case MessageReceived() | ReactionReceived():  # taken back, maybe of a message long gone
            return Activity(page_id, psid, oldest_at=at)
        case MessageEdited() | HandoverChanged() | TakeoverRequested():
            return Activity(page_id, psid, oldest_at=at)
        case TakeoverStarted() | TakeoverExtended() | TakeoverEnded():
            return Activity(page_id, psid, oldest_at=at)
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
        min(filter(None, (first.oldest_at, second.oldest_at)), default=None),
        first.makes or second.makes,
    )


def _latest(first: datetime | None, second: datetime | None) -> datetime | None:
    return max(filter(None, (first, second)), default=None)


def _new(
    arrival: Arrival,
    event: MessageReceived | PostbackReceived | MessageEchoed,
    text: str | None,
    fields: Fields,
    told: Fields,
    kept: Fields | None = None,
) -> Entry:
    """A message itself. `told`: what another webhook about it may tell otherwise; of these, the one
    that comes first in the alphabet is also the one that knows more.
    """
    return Entry(
        str(message_id(event)),
        {"conversation": event.conversation_id, **fields},
        {"at": event.occurred_at, "said": _said_first(arrival.position, text), **(kept or {})},
        told | {"source": arrival.position.model_dump()},
    )


def _said_first(position: Position, text: str | None) -> Fields:
    """What a message says as it comes: less than any edit. Should it come with other words again,
    the first record counts, which is also the one that is answered; but any words before none,
    which is all that another webhook may tell.
    """
    is_first = -position.offset  # the higher, the earlier
    return {"number": 0, "at": None, "is_told": text is not None, "first": is_first, "text": text}


def _said(number: int, event: ConversationRecord, text: str | None) -> Fields:
    """What an edit makes of it. Where Meta counts no edits, the later text is the newer one."""
    return {"number": number, "at": event.occurred_at, "text": text}


def _kept(position: Position, attachments: list[Fields]) -> Fields:
    """Of the first record, too, that has any."""
    order = {"is_told": bool(attachments), "first": -position.offset}
    return {"attached": {"is_deleted": False, **order, "items": attachments}}


def _taken_back(event: MessageReceived) -> Entry:
    """Higher than any text and any attachment: nothing that comes later brings them back."""
    nothing: Fields = {
        "said": {"number": _TAKEN_BACK, "at": event.occurred_at, "text": None},
        "attached": {"is_deleted": True, "items": []},
    }
    return Entry(str(message_id(event)), {"conversation": event.conversation_id}, nothing)


def _edit(event: MessageEdited) -> Entry:
    number = min(max(event.edit_number, 0), _TAKEN_BACK - 1)
    said = _said(number, event, event.text)
    return Entry(str(message_id(event)), {"conversation": event.conversation_id}, {"said": said})


def _reaction(event: ReactionReceived) -> Entry:
    """One value a person, under a name that any id can be made to: the latest stays.

    Of two at the same moment, taking it back stays: `unreact` comes after `react`.
    """
    reaction: Fields = {
        "at": event.occurred_at,
        "action": event.action,
        "reaction": event.reaction,
        "emoji": event.emoji,
        "by": event.psid,
    }
    return Entry(
        f"{event.page_id}:{event.mid}",
        {"conversation": event.conversation_id},
        {f"reactions.{derived_id(event.psid)[:16]}": reaction},
    )


def _known(**facts: str | None) -> Fields:
    """What standby does not tell takes nothing away from what another webhook told."""
    return {name: fact for name, fact in facts.items() if fact is not None}


def _inbound(event: MessageReceived | PostbackReceived) -> Fields:
    return {"direction": "in", "origin": "person", "mid": event.mid}


def _outbound(event: MessageEchoed) -> Fields:
    """Written to the person, and not by us."""
    return {"direction": "out", "status": "sent", "mid": event.mid}


def _attachments(event: MessageReceived | MessageEchoed) -> list[Fields]:
    return [_attachment(item) for item in event.attachments]


def _attachment(attachment: Attachment) -> Fields:
    """Meta's own payload as JSON text: its keys and numbers are none that we could vouch for."""
    fields = attachment.model_dump(exclude_none=True, exclude={"payload"})
    if attachment.payload is not None:
        fields["payload_json"] = json.dumps(attachment.payload)
    return fields


def _own_echo(event: MessageEchoed) -> Entry:
    """Meta's word that it has our message, and its own time for it, which receipts refer to.

    It may come before `message.sent`, which tells the rest, or after `message.held`.
    """
    echo: Fields = {"at": event.occurred_at, "mid": event.mid, "text": event.text}
    return Entry(
        f"{event.page_id}:{event.send_id}",
        {"conversation": event.conversation_id, "direction": "out", "send_id": event.send_id},
        {"at": event.occurred_at, "echo": echo},
    )


def _part(event: MessageSent | MessageFailed | MessageHeld) -> Entry:
    """A part that Meta has is sent, whatever else is said of it; else the latest word counts."""
    outcome: Fields = {
        "is_sent": isinstance(event, MessageSent),
        "at": event.occurred_at,
        "status": event.type.removeprefix("message."),
        "text": event.text,
        "origin": event.origin,
    }
    names = ("command_id", "turn_id", "part", "parts", "rule", "by", "by_name")
    return Entry(
        f"{event.page_id}:{event.send_id}",
        {"conversation": event.conversation_id, "direction": "out", "send_id": event.send_id},
        {
            "at": event.occurred_at,
            "outcome": outcome
            | {name: getattr(event, name) for name in (*names, *_TOLD_BY[event.type], "epoch")},
        },
    )


def _system_line(event: ConversationRecord) -> Entry:
    """What became of the conversation itself, between its messages: who has it, and why."""
    return Entry(
        f"{event.page_id}:{event.event_id}",
        {
            "conversation": event.conversation_id,
            "kind": "system",
            "event": event.type,
            **{name: getattr(event, name) for name in _SYSTEM_LINES[event.type]},
        },
        {"at": event.occurred_at},
    )


def view(document: Fields, reactions: Fields | None = None) -> Fields:
    """A message as it reads now, from all that is known of it.

    Args:
        reactions: those to a part of ours, which are kept under Meta's id: see `reactions_id`.
    """
    shown = {name: value for name, value in document.items() if name not in _PARTS_OF_A_MESSAGE}
    if (outcome := document.get("outcome")) is not None:
        shown |= {name: value for name, value in outcome.items() if name not in ("is_sent", "at")}
    if (echo := document.get("echo")) is not None:
        told = {name: value for name, value in shown.items() if name not in _WHY_NOT_SENT}
        shown = {"origin": "assistant", "text": echo["text"], **told}
        shown |= {"mid": echo["mid"], "meta_at": echo["at"], "status": "sent"}
    if (said := document.get("said")) is not None:
        is_deleted = said["number"] == _TAKEN_BACK
        edited = {"edits": said["number"]} if said["number"] and not is_deleted else {}
        shown |= {"text": said["text"], **edited} | ({"is_deleted": True} if is_deleted else {})
    if (attached := document.get("attached")) is not None:
        shown["attachments"] = attached["items"]
    if there := _there({**(reactions or {}), **document.get("reactions", {})}):
        shown["reactions"] = there
    return shown


def reactions_id(document: Fields) -> str | None:
    """Where the reactions to one of our parts are: a reaction names it as Meta does."""
    mid = document.get("outcome", {}).get("mid") or document.get("echo", {}).get("mid")
    page_id = str(document.get("conversation", "")).partition(":")[0]
    return f"{page_id}:{mid}" if mid else None


def _there(reactions: Fields) -> list[Fields]:
    """Those that were not taken back, the first one first."""
    given = [each for each in reactions.values() if each["action"] == "react"]
    return sorted(
        [{name: each[name] for name in ("by", "reaction", "emoji", "at")} for each in given],
        key=lambda each: (each["at"], each["by"]),
    )


def status_of(message: Fields, conversation: Fields) -> str:
    """The status shown with a message, as `view` has it. Receipts are watermarks of the
    conversation.

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
