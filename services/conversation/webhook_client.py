"""Posts to webhooks that administrators name: to no address inside, along no redirect, briefly.

An address is judged when the connection is made, by the resolver whose answer is connected to: a
name that changes its address in between gains nothing. It is judged once more where the socket is
made, whoever found it: a host that is an address asks no resolver.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import AddrInfoType, SocketFactoryType
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from libs.common.errors import PermanentError, TransientError
from libs.common.outbound import is_allowed, problem_of

ATTEMPT_WITHIN_S = 4.0
PER_HOST = 10
_WORTH_TRYING_AGAIN = frozenset({408, 425, 429})


class WebhookUnavailableError(TransientError):
    """No answer, or one that may be another one later."""

    code = "webhook_unavailable"


class WebhookRefusedError(PermanentError):
    """We may not go there, or the receiver doesn't want it. Its text never holds the URL."""

    code = "webhook_refused"


class _ForbiddenAddressError(OSError):
    """We may not connect there."""


class _GuardedResolver(AbstractResolver):
    def __init__(self, *, is_production: bool) -> None:
        self._inner = ThreadedResolver()
        self._is_production = is_production

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        allowed = [
            each for each in found if is_allowed(each["host"], is_production=self._is_production)
        ]
        if not allowed:
            raise _ForbiddenAddressError("no public address")
        return allowed

    async def close(self) -> None:
        await self._inner.close()


def _guarded_sockets(*, is_production: bool) -> SocketFactoryType:
    def guarded(address: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, (host, *_) = address
        if not is_allowed(str(host), is_production=is_production):
            raise _ForbiddenAddressError("not a public address")
        return socket.socket(family, kind, protocol)

    return guarded


class WebhookClient:
    """One try a call."""

    def __init__(self, session: aiohttp.ClientSession, *, is_production: bool) -> None:
        self._session = session
        self._is_production = is_production

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Return when the receiver has taken the body.

        Raises:
            WebhookRefusedError: trying again is no use.
            WebhookUnavailableError: it may work later; it may even have been taken.
        """
        if (problem := problem_of(url, is_production=self._is_production)) is not None:
            raise WebhookRefusedError(problem)
        try:
            async with (
                asyncio.timeout(ATTEMPT_WITHIN_S),
                self._session.post(
                    url, data=body, headers=headers, allow_redirects=False
                ) as response,
            ):
                status = response.status  # what the answer says otherwise is never read
        except aiohttp.InvalidURL:
            raise WebhookRefusedError("unreadable") from None
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, _ForbiddenAddressError):
                raise WebhookRefusedError("address_not_public") from None
            raise WebhookUnavailableError(type(error).__name__) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise WebhookUnavailableError(type(error).__name__) from None
        if 200 <= status < 300:
            return
        if status >= 500 or status in _WORTH_TRYING_AGAIN:
            raise WebhookUnavailableError(f"HTTP {status}")
        raise WebhookRefusedError(f"HTTP {status}")


@asynccontextmanager
async def open_webhooks(*, is_production: bool) -> AsyncIterator[WebhookClient]:
    """A client of its own: no cookies, no proxy of the environment, no wait for a busy other."""
    connector = aiohttp.TCPConnector(
        limit=0,
        limit_per_host=PER_HOST,
        resolver=_GuardedResolver(is_production=is_production),
        socket_factory=_guarded_sockets(is_production=is_production),
    )
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=ATTEMPT_WITHIN_S),
    ) as session:
        yield WebhookClient(session, is_production=is_production)
