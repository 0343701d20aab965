"""Kafka that answers nothing: Meta hears 503 in time, and afterwards nothing is missing."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from simulator.client import Simulator
from tests.e2e.live import Verdict, judge
from tests.stack import LocalStack

PROMISED_S = 3.0  # until 503
ON_THE_WAY_S = 1.0  # through the simulator, on a busy machine


@contextmanager
def frozen(stack: LocalStack, name: str) -> Iterator[None]:
    """The process keeps its connections and does nothing: worse than a crash for its clients."""
    pid = stack.component(name)["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_kafka_frozen(simulator: Simulator, stack: LocalStack) -> None:
    page = str((await simulator.pages())[0]["id"])
    people = [await simulator.add_person(page, "Person", str(n)) for n in range(5)]
    with frozen(stack, "kafka"):
        for _ in range(3):  # the first one finds out; the others are told at once
            started = time.monotonic()
            answer = await simulator.webhook(page, webhook(page, people[0]))
            assert answer["status"] == 503, answer
            assert time.monotonic() - started < PROMISED_S + ON_THE_WAY_S
        for psid in people:
            await simulator.write(page, psid, "When are you open on Sunday?")
    async with asyncio.timeout(90):
        for psid in people:
            await simulator.wait_for_answers(page, psid, 1, within_s=90)
    assert await judge(simulator, page, people, rounds=1) == Verdict(answers=len(people))


async def test_the_database_frozen(simulator: Simulator, stack: LocalStack) -> None:
    page = str((await simulator.pages())[0]["id"])
    people = [await simulator.add_person(page, "Person", str(n)) for n in range(5)]
    with frozen(stack, "mongo"):
        started = time.monotonic()
        answer = await simulator.webhook(page, webhook(page, people[0]))
        assert answer["status"] == 200, "the gateway needs no database"
        assert time.monotonic() - started < PROMISED_S  # the database is waited for longer
        for psid in people:
            await simulator.write(page, psid, "When are you open on Sunday?")
        await asyncio.sleep(6)  # longer than MONGODB_TIMEOUT_S: every operation on its way fails
    for psid in people:
        await simulator.wait_for_answers(page, psid, 1, within_s=90)
    assert await judge(simulator, page, people, rounds=1) == Verdict(answers=len(people))


def webhook(page: str, psid: str) -> bytes:
    """A reading receipt: an event that asks for no answer."""
    event = {
        "sender": {"id": psid},
        "recipient": {"id": page},
        "timestamp": int(time.time() * 1000),
        "read": {"watermark": int(time.time() * 1000)},
    }
    body = {"object": "page", "entry": [{"id": page, "time": 1, "messaging": [event]}]}
    return json.dumps(body).encode()
