"""Who writes now is not kept waiting by a backlog, and who is in it is not forgotten."""

import asyncio
from collections.abc import Callable

from libs.common.kafka.batch import KeyBatch
from libs.common.kafka.engine import KeyedEngine, Limits
from libs.common.kafka.handling import BatchRunner, Handler, Patience
from libs.common.kafka.pace import AT_ONCE
from libs.common.kafka.records import ConsumedRecord
from tests.unit.common.kafka.records import TOPIC, record
from tests.virtual_time import VirtualTimeLoop, run_virtually

NOW_S = 1_700_000_000.0
LIMITS = Limits(max_keys_in_flight=8, fresh_s=30)
TURN_S = 1.0


class World:
    """What was handled, in the order in which it was begun."""

    def __init__(self) -> None:
        self.begun: list[bytes] = []
        self.in_flight = 0
        self.most_old_in_flight = 0

    async def handle(self, batch: KeyBatch) -> None:
        self.begun.append(batch.key)
        old = batch.key.startswith(b"old")
        self.in_flight += old
        self.most_old_in_flight = max(self.most_old_in_flight, self.in_flight)
        await asyncio.sleep(TURN_S)
        self.in_flight -= old


def engine_of(
    handler: Handler, limits: Limits = LIMITS, wall_s: Callable[[], float] = lambda: NOW_S
) -> KeyedEngine:
    async def never(_record: ConsumedRecord, _error: BaseException, _attempts: int) -> None:
        raise AssertionError

    engine = KeyedEngine(
        BatchRunner(handler, never, Patience(), topic=TOPIC, group="g"),
        topic=TOPIC,
        group="g",
        wants=lambda _headers: True,
        key_of=lambda r: r.key,
        limits=limits,
        wall_s=wall_s,
    )
    engine.assign([0])
    return engine


def old(offset: int, key: bytes | None = None) -> ConsumedRecord:
    return record(offset, key or b"old%d" % offset, timestamp_ms=int((NOW_S - 31) * 1000))


def fresh(offset: int, key: bytes | None = None) -> ConsumedRecord:
    return record(offset, key or b"new%d" % offset, timestamp_ms=int((NOW_S - 29) * 1000))


def test_who_writes_now_begins_at_once_though_hundreds_wait() -> None:
    world = World()

    async def story() -> None:
        engine = engine_of(world.handle)
        engine.add(0, [old(number) for number in range(300)])
        await asyncio.sleep(10.5)  # no place is free for old ones, that go on one after the other
        assert world.begun
        engine.add(0, [fresh(300)])
        await asyncio.sleep(0)
        assert world.begun[-1] == b"new300"
        async with asyncio.timeout(1000):
            while engine.committable() != {0: 301}:
                engine.moved.clear()
                await engine.moved.wait()

    run_virtually(story())
    assert len(world.begun) == 301
    assert world.most_old_in_flight == LIMITS.most_old == 6


def test_old_ones_get_their_share_while_fresh_ones_never_cease() -> None:
    world = World()

    async def story() -> None:
        engine = engine_of(world.handle)
        engine.add(0, [old(number) for number in range(20)])
        async with asyncio.timeout(1000):
            offset = 20
            while sum(key.startswith(b"old") for key in world.begun) < 20:
                engine.add(0, [fresh(offset + number) for number in range(10)])
                offset += 10
                await asyncio.sleep(TURN_S / 2)
        engine.forget()

    run_virtually(story())


def test_who_waits_and_writes_again_is_answered_to_both_at_once_and_in_order() -> None:
    handled: dict[bytes, list[int]] = {}

    async def handle(batch: KeyBatch) -> None:
        handled.setdefault(batch.key, []).extend(each.offset for each in batch.records)
        await asyncio.sleep(TURN_S)

    async def story() -> None:
        engine = engine_of(handle)
        engine.add(0, [old(number) for number in range(50)])
        engine.add(0, [fresh(50, b"old49")])
        await asyncio.sleep(0)
        assert handled == {b"old49": [49, 50]}
        engine.forget()

    run_virtually(story())


