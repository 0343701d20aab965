"""The archive's messages as the events that they came from, for whoever counts what is older than
the log.

The archive knows what was said, what became of it, and who asked for a human and who took over. It
knows nothing of copies, nor of what a part was before it was sent, which do not count.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from libs.common.events import (
    AnyRecord,
    Attachment,
    MessageEchoed,
    MessageFailed,
    MessageHeld,
    MessageReceived,
    MessageSent,
    PostbackReceived,
    TakeoverEnded,
    TakeoverRequested,
    TakeoverStarted,
)

Fields = Mapping[str, Any]


def events_of(conversation: str, messages: Iterable[Fields], own_app_id: str) -> list[AnyRecord]:
    """What happened in a conversation, in the order of time.

    Args:
        messages: its documents in `messages`, in any order. Texts and attachments may be left out;
            so they are in the events.
    """
    page_id, _, psid = conversation.partition(":")
    events: list[AnyRecord] = []
    for message in messages:
        if message.get("at") is not None:  # else only an edit of it, or a reaction, has come
            events += _events(message, page_id, psid, own_app_id)
    return sorted(events, key=lambda event: event.occurred_at)


def _events(message: Fields, page_id: str, psid: str, own_app_id: str) -> list[AnyRecord]:
    name = str(message["_id"]).partition(":")[2]  # Meta's id, or the event's where there was none
    facts = {
        "event_id": f"archived {name}",
        "page_id": page_id,
        "psid": psid,
        "occurred_at": message["at"],
    }
    if message.get("send_id") is not None:
        return _part(message, facts, own_app_id)
    if message.get("kind") == "system":
        return _hand_over(message, facts)
    said = {"text": _text(message, "said"), "attachments": _attachments(message)}
    if message.get("direction") == "out":
        return [MessageEchoed(**facts, **said, mid=name, app_id=message.get("app_id"))]
    if message.get("direction") != "in":
        return []
    if message.get("kind") == "postback":
        return [PostbackReceived(**facts, mid=name, title=said["text"])]
    received = MessageReceived(**facts, **said, mid=name)
    if (message.get("attached") or {}).get("is_deleted"):
        return [received, received.model_copy(update={"is_deleted": True})]
    return [received]


def _text(message: Fields, where: str) -> str | None:
    return (message.get(where) or {}).get("text")


def _attachments(message: Fields) -> tuple[Attachment, ...]:
    items = (message.get("attached") or {}).get("items", ())
    return tuple(Attachment(type=item["type"]) for item in items)


def _hand_over(message: Fields, facts: dict[str, Any]) -> list[AnyRecord]:
    """The thread's lines about itself. By the event's id a call for a human is told from a copy."""
    facts = facts | {"event_id": str(message["_id"]).partition(":")[2]}
    told = {name: message.get(name) for name in ("epoch", "by", "reason")}
    match message.get("event"):
        case "takeover.requested":
            return [TakeoverRequested.model_validate(facts | told)]
        case "takeover.started":
            return [TakeoverStarted.model_validate(facts | told)]
        case "takeover.ended":
            return [TakeoverEnded.model_validate(facts | told)]
    return []


def _part(message: Fields, facts: dict[str, Any], own_app_id: str) -> list[AnyRecord]:
    events: list[AnyRecord] = []
    send_id = message["send_id"]
    if (echo := message.get("echo")) is not None:
        told = facts | {"occurred_at": echo["at"], "text": echo.get("text")}
        events.append(MessageEchoed(**told, mid=echo["mid"], app_id=own_app_id, send_id=send_id))
    if (outcome := message.get("outcome")) is None:
        return events
    part = facts | {
        "occurred_at": outcome["at"],
        "command_id": outcome["command_id"],
        "send_id": send_id,
        "part": outcome["part"],
        "parts": outcome["parts"],
        "origin": outcome["origin"],
        "rule": outcome["rule"],
        "text": outcome.get("text") or "",
        "by": outcome.get("by"),
        "by_name": outcome.get("by_name"),
    }
    if outcome["is_sent"]:
        events.append(
            MessageSent(**part, mid=outcome["mid"], messaging_type=outcome["messaging_type"])
        )
    elif outcome["status"] == "failed":
        events.append(MessageFailed(**part, reason=outcome["reason"], explanation=""))
    else:
        events.append(MessageHeld(**part, reason=outcome["reason"], explanation=""))
    return events
