"""Somebody floods the Page; a Page leaves and a person is erased while their answer is made."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

from libs.common.events import ChannelDisconnected, derived_id
from libs.common.kafka import open_publisher
from libs.common.mongo import Database, Document
from libs.common.settings import KafkaSettings
from tests.e2e.console import database_of
from tests.e2e.test_erasure import holding, until_all_is_handled
from tests.faults.guests import Guest, arrive
from tests.faults.people import now_ms
from tests.faults.run import Run
from tests.faults.world_model import HANGS_MS, MOST_ATTEMPTS

LINES, SOME_LINES, AT_ONCE = 1000, 200, 50
MOST_ANSWERS = 10
WITHIN_S = 60.0
LOOK_EVERY_S = 0.2
MODEL_TAKES_MS = 8000  # the Page is disconnected meanwhile, also on a busy machine
KNOWN_WITHIN_MS = 2000  # then the sender knows that it is
ERASED_WITHIN_S = 240.0

# a flood


async def floods(run: Run) -> None:
    """A thousand lines within ten seconds, or as many a second for less long; everybody else is
    answered meanwhile."""
    (guest,) = await arrive(run, "Nia")
    await guest.asks_and_is_answered()
    lines = run.kept["lines"] = LINES if run.plan.long else SOME_LINES
    pause_s = run.lasts_s(2.0, 10.0) / (lines // AT_ONCE)
    run.fault_now()
    for first in range(0, lines, AT_ONCE):
        await run.simulator.webhook(run.page, _lines(guest, first))
        await asyncio.sleep(pause_s)
    await run.until_answered()
    run.kept["taken in"] = await _until_taken_in(run, guest)
    await guest.until_told(2)  # the last of them may be on its way
    await guest.ask(2)
    await guest.until_answered(2)
    run.kept["answers"] = len(await guest.texts()) - 2
    if guest.question(2) not in run.settled(guest.psid):
        run.complain("who flooded the Page is not answered any more")


def _lines(guest: Guest, first: int) -> bytes:
    now, page = now_ms(), guest.run.page
    messaging = [
        {
            "sender": {"id": guest.psid},
            "recipient": {"id": page},
            "timestamp": now,
            "message": {"mid": f"m_{guest.psid}_{number}", "text": f"line {number}"},
        }
        for number in range(first, first + AT_ONCE)
    ]
    entry = {"id": page, "time": now, "messaging": messaging}
    return json.dumps({"object": "page", "entry": [entry]}).encode()


async def _until_taken_in(run: Run, guest: Guest) -> int:
    """Until nothing waits any more; how many lines were taken in."""
    found: dict[str, Any] = {}
    lines = run.kept["lines"]
    async with database_of(run.stack) as database:
        try:
            async with asyncio.timeout(WITHIN_S):
                while found.get("inbound_count") != lines + 1 or found["state"]["pending"]:
                    key = {"_id": f"{run.page}:{guest.psid}"}
                    found = await database["conversations"].find_one(key) or {}
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            pass
    return int(found.get("inbound_count", 0)) - 1


async def check_flood(run: Run) -> None:
    """Each line counts once, and there is an answer to some at a time."""
    if run.kept["taken in"] != run.kept["lines"]:
        run.complain(f"{run.kept['taken in']} of {run.kept['lines']} lines were taken in")
    if not 1 <= run.kept["answers"] <= MOST_ANSWERS:
        run.complain(f"{run.kept['answers']} answers to a flood")


# gone while the answer is made


async def another_page(run: Run) -> None:
    page = await run.simulator.add_page(f"{run.name} {run.seed}, leaving")
    run.kept["leaving"] = str(page["id"])


async def leave_mid_turn(run: Run) -> None:
    """A Page is disconnected and a person erased while the model works for them.

    An erasure takes a while, so the model hangs for that person: in the end there would be the
    fallback.
    """
    (guest,) = await arrive(run, "Olaf")
    page = run.kept["leaving"]
    psid = run.kept["there"] = await run.simulator.add_person(page, "Guest", "There")
    question = f"I am {psid}. Is this Page still there?"
    await run.simulator.add_model_fault(about=question, delay_ms=MODEL_TAKES_MS)
    await run.simulator.add_model_fault(about=guest.question(), times=1_000, delay_ms=HANGS_MS)
    await guest.ask()
    await run.simulator.write(page, psid, question)
    for text in (guest.question(), question):
        await _until_asked(run, text)
    run.fault_now()
    await _disconnect(run, page)
    run.kept["disconnected_ms"] = now_ms()
    wish = await run.simulator.wants_deletion(run.page, guest.psid)
    if wish["status"] != 200:
        run.complain(f"the wish to be erased was answered {wish['status']}")
    run.kept["wish"] = json.loads(wish["answer"])["confirmation_code"]
    await _until_asked(run, guest.question(), MOST_ATTEMPTS)


async def check_gone(run: Run) -> None:
    """All that was under way has come to its end: of the erased person nothing is left, and
    nothing was sent."""
    guest: Guest = run.kept["guests"][0]
    async with database_of(run.stack) as database:
        erasure = await _until_done(database, run.kept["wish"])
        await until_all_is_handled(run.stack, database)
        left = await holding(database, guest.psid, guest.question())
    if left:
        run.complain(f"left of an erased person: {left}")
    erased_at_ms = erasure["erased_at"].timestamp() * 1000
    for call in await run.simulator.calls(run.page, guest.psid):
        if call["endpoint"] == "messages" and call["at"] > erased_at_ms:
            run.complain(f"sent to somebody who was erased: {call}")
    thread = await run.simulator.thread(run.kept["leaving"], run.kept["there"])
    known_ms = run.kept["disconnected_ms"] + KNOWN_WITHIN_MS
    for message in thread["messages"]:
        if message["from"] == "page" and message["at"] > known_ms:
            run.complain(f"a Page that was disconnected wrote: {message}")


async def _until_done(database: Database, code: str) -> Document:
    """One after the other, and each takes its time."""
    async with asyncio.timeout(ERASED_WITHIN_S):
        while True:
            erasure = await database["erasures"].find_one({"_id": code})
            if erasure is not None and erasure["done_at"] is not None:
                return erasure
            await asyncio.sleep(LOOK_EVERY_S)


async def _until_asked(run: Run, about: str, times: int = 1) -> None:
    async with asyncio.timeout(WITHIN_S):
        while len(await run.simulator.model_calls(about)) < times:
            await asyncio.sleep(LOOK_EVERY_S)


async def _disconnect(run: Run, page: str) -> None:
    """What the console does."""
    servers = run.stack.environment["KAFKA_BOOTSTRAP_SERVERS"]
    kafka = KafkaSettings(bootstrap_servers=servers, publish_timeout_s=10)
    now = datetime.now(UTC)
    event_id = derived_id("channel.disconnected", page, now)
    async with (
        database_of(run.stack) as database,
        open_publisher(kafka, client_id="test") as publisher,
    ):
        await database["channels"].update_one({"_id": page}, {"$set": {"status": "disconnected"}})
        await publisher.publish(
            ChannelDisconnected(event_id=event_id, page_id=page, occurred_at=now)
        )
