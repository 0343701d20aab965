"""One element of a webhook becomes one typed record: a function for each kind of event.

Source: Messenger Platform, "Webhook events". What identifies a record decides its `event_id`: a
redelivered webhook makes the same ids, two facts never share one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from libs.common.events import (
    Attachment,
    HandoverChanged,
    MessageDelivered,
    MessageEchoed,
    MessageEdited,
    MessageRead,
    MessageReceived,
    OptinReceived,
    PostbackReceived,
    ReactionReceived,
    Record,
    Referral,
    ReferralReceived,
    StandbyReceived,
    derived_id,
)
from services.gateway.domain.values import (
    CLOCK_TOLERANCE,
    identifier,
    is_true,
    json_text,
    message_id,
    milliseconds,
    plain,
    text,
    whole_number,
)

Json = dict[str, Any]


class NotUsableError(Exception):
    """The element lacks what its kind must have; `reason` goes into `unknown.received`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)  # not frozen: that would double the cost of making one
class Element:
    """One element of `messaging` or `standby`, and what we know about it."""

    kind: str  # Meta's key
    raw: Json
    page_id: str
    psid: str  # empty: there is no usable person
    occurred_at: datetime
    received_at: datetime
    is_echo: bool  # the Page is the sender

    @property
    def body(self) -> Json:
        """What stands under the key of its kind."""
        body = self.raw.get(self.kind)
        if not isinstance(body, dict):
            raise NotUsableError("invalid")
        return body

    def common(self, record_type: str, *identity: object) -> Json:
        """The fields that all records share. No identity: the whole content is the identity."""
        parts = identity or (json_text(self.raw, canonical=True),)
        return {
            "event_id": derived_id(record_type, self.page_id, *parts),
            "page_id": self.page_id,
            "psid": self.psid,
            "occurred_at": self.occurred_at,
        }


def message(element: Element) -> Record:
    """A message, or the echo of one that the Page sent."""
    body = element.body
    if element.is_echo:
        return _echo(element, body)
    mid = _mid(body)
    if body.keys() <= _TEXT_ALONE:  # nearly every one: nothing else need be looked for
        common = element.common("message.received", mid)
        return MessageReceived(**common, mid=mid, text=_text(body, "text"))
    # an unsent message comes again under its mid, which must not make it a redelivery
    deleted = is_true(body.get("is_deleted"))
    identity = (mid, "deleted") if deleted else (mid,)
    return MessageReceived(
        **element.common("message.received", *identity),
        mid=mid,
        text=_text(body, "text"),
        attachments=_attachments(body.get("attachments")),
        quick_reply_payload=text(_part(body, "quick_reply").get("payload")),
        reply_to_mid=message_id(_part(body, "reply_to").get("mid")),
        referral=_referral(body.get("referral")),
        is_deleted=deleted,
    )


def _echo(element: Element, body: Json) -> Record:
    mid = _mid(body)
    return MessageEchoed(
        **element.common("message.echoed", mid),
        mid=mid,
        text=_text(body, "text"),
        attachments=_attachments(body.get("attachments")),
        app_id=identifier(body.get("app_id")),
        send_id=text(body.get("metadata")),
    )


def postback(element: Element) -> Record:
    """Before 2021 without a `mid`: then person, moment and payload tell two taps apart."""
    body = element.body
    mid = message_id(body.get("mid"))
    payload = _text(body, "payload")
    at = milliseconds(element.raw.get("timestamp"))
    identity = (mid,) if mid else ("no mid", element.psid, at, payload)
    return PostbackReceived(
        **element.common("postback.received", *identity),
        mid=mid,
        title=text(body.get("title")),
        payload=payload,
        referral=_referral(body.get("referral")),
    )


def delivery(element: Element) -> Record:
    body = element.body
    watermark_ms = _watermark_ms(element, body)
    mids = body.get("mids")
    known = tuple(filter(None, map(message_id, mids))) if isinstance(mids, list) else ()
    return MessageDelivered(
        **element.common("message.delivered", element.psid, watermark_ms, *known),
        watermark_ms=watermark_ms,
        mids=known,
    )


def read(element: Element) -> Record:
    watermark_ms = _watermark_ms(element, element.body)
    return MessageRead(
        **element.common("message.read", element.psid, watermark_ms), watermark_ms=watermark_ms
    )


def reaction(element: Element) -> Record:
    body = element.body
    mid, action, emoji = _mid(body), _text(body, "action"), text(body.get("emoji"))
    if not action:
        raise NotUsableError("invalid")
    at = milliseconds(element.raw.get("timestamp"))
    return ReactionReceived(
        **element.common("reaction.received", mid, element.psid, action, emoji, at),
        mid=mid,
        action=action,
        reaction=text(body.get("reaction")),
        emoji=emoji,
    )


