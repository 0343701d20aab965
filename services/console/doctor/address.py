"""The public address, looked at from outside as far as one can from here."""

import asyncio
import hashlib
import hmac
import secrets
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

import aiohttp
from pydantic import SecretStr

from services.console.doctor.asking import line_of
from services.console.doctor.domain import address as rules
from services.console.doctor.domain.findings import (
    Found,
    Line,
    Verdict,
    failed,
    ok,
    unknown_because,
)
from services.console.doctor.domain.system import KAFKA
from services.console.doctor.examining import Check

SECTION = "Public address"
GATEWAY = line_of("gateway")
WITHIN_S = 5.0  # as long as Meta waits for an answer
HARMLESS = b'{"object":"connection_doctor","entry":[{"id":"0"}]}'
"""A webhook about nothing: it goes on the log as `unknown.received`, and nobody acts upon it."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


async def resolve(host: str, port: int) -> Sequence[str]:
    """Raises: OSError: the name leads nowhere."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(each[4][0]) for each in found]


@dataclass(frozen=True)
class PublicAddress:
    """Where Meta finds the gateway, and what the two know of each other.

    Args:
        trust: which authorities count; the system's by default.
    """

    url: str
    verify_token: SecretStr
    app_secret: SecretStr
    is_public: bool
    session: aiohttp.ClientSession
    now: Callable[[], datetime]
    resolve: Resolve = resolve
    trust: ssl.SSLContext | None = None

    @property
    def webhook(self) -> str:
        return self.url + rules.WEBHOOK_PATH

    def checks(self) -> list[Check]:
        has, dns, tls = "address.set", "address.dns", "address.certificate"
        answers = "address.answers"
        return [
            Check(Line(has, SECTION, "Address"), self._is_set),
            Check(Line(dns, SECTION, "Name", (has,)), self._resolves),
            Check(Line(tls, SECTION, "Certificate", (has, dns)), self._certificate),
            Check(
                Line(answers, SECTION, "Gateway answers", (has, dns, tls)),
                self._answers,
                after=(GATEWAY,),
            ),
            Check(Line("address.handshake", SECTION, "Verify token", (answers,)), self._handshake),
            Check(
                Line("address.signature", SECTION, "App secret", (answers,)),
                self._signature,
                after=(KAFKA,),
            ),
        ]

    async def _is_set(self, _found: Found) -> Verdict:
        return rules.judge_address(self.url, is_public=self.is_public)

    async def _resolves(self, _found: Found) -> Verdict:
        host, port = self._place
        try:
            addresses = await self.resolve(host, port)
        except (OSError, UnicodeError):
            return rules.unresolved(host)
        return rules.judge_resolved(host, addresses, is_public=self.is_public)

    async def _certificate(self, _found: Found) -> Verdict:
        if urlsplit(self.url).scheme != "https":
            return ok("None needed: plain http on this machine.")
        host, port = self._place
        try:
            async with asyncio.timeout(WITHIN_S):
                _, writer = await asyncio.open_connection(
                    host, port, ssl=self._context, server_hostname=host
                )
        except ssl.SSLCertVerificationError as error:
            return rules.refused_certificate(error.verify_code)
        except (OSError, TimeoutError) as error:
            return _nobody(f"{host}:{port}", error)
        try:
            certificate = writer.get_extra_info("peercert") or {}
            ends_at = datetime.fromtimestamp(
                ssl.cert_time_to_seconds(str(certificate.get("notAfter"))), UTC
            )
        finally:
            writer.close()
        return rules.judge_certificate(ends_at, self.now())

    async def _answers(self, found: Found) -> Verdict:
        """Something refuses a bare GET as only the gateway does."""
        try:
            status, text = await self._get({})
        except (aiohttp.ClientError, TimeoutError) as error:
            gateway = found.get(GATEWAY)
            if gateway is not None and gateway.state == "failed":
                return unknown_because(gateway)
            return _nobody(self.webhook, error)
        if status == 403 and "verify token" in text:
            return ok(f"{self.webhook} is the gateway.")
        return failed(
            f"{self.webhook} is answered with {status}, and not by the gateway.",
            "Let the proxy hand the path /webhooks/messenger to the gateway, unchanged, and "
            "without asking for a log-in.",
            status=status,
        )

    async def _handshake(self, _found: Found) -> Verdict:
        challenge = str(secrets.randbelow(2**31))
        try:
            status, text = await self._ask(self.verify_token.get_secret_value(), challenge)
            other, _ = await self._ask(secrets.token_hex(16), challenge)
        except (aiohttp.ClientError, TimeoutError) as error:
            return _nobody(self.webhook, error)
        if status != 200:
            return failed(
                f"The gateway does not know our verify token: it answers {status}.",
                "Give gateway and console the same WEBHOOK_VERIFY_TOKEN, start them again, and "
                "use it in the app's dashboard.",
                status=status,
            )
        if text != challenge:
            return failed(
                "The challenge does not come back as it was sent.",
                "Let the proxy pass answers on unchanged.",
            )
        if other == 200:
            return failed(
                "The address takes any verify token.",
                "Let the proxy hand the path on to the gateway, and answer nothing by itself.",
            )
        return ok("The challenge comes back; another token is refused.")

    async def _signature(self, found: Found) -> Verdict:
        """One webhook signed as Meta does it, and the same signed by somebody else."""
        try:
            right = await self._post(self.app_secret.get_secret_value())
            wrong = await self._post(secrets.token_hex(16))
        except (aiohttp.ClientError, TimeoutError) as error:
            return _nobody(self.webhook, error)
        if right == 403:
            return failed(
                "A webhook that is signed with our app secret is refused.",
                "Give gateway and console the same FACEBOOK_APP_SECRET and start them again. If "
                "they have it, a proxy changes bodies on their way: let it pass them on untouched.",
                status=right,
            )
        if right == 503 and (kafka := found.get(KAFKA)) is not None and kafka.state == "failed":
            return unknown_because(kafka)  # it is on the log before it is answered
        if right != 200:
            return failed(
                f"A rightly signed webhook is answered with {right}; Meta takes only 200.",
                "Look at the gateway's log, and at the proxy in front of it.",
                status=right,
            )
        if wrong != 403:
            return failed(
                f"A wrongly signed webhook is answered with {wrong} instead of being refused.",
                "Let the proxy hand the path on to the gateway, and answer nothing by itself.",
                status=wrong,
            )
        return ok("A rightly signed webhook is taken, a wrongly signed one is refused.")

    async def _ask(self, token: str, challenge: str) -> tuple[int, str]:
        return await self._get(
            {"hub.mode": "subscribe", "hub.verify_token": token, "hub.challenge": challenge}
        )

    async def _get(self, query: dict[str, str]) -> tuple[int, str]:
        async with self.session.get(
            self.webhook, params=query, allow_redirects=False, timeout=_TIMEOUT, ssl=self._context
        ) as response:
            return response.status, (await response.content.read(2000)).decode("utf-8", "replace")

    async def _post(self, secret: str) -> int:
        digest = hmac.new(secret.encode(), HARMLESS, hashlib.sha256).hexdigest()
        async with self.session.post(
            self.webhook,
            data=HARMLESS,
            headers={
                "Content-Type": "application/json",
                "X-Hub-Signature-256": f"sha256={digest}",
            },
            allow_redirects=False,
            timeout=_TIMEOUT,
            ssl=self._context,
        ) as response:
            return response.status

    @property
    def _place(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)

    @property
    def _context(self) -> ssl.SSLContext:
        return self.trust or _SYSTEMS


_SYSTEMS = ssl.create_default_context()
_TIMEOUT = aiohttp.ClientTimeout(total=WITHIN_S)


def _nobody(where: str, error: Exception) -> Verdict:
    late = isinstance(error, TimeoutError)
    what = f"gives no answer within {WITHIN_S:g} s" if late else "can't be reached"
    return failed(
        f"{where} {what}.",
        "Start the gateway, and let firewall and proxy pass what comes from outside on to it.",
        error=type(error).__name__,
    )
