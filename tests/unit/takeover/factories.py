"""Ready-made events of one conversation; a test names only the fields it is about."""

from datetime import datetime
from typing import Any

from libs.common.events import (
    AnyRecord,
    HandoverChanged,
    MessageEchoed,
    MessageFailed,
    MessageSent,
    StandbyReceived,
    derived_id,
    encode,
    headers_of,
    key_of,
)
from libs.common.kafka import ConsumedRecord, KeyBatch
from libs.common.topics import EVENTS
from tests.unit.takeover.world import NOON, PAGE, PSID


def _facts(kind: str, at: datetime, *identity: object) -> dict[str, Any]:
    return {
        "event_id": derived_id(kind, PAGE, at, *identity),
        "page_id": PAGE,
        "psid": PSID,
        "occurred_at": at,
    }


def echo(at: datetime = NOON, app_id: str | None = "263902037430900", **more: Any) -> MessageEchoed:  # noqa: ANN401
    return MessageEchoed(**_facts("echo", at), mid="m1", text="hi", app_id=app_id, **more)


def handover(
    action: str, new_app_id: str | None, at: datetime = NOON, before: str | None = None
) -> HandoverChanged:
    facts = _facts("handover", at, action)
    return HandoverChanged(**facts, action=action, previous_app_id=before, new_app_id=new_app_id)


def standby(at: datetime = NOON, **more: Any) -> StandbyReceived:  # noqa: ANN401
    return StandbyReceived(**_facts("standby", at), kind="message", mid="m2", raw={}, **more)


_PART = {"command_id": "c1", "send_id": "c1:0", "part": 0, "parts": 1, "origin": "human"}


def sent(at: datetime = NOON, tag: str | None = "HUMAN_AGENT") -> MessageSent:
    kind = "MESSAGE_TAG" if tag else "RESPONSE"
    told = {"text": "hi", "rule": "human_agent_window", "mid": "m3", "messaging_type": kind}
    return MessageSent.model_validate({**_facts("sent", at), **_PART, **told, "tag": tag})


def failed(
    at: datetime = NOON,
    reason: str = "human_agent_not_approved",
    tag: str | None = "HUMAN_AGENT",
    **more: Any,  # noqa: ANN401
) -> MessageFailed:
    told = {"text": "hi", "rule": "meta_refused", "reason": reason, "explanation": "Not approved."}
    return MessageFailed.model_validate(
        {**_facts("failed", at, reason), **_PART, **told, "tag": tag, **more}
    )


def batch(*events: AnyRecord) -> KeyBatch:
    records = [
        ConsumedRecord(
            topic=EVENTS,
            partition=0,
            offset=offset,
            key=key_of(event),
            value=encode(event),
            headers=dict(headers_of(event)),
            timestamp_ms=0,
        )
        for offset, event in enumerate(events)
    ]
    return KeyBatch(records[0].key, records)
