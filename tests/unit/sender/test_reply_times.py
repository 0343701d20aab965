"""How long a person waited for an answer, and how much of that was ours."""

from datetime import timedelta
from typing import Any

from services.sender import reply_times
from tests.unit.sender.stories import THREE_PARTS, play
from tests.unit.sender.world import LIMITED, STARTED_AT, Reply, World, send_text

SINCE = STARTED_AT - timedelta(seconds=4)


def told() -> tuple[float, float, float]:
    """How many answers were measured, and the sums: all of the time, and ours."""
    found = {
        sample.name: sample.value
        for histogram in (reply_times.REPLY_SECONDS, reply_times.OWN_SECONDS)
        for metric in histogram.collect()
        for sample in metric.samples
    }
    return (
        found["assistant_reply_seconds_count"],
        found["assistant_reply_seconds_sum"],
        found["assistant_reply_own_seconds_sum"],
    )


def measured(*replies: Reply, text: str = "hello", times: int = 1, **fields: Any) -> list[float]:  # noqa: ANN401
    """What delivering a command adds."""
    before = told()

    async def story(world: World) -> None:
        world.meta.script = list(replies)
        for _ in range(times):
            await world.deliver(send_text(text, **fields), offset=7)

    play(story)
    return [round(now - then, 2) for now, then in zip(told(), before, strict=True)]


def test_it_is_measured_from_the_message_until_meta_has_the_first_part() -> None:
    found = measured(text=THREE_PARTS, waiting_since=SINCE, model_s=1.5)
    assert found == [1, 4.05, 2.55]


def test_time_that_meta_made_us_wait_counts() -> None:
    count, whole_s, _ = measured(LIMITED, waiting_since=SINCE, model_s=1.5)
    assert count == 1
    assert whole_s > 11


def test_a_copy_is_not_measured_again() -> None:
    assert measured(times=3, waiting_since=SINCE)[0] == 1


def test_a_model_that_took_longer_than_all_of_it_leaves_nothing() -> None:
    assert measured(waiting_since=SINCE, model_s=60.0) == [1, 4.05, 0]


def test_what_no_message_waits_for_is_not_measured() -> None:
    assert measured() == [0, 0, 0]
