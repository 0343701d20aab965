"""Stuck, idle, paused, or Kafka away: only the first one counts."""

from hypothesis import given
from hypothesis import strategies as st

from libs.common.kafka.watchdog import Watchdog


def test_a_partition_that_does_not_move_though_records_wait_is_stuck() -> None:
    watchdog = Watchdog(patience_s=30)
    assert not watchdog.observe(0, {0: 5}, {0: 9})
    assert not watchdog.observe(29, {0: 5}, {0: 12})
    assert watchdog.observe(30, {0: 5}, {0: 12})


def test_a_position_that_stays_unknown_is_stuck() -> None:
    watchdog = Watchdog(patience_s=30)
    assert not watchdog.observe(0, {0: None}, {0: 9})
    assert watchdog.observe(31, {0: None}, {0: 9})


def test_one_that_is_paused_or_at_the_end_is_not() -> None:
    watchdog = Watchdog(patience_s=30)
    for now in (0, 31, 62):
        assert not watchdog.observe(now, {0: 5, 1: 9}, {0: 9, 1: 9}, paused={0})
    assert not watchdog.observe(63, {0: 5, 1: 9}, {0: 9, 1: 9})  # resumed: it has its time again


def test_an_outage_of_kafka_starts_the_time_anew() -> None:
    watchdog = Watchdog(patience_s=30)
    watchdog.observe(0, {0: 5}, {0: 9})
    watchdog.reset()
    assert not watchdog.observe(31, {0: 5}, {0: 9})


@given(st.lists(st.tuples(st.integers(1, 29), st.integers(1, 5)), min_size=1, max_size=30))
def test_slow_progress_is_progress(steps: list[tuple[int, int]]) -> None:
    watchdog, now, position = Watchdog(patience_s=30), 0, 0
    for seconds, records in steps:
        now, position = now + seconds, position + records
        assert not watchdog.observe(now, {0: position}, {0: 10_000})
