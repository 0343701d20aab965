"""What a dead letter carries."""

from dataclasses import replace

from libs.common.events import UndecodableRecordError
from libs.common.kafka.dead_letters import dead_letter
from libs.common.topics import DEAD_LETTERS
from tests.unit.common.kafka.records import TOPIC, record


def test_it_is_the_untouched_record_with_what_is_needed_to_put_it_back() -> None:
    lost = record(7, b"page:person", partition=3, value=b'{"text":"secret"}')
    message = dead_letter(lost, UndecodableRecordError("text: missing"), 2, service="sender")
    assert (message.topic, message.key, message.value) == (DEAD_LETTERS, lost.key, lost.value)
    assert dict(message.headers) == {
        "type": b"a",
        "dead-letter-topic": TOPIC.encode(),
        "dead-letter-partition": b"3",
        "dead-letter-offset": b"7",
        "dead-letter-service": b"sender",
        "dead-letter-error": b"UndecodableRecordError/undecodable",
        "dead-letter-attempts": b"2",
    }


def test_the_text_of_an_error_stays_out_for_it_may_quote_a_person() -> None:
    message = dead_letter(record(1), ValueError("my card is 1234"), 1, service="sender")
    assert all(b"1234" not in value for _, value in message.headers)


def test_a_letter_that_dies_again_carries_its_latest_facts_only() -> None:
    first = dead_letter(record(1), ValueError(), 3, service="sender")
    again = replace(record(9), headers=dict(first.headers))
    second = dead_letter(again, TypeError(), 1, service="sender")
    names = [name for name, _ in second.headers]
    assert len(names) == len(set(names))
    assert dict(second.headers)["dead-letter-error"] == b"TypeError"
