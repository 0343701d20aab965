"""Records to bytes and back, with what a reader needs in the headers.

A consumer decides by the headers `type` and `version` alone whether a record is for it; what it
does not want is never parsed.
"""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from libs.common.errors import PermanentError
from libs.common.events import channels, commands, inbound, outcomes
from libs.common.events.base import ConversationRecord, Record
from libs.common.topics import CHANNELS, COMMANDS, EVENTS

ALL_RECORDS: dict[str, tuple[type[Record], ...]] = {
    EVENTS: (
        inbound.MessageReceived,
        inbound.PostbackReceived,
        inbound.MessageDelivered,
        inbound.MessageRead,
        inbound.MessageEchoed,
        inbound.MessageEdited,
        inbound.ReactionReceived,
        inbound.ReferralReceived,
        inbound.OptinReceived,
        inbound.StandbyReceived,
        inbound.HandoverChanged,
        inbound.UnknownReceived,
        outcomes.MessageSent,
        outcomes.MessageFailed,
        outcomes.MessageHeld,
        outcomes.TurnCompleted,
        outcomes.TurnFailed,
        outcomes.TakeoverRequested,
        outcomes.TakeoverStarted,
        outcomes.TakeoverExtended,
        outcomes.TakeoverEnded,
    ),
    COMMANDS: (commands.SendText, commands.SendAction, commands.SendKept),
    CHANNELS: (
        channels.ChannelConnected,
        channels.ChannelUpdated,
        channels.ChannelDisconnected,
        channels.ChannelTokenRejected,
        channels.PageDeauthorized,
        channels.PersonDeletionRequested,
    ),
}

OF_HISTORY = frozenset(
    {
        b"message.received",
        b"postback.received",
        b"message.echoed",
        b"message.edited",
        b"message.delivered",
        b"message.read",
        b"reaction.received",
        b"referral.received",
        b"standby.received",
        b"message.sent",
        b"message.failed",
        b"message.held",
        b"takeover.requested",
        b"takeover.started",
        b"takeover.extended",
        b"takeover.ended",
        b"handover.changed",
    }
)
"""Of the events topic, by their header `type`: what is part of a conversation as it is shown."""

AnyRecord = Annotated[
    inbound.MessageReceived
    | inbound.PostbackReceived
    | inbound.MessageDelivered
    | inbound.MessageRead
    | inbound.MessageEchoed
    | inbound.MessageEdited
    | inbound.ReactionReceived
    | inbound.ReferralReceived
    | inbound.OptinReceived
    | inbound.StandbyReceived
    | inbound.HandoverChanged
    | inbound.UnknownReceived
    | outcomes.MessageSent
    | outcomes.MessageFailed
    | outcomes.MessageHeld
    | outcomes.TurnCompleted
    | outcomes.TurnFailed
    | outcomes.TakeoverRequested
    | outcomes.TakeoverStarted
    | outcomes.TakeoverExtended
    | outcomes.TakeoverEnded
    | commands.SendText
    | commands.SendAction
    | commands.SendKept
    | channels.ChannelConnected
    | channels.ChannelUpdated
    | channels.ChannelDisconnected
    | channels.ChannelTokenRejected
    | channels.PageDeauthorized
    | channels.PersonDeletionRequested,
    Field(discriminator="type"),
]
_ADAPTER: TypeAdapter[AnyRecord] = TypeAdapter(AnyRecord)

_TOPIC_BY_TYPE = {
    model.model_fields["type"].default: topic
    for topic, models in ALL_RECORDS.items()
    for model in models
}
_MAJOR = {
    model.model_fields["type"].default: model.model_fields["version"].default.split(".")[0]
    for models in ALL_RECORDS.values()
    for model in models
}


class UndecodableRecordError(PermanentError):
    """The bytes are not the record that the headers promise."""

    code = "undecodable"


def topic_of(record: Record) -> str:
    """The topic a record of this type travels on."""
    return _TOPIC_BY_TYPE[record.type]


def key_of(record: Record) -> bytes:
    """The Kafka key: the page for commands and channels, the conversation for events."""
    if topic_of(record) == EVENTS:
        psid = getattr(record, "psid", None)
        return f"{record.page_id}:{psid}".encode() if psid else record.page_id.encode()
    return record.page_id.encode()


def headers_of(record: Record, traceparent: str | None = None) -> list[tuple[str, bytes]]:
    """Headers in Kafka's form. `conversation` lets a reader of commands keep order per person."""
    headers = [
        ("type", record.type.encode()),
        ("version", record.version.encode()),
        ("event_id", record.event_id.encode()),
    ]
    if isinstance(record, ConversationRecord):
        headers.append(("conversation", record.conversation_id.encode()))
    if traceparent:
        headers.append(("traceparent", traceparent.encode()))
    return headers


def encode(record: Record) -> bytes:
    # the serializer behind `model_dump_json`, which would make text of it first
    return record.__pydantic_serializer__.to_json(record, exclude_none=True)


def is_readable(headers: Mapping[str, bytes]) -> bool:
    """Whether a record with these headers is of a type and major version that we know."""
    major = _MAJOR.get(headers.get("type", b"").decode("utf-8", "replace"))
    version = headers.get("version", b"").decode("utf-8", "replace")
    return major is not None and version.split(".")[0] == major


def decode(value: bytes | None) -> AnyRecord:
    """Parse a record's value.

    Raises:
        UndecodableRecordError: the bytes are not JSON, or not one of our records. Its text names
            the fields at fault and never quotes them: they may hold what a person wrote.
    """
    try:
        return _ADAPTER.validate_json(value or b"")
    except ValidationError as error:
        where = ", ".join(
            f"{'.'.join(map(str, item['loc'])) or 'record'}: {item['type']}"
            for item in error.errors(include_url=False, include_input=False, include_context=False)
        )
        raise UndecodableRecordError(where) from None
