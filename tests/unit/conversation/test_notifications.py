"""A Page's webhook hears of a request: what it is told, where it may be, what happens if not."""

import asyncio
import hashlib
import hmac
import json
import socket
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import ResolveResult
from aiohttp.resolver import ThreadedResolver
from aiohttp.test_utils import TestServer
from hypothesis import example, given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from libs.common.channels import Channel
from libs.common.crypto import KeyRing
from libs.common.events import AnyRecord, TakeoverRequested, derived_id
from libs.common.kafka import KeyBatch
from libs.common.outbound import is_allowed, problem_of
from services.conversation import webhook_client
from services.conversation.domain.notification import (
    NOTIFICATION_ID,
    SIGNATURE,
    body_of,
    headers_of,
)
from services.conversation.notifications import TOO_OLD, Notifier, wants
from services.conversation.webhook_client import (
    WebhookClient,
    WebhookRefusedError,
    WebhookUnavailableError,
    open_webhooks,
)
from tests.unit.conversation import factories as make
from tests.unit.conversation.factories import CONVERSATION, PAGE, PATIENTLY, PSID
from tests.unit.conversation.world import CHANNEL

URL = "https://hooks.example.com/services/T0/B0/s3cret"
SECRET = "a-shared-secret"
KEYS = KeyRing({"k1": b"k" * 32})


def requested(number: int = 1, summary: str = "wants a refund", **more: Any) -> TakeoverRequested:  # noqa: ANN401
    facts: dict[str, Any] = {
        "event_id": derived_id("takeover.requested", number),
        "page_id": PAGE,
        "psid": PSID,
        "occurred_at": make.NOON,
        "reason": "asked",
        "summary": summary,
    }
    return TakeoverRequested(**facts | more)


def channel(url: str = URL, secret: str = SECRET) -> Channel:
    sealed = KEYS.encrypt(secret, context=PAGE) if secret else ""
    changed = {"notification_url": url, "notification_secret": sealed}
    settings = CHANNEL.settings.model_copy(update=changed)
    return CHANNEL.model_copy(update={"settings": settings})


def batch_of(*events: AnyRecord) -> KeyBatch:
    records = [make.record(event, offset) for offset, event in enumerate(events)]
    return KeyBatch(CONVERSATION.encode(), records)


# --- what it is told


def test_the_body_is_slacks_with_the_facts_beside_it() -> None:
    event = requested()
    assert json.loads(body_of(event, "Bakery")) == {
        "text": "A human is wanted on “Bakery”: the person asked for it.\n&gt; wants a refund",
        "type": "takeover.requested",
        "id": event.event_id,
        "page_id": PAGE,
        "page_name": "Bakery",
        "conversation": CONVERSATION,
        "reason": "asked",
        "summary": "wants a refund",
        "requested_at": "2026-03-01T12:00:00+00:00",
    }


def test_nobody_calls_the_whole_channel_through_a_summary() -> None:
    told = json.loads(body_of(requested(summary="<!channel> <http://x|y> & more"), "Bakery"))
    assert "<" not in told["text"]
    assert "&lt;!channel&gt;" in told["text"]
    assert told["summary"] == "<!channel> <http://x|y> & more"


def test_the_signature_is_of_the_bytes_that_go_out() -> None:
    body = body_of(requested(), "Bäckerei")
    headers = headers_of(requested(), body, SECRET)
    expected = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert headers[SIGNATURE] == f"sha256={expected}"
    assert headers[NOTIFICATION_ID] == requested().event_id
    assert SIGNATURE not in headers_of(requested(), body, "")


# --- where it may be


