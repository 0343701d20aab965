"""Who wins, and what a crash leaves behind: the takeover service on the real database."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.common.errors import TransientError
from libs.common.events import Record, TakeoverEnded, TakeoverStarted
from libs.common.mongo import Database
from services.sender.domain.claims import Claim as SendersClaim
from services.sender.domain.claims import Exactly
from services.sender.store import DeliveryStore, Fence
from services.takeover.domain.state import NOBODY, Takeover, Thread
from services.takeover.domain.transitions import (
    Changed,
    Command,
    Extend,
    FacebookReply,
    Resume,
    Take,
    ThreadControl,
    apply,
)
from services.takeover.human_agent import HumanAgentStore
from services.takeover.keeper import Keeper, Outcome
from services.takeover.messages import KeyStore, KnownKey
from services.takeover.roster import CHECK_AFTER, LEASE, Roster
from services.takeover.store import Found, TakeoverStore
from services.takeover.timers import Timers
from tests.unit.takeover import factories as make
from tests.unit.takeover.world import CONVERSATION, NOON, PAGE, SECOND

NOW = datetime(2026, 11, 25, 12, 0, 0, 123000, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
UNTIL = NOW + 12 * SECOND


class Log:
    """What was published; away if it is told so."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.is_away = False

    async def publish(self, *records: Record) -> None:
        if self.is_away:
            raise TransientError("away")
        self.records.extend(records)

    def publish_soon(self, record: Record) -> None:
        raise NotImplementedError


@pytest.fixture
async def store(database: Database) -> TakeoverStore:
    await database["conversations"].insert_one({"_id": CONVERSATION, "page_id": PAGE, "version": 1})
    return TakeoverStore(database)


@pytest.fixture
async def rows(database: Database) -> Roster:
    rows = Roster(database)
    await rows.ensure_indexes()
    return rows


async def write(store: TakeoverStore, command: Command, now: datetime = NOW) -> Found:
    found = await store.find(CONVERSATION)
    assert found is not None
    result = apply(CONVERSATION, found.state, command, now)
    assert isinstance(result, Changed)
    written = await store.change(CONVERSATION, found.state, result.state, result.fact)
    assert written is not None
    return written


async def test_a_change_reads_back_as_it_was_written_with_its_fact_beside_it(
    store: TakeoverStore, database: Database
) -> None:
    assert await store.find(CONVERSATION) == Found(CONVERSATION)
    assert await store.find("100:999") is None
    written = await write(store, Take("user:ann", "Ann", 30))
    assert await store.find(CONVERSATION) == written
    (fact,) = written.untold
    assert isinstance(fact, TakeoverStarted)
    assert fact.auto_resume_at == written.state.auto_resume_at == NOW + 30 * MINUTE
    ended = await write(store, Resume("user:ann"))
    assert [type(each) for each in ended.untold] == [TakeoverStarted, TakeoverEnded]
    await store.told(CONVERSATION, [fact.event_id])
    found = await store.find(CONVERSATION)
    assert found is not None
    assert [type(each) for each in found.untold] == [TakeoverEnded]
    document = await database["conversations"].find_one({"_id": CONVERSATION})
    assert document is not None
    assert (document["version"], document["page_id"]) == (1, PAGE), "others' parts are untouched"


async def test_what_others_changed_meanwhile_is_not_overwritten(store: TakeoverStore) -> None:
    taken = apply(CONVERSATION, NOBODY, Take("user:ann"), NOW)
    assert isinstance(taken, Changed)
    await write(store, ThreadControl(NOW, ours=False))
    assert await store.change(CONVERSATION, NOBODY, taken.state, taken.fact) is None
    await write(store, Take("user:bob"))
    extended = await write(store, Extend("user:bob", 5))
    before = extended.state.model_copy(update={"revision": extended.state.revision - 1})
    assert await store.change(CONVERSATION, before, taken.state, taken.fact) is None
    found = await store.find(CONVERSATION)
    assert found is not None
    assert found.state == extended.state
    assert found.state.thread == Thread(ours=False, since=NOW)


async def test_a_takeover_written_before_there_were_revisions_can_be_changed(
    store: TakeoverStore, database: Database
) -> None:
    old = {"mode": "human", "epoch": 3}
    await database["conversations"].update_one({"_id": CONVERSATION}, {"$set": {"takeover": old}})
    ended = await write(store, Resume("user:ann"))
    assert (ended.state.mode, ended.state.epoch, ended.state.revision) == ("ai", 4, 1)


async def test_a_message_that_came_directly_gives_the_thread_back(
    store: TakeoverStore, database: Database
) -> None:
    await write(store, ThreadControl(NOW, ours=False, owner_app_id="999"))
    for moment, ours in ((NOW, False), (NOW + SECOND, True)):
        change = {"$set": {"last_direct_message_at": moment}}
        await database["conversations"].update_one({"_id": CONVERSATION}, change)
        found = await store.find(CONVERSATION)
        assert found is not None
        assert found.state.is_ours is ours
    again = await write(store, ThreadControl(NOW + 2 * SECOND, ours=False, is_guess=True))
    assert not again.state.is_ours


