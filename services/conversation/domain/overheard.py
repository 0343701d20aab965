"""What is said in a thread while another app has it: told as standby, and never answered. Pure."""

from typing import Any

from pydantic import ValidationError

from libs.common.events import (
    AnyRecord,
    MessageEdited,
    MessageReceived,
    ReactionReceived,
    StandbyReceived,
)


def as_if_ours(event: StandbyReceived) -> AnyRecord:
    """Edits, ends and reactions of the person are what they would have been if they can be read.

    Anything else stays standby.
    """
    body = event.raw.get(event.kind)
    if event.mid is None or event.is_echo or not isinstance(body, dict):
        return event
    facts = event.model_dump(include={"event_id", "page_id", "psid", "occurred_at", "mid"})
    try:
        match event.kind:
            case "message" if body.get("is_deleted") in (True, "true"):
                return MessageReceived(**facts, is_deleted=True)
            case "message_edit":
                number = {"edit_number": body.get("num_edit") or 0}
                return MessageEdited.model_validate({**facts, **number, "text": body.get("text")})
            case "reaction":
                told = {name: body.get(name) for name in ("action", "reaction", "emoji")}
                return ReactionReceived.model_validate(facts | told)
    except ValidationError:
        return event
    return event


def is_from_person(event: StandbyReceived) -> bool:
    """Whether the person has written or tapped: that opens the messaging window for every app."""
    return event.kind in ("message", "postback") and not event.is_echo


def shown(event: StandbyReceived) -> str:
    """The message as the memory has it: its text, and what else was sent in brackets."""
    if event.kind != "message":
        return ""
    body: Any = event.raw.get("message")
    attachments = body.get("attachments") if isinstance(body, dict) else None
    kinds = [
        f"[{each['type']}]"
        for each in (attachments if isinstance(attachments, list) else ())
        if isinstance(each, dict) and isinstance(each.get("type"), str)
    ]
    return " ".join([(event.text or "").strip(), *kinds]).strip()
