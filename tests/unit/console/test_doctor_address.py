"""The public address on real sockets: certificates of every kind, and proxies that get it wrong."""

import hashlib
import hmac
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from services.console.doctor.address import PublicAddress
from services.console.doctor.examining import examine

VERIFY, SECRET = "a-verify-token", "an-app-secret"
NOW = datetime.now(UTC)
WEBHOOK = "/webhooks/messenger"


@dataclass
class Authority:
    """Signs certificates: the root, or one between it and the servers."""

    name: str
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def sign(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        *,
        ends_in: timedelta = timedelta(days=60),
        is_authority: bool = False,
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(_named(name))
            .issuer_name(_named(self.name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(days=90))
            .not_valid_after(NOW + ends_in)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        )
        return builder.sign(self.key, hashes.SHA256())

    @property
    def itself(self) -> x509.Certificate:
        return self.sign(self.name, self.key, is_authority=True)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def pem(*certificates: x509.Certificate) -> str:
    parts = [each.public_bytes(serialization.Encoding.PEM) for each in certificates]
    return b"".join(parts).decode()


ROOT, BETWEEN = Authority("root"), Authority("between")
TRUST = ssl.create_default_context(cadata=pem(ROOT.itself))
BETWEENS_OWN = ROOT.sign("between", BETWEEN.key, is_authority=True)
KEY = ec.generate_private_key(ec.SECP256R1())


def server_context(folder: Path, chain: Sequence[x509.Certificate]) -> ssl.SSLContext:
    key = KEY.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "key.pem").write_bytes(key)
    (folder / "chain.pem").write_text(pem(*chain), encoding="ascii")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "chain.pem", folder / "key.pem")
    return context


Handler = Callable[[web.Request], Awaitable[web.Response]]


async def gateway(request: web.Request) -> web.Response:
    """As the real one answers."""
    if request.method == "GET":
        if request.query.get("hub.verify_token") != VERIFY:
            return web.Response(status=403, text="not a subscription with our verify token")
        return web.Response(text=request.query["hub.challenge"])
    digest = hmac.new(SECRET.encode(), await request.read(), hashlib.sha256).hexdigest()
    is_ours = request.headers["X-Hub-Signature-256"] == f"sha256={digest}"
    return web.Response(status=200 if is_ours else 403)


@asynccontextmanager
async def looking(
    handler: Handler, context: ssl.SSLContext | None = None
) -> AsyncIterator[dict[str, tuple[str, str]]]:
    """State and words of each line, by the last part of its id."""
    app = web.Application()
    app.router.add_route("*", WEBHOOK, handler)
    scheme = "https" if context else "http"
    server = TestServer(app, scheme=scheme)
    await server.start_server(ssl=context)
    async with aiohttp.ClientSession() as session:
        address = PublicAddress(
            url=f"{scheme}://localhost:{server.port}",
            verify_token=SecretStr(VERIFY),
            app_secret=SecretStr(SECRET),
            is_public=False,
            session=session,
            now=lambda: NOW,
            trust=TRUST,
        )
        found = await examine(address.checks())
    await server.close()
    yield {
        each.id.partition(".")[2]: (each.state, each.verdict.words + each.verdict.cure)
        for each in found
    }


async def test_a_gateway_that_is_well() -> None:
    async with looking(gateway) as found:
        assert {state for state, _ in found.values()} == {"ok"}


CERTIFICATES = [
    ([BETWEEN.sign("localhost", KEY), BETWEENS_OWN], "ok", "Valid until"),
    ([BETWEEN.sign("localhost", KEY)], "failed", "fullchain.pem"),
    ([Authority("localhost", KEY).itself], "failed", "signed by itself"),
    ([ROOT.sign("localhost", KEY, ends_in=timedelta(days=-1))], "failed", "has run out"),
    ([ROOT.sign("elsewhere.example.org", KEY)], "failed", "another name"),
    ([ROOT.sign("localhost", KEY, ends_in=timedelta(days=3))], "failed", "Renew it now"),
]


@pytest.mark.parametrize(("chain", "state", "words"), CERTIFICATES)
async def test_certificates(
    tmp_path: Path, chain: list[x509.Certificate], state: str, words: str
) -> None:
    async with looking(gateway, server_context(tmp_path, chain)) as found:
        assert found["certificate"][0] == state
        assert words in found["certificate"][1]
        assert (found["answers"][0] == "ok") is (state == "ok")


async def somebody_else(_request: web.Request) -> web.Response:
    return web.Response(status=404, text="nothing here")


async def takes_any_token(request: web.Request) -> web.Response:
    if request.query.get("hub.challenge"):
        return web.Response(text=request.query["hub.challenge"])
    return await gateway(request)


async def has_another_token(request: web.Request) -> web.Response:
    if request.query.get("hub.challenge"):
        return web.Response(status=403, text="not a subscription with our verify token")
    return await gateway(request)


async def wraps_the_challenge(request: web.Request) -> web.Response:
    answer = await gateway(request)
    if request.query.get("hub.challenge") and answer.status == 200:
        return web.json_response({"challenge": answer.text})
    return answer


async def takes_any_signature(request: web.Request) -> web.Response:
    return web.Response() if request.method == "POST" else await gateway(request)


async def has_another_secret(request: web.Request) -> web.Response:
    return web.Response(status=403) if request.method == "POST" else await gateway(request)


async def asks_for_a_log_in(request: web.Request) -> web.Response:
    return web.Response(status=302, headers={"Location": "/login"})


async def is_out_of_order(request: web.Request) -> web.Response:
    return web.Response(status=502) if request.method == "POST" else await gateway(request)


@pytest.mark.parametrize(
    ("handler", "failed", "words"),
    [
        (somebody_else, "answers", "answered with 404"),
        (asks_for_a_log_in, "answers", "without asking for a log-in"),
        (has_another_token, "handshake", "WEBHOOK_VERIFY_TOKEN"),
        (takes_any_token, "handshake", "takes any verify token"),
        (wraps_the_challenge, "handshake", "does not come back"),
        (has_another_secret, "signature", "FACEBOOK_APP_SECRET"),
        (takes_any_signature, "signature", "wrongly signed webhook is answered with 200"),
        (is_out_of_order, "signature", "answered with 502"),
    ],
)
async def test_what_a_proxy_or_a_stranger_gets_wrong(
    handler: Handler, failed: str, words: str
) -> None:
    async with looking(handler) as found:
        assert [name for name, (state, _) in found.items() if state == "failed"] == [failed]
        assert words in found[failed][1]


async def test_a_name_that_leads_to_a_private_address_is_told() -> None:
    async def privately(_host: str, _port: int) -> Sequence[str]:
        return ["10.0.0.7"]

    async with aiohttp.ClientSession() as session:
        address = PublicAddress(
            url="https://hooks.example.org",
            verify_token=SecretStr(VERIFY),
            app_secret=SecretStr(SECRET),
            is_public=True,
            session=session,
            now=lambda: NOW,
            resolve=privately,
        )
        found = await examine(address.checks())
    assert [(each.state, each.verdict.because) for each in found[1:3]] == [
        ("failed", None),
        ("unknown", "address.dns"),
    ]
