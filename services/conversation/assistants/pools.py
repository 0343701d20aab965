"""Connections to a model, in pools that stay small.

A pool of httpx2 looks at each of its connections for each request: a thousand requests at once cost
more than ten times what a hundred do. Import it only where it is used, like `llm.py`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable

import httpx2

LARGEST_POOL = 100
MOST_CONNECTIONS = 2000
"""As many as there are turns in flight by default: who waits for a connection wears out the time
that the answer may take."""
_LIMITS = httpx2.Limits(max_connections=LARGEST_POOL, max_keepalive_connections=LARGEST_POOL)


class _Pool:
    def __init__(self, transport: httpx2.AsyncHTTPTransport) -> None:
        self.transport = transport
        self.waiting = 0  # requests whose answer is not read to its end yet


class PooledTransport(httpx2.AsyncBaseTransport):
    """Each request goes to the first pool that has room; another one is made when none has, and
    closed when nobody needs it any more: a pool lets idle connections go only as requests come.

    Beyond `MOST_CONNECTIONS` requests wait in the pool where the fewest do.
    """

    def __init__(self, *, trust_env: bool) -> None:
        self._trust_env = trust_env
        self._ssl = httpx2.create_ssl_context(trust_env=trust_env)  # read from files: once
        self._pools = [self._make()]

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        pool = self._choose()
        pool.waiting += 1
        try:
            response = await pool.transport.handle_async_request(request)
        except BaseException:
            await self._leave(pool)
            raise
        if isinstance(response.stream, httpx2.AsyncByteStream):
            # some providers begin their answer at once, and send blanks while the model thinks
            response.stream = _Counted(response.stream, lambda: self._leave(pool))
        else:
            await self._leave(pool)
        return response

    async def _leave(self, pool: _Pool) -> None:
        pool.waiting -= 1
        if not pool.waiting and pool in self._pools[1:]:
            self._pools.remove(pool)
            await pool.transport.aclose()

    async def aclose(self) -> None:
        for pool in self._pools:
            await pool.transport.aclose()

    def _choose(self) -> _Pool:
        for pool in self._pools:
            if pool.waiting < LARGEST_POOL:
                return pool
        if len(self._pools) * LARGEST_POOL < MOST_CONNECTIONS:
            self._pools.append(self._make())
            return self._pools[-1]
        return min(self._pools, key=lambda pool: pool.waiting)

    def _make(self) -> _Pool:
        return _Pool(
            httpx2.AsyncHTTPTransport(verify=self._ssl, trust_env=self._trust_env, limits=_LIMITS)
        )


class _Counted(httpx2.AsyncByteStream):
    """What is answered; its connection is free again when it is closed."""

    def __init__(self, inner: httpx2.AsyncByteStream, leave: Callable[[], Awaitable[None]]) -> None:
        self._inner = inner
        self._leave: Callable[[], Awaitable[None]] | None = leave

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            yield chunk

    async def aclose(self) -> None:
        leave, self._leave = self._leave, None
        try:
            await self._inner.aclose()
        finally:
            if leave is not None:
                await leave()
