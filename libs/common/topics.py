"""The topics, their partitions and their settings: the one place that names them."""

from dataclasses import dataclass, field

EVENTS = "messenger.events"
COMMANDS = "messenger.commands"
CHANNELS = "messenger.channels"
DEAD_LETTERS = "messenger.dead-letters"
DEAD_LETTER_PREFIX = "dead-letter-"  # of the headers that a dead letter has besides its own

_DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True)
class TopicSpec:
    """One topic as it is created: `config` holds Kafka's own topic settings."""

    name: str
    partitions: int
    config: dict[str, str] = field(default_factory=dict)


TOPICS = (
    # key page_id:psid; 12 partitions bound how many replicas can share the work
    TopicSpec(EVENTS, 12, {"retention.ms": str(7 * _DAY_MS)}),
    # key page_id: one sender owns a page's rate limit
    TopicSpec(COMMANDS, 12, {"retention.ms": str(7 * _DAY_MS)}),
    TopicSpec(CHANNELS, 1, {"retention.ms": str(30 * _DAY_MS)}),
    TopicSpec(DEAD_LETTERS, 3, {"retention.ms": str(30 * _DAY_MS)}),
)