def test_who_has_waited_here_for_long_lets_those_go_before_who_write_now() -> None:
    """More comes than can be handled: in the order of coming, soon nobody would be in time."""
    world = World()

    async def story() -> None:
        loop = asyncio.get_running_loop()
        limits = Limits(max_keys_in_flight=1, fresh_s=30)
        engine = engine_of(world.handle, limits, lambda: NOW_S + loop.time() - began_at)
        began_at = loop.time()
        engine.add(0, [now_stamped(number, 0) for number in range(100)])
        await asyncio.sleep(40.5)
        engine.add(0, [now_stamped(number, 40) for number in range(100, 103)])
        await asyncio.sleep(6)
        engine.forget()

    run_virtually(story())
    assert {b"100", b"101", b"102"} <= set(world.begun[40:48])


def test_where_old_work_makes_all_work_slow_fewer_of_it_are_under_way() -> None:
    """A database that takes one piece of work after the other, and the loop has nothing to do."""
    waits: dict[bytes, float] = {}
    in_flight, most = 0, 0

    async def story() -> None:
        nonlocal most
        loop = asyncio.get_running_loop()
        free_at = loop.time()

        async def handle(batch: KeyBatch) -> None:
            nonlocal free_at, in_flight, most
            began_at = loop.time()
            in_flight += 1
            most = max(most, in_flight)
            free_at = max(free_at, loop.time()) + 0.01
            await asyncio.sleep(free_at - loop.time())
            waits[batch.key] = loop.time() - began_at
            await asyncio.sleep(TURN_S)
            batch.note_away(TURN_S)
            in_flight -= 1

        engine = engine_of(handle, Limits(fresh_s=30))
        engine.add(0, [old(number) for number in range(5000)])
        await asyncio.sleep(30)
        most = 0
        for number in range(5000, 5200):
            engine.add(0, [fresh(number)])
            await asyncio.sleep(0.1)
        engine.forget()

    run_virtually(story())
    fresh_s = [waited_s for key, waited_s in waits.items() if key.startswith(b"new")]
    assert len(fresh_s) >= 180
    assert sorted(fresh_s)[len(fresh_s) * 9 // 10] < 0.3
    assert 20 < most < 200  # of 1,500 that might be
    assert len(waits) - len(fresh_s) > 1000


def now_stamped(number: int, at_s: float) -> ConsumedRecord:
    return record(number, b"%d" % number, timestamp_ms=int((NOW_S + at_s) * 1000))


def test_however_many_partitions_bring_something_only_so_many_begin_in_a_pass() -> None:
    world = World()

    async def story() -> None:
        engine = engine_of(world.handle, Limits())
        engine.assign(range(12))
        for number in range(12):
            lines = [record(n, b"%d-%d" % (number, n), partition=number) for n in range(31)]
            engine.add(number, lines)
        assert engine.keys_in_flight == AT_ONCE
        await asyncio.sleep(TURN_S / 2)
        assert engine.keys_in_flight == 12 * 31
        engine.forget()

    run_virtually(story())


def test_between_two_passes_of_the_loop_only_so_many_begin() -> None:
    world = World()

    async def story() -> None:
        engine = engine_of(world.handle, Limits())
        engine.add(0, [fresh(number) for number in range(20 * AT_ONCE)])
        seen = 0
        while seen < 20 * AT_ONCE:
            await asyncio.sleep(0)
            assert len(world.begun) <= seen + AT_ONCE
            seen = len(world.begun)
        engine.forget()

    run_virtually(asyncio.wait_for(story(), TURN_S / 2))


def test_where_others_make_the_loop_late_as_many_are_at_work_as_before() -> None:
    """One key a pass would be five a second here, though turns wait and need no processor."""
    world = World()
    turns = 20 * AT_ONCE

    async def story() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)

        def take_the_processor() -> None:
            loop.pass_time(0.2)
            loop.call_soon(take_the_processor)

        take_the_processor()
        engine = engine_of(world.handle, Limits())
        engine.add(0, [fresh(number) for number in range(turns)])
        async with asyncio.timeout(turns / AT_ONCE * TURN_S * 2):
            while engine.committable() != {0: turns}:
                engine.moved.clear()
                await engine.moved.wait()

    run_virtually(story())
    assert len(world.begun) == turns


def test_without_a_bound_for_fresh_everything_goes_in_the_order_of_the_log() -> None:
    world = World()

    async def story() -> None:
        engine = engine_of(world.handle, Limits(max_keys_in_flight=1))
        engine.add(0, [old(0), fresh(1), old(2)])
        await asyncio.sleep(3 * TURN_S)
        engine.forget()

    run_virtually(story())
    assert world.begun == [b"old0", b"new1", b"old2"]
