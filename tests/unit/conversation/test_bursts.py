"""Bursts through the real engine, in virtual time: bounded memory, bounded calls."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from bson import BSON

from libs.common.events import AnyRecord
from libs.common.kafka import ConsumedRecord, Limits, Patience
from libs.common.kafka.engine import KeyedEngine
from libs.common.kafka.handling import BatchRunner
from libs.common.topics import EVENTS
from services.conversation import consumer
from services.conversation.answering import MAX_RESTARTS
from services.conversation.assistants.base import Prompt, Reply
from services.conversation.consumer import MessageHandler
from services.conversation.domain.receive import HISTORY_LINES
from services.conversation.domain.turns import QUESTION_CHARACTERS
from tests.unit.conversation import factories as make
from tests.unit.conversation.world import CHANNEL, World
from tests.virtual_time import run_virtually

QUIET_S = 0.8
MODEL_S = 2.0


@dataclass
class Live:
    """A world behind the real engine: what is written is handled at once, as from Kafka."""

    world: World = field(default_factory=World)
    asked_at: list[float] = field(default_factory=list)
    answered_at: list[float] = field(default_factory=list)
    model_s: float = MODEL_S
    most_bytes: int = 0
    largest_document: int = 0

    def __post_init__(self) -> None:
        settings = CHANNEL.settings.model_copy(update={"quiet_window_s": QUIET_S})
        self.world.page = CHANNEL.model_copy(update={"settings": settings})
        handler = MessageHandler(
            self.world, self.world, self, self.world, self.world.settings, clock=self.world.now
        )

        async def handle(batch: object) -> None:
            await handler.handle(batch)  # type: ignore[arg-type]
            self.answered_at.append(self.now)
            document = BSON.encode(self.world.state.model_dump())
            self.largest_document = max(self.largest_document, len(document))

        async def bury(record: ConsumedRecord, error: BaseException, attempts: int) -> None:
            raise AssertionError("a dead letter") from error

        runner = BatchRunner(handle, bury, Patience(), topic=EVENTS, group="g")
        self.engine = KeyedEngine(
            runner,
            topic=EVENTS,
            group="g",
            wants=consumer.wants,
            key_of=lambda record: record.key,
            limits=Limits(),
        )
        self.engine.assign([0])

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def reply(self, prompt: Prompt) -> Reply:
        self.asked_at.append(self.now)
        self.world.prompts.append(prompt)
        await asyncio.sleep(self.model_s)
        return Reply(f"Answer {len(self.world.prompts)}", "small", MODEL_S, 3, 2)

    def write(self, event: AnyRecord) -> None:
        record = make.record(event, offset=len(self.world.log))
        self.world.log.append(record)
        self.engine.add(0, [record])
        self.most_bytes = max(self.most_bytes, self.engine.buffered_bytes)

    async def settle(self) -> None:
        """Until everything that was written is handled."""
        async with asyncio.timeout(600):
            while self.engine.committable().get(0) != len(self.world.log):
                await asyncio.sleep(0.01)


def play(story: Callable[[Live], Awaitable[None]]) -> Live:
    async def run() -> Live:
        live = Live()
        await story(live)
        await live.settle()
        return live

    return run_virtually(run())


def line(number: int, text: str = "") -> AnyRecord:
    made: AnyRecord = make.message(f"m{number}", text or f"line {number}", number / 100)
    return made


def test_a_burst_is_answered_once_after_a_moment_of_quiet() -> None:
    times: list[float] = []

    async def story(live: Live) -> None:
        for number in range(5):
            live.write(line(number))
            times.append(live.now)
            await asyncio.sleep(QUIET_S / 2)

    live = play(story)
    assert len(live.world.prompts) == len(live.world.commands) == 1
    assert live.asked_at[0] - times[-1] == pytest.approx(QUIET_S, abs=0.05)
    assert live.world.prompts[0].question == "\n".join(f"line {n}" for n in range(5))


def test_typing_shows_from_the_first_line() -> None:
    async def story(live: Live) -> None:
        live.write(line(0))
        await asyncio.sleep(0.01)
        assert live.world.shown == ["mark_seen", "typing_on"]
        assert live.world.prompts == []

    play(story)


@pytest.mark.parametrize("text", ["", "x" * 2000], ids=["short lines", "long lines"])
def test_a_thousand_lines_in_ten_seconds_cost_little(text: str) -> None:
    async def story(live: Live) -> None:
        for number in range(1000):
            live.write(line(number, text and f"{number} {text}"))
            await asyncio.sleep(0.01)

    live = play(story)
    size = max(record.size for record in live.world.log)
    assert live.most_bytes <= 1000 * size  # what was written, and no copies of it
    assert live.largest_document < 600_000
    turns = len(live.world.commands)
    assert turns <= 3
    assert len(live.asked_at) <= turns * (MAX_RESTARTS + 1)
    assert live.world.state.inbound_count == 1000
    assert live.world.state.pending == ()
    assert len(live.world.state.history) <= HISTORY_LINES
    last = live.world.prompts[-1].question
    assert len(last) <= QUESTION_CHARACTERS
    assert last.splitlines()[-1].startswith("999 " if text else "line 999")
    assert len({command.command_id for command in live.world.commands}) == turns


def test_who_never_stops_writing_is_answered_all_the_same() -> None:
    async def story(live: Live) -> None:
        for number in range(120):  # a line every half second, for a minute
            live.write(line(number))
            await asyncio.sleep(0.5)

    live = play(story)
    longest = live.world.settings.max_burst_s + MODEL_S
    waits = [live.answered_at[0] - 1000.0]
    waits += [b - a for a, b in zip(live.answered_at, live.answered_at[1:], strict=False)]
    assert max(waits) <= (MAX_RESTARTS + 1) * longest + MODEL_S + 1
    assert len(live.asked_at) <= len(live.world.commands) * (MAX_RESTARTS + 1)


def test_an_answer_is_never_to_less_than_what_was_there_when_it_was_ready() -> None:
    """A line that comes at the very moment the model has finished is still taken in."""

    async def story(live: Live) -> None:
        live.write(line(0, "is it open"))
        await asyncio.sleep(QUIET_S + MODEL_S)
        live.write(line(1, "on Sundays?"))

    live = play(story)
    answered = [prompt.question for prompt in live.world.prompts]
    assert answered[-1].endswith("on Sundays?")
    assert len(live.world.commands) <= 2


def test_a_request_for_a_human_waits_for_no_model_even_after_two_restarts() -> None:
    asked_for_at: list[float] = []

    async def story(live: Live) -> None:
        live.model_s = 30.0
        for number in range(MAX_RESTARTS + 1):  # the last one begins the last attempt
            live.write(line(number))
            await asyncio.sleep(QUIET_S + 0.2)
        live.write(line(8, "and this?"))
        await asyncio.sleep(0.2)
        assert len(live.asked_at) == MAX_RESTARTS + 1
        live.write(line(9, "I want to talk to a human"))
        asked_for_at.append(live.now)

    live = play(story)
    assert live.answered_at[0] - asked_for_at[0] < 0.5
    assert len(live.world.requested) == len(live.world.commands) == 1


def test_what_comes_during_the_last_attempt_is_a_turn_of_its_own() -> None:
    async def story(live: Live) -> None:
        for number in range(MAX_RESTARTS + 1):
            live.write(line(number))
            await asyncio.sleep(QUIET_S + 0.2)
        live.write(line(9))

    live = play(story)
    questions = [prompt.question for prompt in live.world.prompts]
    assert questions[-2:] == ["line 0\nline 1\nline 2", "line 9"]
    assert len(live.world.commands) == 2
    assert live.world.state.pending == ()
    (last_turn,) = [live.world.state.turn]
    assert last_turn is not None
    assert last_turn.messages_answered == 1


def test_a_thousand_requests_for_a_human_are_one_call_and_few_answers() -> None:
    async def story(live: Live) -> None:
        for number in range(1000):
            live.write(line(number, "human!"))
            await asyncio.sleep(0.01)

    live = play(story)
    assert live.asked_at == []
    assert len(live.world.requested) == 1
    assert len(live.world.commands) <= 4
