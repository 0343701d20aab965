"""A row of the inbox: what is shown of one conversation in a list, and what is needed to keep it.

Ids are kept as 64-bit hashes, moments as whole milliseconds: the database keeps no more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from libs.common.once import Window, packed, unpacked
from services.conversation.domain.state import Mode, Position

Fields = dict[str, Any]
Place = Literal["done", "human", "needs_human", "assistant"]
Kind = Literal["text", "attachment", "postback", "deleted"]

MESSAGES = 128
"""Of each direction, how many of the latest are known by their ids; as many can be unread."""
REQUESTS = 16
UNSENT = 64
GONE = 16
PREVIEW = 160
EVER = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Last:
    """The latest message that reached anybody. `key` is its id's hash, `edit` the edit's number."""

    key: int
    direction: Literal["in", "out"]
    origin: str
    kind: Kind
    text: str
    at: datetime
    by_name: str | None = None
    edit: int = 0


@dataclass(frozen=True, slots=True)
class Unsent:
    """The latest word on a part that Meta does not have."""

    at_ms: int
    held: bool
    is_trouble: bool
    """Whether somebody should see to it: nobody's wish, and held ones."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A human is wanted."""

    reason: str
    summary: str
    at: datetime


@dataclass(slots=True)
class Row:
    """One conversation. A fold changes a copy.

    `heard` is the newest record that is in it. `seen_ms`: somebody has looked at what is no later.
    `taken_at` is when a human last took over, `timer_at` when the timer was last set.
    """

    page_id: str
    psid: str
    heard: Position | None = None
    last_activity_at: datetime | None = None
    last_user_message_at: datetime | None = None
    first_seen_at: datetime | None = None
    last: Last | None = None
    inbound: Window = field(default_factory=lambda: Window(MESSAGES))
    outbound: Window = field(default_factory=lambda: Window(MESSAGES))
    requests: Window = field(default_factory=lambda: Window(REQUESTS))
    inbound_count: int = 0
    outbound_count: int = 0
    unsent: dict[int, Unsent] = field(default_factory=dict)
    gone: list[int] = field(default_factory=list)
    seen_ms: int = 0
    done: bool = False
    asked: Asked | None = None
    mode: Mode = "ai"
    epoch: int = 0
    by: str | None = None
    by_name: str | None = None
    since: datetime | None = None
    auto_resume_at: datetime | None = None
    takeover_reason: str | None = None
    taken_at: datetime | None = None
    timer_at: datetime | None = None
    thread_ours: bool = True
    thread_since: datetime | None = None

    @property
    def id(self) -> str:
        return f"{self.page_id}:{self.psid}"

    @property
    def place(self) -> Place:
        """Where it is listed: in one place only."""
        if self.done:
            return "done"
        if self.mode == "human":
            return "human"
        return "assistant" if self.asked is None else "needs_human"

    @property
    def unread(self) -> int:
        """What the person wrote since somebody looked, `MESSAGES` at most."""
        return sum(at_ms > self.seen_ms for at_ms in self.inbound.seen.values())

    @property
    def held(self) -> int:
        return sum(each.held for each in self.unsent.values())

    @property
    def failed(self) -> int:
        """Messages not sent since the person last wrote, but for those that were not to be."""
        since_ms = ms_of(self.last_user_message_at) if self.last_user_message_at else 0
        return sum(
            each.is_trouble and not each.held and each.at_ms > since_ms
            for each in self.unsent.values()
        )

    def copy(self) -> "Row":
        return replace(
            self,
            inbound=self.inbound.copy(),
            outbound=self.outbound.copy(),
            requests=self.requests.copy(),
            unsent=dict(self.unsent),
            gone=list(self.gone),
        )


def empty_row(conversation: str) -> Row:
    page_id, _, psid = conversation.partition(":")
    return Row(page_id, psid)


def ms_of(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def whole_ms(moment: datetime) -> datetime:
    """As the database keeps it."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


_PLAIN = (
    "last_activity_at",
    "last_user_message_at",
    "first_seen_at",
    "inbound_count",
    "outbound_count",
    "done",
    "mode",
    "epoch",
    "by",
    "by_name",
    "since",
    "auto_resume_at",
    "takeover_reason",
    "thread_ours",
)
_KEPT = ("seen_ms", "gone", "taken_at", "timer_at", "thread_since")
_LAST = ("key", "direction", "origin", "kind", "text", "at", "by_name", "edit")
_ASKED = ("reason", "summary", "at")
_DERIVED = ("unread", "held", "failed")
_LOOKED_FOR = ("page_id", "done", "place", "by", "last_activity_at")


def to_fields(row: Row, revision: int = 0) -> Fields:
    """As it is stored: the row itself, whole, as one value, and beside it what lists look for.

    One value is read as it was written. The development stack's database may be read in the middle
    of a write, and then has some of a document's fields from before it, some from after it.
    """
    kept: Fields = {name: getattr(row, name) for name in _KEPT}
    for name in ("inbound", "outbound", "requests"):
        kept[name] = getattr(row, name).to_fields()
    kept["unsent"] = packed(
        number
        for key, each in row.unsent.items()
        for number in (key, each.at_ms, each.held | each.is_trouble << 1)
    )
    whole = {
        **{name: getattr(row, name) for name in (*_PLAIN, *_DERIVED)},
        "heard": row.heard and row.heard.model_dump(),
        "last": row.last and {name: getattr(row.last, name) for name in _LAST},
        "asked": row.asked and {name: getattr(row.asked, name) for name in _ASKED},
        "kept": {name: value for name, value in kept.items() if value},
        "revision": revision,
    }
    return {
        **{name: getattr(row, name) for name in _LOOKED_FOR},
        "is_unread": row.unread > 0,
        "asked_at": row.asked.at if row.asked else None,
        "row": whole,
    }


def from_fields(fields: Mapping[str, Any]) -> Row:
    """What was stored."""
    row, fields = empty_row(fields["_id"]), fields["row"]
    for name in _PLAIN:
        if fields.get(name) is not None:
            setattr(row, name, fields[name])
    if fields.get("heard"):
        row.heard = Position.model_validate(fields["heard"])
    if fields.get("last"):
        row.last = Last(**fields["last"])
    if fields.get("asked"):
        row.asked = Asked(**fields["asked"])
    kept = fields.get("kept") or {}
    for name in _KEPT:
        if kept.get(name):
            setattr(row, name, kept[name])
    for name in ("inbound", "outbound", "requests"):
        getattr(row, name).fill(kept.get(name))
    numbers = unpacked(kept.get("unsent"))
    for index in range(0, len(numbers), 3):
        key, at_ms, flags = numbers[index : index + 3]
        row.unsent[key] = Unsent(at_ms, bool(flags & 1), bool(flags & 2))
    return row
