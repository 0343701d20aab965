"""An inbox that has been in use for a season, straight into the database: for tests and figures.

Rows are folded from events, as the service does, and the archive has the same events: so the
numbers beside each other agree. Reproducible: the same arguments, the same inbox.
"""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from libs.common.events import (
    AnyRecord,
    ConversationRecord,
    MessageReceived,
    MessageSent,
    TakeoverRequested,
    TakeoverStarted,
    derived_id,
)
from libs.common.mongo import Database, Document
from services.conversation.domain.archive import entry_of
from services.conversation.domain.inbox import fold_all, marked, seen
from services.conversation.domain.inbox_names import person_fields
from services.conversation.domain.inbox_rows import Row, empty_row, to_fields
from services.conversation.domain.profiles import Profile, given
from services.conversation.domain.receive import Arrival
from services.conversation.domain.state import Position

APP = "4242"
SEASON = timedelta(days=120)
AT_ONCE = 1000
FIRST = "Ana Ben Carla Dario Elif Femi Grace Hugo Ines Jamal Kira Liam Mia Noah Olga Paul Rosa"
LAST = "Abebe Brandt Costa Diallo Evans Fischer Garcia Haddad Ito Jansen Kowalska Lee Moreau"
QUESTIONS = (
    "Hi, are you open on Sunday?",
    "How much is the big chocolate cake?",
    "Do you deliver to Mill Lane, and what does it cost?",
    "I ordered on Tuesday and nobody has called me back yet. Can somebody look into that, please?",
    "Thanks!",
)
ANSWERS = (
    "We are open Tuesday to Saturday from 7:00 to 18:30, and on Sunday from 8:00 to 13:00.",
    "We deliver within five kilometres, for 4 euros; above 40 euros it is free.",
    "I'm sorry about that. A colleague will look into it and write to you here.",
)


def _facts(kind: str, page_id: str, psid: str, number: int, at: datetime) -> dict[str, Any]:
    event_id = derived_id(kind, page_id, psid, number)
    return {"event_id": event_id, "page_id": page_id, "psid": psid, "occurred_at": at}


def exchange(page_id: str, psid: str, number: int, at: datetime) -> list[ConversationRecord]:
    """A question of the person, and the assistant's answer some seconds later."""
    asked = _facts("message.received", page_id, psid, number, at)
    sent = _facts("message.sent", page_id, psid, number, at + timedelta(seconds=4))
    command = derived_id("command", psid, number)
    return [
        MessageReceived(**asked, mid=f"m_{psid}_{number}", text=QUESTIONS[number % len(QUESTIONS)]),
        MessageSent(
            **sent,
            mid=f"m_{command}",
            command_id=command,
            send_id=f"{command}:0",
            part=0,
            parts=1,
            origin="assistant",
            text=ANSWERS[number % len(ANSWERS)],
            rule="standard_window",
            messaging_type="RESPONSE",
        ),
    ]


def _story(chance: random.Random, page_id: str, psid: str, now: datetime) -> list[Any]:
    """Some exchanges; of fifty people one waits for a human, and one or two have one."""
    latest = now - SEASON * chance.random() ** 2
    number = 1 + int(chance.expovariate(0.6))
    times = [latest - timedelta(hours=7 * each) for each in reversed(range(number))]
    events = [one for each, at in enumerate(times) for one in exchange(page_id, psid, each, at)]
    fate, last = chance.random(), events[-1].occurred_at + timedelta(seconds=1)
    facts = _facts("takeover", page_id, psid, 0, last)
    if fate < 0.02:
        events.append(
            TakeoverRequested(**facts, reason="asked", summary="Wants to talk to somebody.")
        )
    elif fate < 0.05:
        events.append(TakeoverStarted(**facts, epoch=1, by="usr_bo", by_name="Bo", reason="taken"))
    return events


def _row(chance: random.Random, conversation: str, log: list[Arrival]) -> Row:
    """A third is done, and of the rest one in ten has not been looked at."""
    row = fold_all(empty_row(conversation), log, APP)
    if chance.random() > 0.1:
        row = seen(row, log[-1].event.occurred_at)
    return marked(row, done=True) if row.place == "assistant" and chance.random() < 0.33 else row


def _profile(chance: random.Random, now: datetime) -> Profile:
    """Of one in twenty Meta tells nothing."""
    name = f"{chance.choice(FIRST.split())} {chance.choice(LAST.split())}"
    return (given(now, name=name) if chance.random() > 0.05 else None) or Profile()


def _messages(log: list[Arrival]) -> Iterator[Document]:
    for arrival in log:
        if (entry := entry_of(arrival, APP)) is not None:
            yield {"_id": entry.message_id, **entry.fields, **entry.highest, **entry.lowest}


def _log(events: list[AnyRecord]) -> list[Arrival]:
    return [Arrival(each, Position(partition=0, offset=at)) for at, each in enumerate(events)]


def conversation_of(row: Row) -> Document:
    return {
        "_id": row.id,
        "page_id": row.page_id,
        "psid": row.psid,
        "inbound_count": row.inbound_count,
        "last_activity_at": row.last_activity_at,
        "last_user_message_at": row.last_user_message_at,
        "takeover": {"mode": row.mode, "epoch": row.epoch, "by": row.by, "since": row.since},
    }


async def seed(
    database: Database, page_id: str, count: int, now: datetime, *, only_rows: bool = False
) -> None:
    """Write so many conversations of a Page, with rows, people and messages; or rows alone, which
    is all that lists read."""
    chance = random.Random(count)
    for start in range(0, count, AT_ONCE):
        rows, people, conversations, messages = [], [], [], list[Document]()
        for each in range(start, min(start + AT_ONCE, count)):
            psid = f"{7_000_000_000_000_000 + each}"
            log = _log(_story(chance, page_id, psid, now))
            row, profile = _row(chance, f"{page_id}:{psid}", log), _profile(chance, now)
            rows.append({"_id": row.id, **to_fields(row, 1), **person_fields(profile)})
            people.append({"_id": row.id, "version": 1, "profile": profile.model_dump()})
            conversations.append(conversation_of(row))
            messages += _messages(log)
        for name, documents in (
            ("inbox", rows),
            ("people", people),
            ("conversations", conversations),
            ("messages", messages),
        ):
            if only_rows and name != "inbox":
                continue
            await database[name].insert_many(documents, ordered=False)


async def seed_thread(
    database: Database, page_id: str, psid: str, count: int, now: datetime
) -> None:
    """One long conversation of so many messages, the latest at `now`."""
    events: list[Any] = []
    for each in range(count // 2):
        at = now - timedelta(minutes=20) * (count // 2 - each)
        events += exchange(page_id, psid, each, at)
    log = _log(events)
    row = seen(fold_all(empty_row(f"{page_id}:{psid}"), log, APP), now)
    await database["inbox"].insert_one(
        {"_id": row.id, **to_fields(row, 1), **person_fields(Profile())}
    )
    await database["conversations"].insert_one(conversation_of(row))
    messages = list(_messages(log))
    for start in range(0, len(messages), AT_ONCE):
        await database["messages"].insert_many(messages[start : start + AT_ONCE], ordered=False)
