"""Kafka: a publisher that never waits in vain, and the keyed consumer."""

from libs.common.kafka.batch import KeyBatch
from libs.common.kafka.broadcast import BroadcastReader, BroadcastRecords
from libs.common.kafka.consumer import KeyedConsumer
from libs.common.kafka.dead_letters import dead_letter, put_back
from libs.common.kafka.engine import Limits
from libs.common.kafka.errors import (
    ConsumerBrakeError,
    ConsumerStuckError,
    KafkaUnavailableError,
    PublishError,
    UnpublishableError,
)
from libs.common.kafka.handling import Patience
from libs.common.kafka.publisher import KafkaPublisher, Message, Publisher, open_publisher
from libs.common.kafka.records import ConsumedRecord
from libs.common.kafka.session import Times

__all__ = [
    "BroadcastReader",
    "BroadcastRecords",
    "ConsumedRecord",
    "ConsumerBrakeError",
    "ConsumerStuckError",
    "KafkaPublisher",
    "KafkaUnavailableError",
    "KeyBatch",
    "KeyedConsumer",
    "Limits",
    "Message",
    "Patience",
    "PublishError",
    "Publisher",
    "Times",
    "UnpublishableError",
    "dead_letter",
    "open_publisher",
    "put_back",
]
