"""How one event changes its conversation's row in the inbox. Pure: the same log, the same rows.

| Part of the row | Follows from |
|---|---|
| `inbound_count`, `unread` | the person's messages and taps, on standby too |
| `outbound_count` | parts that Meta has, and what others wrote as the Page |
| `last` | of these, the one of the latest moment |
| `held`, `failed` | parts that Meta does not have, by the latest word on each |
| `asked` | calls for a human, until one comes or somebody calls it done |
| `mode`, `by`, … | takeovers: the highest epoch counts |
| `thread_ours` | thread control, as the takeover service understands it |

Records up to the one that is in the row change nothing, so a redelivery does no harm, however the
log is cut into batches. A copy of an event further on (Meta repeats webhooks, `make replay` puts
dead letters back) counts nothing twice: messages are known by their ids, takeovers by their epoch.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from libs.common.events import (
    AnyRecord,
    ConversationRecord,
    HandoverChanged,
    MessageEchoed,
    MessageEdited,
    MessageFailed,
    MessageHeld,
    MessageReceived,
    MessageSent,
    PostbackReceived,
    StandbyReceived,
    TakeoverEnded,
    TakeoverExtended,
    TakeoverRequested,
    TakeoverStarted,
)
from libs.common.events.standby import as_if_ours
from libs.common.once import hashed
from libs.common.text import beginning
from services.conversation.domain.archive import activity_of
from services.conversation.domain.inbox_rows import (
    GONE,
    PREVIEW,
    UNSENT,
    Asked,
    Kind,
    Last,
    Row,
    Unsent,
    ms_of,
    whole_ms,
)
from services.conversation.domain.receive import Arrival
from services.conversation.domain.state import Position

NOT_TO_BE = frozenset({"superseded_by_human", "discarded"})
"""Why a part failed when somebody wanted it so."""


def fold(row: Row, arrival: Arrival, own_app_id: str) -> Row:
    """The row after the event. The one that is given stays as it is."""
    return fold_all(row, [arrival], own_app_id)


def fold_all(row: Row, arrivals: Iterable[Arrival], own_app_id: str) -> Row:
    """The row after events of its conversation, in the order of the log."""
    after = row.copy()
    for arrival in arrivals:
        if is_after(after.heard, arrival.position):
            _apply(after, arrival.event, own_app_id)
            after.heard = arrival.position
    return after


def is_after(heard: Position | None, position: Position) -> bool:
    """Whether a record is not in the row yet. A conversation's are all in one partition; if the
    topic was cut anew, what stands in another one is newer."""
    return heard is None or heard.partition != position.partition or heard.offset < position.offset


def is_there(row: Row) -> bool:
    """Whether anything is known that is worth a row: receipts make none."""
    return row.last_activity_at is not None


def seen(row: Row, at: datetime) -> Row:
    """Somebody has looked at everything up to this moment; at what is still to come, nobody has."""
    after = row.copy()
    latest = at if row.last_activity_at is None else min(at, row.last_activity_at)
    after.seen_ms = max(after.seen_ms, ms_of(latest))
    return after


def marked(row: Row, *, done: bool, wrote_at: datetime | None = None) -> Row:
    """Done, or not any more. Whoever calls it done has seen to the person's wish for a human.

    Args:
        wrote_at: when the person last wrote, for all that whoever calls it done has seen. If they
            have written since, it stays as it is: nobody would look at that.
    """
    latest = row.last_user_message_at
    if done and wrote_at is not None and latest is not None and latest > wrote_at:
        return row
    after = row.copy()
    after.done = done
    if done:
        after.asked = None
    return after


def _apply(row: Row, event: AnyRecord, own_app_id: str) -> None:
    _note_moments(row, event)
    rule = _RULES.get(type(event))
    if rule is None:
        return
    rule(row, event, own_app_id)
    if row.last_activity_at is None:  # of somebody of whom no message is known
        row.last_activity_at = whole_ms(event.occurred_at)


def _note_moments(row: Row, event: AnyRecord) -> None:
    news = activity_of([event])
    if news is None:
        return
    for name in ("last_activity_at", "last_user_message_at"):
        moment, known = getattr(news, name), getattr(row, name)
        if moment is not None and (known is None or moment > known):
            setattr(row, name, whole_ms(moment))


def _received(row: Row, event: MessageReceived, _app: str) -> None:
    key = hashed(event.mid)
    if event.is_deleted:
        row.gone = [*row.gone, key][-GONE:] if key not in row.gone else row.gone
        if row.last is not None and row.last.key == key:
            row.last = replace(row.last, kind="deleted", text="")
        return
    kind, text = _said(event)
    _inbound(row, event, key, kind, text)


def _tapped(row: Row, event: PostbackReceived, _app: str) -> None:
    text = event.title or event.payload or ""
    _inbound(row, event, hashed(event.mid or event.event_id), "postback", text)


def _inbound(row: Row, event: ConversationRecord, key: int, kind: Kind, text: str) -> None:
    at = whole_ms(event.occurred_at)
    if row.inbound.admit(key, ms_of(at)) != "new":
        return
    row.inbound_count += 1
    row.done = False
    if key in row.gone:
        kind, text = "deleted", ""
    _follows(row, Last(key, "in", "person", kind, _preview(text), at))


def _edited(row: Row, event: MessageEdited, _app: str) -> None:
    last, number = row.last, max(event.edit_number, 0)
    if last is None or last.key != hashed(event.mid) or last.kind == "deleted":
        return
    if number >= last.edit:
        row.last = replace(last, text=_preview(event.text or ""), edit=number)


def _on_standby(row: Row, event: StandbyReceived, own_app_id: str) -> None:
    """What is said is what it would be in a thread of ours; that it came so says whose it is."""
    told = as_if_ours(event)
    if isinstance(told, MessageEchoed):
        _echo(row, told, own_app_id, is_overheard=True)
    elif not isinstance(told, StandbyReceived) and (rule := _RULES.get(type(told))) is not None:
        rule(row, told, own_app_id)
    _thread(row, event.occurred_at, ours=False, is_guess=True)


def _echoed(row: Row, event: MessageEchoed, own_app_id: str) -> None:
    _echo(row, event, own_app_id, is_overheard=False)


def _echo(row: Row, event: MessageEchoed, own_app_id: str, *, is_overheard: bool) -> None:
    if event.is_from(own_app_id):
        if event.send_id:
            _own_echo(row, event, hashed(event.send_id))
        return
    kind, text = _said(event)
    at = whole_ms(event.occurred_at)
    last = Last(hashed(event.mid), "out", "human_facebook", kind, _preview(text), at)
    if _outbound(row, last) and not is_overheard:  # overheard, it may be a machine
        row.seen_ms = max(row.seen_ms, ms_of(at))


def _own_echo(row: Row, event: MessageEchoed, key: int) -> None:
    """Meta has the part, whatever was said before. Whose it is, `message.sent` tells.

    Of a part that is counted already it is Meta's own time, which is the earlier one.
    """
    at = whole_ms(event.occurred_at)
    _outbound(row, Last(key, "out", "assistant", "text", _preview(event.text or ""), at))


def _sent(row: Row, event: MessageSent, _app: str) -> None:
    key, at = hashed(event.send_id), whole_ms(event.occurred_at)
    last = Last(key, "out", event.origin, "text", _preview(event.text), at, event.by_name)
    if not _outbound(row, last) and row.last is not None:  # its echo was quicker, and tells less
        if row.last.key == key:
            row.last = replace(last, at=max(row.last.at, at))
        elif at > row.last.at:  # and told an earlier moment than another message's
            row.last = last
    if event.origin == "human":  # who answers has looked
        row.seen_ms = max(row.seen_ms, ms_of(at))


def _outbound(row: Row, last: Last) -> bool:
    """Whether it is one more."""
    row.unsent.pop(last.key, None)
    if row.outbound.admit(last.key, ms_of(last.at)) != "new":
        if row.first_seen_at is not None:  # an echo tells Meta's own time, which may be earlier
            row.first_seen_at = min(row.first_seen_at, last.at)
        return False
    row.outbound_count += 1
    _follows(row, last)
    return True


def _follows(row: Row, last: Last) -> None:
    """A message that was not known before. Of two at the same moment, the later on the log."""
    row.first_seen_at = min(filter(None, (row.first_seen_at, last.at)))
    if row.last is None or last.at >= row.last.at:
        row.last = last


def _not_sent(row: Row, event: MessageFailed | MessageHeld, _app: str) -> None:
    key, at_ms = hashed(event.send_id), ms_of(whole_ms(event.occurred_at))
    known, floor = row.unsent.get(key), row.outbound.floor
    if key in row.outbound.seen or (floor is not None and at_ms <= floor[0]):
        return
    if known is not None and known.at_ms >= at_ms:
        return
    is_held = isinstance(event, MessageHeld)
    row.unsent[key] = Unsent(at_ms, is_held, is_held or event.reason not in NOT_TO_BE)
    if len(row.unsent) > UNSENT:
        del row.unsent[min(row.unsent, key=lambda each: _worth(row.unsent[each]))]


def _worth(unsent: Unsent) -> tuple[bool, bool, int]:
    return unsent.held, unsent.is_trouble, unsent.at_ms


def _requested(row: Row, event: TakeoverRequested, _app: str) -> None:
    """One that comes while a human is there, or from before one was, is answered already."""
    at = whole_ms(event.occurred_at)
    if row.requests.admit(hashed(event.event_id), ms_of(at)) != "new" or row.mode == "human":
        return
    if row.taken_at is None or at > row.taken_at:
        row.asked = Asked(event.reason, event.summary, at)
        row.done = False


def _started(row: Row, event: TakeoverStarted, _app: str) -> None:
    if event.epoch <= row.epoch:
        return
    at = whole_ms(event.occurred_at)
    row.mode, row.epoch, row.since, row.taken_at, row.timer_at = "human", event.epoch, at, at, at
    row.by, row.by_name, row.takeover_reason = event.by, event.by_name, event.reason
    row.auto_resume_at = event.auto_resume_at and whole_ms(event.auto_resume_at)
    row.asked = None
    if event.reason == "taken":
        row.done = False


def _extended(row: Row, event: TakeoverExtended, _app: str) -> None:
    """Somebody else may have set the timer: who has the conversation stays."""
    at = whole_ms(event.occurred_at)
    is_older = row.timer_at is not None and at < row.timer_at
    if row.mode == "human" and event.epoch == row.epoch and not is_older:
        row.auto_resume_at, row.timer_at = whole_ms(event.auto_resume_at), at


def _ended(row: Row, event: TakeoverEnded, _app: str) -> None:
    if event.epoch <= row.epoch:
        return
    row.mode, row.epoch, row.since = "ai", event.epoch, whole_ms(event.occurred_at)
    row.by = row.by_name = row.takeover_reason = row.auto_resume_at = row.timer_at = None


def _control_changed(row: Row, event: HandoverChanged, own_app_id: str) -> None:
    if event.action in ("pass", "take"):
        # null: the thread is idle, and Meta lets its Page's default app write
        ours = event.new_app_id is None or event.new_app_id == own_app_id
        _thread(row, event.occurred_at, ours=ours, is_guess=False)


def _thread(row: Row, moment: datetime, *, ours: bool, is_guess: bool) -> None:
    """As the takeover service has it: the latest word counts, and of two at the same moment what
    was said before what follows from something else."""
    at, since = whole_ms(moment), row.thread_since
    if since is not None:
        if at < since or (is_guess and (at == since or ours == row.thread_ours)):
            return
    elif ours:
        return
    row.thread_ours, row.thread_since = ours, at


def _said(event: MessageReceived | MessageEchoed) -> tuple[Kind, str]:
    """A message's text, or what kinds of things are attached to it, as Meta calls them."""
    if event.text and event.text.strip():
        return "text", event.text
    if event.attachments:
        return "attachment", ", ".join(dict.fromkeys(each.type for each in event.attachments))
    return "text", ""


def _preview(text: str) -> str:
    """One line. A long text is not split into words to show the beginning of it."""
    line = " ".join(text[: PREVIEW * 4].split())
    return line if len(line) <= PREVIEW else beginning(line, PREVIEW - 1).rstrip() + "…"


_RULES: dict[type[Any], Callable[[Row, Any, str], None]] = {
    MessageReceived: _received,
    PostbackReceived: _tapped,
    MessageEdited: _edited,
    StandbyReceived: _on_standby,
    MessageEchoed: _echoed,
    MessageSent: _sent,
    MessageFailed: _not_sent,
    MessageHeld: _not_sent,
    TakeoverRequested: _requested,
    TakeoverStarted: _started,
    TakeoverExtended: _extended,
    TakeoverEnded: _ended,
    HandoverChanged: _control_changed,
}
