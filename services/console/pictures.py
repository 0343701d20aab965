"""People's pictures, fetched from Meta for browsers.

Browsers ask nobody but the console: Facebook does not learn who reads which conversation from
where, and the policy that pages load nothing from elsewhere holds for pictures, too. What can't be
had, since addresses at Meta expire within days, is simply not there: the initial is shown.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from services.console.domain.pictures import LARGEST_BYTES, is_metas, is_shown

TIMEOUT_S = 4.0
AT_ONCE = 16


@dataclass(frozen=True)
class Picture:
    """As Meta gave it."""

    content: bytes
    content_type: str


class Pictures:
    """Fetches; keeps nothing: browsers do."""

    def __init__(self, session: aiohttp.ClientSession, graph_api_url: str) -> None:
        self._session = session
        self._graph_api_url = graph_api_url
        self._free = asyncio.Semaphore(AT_ONCE)

    async def fetch(self, url: str) -> Picture | None:
        """None: there is none to be had, for whatever reason."""
        if not is_metas(url, self._graph_api_url):
            return None
        try:
            async with (
                self._free,
                self._session.get(
                    url,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
                ) as response,
            ):
                kind = response.content_type
                if response.status != 200 or not is_shown(kind, url, self._graph_api_url):
                    return None
                content = await _read(response)
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return None
        return Picture(content, kind) if content is not None else None


@asynccontextmanager
async def open_pictures(graph_api_url: str) -> AsyncIterator[Pictures]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield Pictures(session, graph_api_url)


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    """None: it is too large."""
    content = b""
    async for chunk in response.content.iter_chunked(1 << 16):
        content += chunk
        if len(content) > LARGEST_BYTES:
            return None
    return content