def keeper_of(store: TakeoverStore, rows: Roster, log: Log, now: datetime = NOW) -> Keeper:
    return Keeper(store, rows, log, lambda: now)


async def test_of_thirty_admins_at_once_one_has_it_and_all_others_are_told(
    store: TakeoverStore, rows: Roster
) -> None:
    for epoch in (1, 3, 5):
        log = Log()
        keepers = [keeper_of(store, rows, log) for _ in range(3)]
        outcomes = await asyncio.gather(
            *(keepers[n % 3].carry_out(CONVERSATION, Take(f"user:{n}")) for n in range(30))
        )
        (winner,) = [outcome for outcome in outcomes if outcome.refused is None]
        assert {outcome.found.state.by for outcome in outcomes} == {winner.found.state.by}
        assert winner.found.state.epoch == epoch
        assert len({record.event_id for record in log.records}) == 1
        await keepers[0].carry_out(CONVERSATION, Resume("user:0"))


async def test_any_race_leaves_every_change_of_hands_told_once_and_the_row_right(
    store: TakeoverStore, rows: Roster, database: Database
) -> None:
    chance, log = random.Random(3), Log()

    def any_command() -> Command:
        choices: list[Command] = [
            Take(f"user:{chance.randrange(3)}", auto_resume_minutes=30),
            Resume("user:1"),
            Extend("user:1", chance.randrange(5, 100)),
            FacebookReply(NOW, 30),
            ThreadControl(NOW, ours=chance.random() < 0.5),
        ]
        return chance.choice(choices)

    asked = [any_command() for _ in range(120)]

    async def one(command: Command) -> Outcome:
        await asyncio.sleep(chance.uniform(0, 0.5))
        return await keeper_of(store, rows, log).carry_out(CONVERSATION, command)

    await asyncio.gather(*(one(command) for command in asked))
    found = await store.find(CONVERSATION)
    assert found is not None
    assert found.untold == ()
    hands = {
        record.event_id: record.epoch
        for record in log.records
        if isinstance(record, TakeoverStarted | TakeoverEnded)
    }
    assert sorted(hands.values()) == list(range(1, found.state.epoch + 1))
    assert found.state.epoch > 2, "there was a race"
    timers = Timers(keeper_of(store, rows, log, NOW + 6 * SECOND), rows, lambda: NOW + 6 * SECOND)
    await timers._round()
    row = await database["takeovers"].find_one({"_id": CONVERSATION})
    assert row is not None
    assert (row["mode"], row["epoch"]) == (found.state.mode, found.state.epoch)


async def test_a_conversation_that_many_make_at_once_is_made_once(
    store: TakeoverStore, rows: Roster
) -> None:
    keeper, log = keeper_of(store, rows, Log()), Log()
    new = "100:201"
    await asyncio.gather(
        *(keeper_of(store, rows, log).heard(new, FacebookReply(NOW, 30)) for _ in range(20))
    )
    found = await keeper.find(new)
    assert (found.state.mode, found.state.epoch) == ("human", 1)
    assert len({record.event_id for record in log.records}) == 1


async def test_a_senders_claim_is_refused_or_seen_by_the_takeover(
    store: TakeoverStore, database: Database
) -> None:
    """The fence: of a claim and a takeover at the same moment, never are both unaware."""
    names = [f"100:{number}" for number in range(300, 500)]
    await database["conversations"].insert_many([{"_id": name} for name in names])
    sender = DeliveryStore(database)
    chance = random.Random(1)

    async def claim(name: str) -> bool:
        await asyncio.sleep(chance.uniform(0, 0.3))
        taken = await sender.claim(name, _claim(name), Fence(0), Exactly(None, begins=True))
        return taken is not None

    async def take(name: str) -> Found | None:
        await asyncio.sleep(chance.uniform(0, 0.3))
        result = apply(name, NOBODY, Take("user:ann"), NOW)
        assert isinstance(result, Changed)
        return await store.change(name, NOBODY, result.state, result.fact)

    claims, takes = await asyncio.gather(
        asyncio.gather(*(claim(name) for name in names)),
        asyncio.gather(*(take(name) for name in names)),
    )
    seen = [found is not None and found.claim is not None for found in takes]
    assert claims == seen
    assert 0 < sum(claims) < len(names), "both orders occurred"


def _claim(name: str) -> SendersClaim:
    return SendersClaim(
        claim_id=f"claim of {name}",
        send_id="c:0",
        command_id="c",
        part=0,
        partition=0,
        offset=0,
        text="hi",
        attempt=1,
        first_claimed_at=NOW,
        claimed_at=NOW,
        deadline_at=UNTIL,
    )


