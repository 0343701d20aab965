"""How one event of a conversation changes what is counted. Pure: the same log, the same numbers.

| Counter | Counts | In the slot of |
|---|---|---|
| `in` | the person's messages and taps, on standby too | its time |
| `out.<origin>` | what the person got from the Page | its `message.sent`, or its echo |
| `delivered`, `read` | of these, what receipts cover, by id or by time | the same slot as `out` |
| `failed.<reason>` | parts that Meta does not have; held ones are neither | the latest word |
| `answered.<origin>` | first messages of the Page after an unanswered one | that message |
| `first.<bucket>` | how long the first unanswered one had waited | that message |
| `requested.<reason>` | calls for a human | its time |
| `started.`, `ended.<reason>` | takeovers | its time |
| `gap.<slots>`, `gap.new` | conversations with messages, by how long they had none | itself |

Edits, reactions and what is taken back count nothing. Origins are `assistant`, `human` (from the
console) and `human_facebook` (Meta's inbox, or any app that is not ours), as in the thread view.

A message counts once, however often it comes (`state.Window`). A receipt covers every message up
to its watermark by Meta's time: the echo's where there is one, ours before that and without. So
it is with whom a message answers (`answers.py`). A part that failed and is sent later was sent. So
a number may also go down again.

Of a conversation's time `gap` holds enough to count, exactly, those active in any range: a
conversation is active in it if one of its slots lies there whose gap leads out of it.
"""

import re
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from libs.common.events import (
    AnyRecord,
    ConversationRecord,
    MessageDelivered,
    MessageEchoed,
    MessageFailed,
    MessageHeld,
    MessageRead,
    MessageReceived,
    MessageSent,
    PostbackReceived,
    StandbyReceived,
    TakeoverEnded,
    TakeoverRequested,
    TakeoverStarted,
)
from libs.common.events.standby import as_if_ours
from services.analytics.domain.answers import ECHO_WITHIN_MS, Answer, Change
from services.analytics.domain.histogram import bucket_of
from services.analytics.domain.slots import moment_ms, slot_of
from services.analytics.domain.state import (
    ACTIVE,
    EARLY,
    OPEN,
    UNSENT,
    Open,
    State,
    Unsent,
    hashed,
    keep_latest,
)

EVER = -1
"""In place of a slot: what is counted for all time."""

CONVERSATIONS, IN_TAKEOVER = "conversations", "in_takeover"

_MOST_MS = 2**53  # what every reader of JSON can count to; later moments are no moments
_NOT_IN_A_NAME = re.compile(r"[^a-z0-9_]+")

Increment = tuple[int, str, int]
"""Slot, or `EVER`; counter; by how much."""


@dataclass(slots=True)
class Counts:
    """What events have changed. `remarks` are for operators: copies, and what came too late."""

    increments: list[Increment] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def add(self, slot: int, name: str, number: int = 1) -> None:
        self.increments.append((slot, name, number))


def fold(state: State, event: AnyRecord, own_app_id: str) -> tuple[State, Counts]:
    """The state after the event, and what it adds. The state that is given stays as it is."""
    after, counts = state.copy(), Counts()
    apply(after, event, own_app_id, counts)
    return after, counts


def apply(state: State, event: AnyRecord, own_app_id: str, counts: Counts) -> None:
    """As `fold`, for whoever owns the state: changes it in place."""
    rule = _RULES.get(type(event))
    if rule is not None:
        rule(state, event, own_app_id, counts)


def _received(state: State, event: MessageReceived, _app: str, counts: Counts) -> None:
    if not event.is_deleted:
        _inbound(state, event, event.mid, counts)


def _tapped(state: State, event: PostbackReceived, _app: str, counts: Counts) -> None:
    _inbound(state, event, event.mid or event.event_id, counts)


def _on_standby(state: State, event: StandbyReceived, own_app_id: str, counts: Counts) -> None:
    """Messages and taps, which are what they would be in a thread of ours, as the archive has it.

    Receipts on standby are of another app's messages.
    """
    told = as_if_ours(event)
    if not isinstance(told, StandbyReceived):
        apply(state, told, own_app_id, counts)


def _inbound(state: State, event: ConversationRecord, name: str, counts: Counts) -> None:
    at_ms = moment_ms(event.occurred_at)
    admission = state.inbound.admit(hashed(name), at_ms)
    if admission != "new":
        counts.remarks.append(f"{admission}_inbound")
        return
    slot = slot_of(at_ms)
    counts.add(slot, "in")
    _note_activity(state, slot, counts)
    state.answers.ask(at_ms)


