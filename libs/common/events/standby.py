"""What is said in a thread while another app has it: told as standby, and never answered. Pure."""

from typing import Any

from pydantic import ValidationError

from libs.common.events.codec import AnyRecord
from libs.common.events.inbound import (
    Attachment,
    MessageEchoed,
    MessageEdited,
    MessageReceived,
    PostbackReceived,
    ReactionReceived,
    Referral,
    ReferralReceived,
    StandbyReceived,
)

_Body = dict[str, Any]


def as_if_ours(event: StandbyReceived) -> AnyRecord:
    """What it would have been in a thread of ours, under its own event id.

    Anything else, and what cannot be read, stays standby. Of buttons Meta tells no payload.
    """
    body = event.raw.get(event.kind)
    try:
        return _normal(event, body if isinstance(body, dict) else {}) or event
    except ValidationError:
        return event


def _normal(event: StandbyReceived, body: _Body) -> AnyRecord | None:
    facts = event.model_dump(include={"event_id", "page_id", "psid", "occurred_at"})
    if event.kind == "postback":
        title = _text(body.get("title")) or event.text
        return PostbackReceived(**facts, mid=event.mid, title=title)
    if event.kind == "referral":
        named = {name: body.get(name) for name in ("ref", "source", "type")}
        return ReferralReceived(**facts, referral=Referral.model_validate(named))
    if event.mid is None:
        return None
    facts["mid"] = event.mid
    match event.kind:
        case "message" if event.is_echo:
            return MessageEchoed(
                **facts,
                text=event.text,
                attachments=_attachments(body),
                app_id=_text(body.get("app_id")),
                send_id=_text(body.get("metadata")),
            )
        case "message" if body.get("is_deleted") in (True, "true"):
            return MessageReceived(**facts, is_deleted=True)
        case "message":
            quoted = body.get("reply_to")
            return MessageReceived(
                **facts,
                text=event.text,
                attachments=_attachments(body),
                reply_to_mid=_text(quoted.get("mid")) if isinstance(quoted, dict) else None,
            )
        case "message_edit":
            number = {"edit_number": body.get("num_edit") or 0}
            return MessageEdited.model_validate({**facts, **number, "text": body.get("text")})
        case "reaction" if not event.is_echo:
            told = {name: body.get(name) for name in ("action", "reaction", "emoji")}
            return ReactionReceived.model_validate(facts | told)
    return None


def _attachments(body: _Body) -> tuple[Attachment, ...]:
    found = body.get("attachments")
    return tuple(map(_attachment, found)) if isinstance(found, list) else ()


def _attachment(found: object) -> Attachment:
    """One that cannot be read stays one: that something came matters."""
    known = found if isinstance(found, dict) else {}
    payload = known["payload"] if isinstance(known.get("payload"), dict) else None
    told = payload or {}
    kind = known.get("type")
    return Attachment(
        type=kind if isinstance(kind, str) and kind else "unknown",
        url=_text(told.get("url")) or _text(known.get("url")),
        title=_text(told.get("title")) or _text(known.get("title")),
        sticker_id=_text(told.get("sticker_id")),
        payload=payload,
    )


def _text(value: object) -> str | None:
    """App ids come as text or number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value else None
