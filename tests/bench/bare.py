"""`python -m tests.bench.bare`: the least that could stand in for the gateway.

One aiohttp handler with the same promises (signature over the raw bytes, JSON, every event on the
log, with the headers that readers decide by, before the 200) and nothing else: no types, no
deadlines, no metrics, no logs. A webhook with one event goes onto the log as it came, which costs
nothing; of several events each goes by itself.
"""

import asyncio
import hashlib
import hmac
import json
import os
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web
from aiokafka import AIOKafkaProducer

from libs.common.kafka.publisher import MAX_BATCH_BYTES
from libs.common.topics import EVENTS
from tests.bench.processes import HOST
from tests.bench.webhooks import PATH, SECRET

PRODUCER: web.AppKey[AIOKafkaProducer] = web.AppKey("producer", AIOKafkaProducer)


async def receive(request: web.Request) -> web.Response:
    body = await request.read()
    expected = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(request.headers.get("X-Hub-Signature-256", ""), expected):
        raise web.HTTPForbidden
    events = [event for entry in json.loads(body)["entry"] for event in entry["messaging"]]
    sent = [await send(request.app[PRODUCER], event, body, len(events)) for event in events]
    for acknowledged in sent:
        await acknowledged
    return web.Response(text="EVENT_RECEIVED")


async def send(
    producer: AIOKafkaProducer, event: dict[str, Any], body: bytes, count: int
) -> "asyncio.Future[object]":
    """Hand one event over; all of a webhook's are waited for together."""
    conversation = f"{event['recipient']['id']}:{event['sender']['id']}".encode()
    headers = [
        ("type", b"message.received"),
        ("version", b"1.0"),
        ("event_id", event["message"]["mid"].encode()),
        ("conversation", conversation),
    ]
    value = body if count == 1 else json.dumps(event).encode()  # the least work in both cases
    sent: asyncio.Future[object] = await producer.send(
        EVENTS, value, key=conversation, headers=headers
    )
    return sent


async def ready(_request: web.Request) -> web.Response:
    return web.Response(text="ready")


async def producer(app: web.Application) -> AsyncIterator[None]:
    async with AIOKafkaProducer(
        bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"],
        enable_idempotence=True,
        acks="all",
        linger_ms=0,
        max_batch_size=MAX_BATCH_BYTES,
    ) as made:
        app[PRODUCER] = made
        yield


def main() -> None:
    app = web.Application()
    app.cleanup_ctx.append(producer)
    app.router.add_post(PATH, receive)
    app.router.add_get("/readyz", ready)
    port = int(os.environ["HTTP_PORT"])
    web.run_app(app, host=HOST, port=port, access_log=None, print=None)


if __name__ == "__main__":
    main()
