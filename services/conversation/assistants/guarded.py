"""HTTP to an address that an administrator typed in: to none inside the network, nor by a redirect.

The address is judged when the request is made, and connected to as it was judged: a name that
changes its address in between gains nothing. Needs a model's packages, like `llm.py`.
"""

import asyncio
import socket

import httpx2

from libs.common.outbound import Inside, is_allowed

_LIMITS = httpx2.Limits(max_connections=1000, max_keepalive_connections=100)
_PORTS = {"http": 80, "https": 443}


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


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Connects to public addresses, and to hosts that were opened."""

    def __init__(self, inside: Inside) -> None:
        self._inside = inside
        self._inner = httpx2.AsyncHTTPTransport(trust_env=False, limits=_LIMITS)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Raises: ForbiddenAddressError: there is no address that we may connect to."""
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
