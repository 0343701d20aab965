"""Builds the gateway: the only place that knows what it is made of."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from libs.common.deadlines import GuardedRunner, Limits
from libs.common.kafka import open_publisher
from libs.common.service import HTTP_DRAIN_S, Lifetime, Service
from libs.common.topics import CHANNELS, EVENTS
from libs.common.web import Late, Readiness, base_app
from services.gateway import callbacks, handlers
from services.gateway.settings import Settings

NAME = "gateway"
WRITES = (EVENTS, CHANNELS)


def create_app(settings: Settings, readiness: Readiness) -> web.Application:
    app = base_app(readiness)
    app[handlers.READINESS] = readiness
    app[handlers.SETTINGS] = settings
    app[handlers.PUBLISHER] = Late("the log")
    handlers.add_routes(app)
    callbacks.add_routes(app)
    return app


def create_runner(app: web.Application) -> GuardedRunner:
    settings = app[handlers.SETTINGS]
    limits = Limits(
        header_timeout_s=settings.header_timeout_s,
        idle_timeout_s=settings.idle_timeout_s,
        # the rest has deadlines of its own; these only end what none of them foresees
        body_timeout_s=settings.body_timeout_s + 5,
        busy_timeout_s=settings.publish_timeout_s + 10,
        max_connections=settings.max_connections,
    )
    return GuardedRunner(
        app,
        limits,
        shortcut=handlers.shortcut(app),
        shutdown_timeout=HTTP_DRAIN_S,
        auto_decompress=False,  # signatures are over the bytes that came
        max_line_size=4096,
        max_field_size=4096,
        max_headers=64,
    )


def create_service(settings: Settings) -> Service:
    readiness = Readiness()
    app = create_app(settings, readiness)
    kafka = settings.kafka.model_copy(update={"publish_timeout_s": settings.publish_timeout_s})

    @asynccontextmanager
    async def resources(_lifetime: Lifetime) -> AsyncIterator[None]:
        async with open_publisher(kafka, client_id=NAME, topics=WRITES) as publisher:
            app[handlers.PUBLISHER].set(publisher)
            readiness.add("kafka", publisher.ready)
            try:
                yield
            finally:
                app[handlers.PUBLISHER].clear()

    return Service(NAME, app, readiness, resources, runner=create_runner)