@pytest.mark.parametrize(
    ("url", "in_production", "in_development"),
    [
        ("https://hooks.slack.com/services/T/B/x", None, None),
        ("https://203.0.114.7:8443/x", None, None),
        ("http://hooks.example.com/x", "not_https", "not_https"),
        ("http://127.0.0.1:9000/x", "not_https", None),
        ("http://localhost:9000/x", "not_https", None),
        ("http://[::1]:9000/x", "not_https", None),
        ("http://127.0.0.1.example.com/", "not_https", "not_https"),
        ("https://127.0.0.1/x", "address_not_public", None),
        ("https://10.1.2.3/x", "address_not_public", None),
        ("https://169.254.169.254/latest", "address_not_public", None),
        ("https://[::1]/", "address_not_public", None),
        ("https://[::ffff:10.0.0.1]/", "address_not_public", None),
        ("https://[fe80::1%25eth0]/", "address_not_public", None),
        ("https://①27.0.0.1/", "address_not_public", None),
        ("https://127。0。0。1/", "address_not_public", None),
        ("https://１０．０．０．１:8443/x", "address_not_public", None),
        ("https://bücher.example/hook", None, None),
        ("https://user:pass@hooks.example.com/", "has_credentials", "has_credentials"),
        ("ftp://hooks.example.com/", "not_http", "not_http"),
        ("file:///etc/passwd", "not_http", "not_http"),
        ("https://", "not_http", "not_http"),
        ("hooks.example.com", "not_http", "not_http"),
        ("https://[::1", "unreadable", "unreadable"),
        ("https://a:99999/", "unreadable", "unreadable"),
        ("https://hooks..example.com/x", "unreadable", "unreadable"),
    ],
)
def test_where_a_webhook_may_be(
    url: str, in_production: str | None, in_development: str | None
) -> None:
    assert problem_of(url, is_production=True) == in_production
    assert problem_of(url, is_production=False) == in_development


_DIGITS = st.sampled_from(["0123456789", "０１２３４５６７８９", "⓪①②③④⑤⑥⑦⑧⑨", "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗"])


@st.composite
def spelled(draw: st.DrawFn) -> tuple[str, str]:
    """An IPv4 address, and one of the ways in which Unicode writes it."""
    address = str(draw(st.ip_addresses(v=4)))
    written = [
        draw(st.sampled_from(".。．｡")) if sign == "." else draw(_DIGITS)[int(sign)]
        for sign in address
    ]
    return address, "".join(written)


@PATIENTLY
@given(spelled())
@example(("127.0.0.1", "①27.0.0.1"))
def test_an_address_is_judged_the_same_however_its_digits_are_written(
    spellings: tuple[str, str],
) -> None:
    plain, odd = (problem_of(f"https://{each}/", is_production=True) for each in spellings)
    assert odd == plain


@PATIENTLY
@given(st.text("[]@:/.%①。１٣x0?#\\ß\udcff", max_size=12))
@example("[]@/%]")
def test_any_text_is_judged(text: str) -> None:
    for scheme in ("https://", "http://", ""):
        problem_of(scheme + text, is_production=True)


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("10.0.0.1", False),
        ("172.16.5.5", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),  # noqa: S104 - judged, and not listened on
        ("224.0.0.1", False),
        ("::1", False),
        ("fd00::1", False),
        ("fe80::1%eth0", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::a00:1", False),
        ("2002:a00:1::", False),
        ("2001:0:53aa:64c:0:0:f5ff:fffe", False),
        ("localhost", False),
    ],
)
def test_which_addresses_production_connects_to(address: str, allowed: bool) -> None:
    assert is_allowed(address, is_production=True) is allowed
    assert is_allowed(address, is_production=False)


# --- the client