def _echoed(state: State, event: MessageEchoed, own_app_id: str, counts: Counts) -> None:
    """Of a part of ours it is Meta's time; anything else was written elsewhere."""
    at_ms = moment_ms(event.occurred_at)
    if not event.is_from(own_app_id):
        key = hashed(event.mid)
        written = Open(key, key, slot_of(at_ms), at_ms, has_echo=True)
        _outbound(state, written, at_ms, "human_facebook", counts)
    elif event.send_id:
        _own_echo(state, hashed(event.send_id), at_ms, counts)


def _own_echo(state: State, key: int, at_ms: int, counts: Counts) -> None:
    """Meta's time of a part, which receipts and what the person wrote compare with."""
    _count_answers(state.answers.echo(key, at_ms), counts)
    for each in state.open:
        if each.key == key:
            if not each.has_echo:
                each.has_echo, each.at_ms = True, at_ms
                _settle(state, each, counts)
                _close(state)
            return
    if key not in state.outbound.seen:
        state.early_echoes.setdefault(key, at_ms)
        keep_latest(state.early_echoes, EARLY)


def _sent(state: State, event: MessageSent, _app: str, counts: Counts) -> None:
    key, at_ms = hashed(event.send_id), moment_ms(event.occurred_at)
    part = Open(key, hashed(event.mid), slot_of(at_ms), at_ms, has_echo=False)
    _outbound(state, part, at_ms, event.origin, counts)


def _outbound(state: State, message: Open, at_ms: int, origin: str, counts: Counts) -> None:
    admission = state.outbound.admit(message.key, at_ms)
    if admission != "new":
        counts.remarks.append(f"{admission}_outbound")
        return
    if (unsent := state.unsent.pop(message.key, None)) is not None:
        _forget_failure(unsent, counts)
    counts.add(message.slot, f"out.{origin}")
    _note_activity(state, message.slot, counts)
    if (echoed_ms := state.early_echoes.pop(message.key, None)) is not None:
        message.has_echo, message.at_ms = True, echoed_ms
    echo_ms = message.at_ms if message.has_echo else None
    answer = Answer(message.key, message.slot, origin, at_ms, echo_ms)
    _count_answers(state.answers.answer(answer), counts)
    if message.mid in state.early_mids:
        del state.early_mids[message.mid]
        message.is_named = True
    state.open.append(message)
    _settle(state, message, counts)
    _close(state, at_ms)
    if len(state.open) > OPEN:
        del state.open[0]
        counts.remarks.append("unread_for_long")


def _count_answers(changes: list[Change], counts: Counts) -> None:
    for answer, waited_ms, number in changes:
        counts.add(answer.slot, f"answered.{answer.origin}", number)
        counts.add(answer.slot, f"first.{bucket_of(waited_ms)}", number)


def _delivered(state: State, event: MessageDelivered, _app: str, counts: Counts) -> None:
    for mid in map(hashed, event.mids):
        named = next((each for each in state.open if each.mid == mid), None)
        if named is not None:
            named.is_named = True
            _settle(state, named, counts)
        else:
            state.early_mids[mid] = None
    unknown = keep_latest(state.early_mids, EARLY)
    counts.remarks += ["receipt_without_message"] * len(unknown)
    watermark_ms = _sane(event.watermark_ms)
    if watermark_ms > state.delivered_ms:
        state.delivered_ms = watermark_ms
        _settle_all(state, counts)


def _read(state: State, event: MessageRead, _app: str, counts: Counts) -> None:
    watermark_ms = _sane(event.watermark_ms)
    if watermark_ms > state.read_ms:
        state.read_ms = watermark_ms
        _settle_all(state, counts)


def _sane(watermark_ms: int) -> int:
    return watermark_ms if 0 <= watermark_ms <= _MOST_MS else 0


def _settle_all(state: State, counts: Counts) -> None:
    for each in state.open:
        _settle(state, each, counts)
    _close(state)


def _settle(state: State, each: Open, counts: Counts) -> None:
    """Count what the receipts say of a message now. Its echo may move it behind them again."""
    is_read = each.at_ms <= state.read_ms
    is_delivered = is_read or each.is_named or each.at_ms <= state.delivered_ms
    if is_delivered != each.is_delivered:
        each.is_delivered = is_delivered
        counts.add(each.slot, "delivered", 1 if is_delivered else -1)
    if is_read != each.is_read:
        each.is_read = is_read
        counts.add(each.slot, "read", 1 if is_read else -1)


