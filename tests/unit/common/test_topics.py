"""Topics are named in one place, and every record has one."""

from libs.common.events import ALL_RECORDS
from libs.common.topics import CHANNELS, COMMANDS, DEAD_LETTERS, EVENTS, TOPICS

DAY_MS = 86_400_000


def test_every_topic_is_created_once() -> None:
    names = [topic.name for topic in TOPICS]
    assert names == [EVENTS, COMMANDS, CHANNELS, DEAD_LETTERS]
    assert len(set(names)) == len(names)
    assert {*ALL_RECORDS} == {*names} - {DEAD_LETTERS}


def test_records_stay_long_enough_for_a_weekend_away() -> None:
    assert all(int(topic.config["retention.ms"]) >= 7 * DAY_MS for topic in TOPICS)
    assert all(topic.partitions >= 1 for topic in TOPICS)
