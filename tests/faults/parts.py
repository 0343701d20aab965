"""Faults of single services: killed at exact points, stopped, sent back, with a wrong clock, busy.

Those of the group `services` are played side by side: each breaks something else, on its own Page.
"""

import asyncio
import json
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp

from simulator.client import SimulatorError
from tests.faults.judging import topics
from tests.faults.people import now_ms
from tests.faults.run import Run
from tests.faults.scenario import Scenario
from tests.stack import LocalStack

SERVICES = "services"
POINTS = {"before", "between", "after"}
DIES_WITHIN_S = 60.0
COUNTED_WITHIN_S = 60.0
STOPPED_WITHIN_S = 10.0
TRIED_WITHIN_S = 60.0
AGAIN_AFTER_S = 0.2
TOLD_WITHIN_S = 60.0

_ENDED = re.compile(r"supervisor: ended with (.*?);")


# 1, 2, 3: the gateway dies at a webhook


async def _three_guests(run: Run) -> None:
    """They have been answered once, so that the Page may write to them."""
    run.kept["guests"] = [
        await run.simulator.add_person(run.page, "Guest", str(number)) for number in range(3)
    ]


async def _gateway_dies(run: Run) -> None:
    for psid in run.kept["guests"]:
        await run.simulator.write(run.page, psid, f"Hello, says {psid}.")
    for psid in run.kept["guests"]:
        await run.simulator.wait_for_answers(run.page, psid, within_s=TOLD_WITHIN_S)
    deaths = run.stack.folder.path / "deaths"
    await run.once(lambda: asyncio.to_thread(deaths.unlink, missing_ok=True))
    async with run.changed("gateway", "dies"):
        await _deliver(run, _of_three(run))
        async with asyncio.timeout(DIES_WITHIN_S):
            while set(_read(deaths).split()) != POINTS:
                await asyncio.sleep(AGAIN_AFTER_S)


def _of_three(run: Run) -> bytes:
    """One webhook with a question of each guest."""
    at = now_ms()
    entries = [
        {
            "sender": {"id": psid},
            "recipient": {"id": run.page},
            "timestamp": at,
            "message": {"mid": f"m_three_{psid}", "text": f"All at once, says {psid}."},
        }
        for psid in run.kept["guests"]
    ]
    entry = {"id": run.page, "time": at, "messaging": entries}
    return json.dumps({"object": "page", "entry": [entry]}).encode()


async def _deliver(run: Run, body: bytes) -> None:
    """As Meta does: again until it is taken."""
    async with asyncio.timeout(TRIED_WITHIN_S):
        while True:
            try:
                if (await run.simulator.webhook(run.page, body))["status"] == 200:
                    return
            except SimulatorError:
                pass
            await asyncio.sleep(AGAIN_AFTER_S)


async def _guests_are_answered_once(run: Run) -> None:
    for psid in run.kept["guests"]:
        texts = [f"Hello, says {psid}.", f"All at once, says {psid}."]
        said: list[str] = []
        async with asyncio.timeout(TOLD_WITHIN_S):
            while not set(texts) <= set(said):
                thread = await run.simulator.thread(run.page, psid)
                page = [each["text"] for each in thread["messages"] if each["from"] == "page"]
                said = [topic for text in page for topic in topics(text)]
                await asyncio.sleep(AGAIN_AFTER_S)
        if said != texts:
            run.complain(f"guest {psid} heard {len(said)} answers to 2 questions")


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


# 13: analytics dies


async def _kill_analytics(run: Run) -> None:
    for _ in range(4):
        await run.wait(0.1, 1.0)
        await run.kill("analytics")


async def _figures_are_what_was_said(run: Run) -> None:
    """Counted from the simulator's threads, by us."""
    wanted = await _counted(run)
    found: dict[str, int] = {}
    until = time.monotonic() + COUNTED_WITHIN_S
    while found != wanted and time.monotonic() < until:
        await asyncio.sleep(AGAIN_AFTER_S)
        found = await _figures(run.stack, run.page)
    if found != wanted:
        run.complain(f"counted {found}, and it was {wanted}")


