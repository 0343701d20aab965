"""Facts from Meta's webhooks, published by the gateway.

Source: Messenger Platform, "Webhook events". Enumerations stay open (`str`): Meta adds values
without notice, and an unknown one must travel rather than fail.
"""

from typing import Any, Literal

from pydantic import Field

from libs.common.events.base import ConversationRecord, Model, Record


class Attachment(Model):
    """Something other than text. `url` expires within days."""

    type: str = Field(description="image, audio, video, file, sticker, location, fallback, …")
    url: str | None = None
    title: str | None = None
    sticker_id: str | None = None
    payload: dict[str, Any] | None = Field(None, description="Meta's own payload, as it came")


class Referral(Model):
    """How the person came to the Page."""

    ref: str | None = None
    source: str | None = None
    type: str | None = None
    ad_id: str | None = None
    ads_context: dict[str, Any] | None = None


class MessageReceived(ConversationRecord):
    """A person wrote to a Page."""

    type: Literal["message.received"] = "message.received"
    mid: str = Field(description="Messenger message id; dedupe key together with page_id")
    text: str | None = None
    attachments: tuple[Attachment, ...] = ()
    quick_reply_payload: str | None = None
    reply_to_mid: str | None = None
    referral: Referral | None = None
    is_deleted: bool = False


class PostbackReceived(ConversationRecord):
    """A person tapped a button: Get Started, a menu item, an ice breaker."""

    type: Literal["postback.received"] = "postback.received"
    mid: str | None = None
    title: str | None = None
    payload: str | None = Field(None, description="absent on standby: only the sender gets it")
    referral: Referral | None = None


class MessageDelivered(ConversationRecord):
    """Everything sent to the person up to `watermark_ms` has arrived."""

    type: Literal["message.delivered"] = "message.delivered"
    watermark_ms: int
    mids: tuple[str, ...] = ()


class MessageRead(ConversationRecord):
    """The person has seen everything sent up to `watermark_ms`."""

    type: Literal["message.read"] = "message.read"
    watermark_ms: int


class MessageEchoed(ConversationRecord):
    """The Page wrote to the person: we, another app, or a human in Meta's inbox.

    `app_id` equal to ours means we, another one somebody else. Some of Meta's echoes name none,
    mostly of what humans wrote: see `is_from`. `send_id` is the `metadata` that came back, the link
    between a send and its outcome.
    """

    type: Literal["message.echoed"] = "message.echoed"
    mid: str
    text: str | None = None
    attachments: tuple[Attachment, ...] = ()
    app_id: str | None = None
    send_id: str | None = None

    def is_from(self, app_id: str) -> bool:
        """Whether that app of ours sent it. Metadata come back only with what was sent by an app
        through the API, and ours always sends some."""
        return self.send_id is not None if self.app_id is None else self.app_id == app_id


class MessageEdited(ConversationRecord):
    """The person changed a message's text."""

    type: Literal["message.edited"] = "message.edited"
    mid: str
    text: str | None = None
    edit_number: int = 0


class ReactionReceived(ConversationRecord):
    """The person reacted to a message, or took the reaction back."""

    type: Literal["reaction.received"] = "reaction.received"
    mid: str
    action: str = Field(description="react or unreact")
    reaction: str | None = None
    emoji: str | None = None


class ReferralReceived(ConversationRecord):
    """The person came back to an existing thread through a link or an ad."""

    type: Literal["referral.received"] = "referral.received"
    referral: Referral


class OptinReceived(ConversationRecord):
    """The person agreed to something: a plugin or notification messages."""

    type: Literal["optin.received"] = "optin.received"
    optin: dict[str, Any]


class StandbyReceived(ConversationRecord):
    """Another app owns the thread; we only listen. Never answered."""

    type: Literal["standby.received"] = "standby.received"
    kind: str = Field(description="the key it would have had: message, postback, delivery, …")
    mid: str | None = None
    text: str | None = None
    is_echo: bool = False
    raw: dict[str, Any]


class HandoverChanged(ConversationRecord):
    """Thread control went from one app to another, or is asked for."""

    type: Literal["handover.changed"] = "handover.changed"
    action: str = Field(description="pass, take, request or roles")
    previous_app_id: str | None = None
    new_app_id: str | None = None
    metadata: str | None = None


class UnknownReceived(Record):
    """Anything with a good signature that we cannot make sense of: kept as it came, never refused.

    Also kinds with no behaviour of ours yet (policy enforcement, account linking, feedback, orders,
    feed changes): `kind` is Meta's key.
    """

    type: Literal["unknown.received"] = "unknown.received"
    psid: str | None = None
    kind: str
    reason: str = Field(description="why it is here: unknown_kind, no_messaging, invalid, …")
    raw: str = Field(description="the element's JSON text")
