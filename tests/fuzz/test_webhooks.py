"""Whatever stands in a signed webhook: 200 or 400, one record for each event, never a fault."""

import bz2
import gzip
import json
import zlib
from typing import Any

import pytest
from hypothesis import given, settings

from libs.common.events import Record
from services.gateway.domain.splitting import MOST_EVENTS
from services.gateway.domain.values import MAX_DEPTH
from tests.fuzz.gateways import CANARY, Fuzzed, webhook_request
from tests.fuzz.laws import records_due
from tests.fuzz.shapes import BODIES, SHAPES, byte_mutants, shape_mutants
from tests.unit.gateway.webhooks import encode, entry, message, sign, webhook

EXAMPLES = 150
BOMB = gzip.compress(b" " * 10_000_000)  # a thousandth of its size
TEXT = encode(webhook(message(text=CANARY)))


def with_text(escaped: bytes) -> bytes:
    """A webhook whose text is written exactly like this."""
    return TEXT.replace(CANARY.encode(), escaped)


@pytest.mark.parametrize("name", SHAPES)
def test_every_documented_shape_is_accepted_whole(gateway: Fuzzed, name: str) -> None:
    status, records = gateway.post(BODIES[name])
    assert (status, len(records)) == (200, records_due(SHAPES[name]))


@given(payload=shape_mutants())
@settings(max_examples=EXAMPLES, derandomize=True)
def test_shapes_with_anything_in_them_cost_no_event(gateway: Fuzzed, payload: Any) -> None:  # noqa: ANN401
    body = json.dumps(payload).replace("NaN", "0").replace("Infinity", "0").encode()
    status, records = gateway.post(body)
    assert (status, len(records)) == (200, records_due(payload))


@given(body=byte_mutants())
@settings(max_examples=EXAMPLES, derandomize=True)
def test_bodies_with_broken_bytes_are_taken_or_refused(gateway: Fuzzed, body: bytes) -> None:
    status, records = gateway.post(body)
    assert (status, bool(records)) in {(200, True), (400, False)}


@given(body=byte_mutants())
@settings(max_examples=EXAMPLES, derandomize=True)
def test_another_body_under_a_good_signature_is_refused(gateway: Fuzzed, body: bytes) -> None:
    request = webhook_request(BODIES["text"])
    if body == BODIES["text"]:
        return
    head = request.partition(b"\r\n\r\n")[0].decode().splitlines()
    kept = [line for line in head if not line.startswith("Content-Length")]
    lines = [*kept, f"Content-Length: {len(body)}"]
    seen, records = gateway.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    assert (seen.statuses, records) == ([403], [])


def kind_of(records: list[Record]) -> list[tuple[str, str | None]]:
    return [(record.type, getattr(record, "reason", None)) for record in records]


MESSAGE = [("message.received", None)]