async def _counted(run: Run) -> dict[str, int]:
    threads = [await run.simulator.thread(run.page, psid) for psid in run.psids]
    sides = Counter(message["from"] for thread in threads for message in thread["messages"])
    return {
        "inbound": sides["person"],
        "outbound": sides["page"],
        "delivered": sides["page"],
        "conversations": len(threads),
    }


async def _figures(stack: LocalStack, page: str) -> dict[str, int]:
    """Nothing, while analytics does not answer."""
    headers = {"Authorization": f"Bearer {stack.environment['SERVICE_TOKEN']}"}
    url = f"{stack.url('analytics')}/internal/v1/pages/{page}/metrics?days=7"
    try:
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
            if answer.status != 200:
                return {}
            told: dict[str, Any] = await answer.json()
    except aiohttp.ClientError:
        return {}
    messages = told["messages"]
    names = ("inbound", "outbound", "delivered")
    return {name: messages[name] for name in names} | {
        "conversations": told["conversations"]["total"]
    }


# 14: all services are stopped, as an update does

STOPPED = ("gateway", "conversation", "sender", "takeover", "analytics", "console")


async def _slow_model(run: Run) -> None:
    await run.simulator.set_model(delay_ms=400)


async def _stop_each(run: Run) -> None:
    async def stop_all() -> None:
        for _ in range(3 if run.plan.long else 1):
            restarting = [await _stop(run, name) for name in run.chance.sample(STOPPED, 6)]
            await asyncio.gather(*restarting)

    run.fault_now()
    await run.once(stop_all)


async def _stop(run: Run, name: str) -> "asyncio.Task[None]":
    """Return when it has ended: the next may go. The task ends when it is back."""
    await run.wait(0.0, 0.4)
    log = Path(run.stack.component(name)["log"])
    before, began = len(_ENDED.findall(_read(log))), time.monotonic()
    restarting = asyncio.create_task(asyncio.to_thread(run.stack.restart, name, 120.0))
    while len(ends := _ENDED.findall(_read(log))) == before:
        await asyncio.sleep(0.02)
    if (took_s := time.monotonic() - began) > STOPPED_WITHIN_S:
        run.complain(f"{name} took {took_s:.1f} s to stop")
    if ends[before] != "exit status 0":
        run.complain(f"{name} ended with {ends[before]}")
    return restarting


async def _nothing_was_done_again(run: Run) -> None:
    for question, times in (await asked_model(run)).items():
        if times > 1:
            run.complain(f"the model was asked {times} times: {question}")


async def asked_model(run: Run) -> Counter[str]:
    """How often the model was, about each question."""
    calls = await run.simulator.model_calls(run.page)
    questions = [question for person in run.people for question in person.asked]
    found = Counter[str]()
    for call in calls:
        found.update(question for question in questions if question in call["question"])
    return found


# 22: consumers are sent back to the beginning of their topics


async def _rewind(run: Run) -> None:
    """Before, everybody has had an answer; while all that is read again, they talk on."""
    await run.until(lambda: all(run.settled_parts(psid) for psid in run.psids))
    settled = {topic for psid in run.psids for topic in run.settled(psid)}
    asked = await asked_model(run)
    run.kept["asked"] = {topic: asked[topic] for topic in settled}
    run.kept["sent"] = await _sent(run)
    async with run.changed("conversation", "rewound"), run.changed("sender", "rewound"):
        await run.until_answered()
    await run.until_answered()


async def _sent(run: Run) -> Counter[str]:
    calls = await run.simulator.calls(run.page)
    return Counter(
        topic
        for call in calls
        if call["endpoint"] == "messages" and call["outcome"] == "accepted"
        for topic in topics(call["body"]["message"]["text"])
    )


