"""Ready-made events of one conversation; a test names only the fields it is about."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import settings

from libs.common.events import (
    AnyRecord,
    Attachment,
    HandoverChanged,
    MessageDelivered,
    MessageEchoed,
    MessageEdited,
    MessageFailed,
    MessageHeld,
    MessageRead,
    MessageReceived,
    MessageSent,
    PostbackReceived,
    ReactionReceived,
    Referral,
    ReferralReceived,
    StandbyReceived,
    TakeoverEnded,
    TakeoverExtended,
    TakeoverRequested,
    TakeoverStarted,
    derived_id,
    encode,
    headers_of,
    key_of,
)
from libs.common.kafka import ConsumedRecord
from libs.common.topics import EVENTS
from services.conversation.domain.receive import Arrival, Rules
from services.conversation.domain.state import Position

PAGE, PSID = "100", "200"
CONVERSATION = f"{PAGE}:{PSID}"
APP = "4242"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PATIENTLY = settings(deadline=None)  # the machine may be busy
IMAGE = Attachment(type="image", url="https://cdn.example.org/1.jpg", payload={"$odd.key": 1})


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def _facts(kind: str, *identity: object, seconds: float) -> dict[str, Any]:
    return {
        "event_id": derived_id(kind, PAGE, *identity),
        "page_id": PAGE,
        "psid": PSID,
        "occurred_at": at(seconds),
    }


def message(mid: str = "m1", text: str | None = "hello", seconds: float = 0, **more: Any) -> Any:  # noqa: ANN401
    identity = (mid, "deleted") if more.get("is_deleted") else (mid,)
    facts = _facts("message.received", *identity, seconds=seconds)
    return MessageReceived(mid=mid, text=text, **facts, **more)


def unsent(mid: str = "m1", seconds: float = 0) -> MessageReceived:
    made: MessageReceived = message(mid, None, seconds, is_deleted=True)
    return made


def image(mid: str = "m1", text: str | None = None, seconds: float = 0) -> MessageReceived:
    made: MessageReceived = message(mid, text, seconds, attachments=(IMAGE,))
    return made


def edited(mid: str = "m1", text: str = "changed", number: int = 1) -> MessageEdited:
    facts = _facts("message.edited", mid, number, seconds=0)
    return MessageEdited(mid=mid, text=text, edit_number=number, **facts)


def get_started(mid: str = "p1", payload: str = "GET_STARTED", seconds: float = 0) -> AnyRecord:
    facts = _facts("postback.received", mid, seconds=seconds)
    return PostbackReceived(mid=mid, title="Get started", payload=payload, **facts)


def echo(
    mid: str = "e1",
    app_id: str | None = None,
    text: str = "written by hand",
    seconds: float = 0,
    send_id: str | None = None,
) -> MessageEchoed:
    facts = _facts("message.echoed", mid, seconds=seconds)
    return MessageEchoed(mid=mid, app_id=app_id, text=text, send_id=send_id, **facts)


def reaction(action: str = "react", seconds: float = 0) -> ReactionReceived:
    facts = _facts("reaction.received", action, seconds, seconds=seconds)
    return ReactionReceived(mid="m1", action=action, emoji="❤", **facts)


def referral(source: str | None = "SHORTLINK", seconds: float = 0) -> ReferralReceived:
    """The person came back to the thread through a link, an ad or something else."""
    facts = _facts("referral.received", source, seconds, seconds=seconds)
    return ReferralReceived(referral=Referral(source=source, type="OPEN_THREAD"), **facts)


def standby(
    mid: str = "s1",
    *,
    is_echo: bool = False,
    text: str | None = "hi",
    seconds: float = 0,
    kind: str = "message",
    raw: dict[str, Any] | None = None,
) -> StandbyReceived:
    facts = _facts("standby.received", kind, mid, seconds=seconds)
    told = {"kind": kind, "text": text, "is_echo": is_echo, "raw": raw or {}}
    return StandbyReceived(mid=mid, **told, **facts)


def delivered(ms: int, *mids: str) -> MessageDelivered:
    facts = _facts("message.delivered", ms, seconds=0)
    return MessageDelivered(watermark_ms=ms, mids=mids, **facts)


def read(ms: int) -> MessageRead:
    return MessageRead(watermark_ms=ms, **_facts("message.read", ms, seconds=0))


def _part(kind: str, command_id: str, part: int, origin: str, seconds: float) -> dict[str, Any]:
    return {
        **_facts(kind, command_id, part, seconds=seconds),
        "command_id": command_id,
        "send_id": f"{command_id}:{part}",
        "part": part,
        "parts": 2,
        "origin": origin,
        "text": "an answer",
        "rule": "standard_window",
    }


def sent(
    command_id: str = "c1", part: int = 0, origin: str = "assistant", seconds: float = 0
) -> MessageSent:
    facts = _part("message.sent", command_id, part, origin, seconds)
    return MessageSent(mid=f"mid-{command_id}-{part}", messaging_type="RESPONSE", **facts)


def failed(command_id: str = "c1", part: int = 0) -> MessageFailed:
    facts = _part("message.failed", command_id, part, "assistant", 0)
    return MessageFailed(reason="window_closed", explanation="too late", **facts)


def held(command_id: str = "c1", part: int = 0) -> MessageHeld:
    facts = _part("message.held", command_id, part, "assistant", 0)
    return MessageHeld(reason="no_evidence", explanation="nobody knows", **facts)


def takeover_requested() -> TakeoverRequested:
    facts = _facts("takeover.requested", seconds=0)
    return TakeoverRequested(reason="asked", summary="a human!", **facts)


def takeover_started(epoch: int = 1, seconds: float = 0) -> TakeoverStarted:
    facts = _facts("takeover.started", epoch, seconds=seconds)
    return TakeoverStarted(
        epoch=epoch,
        by="user:7",
        by_name="Ann",
        reason="taken",
        auto_resume_at=at(3600),
        **facts,
    )


def takeover_extended(epoch: int = 1, seconds: float = 0) -> TakeoverExtended:
    facts = _facts("takeover.extended", epoch, seconds, seconds=seconds)
    return TakeoverExtended(
        epoch=epoch, by="user:7", by_name="Ann", auto_resume_at=at(7200), **facts
    )


def takeover_ended(epoch: int = 2, seconds: float = 0) -> TakeoverEnded:
    facts = _facts("takeover.ended", epoch, seconds=seconds)
    return TakeoverEnded(epoch=epoch, by="timer", reason="auto_resume", **facts)


def handed_over(action: str = "take", seconds: float = 0) -> HandoverChanged:
    facts = _facts("handover.changed", action, seconds, seconds=seconds)
    return HandoverChanged(action=action, previous_app_id=APP, new_app_id="7", **facts)


def arrivals(*events: AnyRecord, first: int = 0, partition: int = 0) -> list[Arrival]:
    """Events as they stand on the log, one behind the other."""
    return [
        Arrival(event, Position(partition=partition, offset=first + index))
        for index, event in enumerate(events)
    ]


def record(event: AnyRecord, offset: int = 0, partition: int = 0) -> ConsumedRecord:
    return ConsumedRecord(
        topic=EVENTS,
        partition=partition,
        offset=offset,
        key=key_of(event),
        value=encode(event),
        headers=dict(headers_of(event)),
        timestamp_ms=0,
    )


def rules(**more: Any) -> Rules:  # noqa: ANN401
    values: dict[str, Any] = {
        "answers": True,
        "get_started_payload": "GET_STARTED",
        "session_idle": timedelta(hours=24),
        "own_app_id": APP,
    }
    return Rules(**values | more)
