"""What can go wrong between us and Kafka, in our own terms."""

from libs.common.errors import PermanentError, ProjectError, TransientError


class KafkaUnavailableError(TransientError):
    """Kafka does not answer, or refuses us for now."""

    code = "kafka_unavailable"


class TopicsMissingError(KafkaUnavailableError):
    """Kafka answers, but does not have our topics yet: `python -m libs.common.kafka.topics`."""

    code = "topics_missing"


class PublishError(TransientError):
    """Not acknowledged. The record may be on the log all the same: readers dedupe by event id."""

    code = "publish_failed"


class UnpublishableError(PermanentError):
    """Kafka will never take this record: it is larger than the topic allows."""

    code = "unpublishable"


class HandlerCancelledError(TransientError):
    """Something inside a handler was cancelled, though nobody asked the handler to end."""

    code = "handler_cancelled"


class ConsumerBrakeError(ProjectError):
    """Too many dead letters in a row: the code is at fault, not the records."""

    code = "consumer_brake"


class ConsumerStuckError(ProjectError):
    """Records wait, but the client fetches none, not even after it was made anew."""

    code = "consumer_stuck"
