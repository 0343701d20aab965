"""The webhook endpoint over real sockets: what is answered, and what reaches the log."""

import asyncio
import gzip
import io
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog
from aiohttp.test_utils import TestClient as Client
from aiohttp.test_utils import TestServer
from prometheus_client import REGISTRY

from libs.common import logging as project_logging
from libs.common.sparingly import Sparingly
from libs.common.web import Readiness
from services.gateway import bodies, handlers
from services.gateway.app import create_app
from services.gateway.handlers import PUBLISHER
from tests.unit.gateway.conftest import (
    VERIFY_TOKEN,
    FakePublisher,
    LogAwayError,
    gateway_settings,
)
from tests.unit.gateway.webhooks import (
    META_BODY,
    META_SIGNATURE,
    REENCODED_SIGNATURE,
    SECRET,
    encode,
    entry,
    from_person,
    message,
    sign,
    webhook,
)

URL = "/webhooks/messenger"
PREVIOUS_USED = "assistant_previous_secrets_used_total"
Gateway = Client[Any, Any]


async def post(
    gateway: Gateway,
    body: bytes | AsyncIterator[bytes],
    signature: str | None = None,
    **headers: str,
) -> tuple[int, str]:
    if signature is None:
        assert isinstance(body, bytes)
        signature = sign(body)
    data = io.BytesIO(body) if isinstance(body, bytes) else body
    all_headers = {"X-Hub-Signature-256": signature, "Content-Type": "application/json", **headers}
    async with gateway.post(URL, data=data, headers=all_headers) as response:
        return response.status, await response.text()


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("assistant_webhooks_total", {"outcome": outcome}) or 0.0


async def test_times_are_kept_apart_by_whose_fault_it_was(
    gateway: Gateway, publisher: FakePublisher
) -> None:
    def timed() -> list[float]:
        name = "assistant_webhook_seconds_count"
        every = ("accepted", "refused", "failed")
        return [REGISTRY.get_sample_value(name, {"outcome": each}) or 0.0 for each in every]

    before = timed()
    await post(gateway, META_BODY, META_SIGNATURE)
    await post(gateway, META_BODY, "sha256=00")
    publisher.error = LogAwayError()
    await post(gateway, META_BODY, META_SIGNATURE)
    assert [now - then for now, then in zip(timed(), before, strict=True)] == [1, 1, 1]


# --- the handshake


async def test_handshake_returns_the_challenge_exactly(gateway: Gateway) -> None:
    query = {
        "hub.mode": "subscribe",
        "hub.verify_token": VERIFY_TOKEN,
        "hub.challenge": '<b>1158201444</b> "ä',
    }
    async with gateway.get(URL, params=query) as response:
        assert response.status == 200
        assert response.content_type == "text/plain"
        assert await response.text() == query["hub.challenge"]
        assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "changed",
    [
        {"hub.verify_token": "another-token"},
        {"hub.verify_token": VERIFY_TOKEN + "x"},
        {"hub.verify_token": "ключ"},
        {"hub.verify_token": ""},
        {"hub.mode": "unsubscribe"},
        {"hub.challenge": ""},
    ],
)
async def test_handshake_of_anybody_else_is_refused(
    gateway: Gateway, changed: dict[str, str]
) -> None:
    query = {"hub.mode": "subscribe", "hub.verify_token": VERIFY_TOKEN, "hub.challenge": "1"}
    async with gateway.get(URL, params={**query, **changed}) as response:
        assert response.status == 403
        assert VERIFY_TOKEN not in await response.text()
    async with gateway.get(URL) as response:
        assert response.status == 403


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("POST", "/", 404),
        ("GET", "/webhooks", 404),
        ("GET", "/webhooks/messenger/deauthorize", 405),
        ("GET", "/docs", 404),
        ("PUT", "/webhooks/messenger", 405),
        ("HEAD", "/webhooks/messenger", 405),
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 503),
        ("GET", "/metrics", 200),
    ],
)
async def test_nothing_else_is_served(
    gateway: Gateway, method: str, path: str, status: int
) -> None:
    async with gateway.request(method, path) as response:
        assert response.status == status


# --- webhooks that are accepted


async def test_metas_vector_is_published_and_acknowledged(
    gateway: Gateway, publisher: FakePublisher
) -> None:
    before = counted("accepted")
    assert await post(gateway, META_BODY, META_SIGNATURE) == (200, "EVENT_RECEIVED")
    (record,) = publisher.records
    assert record.model_dump(include={"type", "page_id", "psid", "mid", "text"}) == {
        "type": "message.received",
        "page_id": "100",
        "psid": "200",
        "mid": "m_1",
        "text": "äöå 😀 http://a.b/c",
    }
    assert counted("accepted") == before + 1


