"""Hosts whose clocks are wrong by up to ten minutes: nothing is sent twice, and most is settled."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.sender.meta_clock import MetaClock
from tests.unit.sender.stories import play
from tests.unit.sender.world import (
    LOST,
    OK,
    STARTED_AT,
    TAKEN_500,
    TAKEN_LATE,
    TAKEN_UNSEEN,
    CrashError,
    Reply,
    World,
    clock,
    send_text,
)

FAST_S = [-600.0, -60.0, -7.0, 0.0, 7.0, 60.0, 600.0]


@pytest.mark.parametrize("fast_s", FAST_S)
@pytest.mark.parametrize("reply", [TAKEN_UNSEEN, TAKEN_500, TAKEN_LATE])
def test_an_answer_lost_before_meta_ever_answered_doubles_nothing_and_is_found(
    reply: Reply, fast_s: float
) -> None:
    """The reading itself tells the time at Meta."""

    async def story(world: World) -> None:
        world.start(fast_s=fast_s)
        world.meta.script = [reply]
        await world.deliver(send_text())

    world = play(story)

    assert world.accepted() == ["c1:0"]
    assert world.store.deliveries["c1:0"].state == "sent"


@pytest.mark.parametrize("fast_s", FAST_S)
@pytest.mark.parametrize("known", [True, False])
def test_what_another_process_left_in_doubt_is_held_only_if_nothing_tells_whose_clock_is_wrong(
    known: bool, fast_s: float
) -> None:
    async def story(world: World) -> None:
        world.start(fast_s=fast_s)
        if known:
            await world.deliver(send_text("before", "c0"), offset=0)
        world.meta.script = [TAKEN_UNSEEN]
        sending = asyncio.create_task(world.deliver(send_text()))
        await asyncio.sleep(5)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        world.start()
        await world.deliver(send_text())

    world = play(story)

    assert world.accepted().count("c1:0") == 1
    state = world.store.deliveries["c1:0"].state
    assert state == ("held" if fast_s > 5 and not known else "sent")


@pytest.mark.parametrize("fast_s", FAST_S)
@pytest.mark.parametrize(("reply", "posts"), [(TAKEN_UNSEEN, 2), (TAKEN_LATE, 2), (LOST, 3)])
def test_once_meta_has_answered_its_own_clock_counts_and_settles_the_matter(
    reply: Reply, posts: int, fast_s: float
) -> None:
    async def story(world: World) -> None:
        world.start(fast_s=fast_s)
        await world.deliver(send_text("before", "c0"), offset=0)
        await asyncio.sleep(100)
        world.meta.script = [reply]
        await world.deliver(send_text())
        assert (clock() - STARTED_AT).total_seconds() < 100 + 30

    world = play(story)

    assert world.accepted() == ["c0:0", "c1:0"]
    assert len(world.meta.posts) == posts
    assert world.store.deliveries["c1:0"].state == "sent"


@pytest.mark.parametrize("fast_s", FAST_S)
def test_what_was_not_taken_is_sent_once_more_soon_by_whatever_clock(fast_s: float) -> None:
    async def story(world: World) -> None:
        world.start(fast_s=fast_s)
        world.meta.script = [LOST]
        await world.deliver(send_text())
        assert (clock() - STARTED_AT).total_seconds() < 30

    assert play(story).accepted() == ["c1:0"]


@pytest.mark.parametrize("old_s", FAST_S)
@pytest.mark.parametrize("new_s", FAST_S)
@pytest.mark.parametrize("reply", [TAKEN_LATE, LOST])
def test_two_owners_of_one_command_with_clocks_of_their_own_send_it_once(
    reply: Reply, old_s: float, new_s: float
) -> None:
    """A rebalance: the old owner's request is on its way still when the new one looks."""

    async def story(world: World) -> None:
        world.start(fast_s=old_s)
        await world.deliver(send_text("before", "c0"), offset=0)
        world.meta.script = [reply]
        old = asyncio.create_task(world.deliver(send_text()))
        await asyncio.sleep(0.01)
        world.start(fast_s=new_s)
        await asyncio.gather(old, world.deliver(send_text()))

    assert play(story).accepted() == ["c0:0", "c1:0"]


@settings(max_examples=60, deadline=None)
@given(
    script=st.lists(st.sampled_from([OK, TAKEN_UNSEEN, TAKEN_LATE, LOST, TAKEN_500]), max_size=5),
    crashes=st.lists(st.integers(0, 30), max_size=4),
    fast_s=st.lists(st.floats(-600, 600), min_size=5, max_size=5),
    alike=st.booleans(),
)
def test_whatever_the_clocks_and_wherever_we_end_nothing_is_taken_twice(
    script: list[Reply], crashes: list[int], fast_s: list[float], alike: bool
) -> None:
    """Each process runs on a host of its own; two messages of one person may be equal."""
    texts = ["yes", "yes" if alike else "no"]

    async def story(world: World) -> None:
        world.meta.script = list(script)
        hosts, left = iter([*fast_s, 0.0]), list(crashes)
        for crash in [*left, None]:
            world.start([] if crash is None else [crash], fast_s=next(hosts))
            with suppress(CrashError):
                for offset, text in enumerate(texts):
                    await world.deliver(send_text(text, f"c{offset}"), offset=offset)

    world = play(story)

    accepted = world.accepted()
    assert len(accepted) == len(set(accepted))
    assert accepted == sorted(accepted)
    told = dict(world.outcomes())
    assert set(told) == {"c0:0", "c1:0"}
    sent = {send_id for send_id, kind in told.items() if kind == "message.sent"}
    assert alike or sent <= set(accepted)


def test_metas_clock_goes_on_and_is_never_ahead() -> None:
    async def story(_world: World) -> None:
        known = MetaClock()
        assert known.now() is None
        known.heard(datetime(2026, 3, 1, 12, tzinfo=UTC))
        await asyncio.sleep(90.25)
        now = known.now()
        assert now is not None
        late = datetime(2026, 3, 1, 12, 1, 30, 250_000, tzinfo=UTC) - now
        assert abs(late) < timedelta(milliseconds=2)  # the loop counts a little for each turn

    play(story)
