"""Creates the topics that are missing: safe to repeat, on our Kafka or somebody else's."""

import asyncio
import logging

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import KafkaError

from deploy.local.errors import StackError
from libs.common.topics import TOPICS, TopicSpec

WITHIN_S = 30.0
_EXISTS = 36  # TOPIC_ALREADY_EXISTS: somebody was quicker


async def ensure_topics(bootstrap_servers: str, replication: int = 1) -> str:
    """Create what is missing and add partitions where there are too few; what was done, in words.

    Raises:
        StackError: Kafka can't be reached in time, or refuses.
    """
    aiokafka = logging.getLogger("aiokafka")
    level = aiokafka.level
    aiokafka.setLevel(logging.CRITICAL)  # the messages below say it
    try:
        async with asyncio.timeout(WITHIN_S):
            admin = await _connect(bootstrap_servers)
            try:
                created = await _create_missing(admin, replication)
                grown = await _add_partitions(admin)
            finally:
                await admin.close()
    except TimeoutError:
        raise StackError(f"Kafka can't be reached at {bootstrap_servers}") from None
    except KafkaError as error:
        raise StackError(f"Kafka refuses our topics: {error}") from error
    finally:
        aiokafka.setLevel(level)
    return f"{len(TOPICS)} topics, {created} new" + (
        f", {grown} with more partitions now" * (grown > 0)
    )


async def _connect(bootstrap_servers: str) -> AIOKafkaAdminClient:
    while True:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, client_id="local-stack")
        try:
            await admin.start()
        except KafkaError:
            await admin.close()
            await asyncio.sleep(0.2)
        else:
            return admin


async def _create_missing(admin: AIOKafkaAdminClient, replication: int) -> int:
    present = set(await admin.list_topics())
    missing = [topic for topic in TOPICS if topic.name not in present]
    if not missing:
        return 0
    response = await admin.create_topics([_new(topic, replication) for topic in missing])
    for name, code, message in response.topic_errors:
        if code not in {0, _EXISTS}:
            raise StackError(f"Kafka refuses the topic {name}: {message or f'error {code}'}")
    return len(missing)


async def _add_partitions(admin: AIOKafkaAdminClient) -> int:
    """Bring topics of an older version up to date. Kafka never takes partitions away."""
    described = await admin.describe_topics([topic.name for topic in TOPICS])
    counts = {topic["topic"]: len(topic["partitions"]) for topic in described}
    # 0: just created, and this broker's metadata don't know it yet
    too_few = [topic for topic in TOPICS if 0 < counts.get(topic.name, 0) < topic.partitions]
    if too_few:
        wanted = {topic.name: NewPartitions(total_count=topic.partitions) for topic in too_few}
        await admin.create_partitions(wanted)
    return len(too_few)


def _new(topic: TopicSpec, replication: int) -> NewTopic:
    return NewTopic(
        name=topic.name,
        num_partitions=topic.partitions,
        replication_factor=replication,
        topic_configs=topic.config,
    )
