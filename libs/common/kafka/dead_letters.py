"""Records that could not be handled, kept as they came, with what is known about why."""

from libs.common.kafka.handling import name_of
from libs.common.kafka.publisher import Message
from libs.common.kafka.records import ConsumedRecord
from libs.common.topics import DEAD_LETTERS

PREFIX = "dead-letter-"


def dead_letter(
    record: ConsumedRecord, error: BaseException, attempts: int, *, service: str
) -> Message:
    """The untouched record, with the headers that `make replay` and the console need.

    Headers: `dead-letter-topic`, `-partition`, `-offset`, `-service`, `-error`, `-attempts`. The
    error is its class and stable code, never its text, which may quote what a person wrote.
    """
    facts = {
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "service": service,
        "error": name_of(error),
        "attempts": str(attempts),
    }
    kept = [(name, value) for name, value in record.headers.items() if not name.startswith(PREFIX)]
    added = [(PREFIX + name, value.encode()) for name, value in facts.items()]
    return Message(DEAD_LETTERS, record.key or None, record.value, [*kept, *added])
