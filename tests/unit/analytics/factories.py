"""Ready-made events of one Page; a test names what it is about. Times are seconds after noon."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import settings

from libs.common.events import (
    AnyRecord,
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
    derived_id,
    encode,
    headers_of,
    key_of,
)
from libs.common.kafka import ConsumedRecord
from libs.common.topics import EVENTS
from services.analytics.domain.slots import moment_ms

PAGE, PSID, APP, INBOX = "100", "200", "4242", "9999"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PATIENTLY = settings(deadline=None)  # the machine may be busy


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def ms(seconds: float) -> int:
    return moment_ms(at(seconds))


def _facts(kind: str, seconds: float, psid: str, page: str, *identity: object) -> dict[str, Any]:
    return {
        "event_id": derived_id(kind, page, *identity),
        "page_id": page,
        "psid": psid,
        "occurred_at": at(seconds),
    }


def message(
    mid: str,
    seconds: float = 0,
    psid: str = PSID,
    page: str = PAGE,
    **more: Any,  # noqa: ANN401
) -> MessageReceived:
    facts = _facts("message.received", seconds, psid, page, mid, more)
    return MessageReceived(**facts, mid=mid, text="hello", **more)


def tap(mid: str | None, seconds: float = 0, psid: str = PSID) -> PostbackReceived:
    facts = _facts("postback.received", seconds, psid, PAGE, mid or seconds)
    return PostbackReceived(**facts, mid=mid, payload="GET_STARTED")


def standby(mid: str, seconds: float = 0, *, is_echo: bool = False) -> StandbyReceived:
    facts = _facts("standby.received", seconds, PSID, PAGE, mid)
    return StandbyReceived(
        **facts, kind="message", mid=mid, text="hello", is_echo=is_echo, raw={"message": {}}
    )


def _part(name: str, origin: str) -> dict[str, Any]:
    return {
        "command_id": name,
        "send_id": f"{name}:0",
        "part": 0,
        "parts": 1,
        "origin": origin,
        "text": "hello",
        "rule": "standard_window",
    }


def sent(
    name: str,
    seconds: float = 0,
    psid: str = PSID,
    page: str = PAGE,
    *,
    origin: str = "assistant",
) -> MessageSent:
    facts = _facts("message.sent", seconds, psid, page, name)
    return MessageSent(**facts, **_part(name, origin), mid=f"m.{name}", messaging_type="RESPONSE")


def failed(name: str, seconds: float = 0, reason: str = "window_closed") -> MessageFailed:
    facts = _facts("message.failed", seconds, PSID, PAGE, name, seconds)
    return MessageFailed(
        **facts, **_part(name, "assistant"), reason=reason, explanation="It did not work."
    )


def held(name: str, seconds: float = 0) -> MessageHeld:
    facts = _facts("message.held", seconds, PSID, PAGE, name, seconds)
    return MessageHeld(
        **facts, **_part(name, "assistant"), reason="no_evidence", explanation="Nobody knows."
    )


def echo(name: str, seconds: float = 0, psid: str = PSID, page: str = PAGE) -> MessageEchoed:
    """Of a part of ours."""
    facts = _facts("message.echoed", seconds, psid, page, name)
    return MessageEchoed(**facts, mid=f"m.{name}", app_id=APP, send_id=f"{name}:0")


def inbox(mid: str, seconds: float = 0, psid: str = PSID) -> MessageEchoed:
    """Somebody wrote in Meta's own inbox."""
    facts = _facts("message.echoed", seconds, psid, PAGE, mid)
    return MessageEchoed(**facts, mid=mid, app_id=INBOX, text="hello")


def delivered(
    seconds: float, *mids: str, watermark_s: float | None = None, psid: str = PSID
) -> MessageDelivered:
    watermark_ms = ms(seconds if watermark_s is None else watermark_s)
    facts = _facts("message.delivered", seconds, psid, PAGE, watermark_ms, *mids)
    return MessageDelivered(**facts, watermark_ms=watermark_ms, mids=mids)


def read(
    seconds: float, watermark_s: float | None = None, psid: str = PSID, page: str = PAGE
) -> MessageRead:
    watermark_ms = ms(seconds if watermark_s is None else watermark_s)
    facts = _facts("message.read", seconds, psid, page, watermark_ms)
    return MessageRead(**facts, watermark_ms=watermark_ms)


def requested(seconds: float = 0, reason: str = "asked") -> TakeoverRequested:
    facts = _facts("takeover.requested", seconds, PSID, PAGE, seconds, reason)
    return TakeoverRequested(**facts, reason=reason)


def started(
    epoch: int, seconds: float = 0, reason: str = "taken", psid: str = PSID
) -> TakeoverStarted:
    facts = _facts("takeover.started", seconds, psid, PAGE, psid, epoch)
    return TakeoverStarted(**facts, epoch=epoch, by="user:1", reason=reason)


def ended(
    epoch: int, seconds: float = 0, reason: str = "resumed", psid: str = PSID
) -> TakeoverEnded:
    facts = _facts("takeover.ended", seconds, psid, PAGE, psid, epoch)
    return TakeoverEnded(**facts, epoch=epoch, by="user:1", reason=reason)


def record(event: AnyRecord, offset: int, partition: int = 0) -> ConsumedRecord:
    """As Kafka brings it."""
    return ConsumedRecord(
        topic=EVENTS,
        partition=partition,
        offset=offset,
        key=key_of(event),
        value=encode(event),
        headers=dict(headers_of(event)),
        timestamp_ms=moment_ms(event.occurred_at),
    )
