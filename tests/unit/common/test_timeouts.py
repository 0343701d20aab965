"""Shared timeouts do what asyncio's do, for many waits with one timer."""

import asyncio
from typing import Any

import pytest

from libs.common.timeouts import SharedTimeout

WITHIN_S = 5.0


async def test_what_takes_too_long_is_ended() -> None:
    shared = SharedTimeout(0.01)
    with pytest.raises(TimeoutError), shared.wait():
        await asyncio.sleep(WITHIN_S)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert not shared.waits


async def test_what_is_done_in_time_is_left_alone() -> None:
    shared = SharedTimeout(0.01)
    with shared.wait():
        await asyncio.sleep(0)
    await asyncio.sleep(0.03)  # its end has passed: nobody is cancelled for it
    assert not shared.waits


async def test_each_wait_ends_by_itself() -> None:
    shared = SharedTimeout(0.02)
    ended: list[int] = []

    async def wait(number: int) -> None:
        await asyncio.sleep(number / 1000)
        try:
            with shared.wait():
                await asyncio.sleep(WITHIN_S)
        except TimeoutError:
            ended.append(number)

    async with asyncio.timeout(WITHIN_S):
        await asyncio.gather(*map(wait, range(10)))
    assert ended == list(range(10))


async def test_after_a_quiet_time_it_works_again() -> None:
    shared = SharedTimeout(0.01)
    for _ in range(3):
        with pytest.raises(TimeoutError), shared.wait():
            await asyncio.sleep(WITHIN_S)
        await asyncio.sleep(0.02)


async def test_many_waits_have_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    shared = SharedTimeout(WITHIN_S)
    timers: list[float] = []
    call_later = loop.call_later

    def counting(delay: float, *arguments: Any) -> asyncio.TimerHandle:  # noqa: ANN401
        timers.append(delay)
        return call_later(delay, *arguments)

    monkeypatch.setattr(loop, "call_later", counting)

    async def wait() -> None:
        with shared.wait():
            await asyncio.Event().wait()

    tasks = [asyncio.create_task(wait()) for _ in range(100)]
    await asyncio.sleep(0)
    assert len(shared.waits) == 100
    assert len(timers) == 1
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert not shared.waits


async def test_a_cancellation_by_somebody_else_stays_one() -> None:
    shared = SharedTimeout(0.01)
    entered = asyncio.Event()

    async def wait() -> None:
        with shared.wait():
            entered.set()
            try:
                await asyncio.sleep(WITHIN_S)
            except asyncio.CancelledError:
                await asyncio.sleep(0.02)  # meanwhile the time is up as well
                raise

    task = asyncio.create_task(wait())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, WITHIN_S)


async def test_an_error_is_not_taken_for_a_timeout() -> None:
    shared = SharedTimeout(0.01)
    with pytest.raises(ValueError, match="ours"), shared.wait():
        raise ValueError("ours")
    assert not shared.waits
