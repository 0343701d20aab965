"""What is fuzzed: each target takes bytes, and raises where a law is broken.

They need neither atheris nor a server, so that tests can try them with what was once found.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from types import MappingProxyType
from typing import Any
from urllib.parse import urljoin, urlsplit

from hypothesis import HealthCheck, given, settings
from pydantic import TypeAdapter, ValidationError

from libs.common.errors import PermanentError
from libs.common.events import UndecodableRecordError, decode, encode, headers_of, key_of, topic_of
from libs.common.paging import Cursor, cursor_of
from services.console.domain.clients import client_address, device, safe_path
from services.gateway.domain.payload import parse
from services.gateway.domain.signature import parse_signed_request
from services.gateway.domain.splitting import to_events
from tests.fuzz.gateways import fuzzed_gateway
from tests.fuzz.laws import records_due
from tests.fuzz.requests import ACCEPTED, BODY, ELSEWHERE, REFUSED
from tests.fuzz.shapes import BODIES, shape_mutants
from tests.unit.gateway.test_splitting_laws import travels
from tests.unit.gateway.webhooks import SECRET, SIGNED_REQUEST

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
CONSOLE = "https://console.example.org"
PROXIES = (ip_network("10.0.0.0/8"),)
SHORT = 3000  # a seed that is longer only slows the search down
Try = Callable[[bytes], None]


@dataclass(frozen=True)
class Target:
    """`open` gives what takes the bytes; `seeds` are where the search begins."""

    about: str
    open: Callable[[], Any]
    seeds: tuple[bytes, ...] = ()
    most_bytes: int = 4096


@contextmanager
def webhook() -> Iterator[Try]:
    """A rightly signed body, through HTTP parsing, deadlines, handler and splitting."""
    with fuzzed_gateway() as gateway:

        def send(data: bytes) -> None:
            status, records = gateway.post(data)
            if status == 200:
                assert len(records) == records_due(parse(data))
            else:
                assert (status, records) == (400, [])

        yield send


@contextmanager
def http() -> Iterator[Try]:
    """Bytes at the port. The seeds know one signed webhook: nothing else may be published."""
    (known,) = to_events(parse(BODY), NOW)
    with fuzzed_gateway() as gateway:

        def send(data: bytes) -> None:
            _, records = gateway.send(data)
            assert all(record == known for record in records)

        yield send


@contextmanager
def shapes() -> Iterator[Try]:
    """Real webhooks with anything put into them, made by Hypothesis out of the bytes."""

    @given(shape_mutants())
    @settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def split(payload: object) -> None:
        records = to_events(payload, NOW)
        assert len(records) == records_due(payload)
        for record in records:
            travels(record)

    run: Callable[[bytes], object] = split.hypothesis.fuzz_one_input  # type: ignore[attr-defined]

    def send(data: bytes) -> None:
        run(data)

    yield send


@contextmanager
def signed_request() -> Iterator[Try]:
    """A callback's value: as it is, and with the bytes as what is signed."""

    def send(data: bytes) -> None:
        _parsed(data.decode("latin-1"))
        part = base64.urlsafe_b64encode(data).rstrip(b"=")
        for message in (part, data):
            digest = hmac.new(SECRET.encode(), message, hashlib.sha256).digest()
            signature = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            _parsed(f"{signature}.{message.decode('latin-1')}")

    yield send


def _parsed(value: str) -> None:
    try:
        request = parse_signed_request(value, [SECRET], NOW)
    except PermanentError:
        return
    assert 0 < len(request.user_id) <= 64
    assert request.user_id.isascii()
    assert request.issued_at.tzinfo is not None


@contextmanager
def record() -> Iterator[Try]:
    """A record's value as every service reads it from Kafka: readable or refused, never a fault."""

    def send(data: bytes) -> None:
        try:
            found = decode(data)
        except UndecodableRecordError:
            return
        assert decode(encode(found)) == found
        assert topic_of(found)
        assert key_of(found)
        assert headers_of(found)

    yield send


@contextmanager
def console_values() -> Iterator[Try]:
    """What strangers give the console in addresses and headers, outside of its models."""
    cursors: TypeAdapter[Any] = TypeAdapter(Cursor)

    def send(data: bytes) -> None:
        value = data.decode("utf-8", "surrogateescape")
        path = safe_path(value)
        assert urlsplit(urljoin(f"{CONSOLE}/sign-in", path))[:2] == urlsplit(CONSOLE)[:2]
        ip_address(client_address("10.0.0.1", value.split(";"), PROXIES))
        assert len(device(value)) < 40
        with suppress(ValidationError):
            after = cursors.validate_python(value)
            assert cursors.validate_python(cursor_of(after.at, after.id)) == after

    yield send


_BODIES = tuple(sorted(BODIES.values()))
_REQUESTS = (*ACCEPTED.values(), *REFUSED.values(), *(each for each, _ in ELSEWHERE.values()))

TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        "webhook": Target("signed bodies, through the whole gateway", webhook, _BODIES),
        "http": Target(
            "bytes at the gateway's port",
            http,
            tuple(each for each in _REQUESTS if len(each) < SHORT),
        ),
        "shapes": Target("webhooks with anything put into them", shapes),
        "signed_request": Target(
            "deauthorize and data deletion",
            signed_request,
            (
                SIGNED_REQUEST.encode(),
                b'{"algorithm":"HMAC-SHA256","issued_at":1763900000,"user_id":"300"}',
            ),
        ),
        "record": Target(
            "what services read from Kafka",
            record,
            tuple(encode(each) for body in _BODIES for each in to_events(parse(body), NOW)),
        ),
        "console": Target(
            "addresses, headers and cursors at the console",
            console_values,
            (
                b"/channels?x=1#y",
                b"//elsewhere.example/",
                b"/\\elsewhere.example",
                b"10.1.2.3, 192.0.2.7;10.0.0.2",
                b"2001:db8::1%eth0, 10.0.0.1",
                cursor_of(NOW, "aud_1").encode(),
                b"Mozilla/5.0 (Windows NT 10.0) Chrome/1 Edg/1",
            ),
            400,
        ),
    }
)
