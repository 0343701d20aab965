"""Builds the simulator: the only place that knows what it is made of."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from libs.common.service import Lifetime, Service
from libs.common.web import Readiness, base_app
from simulator import chat, dialog, media
from simulator.control import api as control
from simulator.control.errors import control_errors
from simulator.core import Simulator
from simulator.graph.api import graph_call
from simulator.settings import Settings
from simulator.state import SIMULATOR

NAME = "simulator"
MAX_BODY_BYTES = 10 << 20  # pictures


def create_service(settings: Settings) -> Service:
    """The simulator as a service.

    Raises:
        BrokenStateError: the state file cannot be understood.
    """
    simulator = Simulator(settings)
    readiness = Readiness()
    app = create_app(simulator, readiness)

    @asynccontextmanager
    async def resources(_lifetime: Lifetime) -> AsyncIterator[None]:
        async with simulator.running():
            readiness.add("world", _is_there)
            yield

    return Service(NAME, app, readiness, resources)


def create_app(simulator: Simulator, readiness: Readiness) -> web.Application:
    app = base_app(readiness, control_errors, chat.safe_headers, client_max_size=MAX_BODY_BYTES)
    app[SIMULATOR] = simulator
    chat.add_routes(app)
    media.add_routes(app)
    dialog.add_routes(app)
    control.add_routes(app)
    app.router.add_post("/v1/chat/completions", simulator.model.complete)
    app.router.add_route("*", "/simulator/{path:.*}", _not_found)
    app.router.add_route("*", "/v1/{path:.*}", _not_found)
    app.router.add_route("*", "/{path:.+}", graph_call)  # whatever is left is a Graph path
    return app


async def _is_there() -> bool:
    return True


async def _not_found(request: web.Request) -> web.Response:
    raise web.HTTPNotFound(text=f"path: there is no {request.method} {request.path}")
