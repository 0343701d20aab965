"""What `/metrics` tells of a consumer's partitions: of those that are its own, and of no others."""

from collections.abc import AsyncIterator
from unittest.mock import AsyncMock

import pytest
from aiokafka import TopicPartition
from prometheus_client import REGISTRY

from libs.common.kafka.consumer import record_key, wants_all
from libs.common.kafka.engine import KeyedEngine, Limits
from libs.common.kafka.handling import BatchRunner, Patience
from libs.common.kafka.session import Membership, Session, Times
from libs.common.settings import KafkaSettings

WHO = Membership("t", "a-group-of-this-test", "test")


def lag(partition: int) -> float | None:
    labels = {"topic": WHO.topic, "group": WHO.group, "partition": str(partition)}
    return REGISTRY.get_sample_value("assistant_consumer_lag_records", labels)


@pytest.fixture
async def session() -> AsyncIterator[Session]:
    runner = BatchRunner(AsyncMock(), AsyncMock(), Patience(), topic=WHO.topic, group=WHO.group)
    engine = KeyedEngine(
        runner,
        topic=WHO.topic,
        group=WHO.group,
        wants=wants_all,
        key_of=record_key,
        limits=Limits(),
    )
    session = Session(KafkaSettings(), WHO, engine, AsyncMock(return_value=True), Times())
    yield session
    await session.close()


async def test_the_lag_of_a_partition_goes_with_the_partition(session: Session) -> None:
    session.on_partitions_assigned([TopicPartition("t", 0), TopicPartition("t", 1)])
    session._measure_lag({0: 10, 1: 20}, {0: 4, 1: 20})
    assert (lag(0), lag(1)) == (6, 0)
    await session.on_partitions_revoked([TopicPartition("t", 0)])
    assert (lag(0), lag(1)) == (None, 0)
    session._measure_lag({0: 10, 1: 25}, {0: 4, 1: 20})  # Kafka was asked before it went
    assert (lag(0), lag(1)) == (None, 5)


async def test_a_client_that_ends_leaves_no_number_behind(session: Session) -> None:
    session.on_partitions_assigned([TopicPartition("t", 0)])
    session._measure_lag({0: 10}, {0: 4})
    assert lag(0) == 6
    await session.close()
    assert lag(0) is None
    names = {"topic": WHO.topic, "group": WHO.group}
    assert REGISTRY.get_sample_value("assistant_consumer_oldest_seconds", names) == 0
