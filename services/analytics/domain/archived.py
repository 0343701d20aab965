"""Figures of what is older than the log, from the archive's messages and receipts, as events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from libs.common.archived import events_of
from libs.common.events import (
    AnyRecord,
    MessageDelivered,
    MessageRead,
)
from services.analytics.domain.fold import EVER, IN_TAKEOVER, Counts, Increment, apply
from services.analytics.domain.rollups import Stored
from services.analytics.domain.slots import moment_ms, slot_of
from services.analytics.domain.state import State

Fields = Mapping[str, Any]


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


def spoke_before(state: State, until: datetime) -> int | None:
    """The latest slot with messages that lies before this moment, or holds it; None: there is none.

    By it a conversation that goes on is told from a new one when its beginning is not kept.
    """
    last = slot_of(moment_ms(until))
    slots = [*state.active, *([] if state.active_floor is None else [state.active_floor])]
    return max((slot for slot in slots if slot <= last), default=None)


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
    spoke_before: int | None = None,
) -> Before:
    """What was before the log begins, as if its events were there.

    Args:
        messages: the conversation's documents in `messages`.
        fields: its document in `conversations`, or nothing.
        since: a takeover of an earlier time is not on the log any more.
        spoke_before: the slot of its latest message of those that are not kept any more.
    """
    stored, counts = Stored(), Counts()
    stored.state.active_floor = spoke_before
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
