"""Bytes to JSON: what is refused, and what must not be."""

import json
import time

import pytest

from services.gateway.domain.payload import MalformedPayloadError, parse
from services.gateway.domain.values import MAX_DEPTH
from tests.unit.gateway.webhooks import META_BODY


def test_metas_body_is_parsed() -> None:
    assert parse(META_BODY) == json.loads(META_BODY)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'object':'page'}",
        b'{"object":"page"} x',
        b"\x1f\x8b\x08\x00 gzip",
        b"object=page",
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":"raw\nnewline"}',
        b"\xff\xfe{\x00}\x00",
        b'{"n":' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"[" * 500 + b"]" * 500,
    ],
)
def test_what_is_no_json_or_nested_beyond_reason_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedPayloadError):
        parse(body)


def test_depth_bombs_of_a_mebibyte_cost_next_to_nothing() -> None:
    started = time.process_time()
    for bomb in (b"[" * (1 << 20), b'{"a":' * 200_000, b"[1," * 300_000, b"[[1]," * 200_000):
        with pytest.raises(MalformedPayloadError):
            parse(bomb)
    assert time.process_time() - started < 2


def test_the_deepest_nesting_allowed() -> None:
    assert parse(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    with pytest.raises(MalformedPayloadError):
        parse(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))
    wide = b"[" + b",".join([b"[{}]"] * 1000) + b"]"
    assert len(json.loads(wide)) == len(parse(wide)) == 1000  # type: ignore[arg-type]


def test_broken_surrogates_and_bytes_that_are_no_utf8_are_let_through() -> None:
    assert parse(rb'{"t":"\ud83d x"}') == {"t": "\ud83d x"}
    assert parse(b'{"t":"\xff"}') == {"t": "\ufffd"}