async def test_a_row_is_leased_by_one_and_settled_by_who_came_last(rows: Roster) -> None:
    token = await rows.announce(CONVERSATION, NOW)
    assert await rows.due(NOW, 10) == []
    (due,) = await rows.due(NOW + CHECK_AFTER, 10)
    later = NOW + CHECK_AFTER
    leases = await asyncio.gather(*(rows.lease(due, later) for _ in range(20)))
    (lease,) = [each for each in leases if each is not None]
    taken = Takeover(mode="human", epoch=1, revision=1, by="user:ann", since=NOW)
    assert not await rows.settle(CONVERSATION, token, taken, later, later)
    assert await rows.settle(CONVERSATION, lease.token, taken, later + MINUTE, later)
    assert [row.conversation for row in await rows.listed(PAGE, None, 10)] == [CONVERSATION]
    assert await rows.count() == 1
    assert await rows.due(later + LEASE, 10) == []

    ended = taken.model_copy(update={"mode": "ai", "epoch": 2})
    token = await rows.announce(CONVERSATION, later)
    assert await rows.settle(CONVERSATION, token, ended, later, later)
    (due,) = await rows.due(later, 10)
    closed = await rows.lease(due, later)
    assert closed is not None
    assert closed.closed_at == later
    await rows.announce(CONVERSATION, later)
    await rows.remove(closed)  # somebody announced since
    (due,) = await rows.due(later + MINUTE, 10)
    opened = await rows.lease(due, later + MINUTE)
    assert opened is not None
    assert opened.closed_at is None
    await rows.remove(opened)
    assert await rows.due(later + timedelta(days=1), 10) == []


async def test_rows_announced_by_many_at_once_are_one_row(rows: Roster) -> None:
    tokens = await asyncio.gather(*(rows.announce(CONVERSATION, NOW) for _ in range(20)))
    assert len(set(tokens)) == 20
    assert len(await rows.due(NOW + MINUTE, 10)) == 1


async def test_two_replicas_end_each_takeover_that_is_due_exactly_once(
    database: Database, rows: Roster
) -> None:
    names = [f"100:{number}" for number in range(600, 800)]
    await database["conversations"].insert_many([{"_id": name} for name in names])
    log, store = Log(), TakeoverStore(database)
    keeper = keeper_of(store, rows, log, NOW - 30 * MINUTE)
    for name in names:
        await keeper.carry_out(name, Take("user:ann", auto_resume_minutes=5))
    log.records.clear()
    replicas = [
        Timers(Keeper(TakeoverStore(database), rows, log, lambda: NOW), rows, lambda: NOW)
        for _ in range(2)
    ]
    running = [asyncio.create_task(replica.run()) for replica in replicas]
    async with asyncio.timeout(30):
        while await rows.count() > 0:
            await asyncio.sleep(0.05)
    for replica in replicas:
        await replica.stop(10)
    await asyncio.gather(*running)
    ended = [record for record in log.records if isinstance(record, TakeoverEnded)]
    assert {record.conversation_id for record in ended} == set(names)
    assert len({record.event_id for record in ended}) == len(names)
    states = [await store.find(name) for name in names]
    assert {(found.state.mode, found.state.epoch) for found in states if found} == {("ai", 2)}


async def test_the_latest_word_about_the_tag_counts_in_whatever_order_it_is_heard(
    database: Database,
) -> None:
    permissions = HumanAgentStore(database)
    assert await permissions.refusal(PAGE) is None
    await permissions.heard(make.failed(NOON + SECOND))
    await permissions.heard(make.sent(NOON))
    refusal = await permissions.refusal(PAGE)
    assert refusal is not None
    assert (refusal.refused_at, refusal.explanation) == (NOON + SECOND, "Not approved.")
    await permissions.heard(make.sent(NOON + 2 * SECOND))
    await permissions.heard(make.failed(NOON + SECOND))
    assert await permissions.refusal(PAGE) is None
    many: list[Any] = [make.failed(NOON + MINUTE), make.sent(NOON + 2 * MINUTE)] * 10
    await asyncio.gather(*(permissions.heard(event) for event in many))
    assert await permissions.refusal(PAGE) is None


async def test_a_key_is_had_by_one_of_many(database: Database) -> None:
    keys = KeyStore(database)
    await keys.ensure_indexes()
    answers = await asyncio.gather(*(keys.claim("c1", "p", "digest", NOW) for _ in range(20)))
    assert answers.count(None) == 1
    assert {each for each in answers if each} == {KnownKey("digest", None)}
    window = {"rule": "standard_window", "expires_at": NOW}
    await keys.done("c1", {"window": window, "waits_for": None})
    known = await keys.known("c1")
    assert known == KnownKey("digest", {"window": window, "waits_for": None})


async def test_what_a_crash_kept_from_being_told_is_told_by_whoever_looks_after_it(
    store: TakeoverStore, rows: Roster, database: Database
) -> None:
    token = await rows.announce(CONVERSATION, NOW)
    written = await write(store, Take("user:ann", "Ann", 30))
    assert token
    assert written.untold  # and here the process dies
    log, now = Log(), NOW + CHECK_AFTER
    await Timers(keeper_of(store, rows, log, now), rows, lambda: now)._round()
    assert log.records == list(written.untold)
    found = await store.find(CONVERSATION)
    assert found is not None
    assert (found.state, found.untold) == (written.state, ())
    row = await database["takeovers"].find_one({"_id": CONVERSATION})
    assert row is not None
    assert (row["mode"], row["check_at"]) == ("human", NOW + 30 * MINUTE)
