"""The topics, their partitions and how long they keep records: the one place that names them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

EVENTS = "messenger.events"
COMMANDS = "messenger.commands"
CHANNELS = "messenger.channels"
DEAD_LETTERS = "messenger.dead-letters"
DEAD_LETTER_PREFIX = "dead-letter-"  # of the headers that a dead letter has besides its own

EVENTS_KEPT = timedelta(days=7)
"""The longest that events and commands may be kept: what remembers them in MongoDB outlives it."""
LETTERS_KEPT = timedelta(days=30)
"""The longest for dead letters, and what `messenger.channels` is kept for."""
SEGMENT = timedelta(days=1)
"""Kafka deletes whole segments: a record may lie there for so much longer."""


@dataclass(frozen=True)
class TopicSpec:
    """One topic as it is created."""

    name: str
    partitions: int
    kept: timedelta

    @property
    def config(self) -> Mapping[str, str]:
        """In Kafka's own words."""
        ms = timedelta(milliseconds=1)
        return {"retention.ms": str(self.kept // ms), "segment.ms": str(SEGMENT // ms)}


TOPICS = (
    # key page_id:psid; 12 partitions bound how many replicas can share the work
    TopicSpec(EVENTS, 12, EVENTS_KEPT),
    # key page_id: one sender owns a page's rate limit
    TopicSpec(COMMANDS, 12, EVENTS_KEPT),
    TopicSpec(CHANNELS, 1, LETTERS_KEPT),
    TopicSpec(DEAD_LETTERS, 3, LETTERS_KEPT),
)