def edit(element: Element) -> Record:
    body = element.body
    mid, number = _mid(body), whole_number(body.get("num_edit")) or 0
    return MessageEdited(
        **element.common("message.edited", mid, number),
        mid=mid,
        text=_text(body, "text"),
        edit_number=number,
    )


def referral(element: Element) -> Record:
    """Into an existing thread. The answers of a lead form stand beside it, and travel with it."""
    found = _referral(element.body)
    if found is None:
        raise NotUsableError("invalid")
    if lead := _part(element.raw, "lead"):
        found = found.model_copy(
            update={"ads_context": {**(found.ads_context or {}), "lead": plain(lead)}}
        )
    return ReferralReceived(**element.common("referral.received"), referral=found)


def optin(element: Element) -> Record:
    return OptinReceived(**element.common("optin.received"), optin=plain(element.body))


def handover(element: Element) -> Record:
    """Thread control was passed, taken or asked for, or roles were dealt out."""
    body = element.body
    new_app = body.get("new_owner_app_id", body.get("requested_owner_app_id"))
    return HandoverChanged(
        **element.common("handover.changed"),
        action=_ACTIONS[element.kind],
        previous_app_id=identifier(body.get("previous_owner_app_id")),
        new_app_id=identifier(new_app),
        metadata=json_text(body) if element.kind == "app_roles" else text(body.get("metadata")),
    )


def standby(element: Element) -> Record:
    """Anything said while another app owns the thread. Messages are identified by their mid."""
    body = _part(element.raw, element.kind)
    mid = message_id(body.get("mid"))
    by_mid = mid is not None and element.kind in ("message", "postback")
    deleted = "deleted" if is_true(body.get("is_deleted")) else ""
    identity = (element.kind, element.is_echo, mid, deleted) if by_mid else ()
    return StandbyReceived(
        **element.common("standby.received", *identity),
        kind=element.kind,
        mid=mid,
        text=text(body.get("text")),
        is_echo=element.is_echo,
        raw=plain(element.raw),
    )


KINDS: dict[str, Callable[[Element], Record]] = {
    "message": message,
    "postback": postback,
    "delivery": delivery,
    "read": read,
    "reaction": reaction,
    "message_edit": edit,
    "referral": referral,
    "optin": optin,
    "pass_thread_control": handover,
    "take_thread_control": handover,
    "request_thread_control": handover,
    "app_roles": handover,
}
"""In the order in which keys are looked for, should an element ever have two."""

_TEXT_ALONE = frozenset({"mid", "text"})
_ACTIONS = {
    "pass_thread_control": "pass",
    "take_thread_control": "take",
    "request_thread_control": "request",
    "app_roles": "roles",
}


def _mid(body: Json) -> str:
    mid = message_id(body.get("mid"))
    if mid is None:
        raise NotUsableError("no_mid")
    return mid


def _text(body: Json, name: str) -> str | None:
    """A field that matters: absent is fine, of another type is not."""
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise NotUsableError("invalid")
    return text(value)


def _part(body: Json, name: str) -> Json:
    value = body.get(name)
    return value if isinstance(value, dict) else {}


def _watermark_ms(element: Element, body: Json) -> int:
    """One from the future would count as read what has not been sent yet."""
    watermark_ms = milliseconds(body.get("watermark"))
    latest = element.received_at + CLOCK_TOLERANCE
    if watermark_ms is None or watermark_ms > latest.timestamp() * 1000:
        raise NotUsableError("invalid")
    return watermark_ms


def _attachments(value: object) -> tuple[Attachment, ...]:
    return tuple(map(_attachment, value)) if isinstance(value, list) else ()


def _attachment(value: object) -> Attachment:
    """One without a usable type stays one: that something came matters to the answer."""
    if not isinstance(value, dict):
        return Attachment(type="unknown")
    payload = value.get("payload")
    known = payload if isinstance(payload, dict) else {}
    return Attachment(
        type=text(value.get("type")) or "unknown",
        url=text(known.get("url")) or text(value.get("url")),  # beside the type: the old form
        title=text(known.get("title")) or text(value.get("title")),
        sticker_id=identifier(known.get("sticker_id")),
        payload=plain(payload) if isinstance(payload, dict) else None,
    )


def _referral(value: object) -> Referral | None:
    if not isinstance(value, dict):
        return None
    context = value.get("ads_context_data")
    return Referral(
        ref=text(value.get("ref")),
        source=text(value.get("source")),
        type=text(value.get("type")),
        ad_id=identifier(value.get("ad_id")),
        ads_context=plain(context) if isinstance(context, dict) else None,
    )
