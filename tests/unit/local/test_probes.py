from aiohttp import web
from aiohttp.test_utils import TestServer

from deploy.local.probes import answers_ok, listens
from tests.unit.local.tiny import free_ports


async def test_only_200_counts_as_ready() -> None:
    status = 503

    async def readyz(_: web.Request) -> web.Response:
        return web.Response(status=status)

    app = web.Application()
    app.router.add_get("/readyz", readyz)
    async with TestServer(app) as server:
        url = str(server.make_url("/readyz"))
        assert not await answers_ok(url)
        status = 200
        assert await answers_ok(url)
        assert server.port is not None
        assert await listens(server.port)


async def test_nobody_there_is_not_ready() -> None:
    (port,) = free_ports(1)
    assert not await listens(port)
    assert not await answers_ok(f"http://127.0.0.1:{port}/readyz")
