"""Single promises of the engine, each as one small story in virtual time."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from libs.common.errors import PermanentError, TransientError
from libs.common.kafka.batch import KeyBatch
from libs.common.kafka.engine import KeyedEngine, Limits
from libs.common.kafka.errors import ConsumerBrakeError
from libs.common.kafka.handling import BatchRunner, DeadLetter, Handler, Patience
from libs.common.kafka.records import ConsumedRecord
from tests.unit.common.kafka.records import TOPIC, record
from tests.virtual_time import run_virtually

Buried = list[tuple[int, str, int]]


def make_engine(
    handler: Handler,
    *,
    limits: Limits | None = None,
    patience: Patience | None = None,
    bury: DeadLetter | None = None,
    buried: Buried | None = None,
    wants: Callable[[Any], bool] = lambda _headers: True,
) -> KeyedEngine:
    async def note(r: ConsumedRecord, error: BaseException, attempts: int) -> None:
        if buried is not None:
            buried.append((r.offset, type(error).__name__, attempts))

    patience = patience or Patience(max_attempts=3, first_pause_s=0.01, longest_pause_s=0.1)
    runner = BatchRunner(handler, bury or note, patience, topic=TOPIC, group="g")
    engine = KeyedEngine(
        runner,
        topic=TOPIC,
        group="g",
        wants=wants,
        key_of=lambda r: r.key,
        limits=limits or Limits(),
    )
    engine.assign([0])
    return engine


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(1000):
        while not condition():
            await asyncio.sleep(0.01)


def test_what_waits_for_a_key_is_handed_over_together() -> None:
    batches: list[list[int]] = []

    async def handler(batch: KeyBatch) -> None:
        batches.append([r.offset for r in batch.records])
        await asyncio.sleep(1)

    async def story() -> None:
        engine = make_engine(handler)
        engine.add(0, [record(0)])
        await asyncio.sleep(0.5)
        engine.add(0, [record(1), record(2)])
        engine.add(0, [record(3)])
        await until(lambda: engine.committable() == {0: 4})

    run_virtually(story())
    assert batches == [[0], [1, 2, 3]]


def test_keys_go_side_by_side_up_to_the_limit() -> None:
    most = working = 0

    async def handler(_batch: KeyBatch) -> None:
        nonlocal most, working
        working += 1
        most = max(most, working)
        await asyncio.sleep(1)
        working -= 1

    async def story() -> float:
        engine = make_engine(handler, limits=Limits(max_keys_in_flight=10))
        started = asyncio.get_running_loop().time()
        engine.add(0, [record(n, f"k{n}".encode()) for n in range(50)])
        await until(lambda: engine.committable() == {0: 50})
        return asyncio.get_running_loop().time() - started

    assert run_virtually(story()) == pytest.approx(5.0, abs=0.1)
    assert most == 10


def test_a_slow_key_holds_back_the_commit_and_nothing_else() -> None:
    async def handler(batch: KeyBatch) -> None:
        await asyncio.sleep(100 if batch.key == b"slow" else 0.1)

    async def story() -> None:
        engine = make_engine(handler)
        engine.add(0, [record(0, b"a"), record(1, b"slow"), record(2, b"b"), record(3, b"c")])
        await asyncio.sleep(1)
        assert engine.committable() == {0: 1}
        assert engine.keys_in_flight == 1
        assert engine.oldest_age_s() == pytest.approx(1, abs=0.1)
        await until(lambda: engine.committable() == {0: 4})

    run_virtually(story())


def test_a_handler_sees_what_comes_while_it_works_and_all_is_finished_together() -> None:
    joined: list[int] = []

    async def handler(batch: KeyBatch) -> None:
        assert await batch.wait_for_more(5)
        joined.extend(r.offset for r in batch.take_more())
        assert not await batch.wait_for_more(1)

    async def story() -> None:
        engine = make_engine(handler)
        engine.add(0, [record(0)])
        await asyncio.sleep(1)
        engine.add(0, [record(1)])
        await asyncio.sleep(0.5)
        assert engine.committable() == {}
        await until(lambda: engine.committable() == {0: 2})

    run_virtually(story())
    assert joined == [1]


def test_who_only_looks_for_more_waits_for_no_timer() -> None:
    seen: list[bool] = []

    async def handler(batch: KeyBatch) -> None:
        began_at = asyncio.get_running_loop().time()
        seen.append(await batch.wait_for_more(0))
        await asyncio.sleep(1)
        seen.append(await batch.wait_for_more(0))
        assert asyncio.get_running_loop().time() == began_at + 1

    async def story() -> None:
        engine = make_engine(handler)
        engine.add(0, [record(0)])
        await asyncio.sleep(0.5)
        engine.add(0, [record(1)])
        await until(lambda: engine.committable() == {0: 1})

    run_virtually(story())
    assert seen[:2] == [False, True]


def test_only_the_bad_record_of_a_batch_becomes_a_dead_letter() -> None:
    handled: list[int] = []
    buried: Buried = []

    async def handler(batch: KeyBatch) -> None:
        if any(r.offset == 1 for r in batch.records):
            raise ValueError
        handled.extend(r.offset for r in batch.records)

    async def story() -> None:
        engine = make_engine(handler, buried=buried)
        engine.add(0, [record(0), record(1), record(2)])
        await until(lambda: engine.committable() == {0: 3})

    run_virtually(story())
    assert handled == [0, 2]
    assert buried == [(1, "ValueError", 3)]


def test_a_permanent_error_is_not_tried_again() -> None:
    buried: Buried = []

    async def handler(_batch: KeyBatch) -> None:
        raise PermanentError

    async def story() -> None:
        engine = make_engine(handler, buried=buried)
        engine.add(0, [record(0)])
        await until(lambda: engine.committable() == {0: 1})

    run_virtually(story())
    assert buried == [(0, "PermanentError", 1)]


@pytest.mark.parametrize("error", [TransientError(), OSError(), TimeoutError()])
def test_a_transient_error_is_tried_for_as_long_as_it_lasts(error: Exception) -> None:
    attempts = 0

    async def handler(_batch: KeyBatch) -> None:
        nonlocal attempts
        attempts += 1
        if attempts < 200:
            raise error

    async def story() -> None:
        engine = make_engine(handler)
        engine.add(0, [record(0)])
        await until(lambda: engine.committable() == {0: 1})

    run_virtually(story())
    assert attempts == 200


def test_many_dead_letters_in_a_row_stop_the_consumer() -> None:
    buried: Buried = []

    async def handler(_batch: KeyBatch) -> None:
        raise ValueError

    async def story() -> None:
        patience = Patience(max_attempts=1, brake_after=5)
        limits = Limits(max_keys_in_flight=5)
        engine = make_engine(handler, patience=patience, buried=buried, limits=limits)
        engine.add(0, [record(n, f"k{n}".encode()) for n in range(50)])
        await asyncio.wait_for(engine.failed.wait(), 100)
        assert isinstance(engine.failure, ConsumerBrakeError)

    run_virtually(story())
    assert 5 <= len(buried) < 10  # those that had begun may end


def test_a_record_is_not_finished_before_its_dead_letter_is_safe() -> None:
    refusals = 3

    async def handler(_batch: KeyBatch) -> None:
        raise PermanentError

    async def bury(_record: ConsumedRecord, _error: BaseException, _attempts: int) -> None:
        nonlocal refusals
        refusals -= 1
        if refusals >= 0:
            raise TransientError

    async def story() -> None:
        engine = make_engine(handler, bury=bury)
        engine.add(0, [record(0)])
        await until(lambda: engine.committable() == {0: 1})

    run_virtually(story())
    assert refusals == -1


def test_draining_lets_handlers_end_and_then_cancels_them() -> None:
    ended: list[bytes] = []

    async def handler(batch: KeyBatch) -> None:
        await asyncio.sleep(1 if batch.key == b"quick" else 100)
        ended.append(batch.key)

    async def story() -> None:
        engine = make_engine(handler)
        engine.add(0, [record(0, b"quick"), record(1, b"slow"), record(2, b"quick")])
        await asyncio.sleep(0.1)
        await engine.drain(5, 1)
        assert engine.committable() == {0: 1}
        assert engine.keys_in_flight == 0
        engine.add(0, [record(3)])  # comes again to whoever has the partition next
        assert engine.keys_in_flight == 0

    run_virtually(story())
    assert ended == [b"quick"]


def test_a_key_stays_blocked_while_a_handler_of_an_earlier_assignment_does_not_end() -> None:
    order: list[str] = []
    let_go = asyncio.Event()

    async def handler(batch: KeyBatch) -> None:
        if batch.records[0].offset == 0 and not order:
            order.append("stubborn")
            while not let_go.is_set():
                with suppress(asyncio.CancelledError):
                    await let_go.wait()
            order.append("ended")
            raise asyncio.CancelledError
        order.append("next")

    async def story() -> None:
        engine = make_engine(handler)
        engine.add(0, [record(0)])
        await asyncio.sleep(0.1)
        await engine.drain(1, 1, [0])
        engine.forget([0])
        engine.assign([0])
        engine.add(0, [record(0)])
        await asyncio.sleep(10)
        assert order == ["stubborn"]
        let_go.set()
        await until(lambda: engine.committable() == {0: 1})

    run_virtually(story())
    assert order == ["stubborn", "ended", "next"]


def test_what_nobody_wants_is_finished_unparsed_and_in_order() -> None:
    async def handler(_batch: KeyBatch) -> None:
        await asyncio.sleep(1)

    async def story() -> None:
        engine = make_engine(handler, wants=lambda headers: headers["type"] == b"a")
        engine.add(0, [record(0, kind=b"z"), record(1), record(2, kind=b"z")])
        assert engine.committable() == {0: 1}
        await until(lambda: engine.committable() == {0: 3})

    run_virtually(story())


def test_a_log_that_was_made_anew_is_read_from_its_new_beginning() -> None:
    handled: list[int] = []

    async def handler(batch: KeyBatch) -> None:
        handled.extend(r.offset for r in batch.records)

    async def story() -> None:
        engine = make_engine(handler)
        engine.add(0, [record(100), record(101)])
        await until(lambda: engine.committable() == {0: 102})
        engine.add(0, [record(3)])
        await until(lambda: engine.committable() == {0: 4})

    run_virtually(story())
    assert handled == [100, 101, 3]


def test_one_that_is_cancelled_before_its_first_step_leaves_its_key_free() -> None:
    handled: list[int] = []

    async def handler(batch: KeyBatch) -> None:
        handled.extend(each.offset for each in batch.records)

    async def story() -> None:
        engine = make_engine(handler)
        engine.add(0, [record(0)])
        engine.assign([0])  # in the same pass of the loop
        await until(lambda: engine.keys_in_flight == 0)
        engine.add(0, [record(0)])
        await until(lambda: engine.committable() == {0: 1})

    run_virtually(story())
    assert handled == [0]


def test_records_of_a_partition_that_was_never_assigned_are_refused() -> None:
    async def story() -> None:
        async def handler(_batch: KeyBatch) -> None: ...

        with pytest.raises(KeyError):
            make_engine(handler).add(9, [record(0, partition=9)])

    run_virtually(story())