async def test_both_secrets_are_accepted_in_the_overlap(
    gateway: Gateway, publisher: FakePublisher
) -> None:
    used = REGISTRY.get_sample_value(PREVIOUS_USED, {"secret": "app_secret"}) or 0.0
    for secret in (SECRET, "the_previous_secret"):
        assert (await post(gateway, META_BODY, sign(META_BODY, secret)))[0] == 200
    assert len(publisher.records) == 2
    assert REGISTRY.get_sample_value(PREVIOUS_USED, {"secret": "app_secret"}) == used + 1


async def test_a_batch_is_published_in_one_call_and_in_order(
    gateway: Gateway, publisher: FakePublisher
) -> None:
    elements = [message(f"m_{number}") for number in range(1000)]
    body = encode({"object": "page", "entry": [entry(*elements[:500]), entry(*elements[500:])]})
    assert (await post(gateway, body))[0] == 200
    (call,) = publisher.calls
    assert [record.mid for record in call] == [  # type: ignore[attr-defined]
        f"m_{number}" for number in range(1000)
    ]


@pytest.mark.parametrize(
    "payload",
    [
        {"object": "instagram", "entry": [entry(message())]},
        {"object": "page", "entry": [{"id": "100", "time": 1}]},
        {"object": "page"},
        webhook(from_person(brand_new={"a": 1})),
        webhook({**message(), "timestamp": 2**63}),
        webhook(message(text="a\x00b")),
        [],
        "text",
        None,
    ],
)
async def test_poison_is_acknowledged_and_kept(
    gateway: Gateway, publisher: FakePublisher, payload: object
) -> None:
    assert (await post(gateway, encode(payload)))[0] == 200
    assert len(publisher.records) == 1


async def test_chunked_body(gateway: Gateway, publisher: FakePublisher) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(META_BODY), 50):
            yield META_BODY[start : start + 50]

    assert (await post(gateway, pieces(), META_SIGNATURE))[0] == 200
    assert len(publisher.records) == 1


# --- webhooks that are refused


