"""What goes wrong while people talk. Moments are random, by the run's seed."""

import asyncio
import time
from collections.abc import Iterable
from datetime import UTC, datetime

from tests.e2e.console import database_of
from tests.faults.judging import topics
from tests.faults.parts import PARTS, asked_model
from tests.faults.parts_replicas import REPLICAS
from tests.faults.parts_stores import STORES
from tests.faults.run import Run
from tests.faults.scenario import Play, Scenario
from tests.faults.world import WORLD

ECHO_LATE_MS = 30_000
STORED_WITHIN_S = 20.0
FIVE_PARTS = tuple(
    f"Part {number} of 5 begins here. " + "Bread is baked every morning. " * 60
    for number in range(1, 6)
)


# Meta takes a message, and nobody hears a clear answer


def _lossy(**fault: object) -> Play:
    """Here and there an answer gets lost."""

    async def play(run: Run) -> None:
        for _ in range(3):
            await run.wait(0.1, 0.8)
            await run.lose_answers(run.chance.randint(1, 3), **fault)
        await run.until_lost()

    return play


async def _lossy_in_every_way(run: Run) -> None:
    ways: list[dict[str, object]] = [
        {"drop": "after_accept"},
        {"status": 500, "accept": True},
        {"truncate": True},
        {"drop": "before"},
        {"delay_ms": 6000},
    ]
    for way in run.chance.sample(ways, len(ways)):
        await run.wait(0.0, 0.5)
        await run.lose_answers(1, **way)
    await run.until_lost()


async def _late_echoes(run: Run) -> None:
    await run.simulator.behave(run.page, echoes={"enabled": True, "delay_ms": ECHO_LATE_MS})


async def _no_echoes(run: Run) -> None:
    await run.simulator.behave(run.page, echoes=False)


async def _no_evidence(run: Run) -> None:
    await run.hide_all_evidence()


async def _webhooks_copied(run: Run) -> None:
    run.plan.copies = 3


async def _commands_copied(run: Run) -> None:
    run.copy_commands(2)


async def _some_time(run: Run) -> None:
    await run.wait(2.0, 4.0)


# the sender dies


async def _kill_sender_before_post(run: Run) -> None:
    """The request has left and Meta never looks at it: to the world as if it had not been made."""
    await run.wait(0.2, 2.0)
    await run.meet()
    await run.lose_answers(run.chance.randint(1, 6), drop="before", delay_ms=60_000)
    await run.until_lost(times=1)
    await run.wait(0.0, 0.3)
    await run.kill("sender")


async def _kill_sender_after_accept(run: Run) -> None:
    """Meta has taken some, and their answers are on the way for ever."""
    await run.wait(0.2, 2.0)
    await run.meet()
    await run.lose_answers(run.chance.randint(1, 6), delay_ms=60_000)
    await run.until_lost(times=1)
    await run.wait(0.0, 0.3)
    await run.kill("sender")


async def _five_parts(run: Run) -> None:
    run.plan.parts = tuple(part.strip() for part in FIVE_PARTS)
    await run.simulator.set_model(reply="\n\n".join(FIVE_PARTS))
    await run.simulator.behave(run.page, send_latency_ms=40)


async def _kill_sender_between_parts(run: Run) -> None:
    """Part 2 has arrived: sometimes part 3 is on its way by then, sometimes it is not."""
    await run.wait(0.2, 1.0)
    await run.until_somebody_has(2)
    if run.chance.random() < 0.5:
        await run.lose_answers(run.chance.randint(1, 4), drop="before", delay_ms=60_000)
        await run.until_lost(times=1)
    await run.kill("sender")
    await run.until_answered()


# conversation dies


async def _kill_conversation_anywhere(run: Run) -> None:
    """Before the load, in the quiet window, at the model, storing, publishing, committing."""
    for _ in range(3):
        await run.wait(0.0, 1.6)
        await run.kill("conversation")


async def _slow_model(run: Run) -> None:
    await run.simulator.set_model(delay_ms=run.chance.randint(600, 1500))


async def _until_model_is_asked(run: Run) -> None:
    """Something new, by one of this run's own people."""
    asked = len(await run.simulator.model_calls(run.page))
    async with asyncio.timeout(60):
        while len(await run.simulator.model_calls(run.page)) <= asked:
            await asyncio.sleep(0.02)


async def _kill_conversation_at_the_model(run: Run) -> None:
    await _until_model_is_asked(run)
    await run.wait(0.0, 0.3)
    await run.kill("conversation")


async def _model_was_asked_twice_at_most(run: Run) -> None:
    for question, times in (await asked_model(run)).items():
        if times > 2:
            run.complain(f"the model was asked {times} times: {question}")


async def _kill_conversation_after_storing(run: Run) -> None:
    """Kafka takes nothing any more, so that answers are stored and go no further."""
    await _until_model_is_asked(run)
    await run.freeze("kafka")
    since = datetime.now(UTC)
    try:
        await run.wait(0.6, 2.2)  # the model answers meanwhile, and the database is there
        run.kept["stored"] = await _until_some_are_stored(run, since)
        await run.kill("conversation", thaw="kafka")
    finally:
        run.thaw("kafka")