ACCEPTED: dict[str, tuple[bytes, str]] = {
    "half a surrogate pair": (with_text(rb"a\ud83d b"), "a\ufffd b"),
    "the wrong half": (with_text(rb"\ude00"), "\ufffd"),
    "halves in the wrong order": (with_text(rb"\ude00\ud83d"), "\ufffd\ufffd"),
    "NUL, escaped": (with_text(rb"a\u0000b"), "a\ufffdb"),
    "a lone continuation byte": (with_text(b"a\x80b"), "a\ufffdb"),
    "overlong UTF-8": (with_text(b"\xc0\xaf"), "\ufffd\ufffd"),
    "a surrogate as UTF-8": (with_text(b"\xed\xa0\x80"), "\ufffd\ufffd\ufffd"),
    "beyond Unicode": (with_text(b"\xf4\x90\x80\x80"), "\ufffd\ufffd\ufffd\ufffd"),
    "UTF-8 cut short": (with_text(b"\xf0\x9f\x98"), "\ufffd"),
    "a non-character": (with_text(rb"\uffff\ufdd0"), "\uffff\ufdd0"),
    "a byte order mark in the text": (with_text(b"\xef\xbb\xbfx"), "\ufeffx"),
    "line separators": (with_text(rb"\u2028\u2029\u0085"), "\u2028\u2029\x85"),
    "controls, escaped": (with_text(rb"\u001b[31m\u0007\r\n"), "\x1b[31m\x07\r\n"),
    "a key twice: the last counts": (TEXT.replace(b'"text"', b'"text":"first","text"'), CANARY),
    "DEL, which JSON may hold": (with_text(b"\x7f"), "\x7f"),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_odd_texts_arrive_and_can_be_written(gateway: Fuzzed, name: str) -> None:
    body, text = ACCEPTED[name]
    status, records = gateway.post(body)
    assert (status, kind_of(records)) == (200, MESSAGE)
    assert records[0].model_dump()["text"] == text


def with_timestamp(number: bytes) -> bytes:
    return TEXT.replace(b'"timestamp":1763900000001', b'"timestamp":' + number)


@pytest.mark.parametrize(
    "number",
    [
        b"1e400",
        b"-1e400",
        b"1E-400",
        b"-0",
        b"-0.0",
        b"9" * 4300,
        b"-" + b"9" * 400,
        b"0." + b"3" * 100_000,
        b"1e999999999999",
        b"9223372036854775808",
        b"253402300800000",
        b"true",
        b"null",
        b"[]",
        b'"99999999999999999999999"',
        b'"\\ud800"',
    ],
)
def test_odd_moments_cost_no_message(gateway: Fuzzed, number: bytes) -> None:
    status, records = gateway.post(with_timestamp(number))
    assert (status, kind_of(records)) == (200, MESSAGE)


DEEP = 100_000
REFUSED: dict[str, bytes] = {
    "nothing": b"",
    "more digits than Python reads": with_timestamp(b"9" * 4301),
    "a hundred thousand digits": with_timestamp(b"9" * DEEP),
    "NaN": with_timestamp(b"NaN"),
    "Infinity": with_timestamp(b"Infinity"),
    "-Infinity": with_timestamp(b"-Infinity"),
    "a number with a leading zero": with_timestamp(b"01"),
    "a hexadecimal number": with_timestamp(b"0x10"),
    "a byte order mark before": b"\xef\xbb\xbf" + TEXT,
    "UTF-16": TEXT.decode().encode("utf-16"),
    "UTF-16 without a mark": TEXT.decode().encode("utf-16-le"),
    "UTF-32": TEXT.decode().encode("utf-32"),
    "UTF-7": TEXT.decode().encode("utf-7").replace(b"{", b"+AHs-"),
    "NUL as it is": with_text(b"a\x00b"),
    "a line break as it is": with_text(b"a\nb"),
    "a half escape": with_text(rb"\u12"),
    "an escape that JSON has not": with_text(rb"\x41"),
    "something after the end": TEXT + b"{}",
    "a comment": b"/**/" + TEXT,
    "single quotes": TEXT.replace(b'"', b"'"),
    "a comma too many": TEXT.replace(b"}]}", b"},]}"),
    "lists, open": b"[" * DEEP,
    "lists": b"[" * DEEP + b"]" * DEEP,
    "objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "lists and objects": b'[{"a":' * (DEEP // 2) + b"1" + b"}]" * (DEEP // 2),
    "deep in a message": with_text(b'","x":' + b"[" * DEEP + b"]" * DEEP + b',"y":"'),
    "one deeper than we take": b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
    "gzip without saying so": BOMB,
    "deflate without saying so": zlib.compress(TEXT),
    "bzip2 without saying so": bz2.compress(TEXT),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_json_is_refused_although_signed(gateway: Fuzzed, name: str) -> None:
    assert gateway.post(REFUSED[name]) == (400, [])


@pytest.mark.parametrize(
    "coding",
    ["gzip", "x-gzip", "deflate", "br", "zstd", "compress", "gzip, gzip", "identity, gzip", "\tGZ"],
)
@pytest.mark.parametrize("body", [BOMB, TEXT, gzip.compress(TEXT)])
def test_nothing_compressed_is_unpacked(gateway: Fuzzed, coding: str, body: bytes) -> None:
    assert gateway.post(body, ("Content-Encoding", coding)) == (400, [])


def test_of_two_encodings_none_is_hidden_by_the_other(gateway: Fuzzed) -> None:
    both = (("Content-Encoding", "identity"), ("Content-Encoding", "gzip"))
    for headers in (both, both[::-1]):
        assert gateway.post(TEXT, *headers) == (400, [])


def test_a_signature_over_the_unpacked_body_signs_nothing(gateway: Fuzzed) -> None:
    packed = gzip.compress(TEXT)
    head = webhook_request(packed).replace(sign(packed).encode(), sign(TEXT).encode())
    seen, records = gateway.send(head)
    assert (seen.statuses, records) == ([403], [])


@pytest.mark.parametrize(
    "payload",
    [
        webhook(*[0] * MOST_EVENTS),
        {"object": "page", "entry": [0] * (MOST_EVENTS + 1)},
        {"object": "instagram", "entry": [{}] * (MOST_EVENTS + 1)},
        {"object": "page", "entry": [entry(0, 0)] * (MOST_EVENTS // 2)},
        {"object": "page", "entry": [{**entry(0), "standby": [0] * MOST_EVENTS}]},
    ],
)
def test_more_events_than_meta_ever_sends_are_kept_as_one(gateway: Fuzzed, payload: object) -> None:
    """Else a mebibyte of zeros becomes half a million records."""
    status, records = gateway.post(json.dumps(payload).encode())
    assert (status, kind_of(records)) == (200, [("unknown.received", "too_many")])
    assert records_due(payload) == 1


def test_a_real_batch_of_a_thousand_is_not_too_many(gateway: Fuzzed) -> None:
    elements = [message(f"m_{number}") for number in range(1000)]
    status, records = gateway.post(encode(webhook(*elements)))
    assert (status, len({record.event_id for record in records})) == (200, 1000)
