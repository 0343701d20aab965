"""A leak is complained about, in whichever life and of whatever; what is none is not."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.processes import MIB, Usage
from tests.soak.lives import Process, Reading, Sample, judged

READING = Reading(warm_up_s=60, span_s=10)
EVERY_S = 5.0
FLAT = Usage(rss_bytes=90 * MIB, anonymous_bytes=60 * MIB, descriptors=40, threads=3)

Grow = Callable[[Sample, float], Sample]
"""The sample as it would be so many hours after the process began."""


def life(
    pid: int, minutes: float, grow: Grow = lambda each, _: each, since_s: float = 0.0
) -> list[Sample]:
    flat = [
        Sample(since_s + number * EVERY_S, pid, FLAT, tasks=20, lag=0)
        for number in range(int(minutes * 60 / EVERY_S))
    ]
    return [grow(each, (each.at_s - since_s) / 3600) for each in flat]


def more_memory(per_hour: float) -> Grow:
    """MiB."""

    def grow(each: Sample, hours: float) -> Sample:
        more = int(per_hour * hours * MIB)
        bytes_ = each.usage.anonymous_bytes + more
        return replace(each, usage=replace(each.usage, anonymous_bytes=bytes_))

    return grow


def more_descriptors(each: Sample, hours: float) -> Sample:
    return replace(each, usage=replace(each.usage, descriptors=40 + int(hours * 200)))


def more_tasks(each: Sample, hours: float) -> Sample:
    return replace(each, tasks=20 + hours * 500)


def test_a_process_that_stays_as_it_is_is_well() -> None:
    judgement = judged(Process(life(1, 20)), READING)
    assert judgement.complaints == ()
    assert judgement.lives == 1
    assert judgement.warm_s == pytest.approx(19 * 60, abs=30)


@pytest.mark.parametrize(
    ("grow", "complaint"),
    [
        (more_memory(200), "memory grow by 200 MiB/h"),
        (more_descriptors, "descriptors grow by 200 /h"),
        (more_tasks, "tasks grow by 500 /h"),
    ],
)
def test_a_leak_is_complained_about(grow: Grow, complaint: str) -> None:
    (said,) = judged(Process(life(1, 20, grow)), READING).complaints
    assert said.startswith(complaint)


def test_a_leak_shows_in_short_lives_together() -> None:
    """Each is killed after four minutes, and begins anew with little."""
    lives = [life(pid, 4, more_memory(200), since_s=pid * 300.0) for pid in range(6)]
    process = Process([sample for each in lives for sample in each])
    judgement = judged(process, READING)
    assert judgement.lives == 6
    assert "memory grow by 200 MiB/h" in judgement.complaints[0]


def test_what_a_process_does_while_it_warms_up_is_no_leak() -> None:
    def warm_up(each: Sample, hours: float) -> Sample:
        return more_memory(3000)(each, min(hours, 1 / 60))

    assert judged(Process(life(1, 20, warm_up)), READING).complaints == ()


def test_the_slope_of_a_short_run_is_told_and_not_complained_about() -> None:
    judgement = judged(Process(life(1, 12, more_memory(200))), READING)
    assert judgement.complaints == ()
    assert judgement.to_json()["memory"]["per_hour"] == pytest.approx(200, abs=1)


def test_slow_growth_is_told_and_not_complained_about() -> None:
    judgement = judged(Process(life(1, 20, more_memory(5))), READING)
    assert judgement.complaints == ()
    assert judgement.to_json()["memory"]["per_hour"] == pytest.approx(5, abs=0.01)


def test_more_tasks_at_rest_than_before_are_a_leak_however_short_it_was() -> None:
    before, after = life(1, 0.5), life(1, 0.5, lambda each, _: replace(each, tasks=300))
    (said,) = judged(Process([], before, after), READING).complaints
    assert said == "tasks at rest: 20 before, 300 after; 20 more are allowed"


def test_what_is_left_on_the_log_at_rest_is_complained_about() -> None:
    after = life(1, 0.5, lambda each, _: replace(each, lag=3))
    (said,) = judged(Process(life(1, 1), [], after), READING).complaints
    assert said.startswith("3 records are not finished")


def test_other_peoples_programs_are_measured_and_not_judged() -> None:
    judgement = judged(Process(life(1, 20, more_memory(2000))), READING, only_told=True)
    assert judgement.complaints == ()
    assert judgement.growths["memory"].trend is not None


def test_one_that_was_never_seen_is_no_error() -> None:
    judgement = judged(Process(), READING)
    assert judgement.complaints == ()
    assert judgement.to_json()["memory"]["first"] is None
