"""What should be counted, slowly and from the whole log at once: the judge of the fold."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence

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
from services.analytics.domain.fold import EVER
from services.analytics.domain.histogram import bucket_of
from services.analytics.domain.slots import moment_ms, slot_of
from tests.unit.analytics.factories import APP

Totals = dict[tuple[int, str], int]


def totals(log: Iterable[AnyRecord]) -> Totals:
    """By slot and counter, without those that are 0, of all conversations."""
    counted: Counter[tuple[int, str]] = Counter()
    by_conversation: dict[str, list[AnyRecord]] = {}
    for event in log:
        assert isinstance(event, ConversationRecord)
        by_conversation.setdefault(event.conversation_id, []).append(event)
    for events in by_conversation.values():
        for part in (_messages(events), _receipts(events), _failures(events), _hands(events)):
            counted.update(part)
    return {key: number for key, number in counted.items() if number}


def active(log: Iterable[AnyRecord], first: int, end: int) -> int:
    """Conversations with messages in these slots: look at each message."""
    found = set()
    for event in log:
        side = _side(event)
        if side and first <= _slot(event) < end:
            assert isinstance(event, ConversationRecord)
            found.add(event.conversation_id)
    return len(found)


def _slot(event: AnyRecord) -> int:
    return slot_of(moment_ms(event.occurred_at))


def _side(event: AnyRecord) -> tuple[str, str] | None:
    """Direction or origin, and what a copy of it has the same."""
    match event:
        case MessageReceived(is_deleted=False) | PostbackReceived():
            return "in", event.mid or event.event_id
        case StandbyReceived():
            return ("human_facebook" if event.is_echo else "in"), event.mid or event.event_id
        case MessageEchoed() if event.app_id != APP:
            return "human_facebook", event.mid
        case MessageSent():
            return event.origin, event.send_id
    return None


def _messages(events: Sequence[AnyRecord]) -> Totals:
    """Each message once, at its first coming; who answered whom, in the order of the log."""
    counted: Counter[tuple[int, str]] = Counter()
    known, waiting, slots = set(), list[int](), set()
    echoes: dict[str, int] = {}  # Meta's time of what we sent, whenever it tells
    for event in events:
        if isinstance(event, MessageEchoed) and event.app_id == APP and event.send_id:
            echoes.setdefault(event.send_id, moment_ms(event.occurred_at))
    for event in events:
        if (side := _side(event)) is None:
            continue
        origin, name = side
        if (origin == "in", name) in known:
            continue
        known.add((origin == "in", name))
        slot, at_ms = _slot(event), moment_ms(event.occurred_at)
        slots.add(slot)
        if origin == "in":
            counted[slot, "in"] += 1
            waiting.append(at_ms)
            continue
        counted[slot, f"out.{origin}"] += 1
        is_certain = not isinstance(event, MessageSent) or event.send_id in echoes
        answered = {each for each in waiting if each <= echoes.get(name, at_ms)}
        if not answered and not is_certain:
            answered = {*waiting}  # by our own clock, which may be wrong
        if answered:
            counted[slot, f"answered.{origin}"] += 1
            counted[slot, f"first.{bucket_of(max(0, at_ms - min(answered)))}"] += 1
            waiting = [each for each in waiting if each not in answered]
    ordered = sorted(slots)
    for slot in ordered:
        index = bisect_left(ordered, slot)
        gap = f"gap.{slot - ordered[index - 1]}" if index else "gap.new"
        counted[slot, gap] += 1
    if ordered:
        counted[EVER, "conversations"] += 1
    return counted


def _receipts(events: Sequence[AnyRecord]) -> Totals:
    """For each message of the Page: is it before any watermark, or named by any receipt?"""
    read_ms = max((e.watermark_ms for e in events if isinstance(e, MessageRead)), default=0)
    receipts = [event for event in events if isinstance(event, MessageDelivered)]
    delivered_ms = max((event.watermark_ms for event in receipts), default=0)
    named = {mid for event in receipts for mid in event.mids}
    echoes: dict[str, int] = {}
    for event in events:
        if isinstance(event, MessageEchoed) and event.app_id == APP and event.send_id:
            echoes.setdefault(event.send_id, moment_ms(event.occurred_at))
    counted: Counter[tuple[int, str]] = Counter()
    known = set()
    for event in events:
        side = _side(event)
        if side is None or side[0] == "in" or side[1] in known:
            continue
        known.add(side[1])
        at_ms = moment_ms(event.occurred_at)
        mid = side[1]
        if isinstance(event, MessageSent):
            at_ms, mid = echoes.get(event.send_id, at_ms), event.mid
        if at_ms <= max(read_ms, delivered_ms) or mid in named:
            counted[_slot(event), "delivered"] += 1
        if at_ms <= read_ms:
            counted[_slot(event), "read"] += 1
    return counted


def _failures(events: Sequence[AnyRecord]) -> Totals:
    """Of each part that was never sent, the latest word."""
    sent = {event.send_id for event in events if isinstance(event, MessageSent)}
    latest: dict[str, MessageFailed | MessageHeld] = {}
    for event in events:
        if isinstance(event, MessageFailed | MessageHeld) and event.send_id not in sent:
            known = latest.get(event.send_id)
            if known is None or event.occurred_at > known.occurred_at:
                latest[event.send_id] = event
    return Counter(
        (_slot(event), f"failed.{event.reason}")
        for event in latest.values()
        if isinstance(event, MessageFailed)
    )


def _hands(events: Sequence[AnyRecord]) -> Totals:
    counted: Counter[tuple[int, str]] = Counter()
    asked, epoch, is_human = set(), 0, False
    for event in events:
        if isinstance(event, TakeoverRequested) and event.event_id not in asked:
            asked.add(event.event_id)
            counted[_slot(event), f"requested.{event.reason}"] += 1
        if isinstance(event, TakeoverStarted | TakeoverEnded) and event.epoch > epoch:
            epoch, is_human = event.epoch, isinstance(event, TakeoverStarted)
            what = "started" if is_human else "ended"
            counted[_slot(event), f"{what}.{event.reason}"] += 1
    counted[EVER, "in_takeover"] += is_human
    return counted
