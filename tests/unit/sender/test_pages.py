"""How often a Page is called, and when it is not."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest
from prometheus_client import REGISTRY

from libs.common.graph import Usage
from services.sender.draining import Drain, DrainingError
from services.sender.line import Place
from services.sender.pages import OLD_WAITS_S, Page, Pages
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
    async with page.turn(patience_s) as leave:
        if leave:
            await leave.room()
            with leave:
                times.append(now())


async def stand(page: Page, place: Place, name: str, order: list[str]) -> None:
    async with page.turn(1e6, place) as leave:
        assert leave
        await leave.room()
        with leave:
            order.append(name)


def shows_a_sign(page: Page) -> bool:
    with page.turn_now() as leave:
        if leave:
            with leave:
                pass
        return leave is not None


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
        page.limited(9.0)
        async with page.turn(3.0) as admitted:
            assert not admitted
        assert now() - began_at == pytest.approx(3.0, abs=0.01)
        await call(page, times)
        assert times[0] - began_at == pytest.approx(9.0, abs=0.01)

    play(story)


def test_nobody_waits_in_place_for_a_page_that_is_stopped_for_long() -> None:
    async def story(page: Page, _drain: Drain) -> None:
        page.limited(11.0)
        began_at = now()
        async with page.turn(30.0) as admitted:
            assert not admitted
        assert now() == pytest.approx(began_at, abs=0.01)

    play(story)


def test_who_stands_in_line_is_sent_away_when_the_page_stops() -> None:
    async def story(page: Page, _drain: Drain) -> None:
        times: list[float] = []
        waiting = [asyncio.create_task(call(page, times)) for _ in range(100)]
        await asyncio.sleep(0.05)
        page.limited(3600.0)
        await asyncio.gather(*waiting)
        assert 0 < len(times) < 100

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
        await asyncio.sleep(55)
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
        await asyncio.sleep(51)
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
        assert not shows_a_sign(page)

    play(story)


def test_a_refused_token_is_told_once_a_minute() -> None:
    async def story(page: Page, _drain: Drain) -> None:
        told = 0
        for _ in range(121):
            told += page.token_rejected()
            await asyncio.sleep(1)
        assert told == 3

    play(story)


def test_a_token_refused_again_after_it_worked_is_told_at_once() -> None:
    async def story() -> list[bool]:
        page = Pages(10, Drain())["1"]
        told = [page.token_rejected(), page.token_rejected()]
        page.answered()
        return [*told, page.token_rejected()]

    assert run_virtually(story()) == [True, False, True]


def test_a_sign_of_life_never_waits() -> None:
    async def story(page: Page, _drain: Drain) -> None:
        began_at = now()
        taken = [shows_a_sign(page) for _ in range(50)]
        assert 0 < sum(taken) < 50
        assert now() - began_at < 0.01

    play(story)


def test_whoever_waits_is_let_go_when_the_service_stops() -> None:
    async def story(page: Page, drain: Drain) -> None:
        page.limited(9.0)
        waiting = asyncio.create_task(call(page, []))
        await asyncio.sleep(1)
        drain.begin()
        with pytest.raises(DrainingError):
            await waiting

    play(story)


@pytest.mark.parametrize(
    ("percent", "per_s"), [(0.0, 100), (75.0, 100), (82.5, 75), (90.0, 50), (95.0, 30), (99.9, 10)]
)
def test_the_more_of_its_allowance_is_used_the_slower_a_page_is(percent: float, per_s: int) -> None:
    async def story(page: Page, _drain: Drain) -> None:
        page.heed(Usage(percent))
        times: list[float] = []
        await asyncio.gather(*[call(page, times) for _ in range(per_s * 3)])
        assert times[-1] - times[0] == pytest.approx(3.0, rel=0.1)

    play(story, 100)


def test_a_page_is_fast_again_little_by_little_when_less_is_used() -> None:
    async def story(page: Page, _drain: Drain) -> None:
        page.heed(Usage(90.0))
        page.heed(Usage(20.0))
        assert page.pace() == pytest.approx(0.5, abs=0.01)
        await asyncio.sleep(10)
        assert page.pace() == pytest.approx(0.7, abs=0.01)
        await asyncio.sleep(15)
        assert page.pace() == 1.0

    play(story, 100)


def test_a_limit_costs_a_quarter_of_the_pace_which_comes_back_by_two_percent_a_second() -> None:
    async def story(page: Page, _drain: Drain) -> None:
        page.limited(1.0)
        page.limited(1.0)  # an answer to a call begun before: nothing new
        assert page.pace() == pytest.approx(0.75, abs=0.01)
        await asyncio.sleep(10)
        assert page.pace() == pytest.approx(0.95, abs=0.01)
        for _ in range(20):
            await asyncio.sleep(0.2)
            page.limited(0.1)
        assert page.pace() >= 0.05

    play(story, 100)


def test_what_meta_said_of_usage_is_forgotten_after_its_hour() -> None:
    async def story(page: Page, _drain: Drain) -> None:
        assert page.used() == 0
        page.heed(Usage(90.0))
        await asyncio.sleep(3599)
        assert page.used() == 0.9
        await asyncio.sleep(2)
        assert page.used() == 0

    play(story)


def test_ninety_five_percent_of_the_allowed_rate_is_used() -> None:
    async def story(page: Page, _drain: Drain) -> None:
        times: list[float] = []
        await asyncio.gather(*[call(page, times) for _ in range(3000)])
        assert len(times) / (times[-1] - times[0]) >= 0.95 * 300

    play(story)


def test_what_a_human_wrote_goes_first_and_a_person_with_many_parts_starves_nobody() -> None:
    async def story(page: Page, _drain: Drain) -> None:
        order: list[str] = []

        async def person(name: str, parts: int, *, human: bool = False) -> None:
            for _ in range(parts):
                async with page.turn(1e6, page.place(human=human)) as leave:
                    assert leave
                    with leave:
                        order.append(name)

        greedy = asyncio.create_task(person("greedy", 50))
        await asyncio.sleep(5)
        others = [asyncio.create_task(person(f"other {n}", 1)) for n in range(5)]
        await asyncio.sleep(0)
        before = len(order)
        human = asyncio.create_task(person("human", 2, human=True))
        await asyncio.gather(greedy, human, *others)
        after = order[before:]
        assert after[:2] == ["human", "human"]
        assert after[2:9].count("greedy") <= 2

    play(story, 2)


def test_who_comes_back_with_the_same_place_goes_before_all_who_came_later() -> None:
    async def story(page: Page, _drain: Drain) -> None:
        order: list[str] = []

        async def person(name: str, place: Place) -> None:
            await stand(page, place, name, order)

        refused = [page.place() for _ in range(3)]
        others = [asyncio.create_task(person(f"other {n}", page.place())) for n in range(5)]
        await asyncio.sleep(0)
        await asyncio.gather(
            *[person(f"refused {n}", refused[n]) for n in (2, 0, 1)],
            *others,
        )
        again = [name for name in order if name.startswith("refused")]
        assert again == ["refused 0", "refused 1", "refused 2"]
        assert order.index("refused 2") <= 4  # two had their turns before these came

    play(story, 2)


def test_a_short_stop_changes_nothing_about_who_is_next() -> None:
    async def story(page: Page, _drain: Drain) -> None:
        order: list[int] = []

        async def person(number: int) -> None:
            async with page.turn(1e6) as leave:
                assert leave
                await leave.room()
                with leave:
                    order.append(number)

        async def come(numbers: range) -> list["asyncio.Task[None]"]:
            tasks = []
            for number in numbers:
                tasks.append(asyncio.create_task(person(number)))
                await asyncio.sleep(0)
            return tasks

        first = await come(range(300))
        for _ in range(3):
            page.limited(0.5)
            await asyncio.sleep(0.2)
        later = await come(range(300, 600))
        await asyncio.gather(*first, *later)
        assert order == sorted(order)

    play(story, 100)


def test_nobody_stands_in_line_for_longer_than_asked() -> None:
    async def story(page: Page, _drain: Drain) -> None:
        waiting = [asyncio.create_task(call(page, [])) for _ in range(50)]
        await asyncio.sleep(0)
        began_at = now()
        async with page.turn(0.5) as leave:
            assert leave is None
        assert now() - began_at == pytest.approx(0.5, abs=0.01)
        await asyncio.gather(*waiting)

    play(story, 2)


def test_ever_more_limits_in_a_row_stop_the_page_each_time() -> None:
    async def story(page: Page, _drain: Drain) -> None:
        for _ in range(2000):
            pause_s = page.limited(None)
            assert 0 < pause_s <= 60
            assert page.stopped_for_s() > 0
            await asyncio.sleep(pause_s + 0.001)

    play(story)


def test_a_thread_is_read_as_a_probe_while_the_token_is_suspect() -> None:
    async def story(page: Page, _drain: Drain) -> None:
        times: list[float] = []

        async def read() -> None:
            while len(times) < 5:
                async with page.reading() as admitted:
                    if admitted:
                        times.append(now())
                        page.token_rejected()
                await asyncio.sleep(1)

        await asyncio.gather(read(), read())
        assert min(later - sooner for sooner, later in pairwise(times)) >= 49

    play(story)


def test_reads_that_meta_limits_wait_and_sending_goes_on() -> None:
    async def story(page: Page, _drain: Drain) -> None:
        began_at, times = now(), list[float]()
        page.reads_limited(7.0)
        await call(page, times)
        assert times[0] == pytest.approx(began_at)
        async with page.reading() as admitted:
            assert admitted
            assert now() - began_at >= 7.0

    play(story)


def test_threads_are_read_twice_a_second_and_no_more() -> None:
    async def story(page: Page, _drain: Drain) -> None:
        times: list[float] = []

        async def read() -> None:
            async with page.reading() as admitted:
                assert admitted
                times.append(now())
                await asyncio.sleep(0.3)

        await asyncio.gather(*[read() for _ in range(20)])
        for start in times:
            assert sum(start <= time < start + 1 for time in times) <= 2
        assert times[-1] - times[0] < 13

    play(story)


def test_whoever_waits_to_read_is_let_go_when_the_service_stops() -> None:
    async def story(page: Page, drain: Drain) -> None:
        async def read() -> None:
            async with page.reading():
                await asyncio.sleep(5)

        reading = [asyncio.create_task(read()) for _ in range(2)]
        waiting = asyncio.create_task(read())
        await asyncio.sleep(1)
        drain.begin()
        with pytest.raises(DrainingError):
            await waiting
        assert not any(task.done() for task in reading)
        await asyncio.gather(*reading)

    play(story)


def test_who_gives_up_at_the_moment_of_being_let_in_leaves_the_place_to_others() -> None:
    async def story(page: Page, _drain: Drain) -> None:
        with page.turn_now() as first:
            assert first
            waiting = asyncio.create_task(call(page, []))
            await asyncio.sleep(5)
            assert not waiting.done()
        waiting.cancel()  # it has leave, and does not know yet
        with pytest.raises(asyncio.CancelledError):
            await waiting
        times: list[float] = []
        await call(page, times, patience_s=1)
        assert times

    play(story, 1)


def test_a_stopped_page_costs_other_pages_nothing() -> None:
    async def latencies(*, stopped: bool) -> list[float]:
        pages = Pages(100, Drain())
        waiting = [asyncio.create_task(call(pages["1"], [])) for _ in range(500)]
        if stopped:
            pages["1"].limited(5.0)
        found = []
        for _ in range(200):
            began_at = now()
            await call(pages["2"], [])
            found.append(now() - began_at)
            await asyncio.sleep(0.02)
        await asyncio.gather(*waiting)
        return found

    free, beside = run_virtually(latencies(stopped=False)), run_virtually(latencies(stopped=True))
    assert max(beside) <= max(free) + 0.001
    assert max(beside) < 0.02


def test_a_limit_of_the_app_stops_every_page() -> None:
    async def story() -> None:
        pages = Pages(100, Drain())
        pages["1"].limited(5.0, whole_app=True)
        assert not shows_a_sign(pages["2"])
        await asyncio.sleep(5.1)
        assert shows_a_sign(pages["2"])

    run_virtually(story())


def test_the_metrics_say_how_the_pages_are_without_naming_them() -> None:
    async def story() -> None:
        pages = Pages(100, Drain())
        pages["1"].heed(Usage(90.0))
        pages["2"].token_rejected()
        pages["3"].limited(5.0)
        read = REGISTRY.get_sample_value
        assert read("assistant_page_usage_ratio") == 0.9
        assert read("assistant_page_pace_ratio") == pytest.approx(0.5, abs=0.01)
        assert read("assistant_pages_stopped", {"cause": "token"}) == 1
        assert read("assistant_pages_stopped", {"cause": "limit"}) == 1
        assert read("assistant_page_waiting_parts") == 0

    run_virtually(story())


@pytest.mark.parametrize(("usage", "pause_s"), [(Usage(80.0, 300.0), 300.0), (Usage(100.0), 60.0)])
def test_a_used_up_allowance_stops_the_page_before_meta_refuses(
    usage: Usage, pause_s: float
) -> None:
    async def story(page: Page, _drain: Drain) -> None:
        began_at, times = now(), list[float]()
        page.heed(usage)
        assert not shows_a_sign(page)
        await call(page, times)
        assert times == []
        await asyncio.sleep(pause_s - 5)
        await call(page, times)
        assert times[0] - began_at == pytest.approx(pause_s, abs=0.1)

    play(story)


def test_who_has_waited_for_long_goes_behind_who_waits_now_but_not_for_ever() -> None:
    async def story(page: Page, _drain: Drain) -> None:
        order: list[str] = []

        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(stand(page, page.place(old=True), f"old{number}", order))
            await asyncio.sleep(3.1)
            for number in range(3):
                group.create_task(stand(page, page.place(), f"new{number}", order))
            group.create_task(stand(page, page.place(human=True), "human", order))
        waited = order.index("human")
        assert order[waited : waited + 4] == ["human", "new0", "new1", "new2"]
        assert waited < 10
        assert [name for name in order if "old" in name] == [f"old{n}" for n in range(20)]
        first = page.place(old=True)
        await asyncio.sleep(OLD_WAITS_S + 1)
        assert first < page.place()

    play(story, 2)