async def _until_some_are_stored(run: Run, since: datetime) -> list[str]:
    until = time.monotonic() + STORED_WITHIN_S
    while not (stored := await _stored_since(run, since)):
        if time.monotonic() > until:
            run.complain("no answer was stored while Kafka stood still: nothing has been tried")
            break
        await asyncio.sleep(0.05)
    return stored


async def _stored_since(run: Run, moment: datetime) -> list[str]:
    """The questions whose answer has been stored since then."""
    wanted = {"page_id": run.page, "state.turn.answered_at": {"$gte": moment}}
    async with database_of(run.stack) as database:
        found = await database["conversations"].find(wanted, {"state.turn.text": 1}).to_list(None)
    return [topic for each in found for topic in topics(each["state"]["turn"]["text"])]


async def _model_was_not_asked_again(run: Run) -> None:
    asked = await asked_model(run)
    for question in run.kept["stored"]:
        if asked[question] > 1:
            run.complain(f"its answer was stored, and the model asked again: {question}")


async def _kill_conversation_after_publishing(run: Run) -> None:
    """An answer arrives: its command is on the log, its event perhaps not committed."""
    for _ in range(2):
        await run.wait(0.0, 0.5)
        await run.until_answered()
        await run.kill("conversation")


# everything below dies


def _kill(name: str, times: int = 1) -> Play:
    async def play(run: Run) -> None:
        for _ in range(times):
            await run.wait(0.2, 2.0)
            await run.kill(name)

    return play


META, SENDER = "Meta", "sender"
TURNS = (
    Scenario("no fault", _some_time, beside=META),
    Scenario("5xx after accept", _lossy(status=500, accept=True), beside=META, rows=(26,)),
    Scenario("timeout after accept", _lossy(delay_ms=6000), beside=META, rows=(30,)),
    Scenario("answer truncated", _lossy(truncate=True), beside=META, rows=(30,)),
    Scenario("cut after accept", _lossy(drop="after_accept"), beside=META, rows=(30,)),
    Scenario("cut before accept", _lossy(drop="before"), beside=META, hurry=True, rows=(26, 30)),
    Scenario("echo late", _lossy_in_every_way, _late_echoes, beside=META, rows=(30,)),
    Scenario("echo suppressed", _lossy_in_every_way, _no_echoes, beside=META, rows=(30,)),
    Scenario("no evidence", _lossy_in_every_way, _no_evidence, beside=META, rows=(11,)),
    Scenario("webhooks copied", _some_time, _webhooks_copied, beside=META, rows=(31,)),
    Scenario("commands copied", _some_time, _commands_copied, beside=META, hurry=True, rows=(7,)),
    Scenario(
        "sender killed before the POST",
        _kill_sender_before_post,
        beside=SENDER,
        hurry=True,
        rows=(8,),
    ),
    Scenario(
        "sender killed after accept",
        _kill_sender_after_accept,
        beside=SENDER,
        hurry=True,
        rows=(9,),
    ),
    Scenario(
        "sender killed, echo late",
        _kill_sender_after_accept,
        _late_echoes,
        beside=SENDER,
        hurry=True,
        rows=(10,),
    ),
    Scenario(
        "sender killed, no echo",
        _kill_sender_after_accept,
        _no_echoes,
        beside=SENDER,
        hurry=True,
        rows=(9,),
    ),
    Scenario(
        "sender killed, no evidence",
        _kill_sender_after_accept,
        _no_evidence,
        beside=SENDER,
        hurry=True,
        rows=(11,),
    ),
    Scenario("sender killed between parts", _kill_sender_between_parts, _five_parts, rows=(12,)),
    Scenario("conversation killed anywhere", _kill_conversation_anywhere, _slow_model, rows=(4,)),
    Scenario(
        "conversation killed at the model",
        _kill_conversation_at_the_model,
        _slow_model,
        _model_was_asked_twice_at_most,
        rows=(5,),
    ),
    Scenario(
        "conversation killed, stored",
        _kill_conversation_after_storing,
        _slow_model,
        _model_was_not_asked_again,
        rows=(6,),
    ),
    Scenario(
        "conversation killed, published", _kill_conversation_after_publishing, hurry=True, rows=(7,)
    ),
    Scenario("kafka killed", _kill("kafka"), hurry=True, rows=(16,)),
    Scenario("mongo killed", _kill("mongo", times=2), hurry=True, rows=(19,)),
    Scenario("gateway killed", _kill("gateway", times=2), rows=(1, 2)),
)
"""Messages on their way, and who has them dies."""

REST = (*PARTS, *STORES, *REPLICAS, *WORLD)
SCENARIOS = (*TURNS, *REST)


def named(part: str = "") -> list[Scenario]:
    """Those with this in their name, or with one of several parted by `|`."""
    return [each for each in SCENARIOS if any(some in each.name for some in part.split("|"))]


def side_by_side(scenarios: Iterable[Scenario]) -> dict[str, list[Scenario]]:
    """In groups that can be played at the same time, by name."""
    groups: dict[str, list[Scenario]] = {}
    for scenario in scenarios:
        groups.setdefault(scenario.beside or scenario.name, []).append(scenario)
    return groups
