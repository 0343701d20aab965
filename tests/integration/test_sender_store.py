"""The claim is the fence: what `DeliveryStore` promises, on the real database."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from libs.common.mongo import Database
from services.sender.domain.claims import After, Claim, Exactly, Expected, Fresh
from services.sender.domain.deliveries import Delivery, event_of
from services.sender.store import RECENT_COMMANDS, DeliveryStore, Fence, Snapshot

NOW = datetime(2026, 3, 1, 12, 0, 0, 123000, tzinfo=UTC)
CONVERSATION = "100:200"
FENCE = Fence(0)


@pytest.fixture
async def store(database: Database) -> DeliveryStore:
    store = DeliveryStore(database)
    await store.ensure_indexes()
    # as the conversation service writes it: an upsert whose filter names the epoch
    await database["conversations"].update_one(
        {"_id": CONVERSATION, "version": 0, "takeover.epoch": 0},
        {"$set": {"last_user_message_at": NOW}, "$inc": {"version": 1}},
        upsert=True,
    )
    return store


def claim(command_id: str = "c1", part: int = 0, *, partition: int = 0, offset: int = 1) -> Claim:
    return Claim(
        claim_id=uuid4().hex,
        send_id=f"{command_id}:{part}",
        command_id=command_id,
        part=part,
        partition=partition,
        offset=offset,
        text="hello",
        attempt=1,
        first_claimed_at=NOW,
        claimed_at=NOW,
        deadline_at=NOW + timedelta(seconds=12),
    )


async def try_claim(
    store: DeliveryStore,
    wanted: Claim,
    expected: Expected | None = None,
    fence: Fence | None = FENCE,
) -> Snapshot | None:
    return await store.claim(
        CONVERSATION, wanted, fence, expected or Fresh(wanted.partition, wanted.offset)
    )


def sent(send_id: str = "c1:0", mid: str = "m1") -> Delivery:
    return Delivery(
        send_id=send_id,
        command_id=send_id.split(":")[0],
        page_id="100",
        psid="200",
        part=0,
        parts=1,
        origin="assistant",
        text="hello",
        state="sent",
        rule="standard_window",
        at=NOW,
        attempts=1,
        mid=mid,
        messaging_type="RESPONSE",
        window_expires_at=NOW + timedelta(hours=24),
    )


async def test_a_claim_returns_what_the_decision_needs(store: DeliveryStore) -> None:
    assert await try_claim(store, claim()) == Snapshot(NOW, "ai", 0)


async def test_a_claim_reads_back_as_it_was_made(store: DeliveryStore) -> None:
    first = claim()
    await try_claim(store, first)

    snapshot = await store.conversation(CONVERSATION)
    assert snapshot is not None
    assert snapshot.sending is not None
    assert Claim.model_validate(snapshot.sending.model_dump()) == first
    assert snapshot.sending.recent == ("c1",)


async def test_a_conversation_nobody_knows_is_neither_claimed_nor_made(
    store: DeliveryStore, database: Database
) -> None:
    assert await store.claim("100:999", claim(), None, Fresh(0, 1)) is None
    assert await store.claim("100:999", claim(), None, Exactly(None, begins=True)) is None
    assert await database["conversations"].count_documents({}) == 1
    assert await store.conversation("100:999") is None


@pytest.mark.parametrize(
    ("second", "passes"),
    [
        (claim("c2", offset=6), True),
        (claim("c1", offset=6), False),
        (claim("c2", offset=5), False),
        (claim("c2", offset=4), False),
        (claim("c2", partition=1, offset=9), False),
    ],
    ids=["next", "published again", "same record", "rewound", "another partition"],
)
async def test_a_fresh_claim_wants_a_new_command_further_on_in_the_same_partition(
    store: DeliveryStore, second: Claim, passes: bool
) -> None:
    assert await try_claim(store, claim("c1", offset=5)) is not None
    assert (await try_claim(store, second) is not None) is passes


async def test_a_later_part_follows_the_one_before_it_only(store: DeliveryStore) -> None:
    await try_claim(store, claim())
    assert await try_claim(store, claim(part=2), After("c1:1")) is None
    assert await try_claim(store, claim(part=1), After("c1:0")) is not None
    assert await try_claim(store, claim(part=1), After("c1:0")) is None


async def test_an_exact_claim_wants_the_very_claim_that_was_read(store: DeliveryStore) -> None:
    first, second = claim(), claim(partition=4, offset=0)
    assert await try_claim(store, first, Exactly(None, begins=True)) is not None
    assert await try_claim(store, second, Exactly(None, begins=True)) is None
    assert await try_claim(store, second, Exactly("other")) is None
    assert await try_claim(store, second, Exactly(first.claim_id)) is not None
    assert await try_claim(store, claim(), Exactly(first.claim_id)) is None

    snapshot = await store.conversation(CONVERSATION)
    assert snapshot is not None
    assert snapshot.sending is not None
    assert snapshot.sending.recent == ("c1",)


async def test_the_latest_commands_are_remembered_and_no_more(store: DeliveryStore) -> None:
    for offset in range(RECENT_COMMANDS + 10):
        assert await try_claim(store, claim(f"c{offset}", offset=offset)) is not None

    snapshot = await store.conversation(CONVERSATION)
    assert snapshot is not None
    assert snapshot.sending is not None
    assert snapshot.sending.recent == tuple(f"c{n}" for n in range(10, RECENT_COMMANDS + 10))


@pytest.mark.parametrize(
    ("takeover", "fence", "passes"),
    [
        (None, Fence(0), True),
        ({"epoch": 0}, Fence(0), True),
        ({"epoch": 0, "mode": "ai"}, Fence(0), True),
        ({"epoch": 3, "mode": "ai"}, Fence(3), True),
        ({"epoch": 3, "mode": "ai"}, Fence(2), False),
        ({"epoch": 3, "mode": "human"}, Fence(3), False),
        ({"epoch": 3, "mode": "ai"}, Fence(0), False),
        ({"epoch": 0}, Fence(None), False),
        (None, Fence(None), False),
        ({"epoch": 3, "mode": "human"}, None, True),
    ],
)
async def test_the_fence_lets_the_assistant_pass_in_its_own_epoch_only(
    store: DeliveryStore,
    database: Database,
    takeover: dict[str, object] | None,
    fence: Fence | None,
    passes: bool,
) -> None:
    change = {"$set": {"takeover": takeover}} if takeover else {"$unset": {"takeover": 1}}
    await database["conversations"].update_one({"_id": CONVERSATION}, change)
    assert (await try_claim(store, claim(), fence=fence) is not None) is passes


@pytest.mark.parametrize(
    ("thread", "direct", "ours"),
    [
        (None, None, True),
        ({"ours": True, "since": NOW}, None, True),
        ({"ours": False, "owner_app_id": "7", "since": NOW}, None, False),
        ({"ours": False, "since": NOW}, NOW - timedelta(seconds=1), False),
        ({"ours": False, "since": NOW}, NOW, False),
        # the person has written to us since: nobody else has the thread any more
        ({"ours": False, "since": NOW}, NOW + timedelta(seconds=1), True),
        ({"ours": False}, NOW, False),
    ],
)
async def test_who_has_the_thread_is_read_back_with_the_claim(
    store: DeliveryStore,
    database: Database,
    thread: dict[str, object] | None,
    direct: datetime | None,
    ours: bool,
) -> None:
    change = {"takeover": {"thread": thread}, "last_direct_message_at": direct}
    await database["conversations"].update_one({"_id": CONVERSATION}, {"$set": change})
    claimed, read = await try_claim(store, claim()), await store.conversation(CONVERSATION)
    assert claimed is not None
    assert read is not None
    assert (claimed.thread_is_ours, read.thread_is_ours) == (ours, ours)
    assert (claimed.mode, claimed.epoch) == ("ai", 0)


async def test_of_many_who_claim_the_same_part_one_gets_it(store: DeliveryStore) -> None:
    for offset in range(1, 11):
        claims = [claim(f"c{offset}", offset=offset) for _ in range(20)]
        won = await asyncio.gather(*[try_claim(store, each) for each in claims])
        assert sum(snapshot is not None for snapshot in won) == 1

        later = [claim(f"c{offset}", 1, offset=offset) for _ in range(20)]
        expected = After(f"c{offset}:0")
        won = await asyncio.gather(*[try_claim(store, each, expected) for each in later])
        assert sum(snapshot is not None for snapshot in won) == 1


async def test_of_many_who_take_over_a_dead_claim_one_gets_it(store: DeliveryStore) -> None:
    dead = claim()
    await try_claim(store, dead)
    won = await asyncio.gather(
        *[try_claim(store, claim(), Exactly(dead.claim_id)) for _ in range(30)]
    )
    assert sum(snapshot is not None for snapshot in won) == 1


async def test_no_claim_passes_once_a_takeover_has_answered(
    store: DeliveryStore, database: Database
) -> None:
    """200 races of a takeover with a claim: whoever comes second sees the first."""
    conversations = database["conversations"]
    names = [f"100:{number}" for number in range(200)]
    await conversations.insert_many(
        [{"_id": name, "last_user_message_at": NOW, "takeover": {"epoch": 0}} for name in names]
    )

    async def take_over(name: str) -> bool:
        """Take over, and say whether a claim was there when it happened."""
        before = await conversations.find_one_and_update(
            {"_id": name, "takeover.epoch": 0},
            {"$set": {"takeover.mode": "human"}, "$inc": {"takeover.epoch": 1}},
        )
        return before is not None and "sending" in before

    async def send(name: str) -> bool:
        return await store.claim(name, claim(), FENCE, Fresh(0, 1)) is not None

    async def race(number: int, name: str) -> tuple[bool, bool]:
        if number % 2:
            return await asyncio.gather(send(name), take_over(name))
        claimed_before, sent_it = await asyncio.gather(take_over(name), send(name))
        return sent_it, claimed_before

    results = await asyncio.gather(*[race(number, name) for number, name in enumerate(names)])

    assert all(sent_it == claimed_before for sent_it, claimed_before in results)
    late = await asyncio.gather(*[send(name) for name in names])
    assert not any(late)


async def test_the_first_final_state_is_the_one_that_counts(store: DeliveryStore) -> None:
    outcomes = await asyncio.gather(*[store.finish(sent(mid=f"m{number}")) for number in range(20)])
    assert len({delivery.mid for delivery in outcomes}) == 1
    assert await store.delivery("c1:0") == outcomes[0]


async def test_a_stored_delivery_tells_the_same_event_to_the_last_byte(
    store: DeliveryStore,
) -> None:
    delivery = await store.finish(sent())
    stored = await store.delivery("c1:0")
    assert stored is not None
    assert event_of(stored).model_dump_json() == event_of(delivery).model_dump_json()


async def test_mids_and_held_texts_are_those_of_the_conversation(store: DeliveryStore) -> None:
    held = sent("c3:0").model_copy(update={"state": "held", "mid": None, "text": "held"})
    old = held.model_copy(update={"send_id": "c4:0", "at": NOW - timedelta(minutes=1)})
    other = sent("c5:0", "m5").model_copy(update={"psid": "201"})
    for delivery in (sent("c1:0", "m1"), sent("c2:0", "m2"), held, old, other):
        await store.finish(delivery)

    assert set(await store.recorded_mids(CONVERSATION, ["m1", "m5", "m9"])) == {"m1"}
    assert await store.held_texts(CONVERSATION, NOW - timedelta(seconds=5)) == ["held"]


async def test_messages_that_were_certainly_sent_in_their_turn(store: DeliveryStore) -> None:
    late = sent("c2:0", "m2").model_copy(update={"since": NOW, "rule": "found_by_echo"})
    again = sent("c3:0", "m3").model_copy(update={"generation": 1})
    other = sent("c4:0", "m4").model_copy(update={"psid": "201"})
    await store.finish(sent("c1:0", "m1"))
    for delivery in (late, other):
        await store.finish(delivery)
    await store.finish(again.model_copy(update={"generation": 0, "state": "failed", "mid": None}))
    assert await store.begin_again("c3:0", 1)
    await store.finish(again)

    found = await store.mids_in_order(CONVERSATION, ["m1", "m2", "m3", "m4", "m9"])
    assert set(found) == {"m1"}
    assert set(await store.recorded_mids(CONVERSATION, ["m1", "m2", "m3"])) == {"m1", "m2", "m3"}


async def test_indexes_can_be_declared_again(store: DeliveryStore) -> None:
    await store.ensure_indexes()
