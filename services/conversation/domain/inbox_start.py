"""A row of the inbox for a conversation that is older than rows are: from what is archived. Pure.

What may be off: of a conversation with more than `LATEST` messages, a copy of an event from before
them is not counted, as ever; something new that is as old as that is not, either. Nothing counts as
unread. Who has the conversation, and whether a human is wanted, is what its document says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from libs.common.archived import events_of
from services.conversation.domain.inbox import fold_all
from services.conversation.domain.inbox_rows import Asked, Row, empty_row, ms_of
from services.conversation.domain.receive import Arrival
from services.conversation.domain.state import Position

Fields = Mapping[str, Any]

LATEST = 400
"""So many of a conversation's messages are read; more than a row knows by their ids."""


@dataclass(frozen=True)
class Counted:
    """How many there are of each direction where not all were read."""

    inbound: int
    outbound: int


def row_before(
    conversation: Fields,
    messages: Sequence[Fields],
    own_app_id: str,
    read_until_ms: int,
    counted: Counted | None = None,
) -> Row:
    """The row of a conversation.

    Args:
        conversation: its document in `conversations`.
        messages: its latest documents in `messages`, in any order; all of them without `counted`.
        read_until_ms: what is no later counts as looked at.
    """
    name = conversation["_id"]
    events = events_of(name, messages, own_app_id)
    log = [Arrival(event, Position(partition=0, offset=each)) for each, event in enumerate(events)]
    row = fold_all(empty_row(name), log, own_app_id)
    row.heard = None  # what is on the log is counted once by its ids
    row.seen_ms = read_until_ms
    if counted is not None:
        row.inbound_count, row.outbound_count = counted.inbound, counted.outbound
        _close(row, messages)
    for moment in ("last_activity_at", "last_user_message_at"):
        if conversation.get(moment) is not None:
            setattr(row, moment, conversation[moment])
    _set_hands(row, conversation.get("takeover") or {})
    _set_wish(row, conversation.get("requested"))
    return row


def _close(row: Row, messages: Sequence[Fields]) -> None:
    """Nothing as old as what was not read is counted any more."""
    oldest = min((each["at"] for each in messages if each.get("at")), default=None)
    if oldest is None:
        return
    for window in (row.inbound, row.outbound):
        floor = (ms_of(oldest), _LEAST)
        window.floor = max(window.floor or floor, floor)


def _set_hands(row: Row, takeover: Fields) -> None:
    row.epoch = takeover.get("epoch", 0)
    row.mode = "human" if takeover.get("mode") == "human" else "ai"
    row.since = takeover.get("since")
    is_human = row.mode == "human"
    for name, told in (
        ("by", "by"),
        ("by_name", "by_name"),
        ("auto_resume_at", "auto_resume_at"),
        ("takeover_reason", "reason"),
        ("timer_at", "since"),
    ):
        setattr(row, name, takeover.get(told) if is_human else None)
    if (thread := takeover.get("thread")) is not None:
        row.thread_ours, row.thread_since = thread["ours"], thread["since"]


def _set_wish(row: Row, requested: Fields | None) -> None:
    """A wish that any takeover since then has followed is none any more."""
    row.asked = None
    if requested is not None and row.epoch <= requested["epoch"]:
        row.asked = Asked(requested["reason"], requested.get("summary", ""), requested["at"])


_LEAST = -(2**63)  # of messages of the same moment, none is too old
