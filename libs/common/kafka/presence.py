"""Whether our topics are there, asked without naming them.

Whoever names a topic that is not there, to read it or to write to it, has it made on the spot by a
broker that makes topics by itself: with a number of partitions of its own, which moves keys when it
is put right later. So everybody waits until all are there as `libs/common/topics.py` has them.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from libs.common.kafka.connection import client_options
from libs.common.kafka.errors import KafkaUnavailableError, TopicsMissingError
from libs.common.settings import KafkaSettings
from libs.common.topics import TOPICS

ANSWER_WITHIN_S = 5.0
STOP_WITHIN_S = 1.0

ALL: tuple[str, ...] = tuple(topic.name for topic in TOPICS)
_PARTITIONS = {topic.name: topic.partitions for topic in TOPICS}


async def require_topics(settings: KafkaSettings, names: Iterable[str] = ALL) -> None:
    """Return if all of these exist, with all their partitions.

    Args:
        names: a topic that is none of ours needs one partition.

    Raises:
        TopicsMissingError: they don't, yet.
        KafkaUnavailableError: Kafka does not answer within 5 s.
    """
    counts = await partition_counts(settings)
    if missing := [name for name in names if counts.get(name, 0) < _PARTITIONS.get(name, 1)]:
        raise TopicsMissingError(f"missing, or with too few partitions: {', '.join(missing)}")


async def partition_counts(settings: KafkaSettings) -> dict[str, int]:
    """How many each topic has. Raises: KafkaUnavailableError."""
    client = AIOKafkaClient(**client_options(settings, "topics"))
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            await client.bootstrap()
            cluster = await client.fetch_all_metadata()
    except (KafkaError, TimeoutError, OSError) as error:
        raise KafkaUnavailableError(type(error).__name__) from error
    finally:
        with suppress(KafkaError, TimeoutError, OSError):
            async with asyncio.timeout(STOP_WITHIN_S):
                await client.close()
    return {topic: len(cluster.partitions_for_topic(topic) or ()) for topic in cluster.topics()}
