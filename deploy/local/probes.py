"""Questions that tell whether a component does its work."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import aiohttp

from deploy.local.ports import HOST

PROBE_TIMEOUT_S = 2.0

Probe = Callable[[], Awaitable[bool]]


async def listens(port: int) -> bool:
    """Whether something accepts connections on the loopback port."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            _, writer = await asyncio.open_connection(HOST, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


async def answers_ok(url: str) -> bool:
    """Whether a GET is answered with 200."""
    timeout = aiohttp.ClientTimeout(total=PROBE_TIMEOUT_S)
    try:
        async with aiohttp.request("GET", url, timeout=timeout) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False
