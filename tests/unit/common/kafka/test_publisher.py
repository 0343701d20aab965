"""Handing records over: where they go, and that all of them are waited for."""

import asyncio
import gc
from typing import Any

import pytest
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from libs.common.kafka.publisher import Message, _send, partition_of

MESSAGES = [Message("t", str(number).encode(), b"{}", []) for number in range(3)]


class FakeProducer:
    """Takes everything; the test says what becomes of it."""

    def __init__(self) -> None:
        self.sent: list[bytes | None] = []
        self.futures: list[asyncio.Future[None]] = []

    async def send(self, _topic: str, _value: Any, key: bytes | None, **_: Any) -> Any:  # noqa: ANN401
        self.sent.append(key)
        self.futures.append(asyncio.get_running_loop().create_future())
        return self.futures[-1]


@given(key=st.binary(max_size=80), partitions=st.integers(1, 50))
def test_keys_go_where_kafkas_own_clients_would_put_them(key: bytes, partitions: int) -> None:
    every = list(range(partitions))
    expected = DefaultPartitioner()(key, every, every)
    assert partition_of(key, every, every) == expected
    assert partition_of(key, every, every) == expected  # and again, when it is remembered


def test_without_a_key_only_partitions_with_a_leader_will_do() -> None:
    assert {partition_of(None, range(12), [3]) for _ in range(20)} == {3}


async def test_all_are_handed_over_in_order_before_any_is_waited_for() -> None:
    producer: Any = FakeProducer()
    sending = asyncio.create_task(_send(producer, MESSAGES))
    await asyncio.sleep(0)
    assert producer.sent == [b"0", b"1", b"2"]
    for future in reversed(producer.futures):
        assert not sending.done()
        future.set_result(None)
    await asyncio.wait_for(sending, 5)


@pytest.mark.parametrize("failing", range(3))
async def test_one_that_fails_fails_all_and_no_complaint_is_left(
    failing: int, request: pytest.FixtureRequest
) -> None:
    complaints: list[dict[str, Any]] = []
    gc.collect()  # what earlier tests left behind is not meant
    loop = asyncio.get_running_loop()
    handler = loop.get_exception_handler()
    request.addfinalizer(lambda: loop.set_exception_handler(handler))
    loop.set_exception_handler(lambda _loop, context: complaints.append(context))
    producer: Any = FakeProducer()
    sending = asyncio.create_task(_send(producer, MESSAGES))
    await asyncio.sleep(0)
    producer.futures[failing].set_exception(ValueError("this one"))
    for future in producer.futures[failing + 1 :]:
        future.set_exception(ValueError("a later one"))
    for future in producer.futures[:failing]:
        future.set_result(None)
    with pytest.raises(ValueError, match="this one"):
        await asyncio.wait_for(sending, 5)
    producer.futures.clear()  # asyncio complains as soon as a failed future is forgotten
    await asyncio.sleep(0)
    assert complaints == []
