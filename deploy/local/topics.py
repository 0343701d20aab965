"""Has the topics made: on our Kafka or somebody else's."""

import logging

from deploy.local.errors import StackError
from libs.common.errors import ProjectError
from libs.common.kafka.topics import TopicSettings, copies_of, wanted_topics
from libs.common.kafka.topics import ensure_topics as ensure
from libs.common.settings import KafkaSettings

WITHIN_S = 30.0


async def ensure_topics(bootstrap_servers: str) -> str:
    """Make what is missing and bring the rest up to date; what was done, in words.

    Raises:
        StackError: Kafka can't be reached in time, or refuses.
    """
    aiokafka = logging.getLogger("aiokafka")
    level = aiokafka.level
    aiokafka.setLevel(logging.CRITICAL)  # the messages below say it
    settings = TopicSettings()
    topics = wanted_topics(settings)
    try:
        done = await ensure(
            KafkaSettings(bootstrap_servers=bootstrap_servers),
            topics,
            copies_of(settings, "development"),
            WITHIN_S,
        )
    except ProjectError as error:
        raise StackError(str(error)) from error
    finally:
        aiokafka.setLevel(level)
    new = sum(": made" in line for line in done)
    others = len(done) - new
    return f"{len(topics)} topics, {new} new" + f", {others} changed" * (others > 0)
