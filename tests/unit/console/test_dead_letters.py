"""Dead letters: what is believed of one, whose it is, and that its view says none of its words."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.events import MessageReceived, encode, headers_of, key_of
from libs.common.kafka import dead_letter, put_back
from libs.common.kafka.records import ConsumedRecord
from libs.common.topics import EVENTS
from services.console.domain.dead_letters import Letter, Place, letter_of
from services.console.domain.masking import masked

AT = Place(1, 17, 1_764_112_345_678)
NOW = datetime.fromtimestamp(AT.timestamp_ms / 1000, UTC)


def message_received(text: str = "hello") -> MessageReceived:
    return MessageReceived(
        event_id="e" * 26,
        page_id="4225",
        psid="77001",
        occurred_at=NOW - timedelta(hours=1),
        mid="m.1",
        text=text,
    )


def dead(**changes: Any) -> ConsumedRecord:  # noqa: ANN401 - fields of the record
    """A person's message that the conversation service could not handle."""
    event = message_received(text="my card is 1234")
    alive = ConsumedRecord(
        EVENTS, 3, 40, key_of(event), encode(event), dict(headers_of(event)), AT.timestamp_ms
    )
    message = dead_letter(alive, ValueError("1234"), 3, service="conversation")
    fields = {"key": message.key, "value": message.value, "headers": dict(message.headers)}
    return ConsumedRecord(
        topic=message.topic,
        partition=AT.partition,
        offset=AT.offset,
        timestamp_ms=AT.timestamp_ms,
        **(fields | changes),
    )


def letter(**changes: Any) -> Letter:  # noqa: ANN401
    record = dead(**changes)
    return letter_of(AT, record.key, record.value, record.headers)


def test_a_letter_tells_where_it_came_from_and_why_and_not_what_it_says() -> None:
    found = letter()
    assert (found.topic, found.source, found.service) == (EVENTS, (3, 40), "conversation")
    assert (found.error, found.attempts, found.type) == ("ValueError", 3, "message.received")
    event = message_received()
    assert (found.page_id, found.conversation) == (event.page_id, event.conversation_id)
    assert found.obstacle(None) is None
    assert "card" not in repr(found)
    assert event.psid not in repr(found)


def test_what_is_put_back_is_the_record_as_it_was() -> None:
    event = message_received(text="my card is 1234")
    message = put_back(dead())
    assert (message.topic, message.key, message.value) == (EVENTS, key_of(event), encode(event))
    assert list(message.headers) == headers_of(event)
    with pytest.raises(ValueError, match="without its topic"):
        put_back(dead(headers={}))


@pytest.mark.parametrize(
    "name", ["", "1", "1-2", "1-2-x", "-1-2-3", "1-2-3-4", "1-2-³", "../1-2-3", "1" * 9 + "-2-3"]
)
def test_what_is_no_place_is_none(name: str) -> None:
    assert Place.parse(name) is None
    assert Place.parse(str(AT)) == AT


@pytest.mark.parametrize(
    "changes",
    [
        {"key": b"999:somebody"},
        {"key": b"<script>"},
        {"value": b'{"page_id": "999", "psid": "1"}'},
        {"value": json.dumps({"page_id": "1", "psid": "another"}).encode()},
    ],
)
def test_a_record_that_disagrees_with_its_key_is_nobodys(changes: dict[str, Any]) -> None:
    assert letter(**changes).page_id is None


def test_a_record_that_can_not_be_read_belongs_to_the_page_of_its_key() -> None:
    event = message_received()
    found = letter(value=b"\xff not JSON")
    assert (found.page_id, found.conversation) == (event.page_id, event.conversation_id)
    assert found.occurred_at is None


def test_headers_that_are_not_ours_are_not_shown_and_make_nothing_go_anywhere() -> None:
    headers = dead().headers
    strange = {
        "dead-letter-topic": b"somebody.elses",
        "dead-letter-service": b"<b>",
        "dead-letter-error": b"ValueError: my card is 1234",
        "dead-letter-partition": b"-1",
        "type": b"my card is 1234",
    }
    found = letter(headers={**headers, **strange})
    assert (found.topic, found.source, found.service) == (None, None, None)
    assert (found.error, found.type) == (None, None)
    assert found.obstacle(None) == "no_source"
    assert letter(headers={**headers, "dead-letter-topic": b"messenger.dead-letters"}).topic is None


def test_who_was_erased_does_not_come_back() -> None:
    happened = letter().occurred_at
    assert happened is not None
    assert letter().obstacle(happened) == "erased"
    assert letter().obstacle(happened - timedelta(milliseconds=1)) is None  # they wrote again
    broken = letter(value=b"not JSON")
    assert broken.obstacle(NOW) == "erased"
    assert broken.obstacle(NOW - timedelta(seconds=1)) is None


def test_the_view_shows_the_shape() -> None:
    text = masked(
        b'{"type": "message.received", "version": "1.0", "occurred_at": "2026-11-25T23:00:00Z",'
        b' "text": "secret", "my card": [1234, true, null, {"mid": "m.1"}], "raw": {}}'
    )
    assert text.splitlines() == [
        "{",
        "  type: message.received",
        "  version: 1.0",
        "  occurred_at: 2026-11-25T23:00:00Z",
        "  text: text, 6 characters",
        "  (another field, 7 characters): 4 items",
        "    ·: a number",
        "    ·: true",
        "    ·: null",
        "    ·: {",
        "      mid: text, 3 characters",
        "    }",
        "  raw: no fields",
        "}",
    ]
    assert masked(None) == "nothing: the record has no value"
    assert masked(b"hello") == "not JSON: 5 bytes"
    assert masked(b"[" * 5000) == "not JSON: 5000 bytes"
    assert len(masked(json.dumps(list(range(9999))).encode()).splitlines()) < 30
    assert len(masked(json.dumps({"raw": [["x"] * 20] * 20}).encode()).splitlines()) <= 201


# letters of an alphabet that no word of ours is written in
_SAID = st.text(alphabet="αβγδεζηθ<>&\"'0123456789", min_size=3, max_size=20)
_JSON = st.recursive(
    _SAID | st.integers(min_value=1000) | st.none() | st.booleans(),
    lambda each: st.lists(each, max_size=4) | st.dictionaries(_SAID | st.just("text"), each),
    max_leaves=12,
)


@given(_JSON, st.sampled_from(["type", "version", "occurred_at", "text", "psid", "event_id"]))
def test_nothing_that_was_said_is_in_the_view(document: object, name: str) -> None:
    """Whatever stands in whatever field, as a name, a text or a number: only lengths are shown."""
    for value in (document, {name: document, "raw": document}):
        text = masked(json.dumps(value, ensure_ascii=False).encode())
        counted = re.sub(r"\b\d+ (characters?|items?|bytes|more|more lines)\b", "", text)
        assert not re.search(r"[αβγδεζηθ<>&\"'0-9]", counted), text
