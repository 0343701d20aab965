"""Bare Kafka: a record that goes over three topics, each with the promises that ours have.

Produced with `acks=all`, idempotent and without waiting for company, consumed, produced to the
next. No services, no database, no parsing: what durable steps cost at least.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from libs.common.kafka.publisher import MAX_BATCH_BYTES
from tests.bench.system import PARTITIONS, new_topic
from tests.stack import Servers

HOPS = 3
BODY = b"x" * 400
WITHIN_S = 30.0


class Hops:
    """The topics, one reader each, and when what arrived at the end."""

    def __init__(self, topics: Sequence[str], producer: AIOKafkaProducer) -> None:
        self._topics = topics
        self._producer = producer
        self._arrived: dict[bytes, asyncio.Future[float]] = {}

    async def waits_ms(self, count: int, per_s: float) -> list[float]:
        """So many records at a steady rate; how long each took over all hops."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        run = secrets.token_hex(4)
        async with asyncio.TaskGroup() as group:
            tasks = []
            for number in range(count):
                await asyncio.sleep(max(0.0, began + number / per_s - loop.time()))
                tasks.append(group.create_task(self._one(f"{run}-{number}".encode())))
        return [task.result() for task in tasks]

    async def _one(self, key: bytes) -> float:
        arrived = self._arrived[key] = asyncio.get_running_loop().create_future()
        began_at = time.perf_counter()
        await self._producer.send_and_wait(self._topics[0], BODY, key=key)
        try:
            arrived_at: float = await asyncio.wait_for(arrived, WITHIN_S)
        except TimeoutError:
            raise RuntimeError("a record did not come through") from None
        finally:
            del self._arrived[key]
        return (arrived_at - began_at) * 1000

    async def forward(self, client: AIOKafkaConsumer, hop: int) -> None:
        """Everything that arrives on one topic goes to the next, acknowledged before another."""
        async for record in client:
            if hop + 1 < len(self._topics):
                await self._producer.send_and_wait(
                    self._topics[hop + 1], record.value, key=record.key
                )
            elif (future := self._arrived.get(record.key)) is not None and not future.done():
                future.set_result(time.perf_counter())


@asynccontextmanager
async def bare_hops(servers: Servers) -> AsyncIterator[Hops]:
    async with AsyncExitStack() as stack:
        topics = [await stack.enter_async_context(new_topic(servers)) for _ in range(HOPS)]
        producer = await stack.enter_async_context(
            AIOKafkaProducer(
                bootstrap_servers=servers.bootstrap_servers,
                enable_idempotence=True,
                acks="all",
                linger_ms=0,
                max_batch_size=MAX_BATCH_BYTES,
            )
        )
        hops = Hops(topics, producer)
        for hop, topic in enumerate(topics):
            client = await stack.enter_async_context(
                AIOKafkaConsumer(
                    bootstrap_servers=servers.bootstrap_servers, enable_auto_commit=False
                )
            )
            partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
            client.assign(partitions)
            await client.seek_to_end(*partitions)
            for each in partitions:  # only asking fixes the place
                await client.position(each)
            task = asyncio.create_task(hops.forward(client, hop), name=f"hop-{hop}")
            stack.push_async_callback(_ended, task)
        yield hops


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
