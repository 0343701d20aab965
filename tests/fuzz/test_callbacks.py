"""`signed_request` at both callbacks: whatever it holds, 200, 400 or 403, and never a fault."""

import base64
import hashlib
import hmac
import json
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.gateways import Fuzzed
from tests.unit.gateway.test_splitting_laws import JSON
from tests.unit.gateway.webhooks import SECRET, SIGNED_REQUEST

EXAMPLES = 150
PATHS = ("/webhooks/messenger/deauthorize", "/webhooks/messenger/data-deletion")
BOTH = pytest.mark.parametrize("path", PATHS)


def form(content: bytes, path: str) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: gateway\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def signed(part: bytes) -> bytes:
    """A form whose `signed_request` has a good signature over exactly this second part."""
    signature = encoded(hmac.new(SECRET.encode(), part, hashlib.sha256).digest())
    return b"signed_request=" + signature + b"." + part


def post(gateway: Fuzzed, content: bytes, path: str) -> tuple[int, int]:
    """The answer's status and how many records it made."""
    seen, records = gateway.send(form(content, path))
    assert len(seen.answers) == 1
    return seen.statuses[0], len(records)


def request_of(**changed: Any) -> bytes:  # noqa: ANN401
    about = {"algorithm": "HMAC-SHA256", "issued_at": 1763900000, "user_id": "300"}
    return encoded(json.dumps({**about, **changed}).encode())


ACCEPTED: dict[str, bytes] = {
    "as Meta sends it": b"signed_request=" + SIGNED_REQUEST.encode(),
    "a moment from the far future": signed(request_of(issued_at=10**15)),
    "a moment that is none": signed(request_of(issued_at=[1])),
    "an infinite moment": signed(encoded(
        b'{"algorithm":"HMAC-SHA256","issued_at":1e400,"user_id":"300"}')),
    "a person given as a number": signed(request_of(user_id=300)),
    "a key twice: the last counts": signed(encoded(
        b'{"algorithm":"none","algorithm":"HMAC-SHA256","user_id":"300"}')),
}  # fmt: skip
MALFORMED: dict[str, bytes] = {
    "nothing signed": signed(b""),
    "no base64": signed(b"!!!"),
    "no JSON": signed(encoded(b"\xff\xfe")),
    "UTF-16": signed(encoded('{"algorithm":"HMAC-SHA256"}'.encode("utf-16-le")[:-1])),
    "no object": signed(encoded(b"[]")),
    "nested a hundred thousand deep": signed(encoded(b"[" * 100_000)),
    "a number of a hundred thousand digits": signed(encoded(
        b'{"algorithm":"HMAC-SHA256","user_id":' + b"9" * 100_000 + b"}")),
    "no algorithm": signed(request_of(algorithm=None)),
    "the algorithm none": signed(request_of(algorithm="none")),
    "a weaker algorithm": signed(request_of(algorithm="HMAC-SHA1")),
    "an algorithm that is a list": signed(request_of(algorithm=["HMAC-SHA256"])),
    "nobody": signed(request_of(user_id=None)),
    "a person who ends a line": signed(request_of(user_id="300\r\nX: 1")),
    "a person with half a surrogate pair": signed(request_of(user_id="\ud800")),
    "every Page": signed(request_of(user_id="*")),
}  # fmt: skip
PLAIN = SIGNED_REQUEST.encode()
FIELD = b"signed_request="
FORGED: dict[str, bytes] = {
    "nothing": b"",
    "another field": b"request=" + SIGNED_REQUEST.encode(),
    "no dot": FIELD + SIGNED_REQUEST.replace(".", "").encode(),
    "only a dot": b"signed_request=.",
    "no signature": b"signed_request=." + SIGNED_REQUEST.partition(".")[2].encode(),
    "a dot too many": FIELD + PLAIN + b".x",
    "a padded signature": FIELD + SIGNED_REQUEST.replace(".", "%3D.").encode(),
    "one bit": FIELD + SIGNED_REQUEST.replace("uFSg", "vFSg").encode(),
    "another person": FIELD + PLAIN[:44] + request_of(user_id="1"),
    "other characters for the same": FIELD + PLAIN.replace(b"-", b"%2B"),
    "bytes": b"signed_request=\xff\xfe.\xff",
    "surrogates": b"signed_request=%ED%A0%80.%ED%A0%80",
    "NUL": b"signed_request=%00.%00",
    "the field twice, the forged one first": FIELD + b"x.y&" + FIELD + PLAIN,
    "half a megabyte": FIELD + b"A" * 500_000,
}


@BOTH
@pytest.mark.parametrize("name", ACCEPTED)
def test_what_says_who_is_accepted(gateway: Fuzzed, path: str, name: str) -> None:
    assert post(gateway, ACCEPTED[name], path) == (200, 1)


@BOTH
@pytest.mark.parametrize("name", MALFORMED)
def test_signed_nonsense_is_refused(gateway: Fuzzed, path: str, name: str) -> None:
    assert post(gateway, MALFORMED[name], path) == (400, 0)


@BOTH
@pytest.mark.parametrize("name", FORGED)
def test_what_is_not_signed_is_refused(gateway: Fuzzed, path: str, name: str) -> None:
    assert post(gateway, FORGED[name], path) == (403, 0)


@BOTH
def test_more_than_a_form_can_hold_is_refused(gateway: Fuzzed, path: str) -> None:
    assert post(gateway, b"a=b&" * 1000, path) == (400, 0)
    assert post(gateway, b"a" * ((1 << 20) + 1), path) == (413, 0)


@given(payload=JSON, path=st.sampled_from(PATHS))
@settings(max_examples=EXAMPLES, derandomize=True)
def test_anything_signed_is_taken_or_refused(gateway: Fuzzed, payload: Any, path: str) -> None:  # noqa: ANN401
    content = signed(encoded(json.dumps(payload).encode()))
    assert post(gateway, content, path) in {(200, 1), (400, 0)}


@given(parts=st.lists(st.binary(max_size=40), max_size=3), path=st.sampled_from(PATHS))
@settings(max_examples=EXAMPLES, derandomize=True)
def test_any_bytes_are_refused(gateway: Fuzzed, parts: list[bytes], path: str) -> None:
    content = b"signed_request=" + quote_plus(b".".join(parts)).encode()
    assert post(gateway, content, path) == (403, 0)