class Receiver:
    """A webhook that answers what a test tells it to."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.location = ""
        self.hangs = False
        self.got: list[tuple[bytes, Mapping[str, str]]] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.got.append((await request.read(), dict(request.headers)))
        if self.hangs:
            await asyncio.sleep(30)
        headers = {"Location": self.location} if self.location else {}
        return web.Response(status=self.status, headers=headers, text="x" * 10)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", receiver.handle)
    async with TestServer(app) as server:
        receiver.url = f"http://127.0.0.1:{server.port}/hook"
        yield receiver


@pytest.fixture
async def client() -> AsyncIterator[WebhookClient]:
    async with open_webhooks(is_production=False) as client:
        yield client


async def test_a_body_is_posted_as_it_is(client: WebhookClient, receiver: Receiver) -> None:
    await client.post(receiver.url, b'{"text": "x"}', {"X-Signature-256": "sha256=0"})
    [(body, headers)] = receiver.got
    assert body == b'{"text": "x"}'
    assert headers["X-Signature-256"] == "sha256=0"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (301, WebhookRefusedError),
        (307, WebhookRefusedError),
        (400, WebhookRefusedError),
        (404, WebhookRefusedError),
        (410, WebhookRefusedError),
        (408, WebhookUnavailableError),
        (429, WebhookUnavailableError),
        (500, WebhookUnavailableError),
        (503, WebhookUnavailableError),
    ],
)
async def test_what_an_answer_means(
    client: WebhookClient, receiver: Receiver, status: int, error: type[Exception]
) -> None:
    receiver.status, receiver.location = status, receiver.url
    with pytest.raises(error):
        await client.post(receiver.url, b"{}", {})
    assert len(receiver.got) == 1  # no redirect was followed


async def test_a_receiver_that_hangs_is_left(
    client: WebhookClient, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_client, "ATTEMPT_WITHIN_S", 0.05)
    receiver.hangs = True
    with pytest.raises(WebhookUnavailableError):
        await client.post(receiver.url, b"{}", {})


async def test_a_receiver_that_is_not_there(client: WebhookClient) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
        with pytest.raises(WebhookUnavailableError):
            await client.post(url, b"{}", {})


@pytest.mark.parametrize("addresses", [["10.0.0.5"], ["127.0.0.1", "::1"], ["169.254.169.254"]])
async def test_a_name_that_leads_inside_is_refused_in_production(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str]
) -> None:
    async def resolve(_self: object, host: str, port: int = 0, *_: object) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=each, port=port, family=0, proto=0, flags=0)
            for each in addresses
        ]

    monkeypatch.setattr(ThreadedResolver, "resolve", resolve)
    async with open_webhooks(is_production=True) as client:
        with pytest.raises(WebhookRefusedError, match="address_not_public"):
            await client.post("https://inside.example.com/", b"{}", {})


async def test_production_posts_to_no_address_in_a_url_either() -> None:
    async with open_webhooks(is_production=True) as client:
        for url in ("https://2130706433/", "https://127.1/", "https://10.0.0.1/"):
            with pytest.raises((WebhookRefusedError, WebhookUnavailableError)):
                await client.post(url, b"{}", {})


@pytest.mark.parametrize("guarded", ["by its name", "by its socket alone"])
@pytest.mark.parametrize(
    "host", ["127.0.0.1", "①27.0.0.1", "127。0。0。1", "１２７.0.0.1", "[::ffff:127.0.0.1]"]
)
async def test_production_never_connects_to_an_address_inside_however_it_is_spelled(
    monkeypatch: pytest.MonkeyPatch, host: str, guarded: str
) -> None:
    if guarded == "by its socket alone":
        monkeypatch.setattr(webhook_client, "problem_of", lambda *_, **__: None)
    connected: list[object] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(writer.get_extra_info("peername"))
        writer.close()

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with open_webhooks(is_production=True) as client:
            with pytest.raises(WebhookRefusedError, match="address_not_public"):
                await client.post(f"https://{host}:{port}/", b"{}", {})
    assert connected == []


# --- the consumer


class Webhooks:
    """Takes bodies, or fails as scripted; `at` crashes after so many steps."""

    def __init__(self, *script: Exception) -> None:
        self.script = list(script)
        self.got: list[tuple[str, bytes, Mapping[str, str]]] = []

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        await asyncio.sleep(0)
        if self.script:
            raise self.script.pop(0)
        self.got.append((url, body, headers))


class Pages:
    def __init__(self, page: Channel | None) -> None:
        self.page = page

    async def channel(self, page_id: str) -> Channel | None:
        assert page_id == PAGE
        return self.page


def notifier(webhooks: Webhooks, page: Channel | None, after: timedelta = timedelta()) -> Notifier:
    return Notifier(
        Pages(page), webhooks, KEYS, clock=lambda: make.NOON + after, pauses_s=(0, 0, 0)
    )


async def test_a_request_is_delivered_with_the_channels_signature() -> None:
    webhooks = Webhooks()
    await notifier(webhooks, channel()).handle(batch_of(requested()))
    [(url, body, headers)] = webhooks.got
    assert url == URL
    assert headers == headers_of(requested(), body, SECRET)
    assert json.loads(body)["page_name"] == CHANNEL.page_name


async def test_copies_are_delivered_once_and_others_each() -> None:
    webhooks = Webhooks()
    made = notifier(webhooks, channel())
    await made.handle(batch_of(requested(1), requested(1), requested(2)))
    await made.handle(batch_of(requested(2)))
    assert len(webhooks.got) == 2


async def test_after_a_crash_it_comes_again_with_the_same_bytes() -> None:
    first, second = Webhooks(), Webhooks()
    await notifier(first, channel()).handle(batch_of(requested()))
    await notifier(second, channel()).handle(batch_of(requested()))  # another process
    assert first.got[0] == second.got[0]


async def test_a_webhook_that_is_away_is_tried_again() -> None:
    webhooks = Webhooks(WebhookUnavailableError("HTTP 503"), WebhookUnavailableError("reset"))
    await notifier(webhooks, channel()).handle(batch_of(requested()))
    assert len(webhooks.got) == 1


@pytest.mark.parametrize(
    ("script", "tried"),
    [
        ([WebhookRefusedError("HTTP 404")], 1),
        ([WebhookUnavailableError("HTTP 500")] * 9, 4),
    ],
    ids=["refused", "away"],
)
async def test_a_webhook_that_does_not_want_it_stops_nothing(
    script: list[Exception], tried: int
) -> None:
    webhooks = Webhooks(*script)
    with capture_logs() as logs:
        await notifier(webhooks, channel()).handle(batch_of(requested()))
    assert len(script) - len(webhooks.script) == tried
    assert webhooks.got == []
    [lost] = [line for line in logs if line["event"] == "notification_lost"]
    assert lost["attempts"] == tried
    assert "s3cret" not in str(logs)
    assert "refund" not in str(logs)


@pytest.mark.parametrize(
    ("page", "after"),
    [
        (None, timedelta()),
        (CHANNEL, timedelta()),
        (channel(), TOO_OLD + timedelta(seconds=1)),
        (
            channel(secret="").model_copy(
                update={
                    "settings": channel().settings.model_copy(
                        update={"notification_secret": "v1.k9.AAAA"}
                    )
                }
            ),
            timedelta(),
        ),
    ],
    ids=["no channel", "no webhook", "old", "secret of another ring"],
)
async def test_what_is_not_delivered(page: Channel | None, after: timedelta) -> None:
    webhooks = Webhooks()
    await notifier(webhooks, page, after).handle(batch_of(requested()))
    assert webhooks.got == []


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({"type": b"takeover.requested", "version": b"1.7"}, True),
        ({"type": b"takeover.requested", "version": b"2.0"}, False),
        ({"type": b"takeover.started", "version": b"1.0"}, False),
        ({}, False),
    ],
)
def test_which_records_are_for_it(headers: dict[str, bytes], wanted: bool) -> None:
    assert wants(headers) is wanted


async def test_a_cancelled_delivery_ends_at_once() -> None:
    class Hanging(Webhooks):
        async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
            await asyncio.Event().wait()

    task = asyncio.create_task(notifier(Hanging(), channel()).handle(batch_of(requested())))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_why_the_assistant_cannot_go_on_is_said_to_those_who_can_mend_it() -> None:
    told = json.loads(body_of(requested(reason="model_failed", cause="key_refused"), "Bakery"))
    assert "The provider refuses the API key." in told["text"]
    assert told["cause"] == "key_refused"