def _close(state: State, now_ms: int = 0) -> None:
    """Of what is read, and can't be moved by an echo any more, nothing changes."""
    oldest_ms = now_ms - ECHO_WITHIN_MS
    if any(each.is_read for each in state.open):
        state.open = [
            each
            for each in state.open
            if not (each.is_read and (each.has_echo or each.at_ms < oldest_ms))
        ]


def _not_sent(state: State, event: MessageFailed | MessageHeld, _app: str, counts: Counts) -> None:
    key, at_ms = hashed(event.send_id), moment_ms(event.occurred_at)
    reason = name_of(event.reason) if isinstance(event, MessageFailed) else None
    if key in state.outbound.seen:
        counts.remarks.append("copy_outcome")
        return
    known = state.unsent.get(key)
    if known is not None and known.at_ms >= at_ms:
        counts.remarks.append("copy_outcome")
        return
    if known is None and state.unsent_floor is not None and (at_ms, key) <= state.unsent_floor:
        counts.remarks.append("late_outcome")
        return
    if known is not None:
        _forget_failure(known, counts)
    slot = slot_of(at_ms)
    state.unsent[key] = Unsent(at_ms, slot, reason)
    if reason is not None:
        counts.add(slot, f"failed.{reason}")
    if len(state.unsent) > UNSENT:
        state.unsent_floor = min((each.at_ms, key) for key, each in state.unsent.items())
        del state.unsent[state.unsent_floor[1]]


def _forget_failure(unsent: Unsent, counts: Counts) -> None:
    if unsent.reason is not None:
        counts.add(unsent.slot, f"failed.{unsent.reason}", -1)


def _requested(state: State, event: TakeoverRequested, _app: str, counts: Counts) -> None:
    at_ms = moment_ms(event.occurred_at)
    admission = state.requests.admit(hashed(event.event_id), at_ms)
    if admission == "new":
        counts.add(slot_of(at_ms), f"requested.{name_of(event.reason)}")
    else:
        counts.remarks.append(f"{admission}_request")


def _started(state: State, event: TakeoverStarted, _app: str, counts: Counts) -> None:
    _change_hands(state, event, "started", counts, is_human=True)


def _ended(state: State, event: TakeoverEnded, _app: str, counts: Counts) -> None:
    _change_hands(state, event, "ended", counts, is_human=False)


def _change_hands(
    state: State,
    event: TakeoverStarted | TakeoverEnded,
    what: str,
    counts: Counts,
    *,
    is_human: bool,
) -> None:
    """Each change has an epoch above the one before: one that has not is a copy."""
    if event.epoch <= state.epoch:
        counts.remarks.append("copy_takeover")
        return
    slot = slot_of(moment_ms(event.occurred_at))
    counts.add(slot, f"{what}.{name_of(event.reason)}")
    if is_human != state.is_human:
        counts.add(EVER, IN_TAKEOVER, 1 if is_human else -1)
    state.epoch, state.is_human = event.epoch, is_human


def _note_activity(state: State, slot: int, counts: Counts) -> None:
    """Put a slot into its place among the conversation's others, wherever that is."""
    index = bisect_left(state.active, slot)
    after = state.active[index] if index < len(state.active) else None
    if after == slot:
        return
    before = state.active[index - 1] if index else state.active_floor
    if before is not None and slot <= before:
        if slot < before:
            counts.remarks.append("late_activity")
        return
    counts.add(slot, _gap(slot, before))
    if after is not None:
        counts.add(after, _gap(after, before), -1)
        counts.add(after, _gap(after, slot))
    elif before is None:
        counts.add(EVER, CONVERSATIONS)
    state.active.insert(index, slot)
    if len(state.active) > ACTIVE:
        state.active_floor = state.active.pop(0)


def _gap(slot: int, before: int | None) -> str:
    return "gap.new" if before is None else f"gap.{slot - before}"


def name_of(reason: str) -> str:
    """A reason as a part of a counter's name."""
    return _NOT_IN_A_NAME.sub("_", reason.lower())[:40].strip("_") or "unknown"


_RULES: dict[type[Any], Callable[[State, Any, str, Counts], None]] = {
    MessageReceived: _received,
    PostbackReceived: _tapped,
    StandbyReceived: _on_standby,
    MessageEchoed: _echoed,
    MessageSent: _sent,
    MessageFailed: _not_sent,
    MessageHeld: _not_sent,
    MessageDelivered: _delivered,
    MessageRead: _read,
    TakeoverRequested: _requested,
    TakeoverStarted: _started,
    TakeoverEnded: _ended,
}

COUNTED = frozenset(str(model.model_fields["type"].default).encode() for model in _RULES)
"""The types, as they stand in a record's header, that change anything."""