@pytest.mark.parametrize(
    "signature",
    ["", REENCODED_SIGNATURE, META_SIGNATURE.upper(), "sha256=ä", "sha1=" + "0" * 40],
)
async def test_bad_signature_is_refused_unparsed_and_unpublished(
    gateway: Gateway,
    publisher: FakePublisher,
    signature: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(handlers, "parse", None)  # would fail if it were called
    before = counted("bad_signature")
    assert (await post(gateway, META_BODY, signature))[0] == 403
    assert publisher.calls == []
    assert counted("bad_signature") == before + 1


async def test_missing_doubled_and_sha1_signatures_are_refused(
    gateway: Gateway, publisher: FakePublisher
) -> None:
    good = ("X-Hub-Signature-256", META_SIGNATURE)
    for headers in ([], [good, good], [("X-Hub-Signature", META_SIGNATURE)]):
        async with gateway.post(URL, data=META_BODY, headers=headers) as response:
            assert response.status == 403
    assert publisher.calls == []


async def test_malformed_json_with_a_good_signature_is_a_bad_request(
    gateway: Gateway, publisher: FakePublisher
) -> None:
    for body in (b"", b"{", b"\xff\xfe", b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000):
        assert (await post(gateway, body))[0] == 400
    assert publisher.calls == []


async def test_compressed_body_is_refused_even_if_the_inside_is_signed(
    gateway: Gateway, publisher: FakePublisher
) -> None:
    packed = gzip.compress(META_BODY)
    for signature in (META_SIGNATURE, sign(packed)):
        headers = {"Content-Encoding": "gzip"}
        assert (await post(gateway, packed, signature, **headers))[0] == 400
    assert publisher.calls == []


async def test_too_large_bodies_get_413_and_the_largest_passes(
    gateway: Gateway, publisher: FakePublisher
) -> None:
    async def endless(size: int) -> AsyncIterator[bytes]:
        for _ in range(size // 65536):
            yield b" " * 65536

    largest = META_BODY + b" " * ((1 << 20) - len(META_BODY))
    assert (await post(gateway, largest))[0] == 200
    assert (await post(gateway, largest + b" "))[0] == 413  # declared
    assert (await post(gateway, endless(1 << 21), META_SIGNATURE))[0] == 413  # streamed
    assert len(publisher.calls) == 1


async def test_a_huge_event_is_kept_within_what_kafka_takes(
    gateway: Gateway, publisher: FakePublisher
) -> None:
    assert (await post(gateway, encode(webhook(message(text="x" * 1_000_000)))))[0] == 200
    (record,) = publisher.records
    assert (record.type, getattr(record, "reason", None)) == ("unknown.received", "too_large")


async def test_what_a_tighter_kafka_refuses_for_good_is_kept_as_its_beginning(
    gateway: Gateway, publisher: FakePublisher
) -> None:
    publisher.largest = 65_536
    body = encode(webhook(message("m_1"), message("m_2", text="\\" * 80_000)))
    assert (await post(gateway, body))[0] == 200
    whole, cut = publisher.records
    assert whole.type == "message.received"
    assert (cut.type, getattr(cut, "reason", None)) == ("unknown.received", "too_large")


# --- the log is away


@pytest.mark.parametrize("error", [LogAwayError(), TimeoutError()])
async def test_without_the_log_meta_is_told_to_try_again(
    gateway: Gateway, publisher: FakePublisher, error: Exception
) -> None:
    publisher.error = error
    before = counted("unavailable")
    headers = {"X-Hub-Signature-256": META_SIGNATURE}
    async with gateway.post(URL, data=META_BODY, headers=headers) as response:
        assert response.status == 503
        assert response.headers["Retry-After"] == "1"
    assert counted("unavailable") == before + 1

    publisher.error = None
    assert (await post(gateway, META_BODY))[0] == 200


async def test_a_gateway_that_starts_or_stops_accepts_nothing() -> None:
    app = create_app(gateway_settings(), Readiness())
    async with Client(TestServer(app)) as gateway:
        assert (await post(gateway, META_BODY))[0] == 503
        app[PUBLISHER].set(FakePublisher())
        assert (await post(gateway, META_BODY))[0] == 200


async def test_the_answer_waits_for_the_acknowledgement(
    gateway: Gateway, publisher: FakePublisher
) -> None:
    publisher.lets_go.clear()
    answer = asyncio.create_task(post(gateway, META_BODY))
    assert (await asyncio.wait({answer}, timeout=0.2))[1] == {answer}
    publisher.lets_go.set()
    assert (await asyncio.wait_for(answer, 5))[0] == 200
    assert len(publisher.records) == 1


# --- the budget, and what is told


async def test_one_read_one_hmac_one_parse(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def counting(name: str, inner: Any) -> Any:  # noqa: ANN401
        def count(*args: Any, **options: Any) -> Any:  # noqa: ANN401
            calls.append(name)
            return inner(*args, **options)

        return count

    monkeypatch.setattr(handlers, "read_body", counting("read", bodies.read_body))
    monkeypatch.setattr(
        "services.gateway.domain.signature.hmac.digest",
        counting("hmac", __import__("hmac").digest),
    )
    monkeypatch.setattr(json.JSONDecoder, "decode", counting("parse", json.JSONDecoder.decode))
    # signed beforehand, for this process signs with the same function
    assert (await post(gateway, META_BODY, META_SIGNATURE))[0] == 200
    assert calls == ["read", "hmac", "parse"]


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What the gateway writes to its log, through the project's own processors."""
    written = io.StringIO()
    monkeypatch.setattr(handlers, "_refused", defaultdict(lambda: Sparingly(every_s=60)))
    monkeypatch.setattr(handlers, "_not_understood", Sparingly(every_s=60))
    processors: list[Any] = [
        structlog.processors.add_log_level,
        project_logging.keep_allowed,
        structlog.processors.JSONRenderer(),
    ]
    log = structlog.wrap_logger(structlog.WriteLogger(written), processors=processors)
    monkeypatch.setattr(handlers, "log", log)
    return written


async def test_a_flood_of_forgeries_makes_one_line_and_nothing_personal_is_logged(
    gateway: Gateway, publisher: FakePublisher, logged: io.StringIO
) -> None:
    secret_text = "my PIN is 4711"
    body = encode(webhook(message(text=secret_text), from_person(brand_new=secret_text)))
    for _ in range(50):
        await post(gateway, body, "sha256=" + "0" * 64)
    await post(gateway, body)
    publisher.error = LogAwayError()
    await post(gateway, body)

    lines = [json.loads(line) for line in logged.getvalue().splitlines()]
    assert [(line["event"], line.get("outcome"), line.get("kind")) for line in lines] == [
        ("webhook_refused", "bad_signature", None),
        ("event_not_understood", None, "brand_new"),
        ("webhook_refused", "unavailable", None),
    ]
    for private in (secret_text, "4711", '"200"', SECRET, VERIFY_TOKEN):
        assert private not in logged.getvalue()


def test_log_lines_are_counted_while_they_wait() -> None:
    now = [0.0]
    sparingly = Sparingly(every_s=10, clock=lambda: now[0])
    assert [sparingly.count() for _ in range(3)] == [1, 0, 0]
    now[0] = 10.0
    assert sparingly.count() == 3
    assert sparingly.count() == 0


async def test_events_are_counted_by_type(gateway: Gateway) -> None:
    def count() -> float:
        name = "assistant_webhook_events_total"
        return REGISTRY.get_sample_value(name, {"type": "message.read"}) or 0.0

    before = count()
    read = from_person(read={"watermark": 5})
    await post(gateway, encode(webhook(read, read, message())))
    assert count() == before + 2
