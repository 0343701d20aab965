"""The command that makes topics, against a Kafka that may have them in another shape."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from libs.common.kafka.topics import TopicsRefusedError, ensure_topics
from libs.common.settings import KafkaSettings
from libs.common.topics import TopicSpec
from tests.integration.conftest import TOPIC_WITHIN_S, admin, until_led


@pytest.fixture
def topic() -> TopicSpec:
    """One that is not there yet."""
    return TopicSpec(f"test-{uuid4().hex}", 3, timedelta(days=7))


async def until_it_has(
    kafka: KafkaSettings, name: str, partitions: int, settings: dict[str, str]
) -> None:
    """Brokers learn of a change a moment after it was acknowledged."""
    shape = None
    try:
        async with asyncio.timeout(TOPIC_WITHIN_S), admin(kafka) as client:
            while shape != (partitions, settings):
                [described] = await client.describe_topics([name])
                wanted = ConfigResource(ConfigResourceType.TOPIC, name, None)
                [answer] = await client.describe_configs([wanted])
                entries = answer.resources[0][4]
                set_here = {each: value for each, value, _, source, *_ in entries if source == 1}
                shape = (len(described["partitions"]), set_here)
    except TimeoutError:
        assert shape == (partitions, settings)


async def test_topics_are_made_once_and_follow_the_settings(
    kafka: KafkaSettings, topic: TopicSpec
) -> None:
    made = await ensure_topics(kafka, [topic], 1)
    async with admin(kafka) as client:
        await until_led(client, topic.name, 3)
    assert made == [f"{topic.name}: made, 3 partitions, copies: 1, kept 7 days"]
    assert await ensure_topics(kafka, [topic], 1) == []  # safe to repeat

    shorter = replace(topic, kept=timedelta(days=2))
    assert await ensure_topics(kafka, [shorter], 1) == [f"{topic.name}: records are kept 2 days"]
    await until_it_has(kafka, topic.name, 3, dict(shorter.config))


async def test_what_others_have_set_on_a_topic_stays(
    kafka: KafkaSettings, topic: TopicSpec
) -> None:
    """More partitions than we want as well: Kafka takes none away, and neither do we."""
    theirs = {"segment.bytes": "20000000", "retention.ms": "1000000"}
    async with admin(kafka) as client:
        await client.create_topics([NewTopic(topic.name, 5, 1, topic_configs=theirs)])
        await until_led(client, topic.name, 5)

    await ensure_topics(kafka, [topic], 1)
    await until_it_has(kafka, topic.name, 5, {**theirs, **topic.config})


async def test_partitions_are_added_and_too_few_copies_are_told(
    kafka: KafkaSettings, topic: TopicSpec
) -> None:
    async with admin(kafka) as client:
        await client.create_topics([NewTopic(topic.name, 1, 1, topic_configs=dict(topic.config))])
        await until_led(client, topic.name, 1)
    done = await ensure_topics(kafka, [topic], 3)
    assert done[0] == f"{topic.name}: 3 partitions, was 1"
    assert done[1].startswith(f"{topic.name}: keeps 1 of 3 copies of a record")
    await until_it_has(kafka, topic.name, 3, dict(topic.config))


async def test_more_copies_than_brokers_name_the_variable(
    kafka: KafkaSettings, topic: TopicSpec
) -> None:
    with pytest.raises(TopicsRefusedError, match="KAFKA_REPLICATION is wrong"):
        await ensure_topics(kafka, [topic], 7, within_s=2)


async def test_several_at_once_add_partitions_once(kafka: KafkaSettings, topic: TopicSpec) -> None:
    """As the jobs of two upgrades do. And right after: brokers learn of it a moment later."""
    few = [replace(topic, name=f"{topic.name}-{n}", partitions=1) for n in range(4)]
    more = [replace(each, partitions=3) for each in few]
    await ensure_topics(kafka, few, 1)

    done = await asyncio.gather(*[ensure_topics(kafka, more, 1) for _ in range(3)])

    assert sorted(line for lines in done for line in lines) == [
        f"{each.name}: 3 partitions, was 1" for each in more
    ]
    fewer = [replace(each, partitions=2) for each in few]
    assert await ensure_topics(kafka, fewer, 1) == []


async def test_whoever_may_not_read_a_topics_settings_is_told(
    kafka: KafkaSettings, topic: TopicSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its retention would be said to be right, and is unknown."""

    async def describe_configs(*_: object) -> list[SimpleNamespace]:
        refused = (29, "Topic authorization failed.", ConfigResourceType.TOPIC, topic.name, ())
        return [SimpleNamespace(resources=[refused])]

    monkeypatch.setattr(AIOKafkaAdminClient, "describe_configs", describe_configs)
    with pytest.raises(TopicsRefusedError, match=f"{topic.name}: Topic authorization failed"):
        await ensure_topics(kafka, [topic], 1)
