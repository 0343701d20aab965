"""HTTP to an address that an administrator typed in: to none inside the network, nor by a redirect,
and no answer without end.

The address is judged when the request is made, and connected to as it was judged: a name that
changes its address in between gains nothing. Needs a model's packages, like `llm.py`.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from urllib.request import getproxies

import httpx2

from libs.common.outbound import Inside, is_allowed
from services.conversation.assistants.pools import MOST_CONNECTIONS, PooledTransport

_LIMITS = httpx2.Limits(max_connections=MOST_CONNECTIONS, max_keepalive_connections=100)
_PORTS = {"http": 80, "https": 443}
LARGEST_ANSWER = 8 << 20
"""Bytes: hundreds of times what a model says. All of it is held in memory before it is read."""


class ForbiddenAddressError(Exception):
    """We may not connect there."""


def guarded_client(inside: Inside, timeout_s: float) -> httpx2.AsyncClient:
    """No proxy of the environment: it would reach what we may not."""
    return httpx2.AsyncClient(
        transport=GuardedTransport(inside),
        timeout=timeout_s,
        follow_redirects=False,
        trust_env=False,
    )


def straight_client(timeout_s: float, *, use_proxy: bool) -> httpx2.AsyncClient:
    """For addresses that whoever runs this has named. Along no redirect either: SDKs would follow
    one, and hand on both what people wrote and, of Anthropic's, the key."""
    if use_proxy and getproxies():  # a transport of one's own would go past them
        return httpx2.AsyncClient(timeout=timeout_s, follow_redirects=False, limits=_LIMITS)
    return httpx2.AsyncClient(
        transport=PooledTransport(trust_env=use_proxy),
        timeout=timeout_s,
        follow_redirects=False,
        trust_env=use_proxy,
    )


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Connects to public addresses, and to hosts that were opened."""

    def __init__(self, inside: Inside) -> None:
        self._inside = inside
        self._inner = PooledTransport(trust_env=False)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Raises:
        ForbiddenAddressError: there is no address that we may connect to.
        DecodingError: the answer is compressed, so that nobody knows how large it becomes.
        """
        request.headers["Accept-Encoding"] = "identity"
        response = await self._send(request)
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            await response.aclose()
            raise httpx2.DecodingError("compressed", request=request)
        if isinstance(response.stream, httpx2.AsyncByteStream):
            response.stream = _Bounded(response.stream, request)
        return response

    async def _send(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url
        host = url.raw_host.decode("ascii")
        port = url.port or _PORTS.get(url.scheme, 443)
        if self._inside.holds(host, port):
            return await self._inner.handle_async_request(request)
        addresses = [each for each in await _addresses(request, host, port) if _is_public(each)]
        if not addresses:
            raise ForbiddenAddressError("no public address")
        # the certificate is still compared with the name, and `Host` still holds it
        request.extensions = {**request.extensions, "sni_hostname": host}
        for address in addresses[:-1]:
            request.url = url.copy_with(host=address)
            try:
                return await self._inner.handle_async_request(request)
            except httpx2.ConnectError:
                continue  # nothing was sent
        request.url = url.copy_with(host=addresses[-1])
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Bounded(httpx2.AsyncByteStream):
    """What is answered, up to `LARGEST_ANSWER`."""

    def __init__(self, inner: httpx2.AsyncByteStream, request: httpx2.Request) -> None:
        self._inner = inner
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Raises: ReadError: there is more."""
        read_bytes = 0
        async for chunk in self._inner:
            read_bytes += len(chunk)
            if read_bytes > LARGEST_ANSWER:
                raise httpx2.ReadError("too large", request=self._request)
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


async def _addresses(request: httpx2.Request, host: str, port: int) -> list[str]:
    """In the order of the system's preference, each once."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise httpx2.ConnectError(type(error).__name__, request=request) from None
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def _is_public(address: str) -> bool:
    return is_allowed(address, is_production=True)
