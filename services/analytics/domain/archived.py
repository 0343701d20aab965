"""The archive's messages as the events that they came from: for figures older than the log.

The archive knows what was said, what became of it, who asked for a human and who took over, and how
far receipts go. It knows nothing of copies, nor of what a part was before it was sent, which do not
count.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from libs.common.events import (
    AnyRecord,
    MessageDelivered,
    MessageEchoed,
    MessageFailed,
    MessageHeld,
    MessageRead,
    MessageReceived,
    MessageSent,
    TakeoverEnded,
    TakeoverRequested,
    TakeoverStarted,
)
from services.analytics.domain.fold import EVER, IN_TAKEOVER, Counts, Increment, apply
from services.analytics.domain.rollups import Stored

Fields = Mapping[str, Any]


def events_of(conversation: str, messages: Iterable[Fields], own_app_id: str) -> list[AnyRecord]:
    """What happened in a conversation, in the order of time.

    Args:
        messages: its documents in `messages`, in any order.
    """
    page_id, _, psid = conversation.partition(":")
    events: list[AnyRecord] = []
    for message in messages:
        if message.get("at") is not None:  # else only an edit of it, or a reaction, has come
            events += _events(message, page_id, psid, own_app_id)
    return sorted(events, key=lambda event: event.occurred_at)


def receipts_of(conversation: str, fields: Fields, at: datetime) -> list[AnyRecord]:
    """What the conversation's document says of receipts: the furthest, and ids."""
    page_id, _, psid = conversation.partition(":")
    facts = {"event_id": "archived", "page_id": page_id, "psid": psid, "occurred_at": at}
    delivered = MessageDelivered(
        **facts,
        watermark_ms=fields.get("delivered_ms", 0),
        mids=tuple(fields.get("delivered_mids", ())),
    )
    return [delivered, MessageRead(**facts, watermark_ms=fields.get("read_ms", 0))]


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
    if message.get("direction") == "in":
        return [MessageReceived(**facts, mid=name)]
    if message.get("direction") != "out":
        return []
    return [MessageEchoed(**facts, mid=name, app_id=message.get("app_id"))]


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
        told = facts | {"occurred_at": echo["at"]}
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
        "text": "",
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


@dataclass(frozen=True)
class Before:
    """A conversation as the archive has it, and what it adds to the rollups."""

    conversation: str
    stored: Stored
    increments: list[Increment]


def counted_before(
    conversation: str,
    messages: Sequence[Fields],
    fields: Fields,
    own_app_id: str,
    since: datetime,
) -> Before:
    """What was before the log begins, as if its events were there.

    Args:
        messages: the conversation's documents in `messages`.
        fields: its document in `conversations`, or nothing.
        since: a takeover of an earlier time is not on the log any more.
    """
    stored, counts = Stored(), Counts()
    events = events_of(conversation, messages, own_app_id)
    for event in [*events, *receipts_of(conversation, fields, since)]:
        apply(stored.state, event, own_app_id, counts)
        stored.folded += 1
    takeover = fields.get("takeover") or {}
    is_before = (takeover.get("since") or since) < since
    if is_before and takeover.get("epoch", 0) > stored.state.epoch:
        is_human = takeover.get("mode") == "human"
        if is_human != stored.state.is_human:
            counts.add(EVER, IN_TAKEOVER, 1 if is_human else -1)
        stored.state.epoch, stored.state.is_human = takeover["epoch"], is_human
    return Before(conversation, stored, counts.increments)
