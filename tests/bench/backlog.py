"""A hundred thousand messages wait, since nobody answered for ten minutes. And who writes now?

Gateway, conversation and sender are processes, and the model takes 0.2 s. Ten people a second
write, first to a system without a backlog, then to one that has just come back and has it all
before it. What is drained meanwhile is counted where it arrives, at Meta.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import CommitFailedError

from libs.common.events import MessageReceived, derived_id
from libs.common.kafka.publisher import message_of
from libs.common.topics import EVENTS
from simulator.completions import ModelSettings
from tests.bench.figures import Figure, Goal
from tests.bench.line import TEXT, Line, line, p50, p99, rss_mb, started
from tests.bench.rounds import Say
from tests.bench.system import PARTITIONS
from tests.stack import Servers

PAGE = "600"
WAITING = 100_000
AWAY_S = 600.0
PER_S = 10.0
SECONDS = 30
SOON_S = 10  # by then the log has been read to its end
FIRST = int(SOON_S * PER_S)
MAX_ROUNDS = 2  # they are long
MODEL_MS = 200
GROUPS = ("", "-history", "-contacts", "-notifications")  # after `conversation`
AT_ONCE = 2000
WITHIN_S = 240.0
UNMOVED = Goal("at most", 2)
MUCH_FASTER = Goal("at least", 5)


async def measure(servers: Servers, rounds: int, say: Say) -> list[Figure]:
    alone: list[list[float]] = []
    beside: list[list[float]] = []
    drained: list[float] = []
    memory: list[float] = []
    model = ModelSettings(delay_ms=MODEL_MS)
    async with line(servers, [PAGE], services=("gateway", "sender"), model=model) as ours:
        for _ in range(min(rounds, MAX_ROUNDS)):
            async with started(ours, "conversation"):
                await _fresh_ms(ours)  # whatever is slow only once is over
                alone.append(await _fresh_ms(ours))
            say(f"no backlog: p50 {p50(alone[-1]):.0f} ms, p99 {p99(alone[-1]):.0f} ms")
            async with _backlog(servers):
                say(f"{WAITING:,} messages wait")
                async with started(ours, "conversation"):
                    before, began_at = len(ours.outside.texts), time.perf_counter()
                    waits = await _fresh_ms(ours)
                    passed_s = time.perf_counter() - began_at
                    after = len(ours.outside.texts) - len(waits)
                    beside.append(waits)
                    drained.append((after - before) / passed_s)
                    memory.append(rss_mb(ours.pids["conversation"], "VmHWM") or 0.0)
            say(
                f"beside it: p50 {p50(waits):.0f} ms, p99 {p99(waits):.0f} ms; "
                f"{drained[-1]:.0f}/s drained"
            )
    return [
        Figure(
            "backlog: drained : live rate",
            tuple(each / PER_S for each in drained),
            goal=MUCH_FASTER,
        ),
        Figure(
            "backlog: fresh people's p99 : without a backlog",
            tuple(p99(b) / p99(a) for a, b in zip(alone, beside, strict=True)),
            goal=UNMOVED,
        ),
        Figure(
            f"  the same, who wrote after the first {SOON_S} s",
            tuple(p99(b[FIRST:]) / p99(a[FIRST:]) for a, b in zip(alone, beside, strict=True)),
        ),
        Figure(
            "  the same, median",
            tuple(p50(b) / p50(a) for a, b in zip(alone, beside, strict=True)),
        ),
        Figure("  fresh people's p99, no backlog", tuple(map(p99, alone)), "ms"),
        Figure("  fresh people's p99, beside it", tuple(map(p99, beside)), "ms"),
        Figure("  drained", tuple(drained), "/s"),
        Figure("  conversation's memory, at most", tuple(memory), "MB"),
    ]


async def _fresh_ms(ours: Line) -> list[float]:
    run = secrets.randbelow(10**6)
    people = [(PAGE, f"62{run:06d}{number:05d}") for number in range(int(PER_S * SECONDS))]
    return await ours.waits_ms(people, PER_S, WITHIN_S, unanswered=True)


@asynccontextmanager
async def _backlog(servers: Servers) -> AsyncIterator[None]:
    """So many messages on the log, of as many people; in the end nobody has to read them."""
    stamp = time.time() - AWAY_S
    run = secrets.token_hex(4)
    async with AIOKafkaProducer(
        bootstrap_servers=servers.bootstrap_servers, enable_idempotence=True, acks="all"
    ) as producer:
        for start in range(0, WAITING, AT_ONCE):
            sent = []
            for number in range(start, min(start + AT_ONCE, WAITING)):
                made = message_of(_message(f"61{number:07d}", f"m_{run}_{number}", stamp))
                sent.append(
                    await producer.send(
                        EVENTS,
                        made.value,
                        key=made.key,
                        headers=made.headers,
                        timestamp_ms=int(stamp * 1000),
                    )
                )
            await asyncio.gather(*sent)
    try:
        yield
    finally:
        for group in GROUPS:
            await _pass_over(servers, f"conversation{group}")


def _message(psid: str, mid: str, stamp: float) -> MessageReceived:
    return MessageReceived(
        event_id=derived_id(mid),
        page_id=PAGE,
        psid=psid,
        occurred_at=datetime.fromtimestamp(stamp, UTC),
        mid=mid,
        text=TEXT,
    )


async def _pass_over(servers: Servers, group: str) -> None:
    """What is left is not for the next to read. While Kafka still takes the one that has ended for
    a member, nobody else may say so."""
    partitions = [TopicPartition(EVENTS, number) for number in range(PARTITIONS)]
    async with AIOKafkaConsumer(
        bootstrap_servers=servers.bootstrap_servers, group_id=group, enable_auto_commit=False
    ) as client:
        client.assign(partitions)
        ends = await client.end_offsets(partitions)
        async with asyncio.timeout(WITHIN_S):
            while True:
                try:
                    await client.commit(ends)
                    return
                except CommitFailedError:
                    await asyncio.sleep(1)
