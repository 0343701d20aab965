"""Records survive the wire, headers decide alone, and an unreadable record quotes nobody."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import PermanentError
from libs.common.events import (
    ALL_RECORDS,
    ConversationRecord,
    MessageReceived,
    Record,
    UndecodableRecordError,
    UnknownReceived,
    decode,
    derived_id,
    encode,
    headers_of,
    is_readable,
    key_of,
    topic_of,
)
from libs.common.topics import CHANNELS, COMMANDS, EVENTS
from tests.unit.common.events.strategies import records, texts

MESSAGE = {
    "type": "message.received",
    "event_id": "e-1",
    "page_id": "1052938400",
    "psid": "7391028401",
    "occurred_at": "2026-11-23T09:15:27Z",
    "mid": "m_1",
    "text": "hello",
}


def bytes_of(**changes: object) -> bytes:
    return json.dumps(MESSAGE | changes).encode()


@given(records)
def test_every_record_survives_the_wire(record: Record) -> None:
    again = decode(encode(record))
    assert again == record
    assert type(again) is type(record)
    assert again.occurred_at.tzinfo is UTC


@given(records)
def test_headers_are_those_of_a_readable_record(record: Record) -> None:
    headers = dict(headers_of(record, "00-trace-01"))
    assert is_readable(headers)
    assert headers["type"].decode() == record.type
    assert headers["event_id"].decode() == record.event_id
    assert headers["traceparent"] == b"00-trace-01"
    if isinstance(record, ConversationRecord):
        assert headers["conversation"].decode() == record.conversation_id


@given(records)
def test_key_keeps_conversations_in_order_and_pages_together(record: Record) -> None:
    key = key_of(record).decode()
    if topic_of(record) == EVENTS and (psid := getattr(record, "psid", None)):
        assert key == f"{record.page_id}:{psid}"
    else:
        assert key == record.page_id


def test_event_that_names_no_person_is_keyed_by_page() -> None:
    event = UnknownReceived(
        event_id="e-1",
        page_id="1052938400",
        occurred_at=datetime(2026, 11, 23, tzinfo=UTC),
        kind="changes",
        reason="no_messaging",
        raw="{}",
    )
    assert key_of(event) == b"1052938400"
    assert "conversation" not in dict(headers_of(event))


def test_headers_without_a_trace_have_none() -> None:
    assert "traceparent" not in dict(headers_of(decode(bytes_of())))


@pytest.mark.parametrize(
    ("headers", "readable"),
    [
        ({"type": b"message.received", "version": b"1.0"}, True),
        ({"type": b"message.received", "version": b"1.7"}, True),
        ({"type": b"message.received", "version": b"2.0"}, False),
        ({"type": b"message.received", "version": b"10.0"}, False),
        ({"type": b"message.received", "version": b""}, False),
        ({"type": b"message.received"}, False),
        ({"type": b"message.forgotten", "version": b"1.0"}, False),
        ({"type": b"\xff", "version": b"\xff"}, False),
        ({}, False),
    ],
)
def test_headers_alone_tell_what_is_readable(headers: Mapping[str, bytes], readable: bool) -> None:
    assert is_readable(headers) is readable


def test_newer_minor_version_is_understood_without_its_new_fields() -> None:
    record = decode(bytes_of(version="1.9", mood="sunny", attachments=[{"type": "hug", "to": 1}]))
    assert isinstance(record, MessageReceived)
    assert (record.version, record.text, record.attachments[0].type) == ("1.9", "hello", "hug")


def test_moments_become_utc() -> None:
    record = decode(bytes_of(occurred_at="2026-11-23T10:15:27+01:00"))
    assert record.occurred_at == datetime(2026, 11, 23, 9, 15, 27, tzinfo=UTC)
    assert record.occurred_at.tzinfo is UTC
    east = datetime(2026, 11, 23, 1, tzinfo=timezone(timedelta(hours=2)))
    assert MessageReceived.model_validate(MESSAGE | {"occurred_at": east}).occurred_at.hour == 23


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (None, "record: json_invalid"),
        (b"", "record: json_invalid"),
        (b"\xff\xfe", "record: json_invalid"),
        (b"[]", "record: dict_type"),
        (b"{}", "record: union_tag_not_found"),
        (bytes_of(type="message.forgotten"), "record: union_tag_invalid"),
        (bytes_of(mid=None), r"message\.received\.mid: string_type"),
        (bytes_of(occurred_at="2026-11-23T09:15:27"), "occurred_at: timezone_aware"),
        (bytes_of(psid=""), "psid: string_too_short"),
    ],
)
def test_undecodable_record_names_the_field(value: bytes | None, complaint: str) -> None:
    with pytest.raises(UndecodableRecordError, match=complaint) as caught:
        decode(value)
    assert isinstance(caught.value, PermanentError)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@given(st.sampled_from([*MESSAGE]), st.integers() | st.lists(texts))
def test_undecodable_record_quotes_nothing(name: str, value: object) -> None:
    secret = "what a person wrote"
    changed = json.dumps(MESSAGE | {"text": secret, name: [value, secret]}).encode()
    with pytest.raises(UndecodableRecordError) as caught:
        decode(changed)
    assert secret not in str(caught.value)


@given(st.binary())
def test_no_bytes_raise_anything_else(value: bytes) -> None:
    with pytest.raises(UndecodableRecordError):
        decode(value)


def test_every_record_has_a_topic_and_a_type_of_its_own() -> None:
    models = [model for models in ALL_RECORDS.values() for model in models]
    types = {model.model_fields["type"].default for model in models}
    assert len(types) == len(models) == 30
    assert set(ALL_RECORDS) == {EVENTS, COMMANDS, CHANNELS}


def test_records_cannot_be_changed() -> None:
    record = decode(bytes_of())
    with pytest.raises(ValueError, match="frozen"):
        setattr(record, "page_id", "other")  # noqa: B010 - mypy forbids it already


def test_derived_id_is_stable_for_ever() -> None:
    """It is stored, and on the log: another one would make every old record new."""
    assert derived_id("1052938400", "m_1") == "4p5qje25kkhqj52pbor6jnaovs"


@given(st.lists(texts, min_size=1), st.lists(texts, min_size=1))
def test_derived_ids_differ_as_their_parts_do(one: list[str], other: list[str]) -> None:
    if "\x1f" not in "".join([*one, *other]):
        assert (derived_id(*one) == derived_id(*other)) is (one == other)
    assert len(derived_id(*one)) == 26
