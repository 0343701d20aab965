"""Records that could not be handled, kept as they came, with what is known about why."""

from libs.common.errors import name_of
from libs.common.kafka.publisher import Message
from libs.common.kafka.records import ConsumedRecord
from libs.common.topics import DEAD_LETTER_PREFIX as PREFIX
from libs.common.topics import DEAD_LETTERS


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


def put_back(letter: ConsumedRecord) -> Message:
    """The record as it was before it became a dead letter, for the topic that it came from.

    Raises:
        ValueError: it does not say which topic that was.
    """
    topic = letter.headers.get(f"{PREFIX}topic", b"").decode("ascii", "replace")
    if not topic:
        raise ValueError("a dead letter without its topic")
    kept = [(name, value) for name, value in letter.headers.items() if not name.startswith(PREFIX)]
    return Message(topic, letter.key or None, letter.value, kept)
