"""How often a Page is called, and when it is not."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from libs.common.graph import Usage
from services.sender.draining import Drain, DrainingError
from services.sender.pages import Page
from tests.virtual_time import run_virtually

Story = Callable[[Page, Drain], Awaitable[None]]


def play(story: Story, per_s: float = 300) -> None:
    async def whole() -> None:
        drain = Drain()
        await story(Page(per_s, drain), drain)

    run_virtually(whole())


def now() -> float:
    return asyncio.get_running_loop().time()


async def call(page: Page, times: list[float], patience_s: float = 1e6) -> None:
    async with page.turn(patience_s) as admitted:
        if admitted:
            times.append(now())


@pytest.mark.parametrize("per_s", [2, 10, 300])
def test_no_second_sees_more_calls_than_allowed_and_little_is_given_away(per_s: float) -> None:
    async def story(page: Page, _drain: Drain) -> None:
        times: list[float] = []
        await asyncio.gather(*[call(page, times) for _ in range(int(per_s * 5))])
        for start in times:
            assert sum(start <= time < start + 1 for time in times) <= per_s
        assert times[-1] - times[0] <= 12 if per_s == 2 else 6

    play(story, per_s)


def test_a_limit_without_a_time_stops_the_page_longer_each_time() -> None:
    async def story(page: Page, _drain: Drain) -> None:
        pauses = []
        for _ in range(8):
            pauses.append(page.limited(None))
            await asyncio.sleep(pauses[-1])
        assert pauses[0] <= 1.0
        assert pauses[3] >= 4.0
        assert max(pauses) <= 60.0
        page.answered()
        assert page.limited(None) <= 1.0

    play(story)


def test_many_limits_at_once_count_as_one() -> None:
    async def story(page: Page, _drain: Drain) -> None:
        assert max(page.limited(None) for _ in range(50)) <= 1.0

    play(story)


def test_calls_wait_out_a_pause_or_their_patience() -> None:
    async def story(page: Page, _drain: Drain) -> None:
        began_at, times = now(), list[float]()
        page.limited(10.0)
        async with page.turn(3.0) as admitted:
            assert not admitted
        assert now() - began_at == pytest.approx(3.0, abs=0.01)
        await call(page, times)
        assert times[0] - began_at == pytest.approx(10.0, abs=0.01)

    play(story)


def test_with_a_suspect_token_one_call_at_a_time_finds_out() -> None:
    async def story(page: Page, _drain: Drain) -> None:
        at_once, most = 0, 0

        async def probe() -> None:
            nonlocal at_once, most
            async with page.turn(1e6):
                at_once += 1
                most = max(most, at_once)
                await asyncio.sleep(1)
                at_once -= 1

        page.token_rejected()
        began_at = now()
        await asyncio.gather(*[probe() for _ in range(5)])
        assert most == 1
        assert now() - began_at >= 60

    play(story)


def test_a_success_opens_the_page_for_all_who_wait() -> None:
    async def story(page: Page, _drain: Drain) -> None:
        page.token_rejected()
        await asyncio.sleep(60)
        times: list[float] = []

        async def probe() -> None:
            async with page.turn(1e6):
                await asyncio.sleep(5)
                page.answered()

        probing = asyncio.create_task(probe())
        await asyncio.sleep(0)
        await asyncio.gather(*[call(page, times) for _ in range(20)])
        await probing
        assert max(times) - min(times) < 0.1
        assert not page.token_is_suspect

    play(story)


def test_a_changed_channel_is_probed_at_once() -> None:
    async def story(page: Page, _drain: Drain) -> None:
        page.token_rejected()
        began_at, times = now(), list[float]()
        waiting = asyncio.create_task(call(page, times))
        await asyncio.sleep(1)
        page.reconsider()
        await waiting
        assert times[0] - began_at == pytest.approx(1.0, abs=0.01)

    play(story)


def test_a_change_does_not_end_a_limits_pause() -> None:
    async def story(page: Page, _drain: Drain) -> None:
        page.limited(10.0)
        page.reconsider()
        assert not await page.take_now()

    play(story)


def test_a_refused_token_is_told_once_a_minute() -> None:
    async def story(page: Page, _drain: Drain) -> None:
        told = 0
        for _ in range(121):
            told += page.token_rejected()
            await asyncio.sleep(1)
        assert told == 3

    play(story)


def test_a_sign_of_life_never_waits() -> None:
    async def story(page: Page, _drain: Drain) -> None:
        began_at = now()
        taken = [await page.take_now() for _ in range(50)]
        assert 0 < sum(taken) < 50
        assert now() - began_at < 0.01

    play(story)


def test_whoever_waits_is_let_go_when_the_service_stops() -> None:
    async def story(page: Page, drain: Drain) -> None:
        page.limited(1000.0)
        waiting = asyncio.create_task(call(page, []))
        await asyncio.sleep(1)
        drain.begin()
        with pytest.raises(DrainingError):
            await waiting

    play(story)


@pytest.mark.parametrize(("percent", "per_s"), [(0.0, 100), (74.0, 100), (75.0, 50), (90.0, 10)])
def test_the_more_of_its_allowance_is_used_the_slower_a_page_is(percent: float, per_s: int) -> None:
    async def story(page: Page, _drain: Drain) -> None:
        page.heed(Usage(percent))
        times: list[float] = []
        await asyncio.gather(*[call(page, times) for _ in range(per_s * 3)])
        assert times[-1] - times[0] == pytest.approx(3.0, rel=0.15)

    play(story, 100)


def test_a_page_is_fast_again_when_meta_says_that_less_is_used() -> None:
    async def story(page: Page, _drain: Drain) -> None:
        page.heed(Usage(95.0))
        page.heed(Usage(20.0))
        times: list[float] = []
        await asyncio.gather(*[call(page, times) for _ in range(100)])
        assert times[-1] - times[0] < 1.1

    play(story, 100)


@pytest.mark.parametrize(("usage", "pause_s"), [(Usage(80.0, 300.0), 300.0), (Usage(100.0), 60.0)])
def test_a_used_up_allowance_stops_the_page_before_meta_refuses(
    usage: Usage, pause_s: float
) -> None:
    async def story(page: Page, _drain: Drain) -> None:
        began_at, times = now(), list[float]()
        page.heed(usage)
        assert not await page.take_now()
        await call(page, times)
        assert times[0] - began_at == pytest.approx(pause_s, abs=0.1)

    play(story)