async def _nothing_came_of_it(run: Run) -> None:
    asked, sent = await asked_model(run), await _sent(run)
    for topic, times in run.kept["asked"].items():
        if asked[topic] != times:
            run.complain(f"the model was asked again: {topic}")
    for topic, times in run.kept["sent"].items():
        if sent[topic] != times:
            run.complain(f"sent again: {topic}")


# 40: a clock is wrong


async def _wrong_clock(run: Run) -> None:
    """Fast or slow by ten minutes, then an hour back; and who comes after it has a right one."""
    clock = run.stack.folder.path / "clock"

    async def set_to(seconds: float) -> None:
        await run.once(lambda: asyncio.to_thread(clock.write_text, str(seconds), "utf-8"))

    first = run.chance.choice((600.0, -600.0))
    await set_to(first)
    async with run.changed("sender", "clock"), run.changed("conversation", "clock"):
        await run.lose_answers(2, drop="before", delay_ms=200)
        await asyncio.sleep(run.lasts_s(1.0, 20.0))
        await run.until_answered()
        await set_to(first - 3600.0)
        await run.lose_answers(2, drop="after_accept")
        await asyncio.sleep(run.lasts_s(1.0, 20.0))
        await run.until_answered()
    await run.once(lambda: asyncio.to_thread(clock.unlink))


# 44: one Page has nearly all the traffic

CROWD = 30


async def _crowded_page(run: Run) -> None:
    crowded = str((await run.simulator.add_page(f"Crowded {run.seed}"))["id"])
    run.kept["crowded"] = crowded
    run.kept["crowd"] = [
        await run.simulator.add_person(crowded, "One of", str(number)) for number in range(CROWD)
    ]


async def _crowd(run: Run) -> None:
    """Each of them writes several times without waiting; the others' people talk as ever."""
    page, rounds = run.kept["crowded"], int(run.lasts_s(4, 40))

    async def write(psid: str) -> None:
        for number in range(rounds):
            await run.simulator.write(page, psid, f"Line {number} of {psid}, are you open?")
            await asyncio.sleep(run.chance.uniform(0.1, 0.4))

    run.fault_now()
    await asyncio.gather(*[write(psid) for psid in run.kept["crowd"]])
    run.kept["lines"] = rounds
    await run.until_answered()


async def _the_crowd_is_answered(run: Run) -> None:
    page = run.kept["crowded"]
    for psid in run.kept["crowd"]:
        wanted = [f"Line {n} of {psid}, are you open?" for n in range(run.kept["lines"])]
        said: list[str] = []
        async with asyncio.timeout(run.plan.within_s):
            while len(said) < len(wanted):
                thread = await run.simulator.thread(page, psid)
                texts = [each["text"] for each in thread["messages"] if each["from"] == "page"]
                said = [topic for text in texts for topic in topics(text)]
                await asyncio.sleep(AGAIN_AFTER_S)
        if said != wanted:
            run.complain(f"one of the crowd heard {len(said)} of {len(wanted)}, or out of order")


PARTS = (
    Scenario(
        "gateway dies at a webhook",
        _gateway_dies,
        _three_guests,
        _guests_are_answered_once,
        rows=(1, 2, 3),
        beside=SERVICES,
        alone=True,
    ),
    Scenario(
        "analytics killed",
        _kill_analytics,
        check=_figures_are_what_was_said,
        rows=(13,),
        beside=SERVICES,
        alone=True,
    ),
    Scenario(
        "topics rewound",
        _rewind,
        check=_nothing_came_of_it,
        rows=(22,),
        beside=SERVICES,
        alone=True,
    ),
    Scenario(
        "one crowded Page",
        _crowd,
        _crowded_page,
        _the_crowd_is_answered,
        rows=(44,),
        beside=SERVICES,
        alone=True,
    ),
    Scenario("clocks wrong", _wrong_clock, rows=(40,), beside=SERVICES, alone=True),
    Scenario("all services stopped", _stop_each, _slow_model, _nothing_was_done_again, rows=(14,)),
)
