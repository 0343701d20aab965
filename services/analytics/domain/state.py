"""What has to be known of a conversation to count its next event. Its size is bounded.

Ids are kept as 64-bit hashes. What stands in packed form is a row of such integers: a document with
everything at its limit takes 25 kilobytes, a usual one less than one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from libs.common.once import Window, hashed, packed, pair_of, unpacked
from services.analytics.domain.answers import NOBODY, ORIGINS, Answer, Answers

__all__ = ["Open", "State", "Unsent", "Window", "from_fields", "hashed", "keep_latest", "to_fields"]

Fields = dict[str, Any]
K = TypeVar("K")
V = TypeVar("V")

MESSAGES = 128
"""Of each direction, how many of the latest are known by their ids."""

REQUESTS = 16
UNSENT = 64
OPEN = 200
"""Messages of the Page that still wait for a receipt."""

EARLY = 50
"""Receipts by id, and echoes, that wait for their `message.sent`."""

ACTIVE = 64
"""Quarters of an hour with messages that are known one by one."""

_NEVER = -(2**63)
"""A moment that nobody has told, in a row of integers."""


@dataclass(slots=True)
class Open:
    """A message of the Page whose receipts may still come.

    `at_ms` is Meta's own time of it, once its echo has told it; ours before.
    """

    key: int
    mid: int
    slot: int  # in which it was sent
    at_ms: int
    has_echo: bool
    is_named: bool = False  # by a delivery receipt
    is_delivered: bool = False
    is_read: bool = False

    def copy(self) -> "Open":
        return Open(
            self.key,
            self.mid,
            self.slot,
            self.at_ms,
            self.has_echo,
            self.is_named,
            self.is_delivered,
            self.is_read,
        )


@dataclass(frozen=True, slots=True)
class Unsent:
    """The latest word on a part that Meta does not have: why it failed; None while it is held."""

    at_ms: int
    slot: int
    reason: str | None


@dataclass(slots=True)
class State:
    """One conversation; a fold changes a copy."""

    inbound: Window = field(default_factory=lambda: Window(MESSAGES))
    outbound: Window = field(default_factory=lambda: Window(MESSAGES))
    requests: Window = field(default_factory=lambda: Window(REQUESTS))
    open: list[Open] = field(default_factory=list)  # in the order of the log
    unsent: dict[int, Unsent] = field(default_factory=dict)
    unsent_floor: tuple[int, int] | None = None
    early_echoes: dict[int, int] = field(default_factory=dict)  # part: Meta's time
    early_mids: dict[int, None] = field(default_factory=dict)
    delivered_ms: int = 0
    read_ms: int = 0
    answers: Answers = field(default_factory=Answers)
    active: list[int] = field(default_factory=list)  # slots with messages, in order
    active_floor: int | None = None
    epoch: int = 0
    is_human: bool = False

    def copy(self) -> "State":
        return State(
            self.inbound.copy(),
            self.outbound.copy(),
            self.requests.copy(),
            [each.copy() for each in self.open],
            dict(self.unsent),
            self.unsent_floor,
            dict(self.early_echoes),
            dict(self.early_mids),
            self.delivered_ms,
            self.read_ms,
            self.answers.copy(),
            list(self.active),
            self.active_floor,
            self.epoch,
            self.is_human,
        )


def keep_latest(things: dict[K, V], size: int) -> list[K]:
    """Drop the first that came, beyond `size`; which they were."""
    gone = [key for _, key in zip(range(len(things) - size), things, strict=False)]
    for key in gone:
        del things[key]
    return gone


def to_fields(state: State) -> Fields:
    """As it is stored: nothing that is empty."""
    fields: Fields = {
        "inbound": state.inbound.to_fields(),
        "outbound": state.outbound.to_fields(),
        "requests": state.requests.to_fields(),
        "open": packed(
            number
            for each in state.open
            for number in (each.key, each.mid, each.slot, each.at_ms, _flags(each))
        ),
        "unsent": [
            {"key": key, "at_ms": each.at_ms, "slot": each.slot, "reason": each.reason}
            for key, each in state.unsent.items()
        ],
        "unsent_floor": list(state.unsent_floor or ()),
        "early_echoes": packed(number for pair in state.early_echoes.items() for number in pair),
        "early_mids": packed(state.early_mids),
        "delivered_ms": state.delivered_ms,
        "read_ms": state.read_ms,
        "waiting": packed(state.answers.waiting()),
        "active": packed(state.active),
        "epoch": state.epoch,
        "is_human": state.is_human,
    }
    fields = {name: value for name, value in fields.items() if value}
    if state.active_floor is not None:
        fields["active_floor"] = state.active_floor
    if (answers := state.answers).doubtful:  # `waiting` stays what it was before there was doubt
        fields["written"] = packed(answers.written)
        fields["answered_by"] = packed(answers.answered_by)
        fields["doubtful"] = packed(
            number for each in answers.doubtful for number in _numbers(each)
        )
    return fields


def from_fields(fields: Mapping[str, Any]) -> State:
    state = State()
    for name, window in (
        ("inbound", state.inbound),
        ("outbound", state.outbound),
        ("requests", state.requests),
    ):
        window.fill(fields.get(name))
    numbers = unpacked(fields.get("open"))
    for index in range(0, len(numbers), 5):
        key, mid, slot, at_ms, flags = numbers[index : index + 5]
        has = [bool(flags & bit) for bit in (1, 2, 4, 8)]
        state.open.append(Open(key, mid, slot, at_ms, *has))
    for each in fields.get("unsent", ()):
        state.unsent[each["key"]] = Unsent(each["at_ms"], each["slot"], each["reason"])
    state.unsent_floor = pair_of(fields.get("unsent_floor"))
    numbers = unpacked(fields.get("early_echoes"))
    state.early_echoes = dict(zip(numbers[::2], numbers[1::2], strict=True))
    state.early_mids = dict.fromkeys(unpacked(fields.get("early_mids")))
    state.delivered_ms = fields.get("delivered_ms", 0)
    state.read_ms = fields.get("read_ms", 0)
    state.answers = _answers(fields)
    state.active = list(unpacked(fields.get("active")))
    state.active_floor = fields.get("active_floor")
    state.epoch = fields.get("epoch", 0)
    state.is_human = fields.get("is_human", False)
    return state


def _flags(each: Open) -> int:
    return each.has_echo | each.is_named << 1 | each.is_delivered << 2 | each.is_read << 3


def _numbers(each: Answer) -> tuple[int, ...]:
    echo_ms = _NEVER if each.echo_ms is None else each.echo_ms
    return (each.key, each.slot, ORIGINS.index(each.origin), each.sent_ms, echo_ms, each.place)


def _answers(fields: Mapping[str, Any]) -> Answers:
    if "doubtful" not in fields:
        written = list(unpacked(fields.get("waiting")))
        return Answers(written, [NOBODY] * len(written))
    answers = Answers(list(unpacked(fields["written"])), list(unpacked(fields["answered_by"])))
    numbers = unpacked(fields["doubtful"])
    for index in range(0, len(numbers), 6):
        key, slot, origin, sent_ms, echo_ms, place = numbers[index : index + 6]
        told_ms = None if echo_ms == _NEVER else echo_ms
        answers.doubtful.append(Answer(key, slot, ORIGINS[origin], sent_ms, told_ms, place))
    return answers
