"""Builds the analytics service: the only place that knows what it is made of."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from libs.common.kafka import open_publisher
from libs.common.mongo import open_database, ping
from libs.common.service import Lifetime, Service
from libs.common.web import Readiness, base_app, json_errors, require_service_token
from services.analytics.settings import Settings

NAME = "analytics"


def create_service(settings: Settings) -> Service:
    readiness = Readiness()
    app = base_app(readiness, json_errors, require_service_token(settings.internal.service_token))

    @asynccontextmanager
    async def resources(_lifetime: Lifetime) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            database = await stack.enter_async_context(
                open_database(
                    settings.mongo,
                    app_name=NAME,
                    production=settings.runtime.env == "production",
                )
            )
            publisher = await stack.enter_async_context(
                open_publisher(settings.kafka, client_id=NAME)
            )
            readiness.add("mongodb", partial(ping, database))
            readiness.add("kafka", publisher.ready)
            yield

    return Service(NAME, app, readiness, resources)
