"""Compare-and-set is the fence: what `ConversationStore` promises, on the real database."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client import REGISTRY

from libs.common.events import AnyRecord
from libs.common.kafka import KeyBatch
from libs.common.mongo import Database, Document
from libs.common.paging import After
from services.conversation.consumer import MessageHandler
from services.conversation.domain import archive, receive, turns
from services.conversation.domain.archive import Activity
from services.conversation.domain.spending import Spent
from services.conversation.domain.state import HumanRequest, Mode, Position, State, Takeover
from services.conversation.domain.turns import Answer
from services.conversation.history import MOST, HistoryKeeper
from services.conversation.spending import SpendingStore
from services.conversation.store import ConversationChangedError, ConversationStore, Stored
from tests.unit.conversation import factories as make
from tests.unit.conversation.factories import APP, CONVERSATION, PAGE, PSID, arrivals, rules
from tests.unit.conversation.test_archive import EVENTS
from tests.unit.conversation.world import World

STATE = receive.receive(State(), arrivals(make.message("m1"), make.image("m2")), rules())
ANSWERED, TURN = turns.finish(
    STATE, CONVERSATION, Answer("answer", "Hello!", model="small"), Takeover(), make.at(5.123456)
)


@pytest.fixture
async def store(database: Database) -> ConversationStore:
    store = ConversationStore(database)
    await store.ensure_indexes()
    return store


async def keep(store: ConversationStore, *events: AnyRecord, first: int = 0) -> None:
    records = [make.record(event, first + index) for index, event in enumerate(events)]
    await HistoryKeeper(store, APP).handle(KeyBatch(b"", records))


async def take_over(database: Database, epoch: int, mode: str) -> None:
    """As the takeover service does: its own sub-document, and nothing else."""
    await database["conversations"].update_one(
        {"_id": CONVERSATION}, {"$set": {"takeover": {"mode": mode, "epoch": epoch}}}, upsert=True
    )


async def shown(store: ConversationStore) -> dict[str, str]:
    conversation = await store.conversation(CONVERSATION)
    assert conversation is not None
    messages = await store.messages(CONVERSATION, None, 100)
    return {item["_id"]: archive.status_of(archive.view(item), conversation) for item in messages}


async def test_a_conversation_nobody_knows_is_empty(store: ConversationStore) -> None:
    assert await store.load(CONVERSATION) == Stored(CONVERSATION)
    assert await store.conversation(CONVERSATION) is None


async def test_a_state_reads_back_as_it_was_saved(store: ConversationStore) -> None:
    saved = await store.save(await store.load(CONVERSATION), ANSWERED)
    assert await store.load(CONVERSATION) == saved
    assert saved.state.turn == TURN
    again = await store.save(saved, STATE)
    assert (await store.load(CONVERSATION), again.version) == (again, 2)


async def test_a_state_saved_meanwhile_is_not_overwritten(store: ConversationStore) -> None:
    old = await store.load(CONVERSATION)
    saved = await store.save(old, STATE)
    with pytest.raises(ConversationChangedError):
        await store.save(old, ANSWERED)
    assert await store.load(CONVERSATION) == saved


@pytest.mark.parametrize("known", [True, False], ids=["known", "new"])
async def test_of_many_who_save_the_same_version_one_does(
    store: ConversationStore, known: bool
) -> None:
    stored = await store.load(CONVERSATION)
    if known:
        stored = await store.save(stored, STATE)
    results = await asyncio.gather(
        *[store.save(stored, ANSWERED) for _ in range(30)], return_exceptions=True
    )
    assert sum(isinstance(result, Stored) for result in results) == 1
    assert sum(isinstance(result, ConversationChangedError) for result in results) == 29
    assert (await store.load(CONVERSATION)).version == stored.version + 1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, (1, "human")),
        ((0, "ai"), (1, "human")),
        ((2, "ai"), (3, "human")),
        ((2, "ai"), (2, "human")),
        ((1, "human"), (2, "ai")),
        (None, (0, "human")),
    ],
)
async def test_whoever_has_the_conversation_by_now_decides(
    store: ConversationStore,
    database: Database,
    before: tuple[int, str] | None,
    after: tuple[int, str],
) -> None:
    if before is not None:
        await take_over(database, *before)
    stored = await store.save(await store.load(CONVERSATION), STATE)
    await take_over(database, *after)
    with pytest.raises(ConversationChangedError):
        await store.save(stored, ANSWERED)

    now = await store.load(CONVERSATION)
    assert (now.takeover.epoch, now.takeover.mode) == after
    assert now.state == STATE
    assert (await store.save(now, ANSWERED)).version == 2


@pytest.mark.parametrize("first", ["takeover", "archive"])
async def test_a_document_that_others_made_first_can_be_saved(
    store: ConversationStore, database: Database, first: str
) -> None:
    stored = await store.load(CONVERSATION)
    if first == "takeover":
        await take_over(database, 1, "human")
        stored = await store.load(CONVERSATION)
    else:  # between our look and our save
        await keep(store, make.message())
    saved = await store.save(stored, STATE)
    assert await store.load(CONVERSATION) == saved


async def test_a_takeover_of_a_conversation_that_was_never_saved_counts(
    store: ConversationStore, database: Database
) -> None:
    new = await store.load(CONVERSATION)
    await take_over(database, 1, "human")
    with pytest.raises(ConversationChangedError):
        await store.save(new, ANSWERED)
    now = await store.load(CONVERSATION)
    assert (now.state, now.takeover.mode, now.version) == (State(), "human", 0)


async def test_the_archive_makes_conversations_while_turns_are_saved(
    store: ConversationStore,
) -> None:
    """200 races for a document that is not there: nobody meets an error of the other's making."""
    names = [f"100:{number}" for number in range(200)]
    await asyncio.gather(
        *[store.save(Stored(name), STATE) for name in names],
        store.note_activity(
            [Activity(PAGE, name.partition(":")[2], make.NOON, make.NOON) for name in names]
        ),
    )
    assert {(await store.load(name)).version for name in names} == {1}


async def test_no_answer_is_saved_once_a_takeover_has_answered(
    store: ConversationStore, database: Database
) -> None:
    """200 races of a takeover with an answer: whoever comes second sees the first."""
    names = [f"100:{number}" for number in range(200)]
    stored = await asyncio.gather(*[store.save(Stored(name), STATE) for name in names])

    async def answer(one: Stored) -> bool:
        try:
            await store.save(one, ANSWERED)
        except ConversationChangedError:
            return False
        return True

    async def taken_over(one: Stored) -> bool:
        """Take over, and say whether an answer was there when it happened."""
        before = await database["conversations"].find_one_and_update(
            {"_id": one.conversation},
            {"$set": {"takeover.mode": "human"}, "$inc": {"takeover.epoch": 1}},
        )
        return before is not None and before["state"]["turn"] is not None

    results = await asyncio.gather(
        *[asyncio.gather(answer(one), taken_over(one)) for one in stored]
    )
    assert all(answered == was_there for answered, was_there in results)


async def test_moments_and_watermarks_only_move_forward(store: ConversationStore) -> None:
    await store.save(await store.load(CONVERSATION), STATE)
    newer, older = make.at(60), make.at(-60)
    await store.note_activity([Activity(PAGE, PSID, newer, newer, 9, 7, ("a",))])
    await store.note_activity([Activity(PAGE, PSID, older, older, 5, 5, ("b",))])
    await store.save(await store.load(CONVERSATION), STATE)

    found = await store.conversation(CONVERSATION)
    assert found is not None
    assert found["last_activity_at"] == found["last_user_message_at"] == newer
    assert (found["delivered_ms"], found["read_ms"]) == (9, 7)
    assert found["delivered_mids"] == ["a", "b"]


async def test_receipts_make_no_conversation(store: ConversationStore) -> None:
    await keep(store, make.read(5), make.delivered(5, "a"))
    assert await store.conversation(CONVERSATION) is None


async def test_every_message_is_kept_with_its_status(store: ConversationStore) -> None:
    await keep(
        store,
        make.message("m1", seconds=0),
        make.echo("mid-c1-0", APP, "an answer", seconds=1, send_id="c1:0"),
        make.sent("c1", 0, seconds=1.5),
        make.sent("c1", 1, seconds=2),
        make.failed("c2"),
        make.held("c3"),
    )
    assert await shown(store) == {
        "100:m1": "received",
        "100:c1:0": "sent",
        "100:c1:1": "sent",
        "100:c2:0": "failed",
        "100:c3:0": "held",
    }
    second_ms = int(make.at(1).timestamp() * 1000)
    await keep(store, make.delivered(second_ms), first=20)
    assert (await shown(store))["100:c1:0"] == "delivered"
    assert (await shown(store))["100:c1:1"] == "sent"
    await keep(store, make.delivered(second_ms, "mid-c1-1"), make.read(second_ms), first=30)
    assert (await shown(store))["100:c1:0"] == "read"
    assert (await shown(store))["100:c1:1"] == "delivered"


async def test_a_second_delivery_changes_no_document(
    store: ConversationStore, database: Database
) -> None:
    events = [make.image("m1"), make.get_started(), make.sent(), make.edited("m1"), make.echo()]
    await keep(store, *events)
    before = await database["messages"].find().sort("_id").to_list(None)
    await keep(store, *events, first=100)
    assert await database["messages"].find().sort("_id").to_list(None) == before
    assert await store.sources(["100:m1", "100:nobody"]) == {
        "100:m1": archive.source_of(Position(partition=0, offset=0))
    }


async def test_any_order_and_any_copies_make_the_same_documents_on_the_server(
    store: ConversationStore, database: Database
) -> None:
    """As MongoDB compares: what `test_archive.py` shows of a store in memory holds here, too."""

    async def kept(events: Sequence[AnyRecord]) -> list[Document]:
        await database["messages"].delete_many({})
        for event in events:
            await keep(store, event)
        found = await database["messages"].find({}, {"source": 0}).sort("_id").to_list(None)
        return list(found)

    expected = await kept(EVENTS)
    chance = random.Random(4)
    for _ in range(6):
        events = [*EVENTS, *chance.choices(EVENTS, k=5)]
        chance.shuffle(events)
        assert await kept(events) == expected


async def test_what_only_an_edit_or_a_reaction_tells_of_is_in_no_list_and_no_source(
    store: ConversationStore,
) -> None:
    liked = make.reaction().model_copy(update={"mid": "mid-c1-0"})
    await keep(store, make.edited("m1"), make.unsent("m2"), liked)
    assert await store.messages(CONVERSATION, None, 10) == []
    assert await store.sources(["100:m1", "100:m2"]) == {}
    assert list(await store.reactions(["100:mid-c1-0"])) == ["100:mid-c1-0"]
    await keep(store, make.message("m1"), make.sent(), first=9)
    found = await store.messages(CONVERSATION, None, 10)
    assert {item["_id"] for item in found} == {"100:m1", "100:c1:0"}
    assert list(await store.sources(["100:m1"])) == ["100:m1"]


async def test_two_replicas_that_archive_the_same_meet_no_error_that_lasts(
    store: ConversationStore,
) -> None:
    events = [make.message(f"m{number}") for number in range(100)]

    async def until_it_passes() -> None:
        while True:
            try:
                return await keep(store, *events)
            except ConversationChangedError:
                continue

    await asyncio.gather(*[until_it_passes() for _ in range(4)])
    assert len(await store.messages(CONVERSATION, None, 200)) == 100


async def test_lists_are_paged_and_leave_nothing_out(
    store: ConversationStore, database: Database
) -> None:
    events = [make.message(f"m{number:02}", seconds=number // 4) for number in range(20)]
    await keep(store, *events)
    people = [Activity(PAGE, f"p{number}", make.at(number // 3)) for number in range(9)]
    await store.note_activity(people)

    seen: list[str] = []
    after: After | None = None
    while page := await store.messages(CONVERSATION, after, 3):
        seen += [item["_id"] for item in page]
        after = After(page[-1]["at"], page[-1]["_id"])
    assert seen == [f"100:m{number:02}" for number in reversed(range(20))]

    first = await store.conversations(PAGE, None, 4)
    after = After(first[-1]["last_activity_at"], first[-1]["_id"])
    rest = await store.conversations(PAGE, after, 100)
    ids = [item["_id"] for item in [*first, *rest]]
    assert len(ids) == len(set(ids)) == 10
    assert all("state" not in item for item in first)
    assert await store.conversations("another page", None, 10) == []


async def test_a_list_may_be_of_those_that_humans_have_or_of_the_others(
    store: ConversationStore, database: Database
) -> None:
    await keep(store, make.message())
    await store.note_activity(
        [Activity(PAGE, f"p{number}", make.at(number)) for number in range(3)]
    )
    for psid, mode in ((PSID, "human"), ("p1", "ai"), ("p2", "human")):
        await database["conversations"].update_one(
            {"_id": f"{PAGE}:{psid}"}, {"$set": {"takeover": {"mode": mode, "epoch": 1}}}
        )

    async def listed(mode: Mode | None) -> set[str]:
        return {item["psid"] for item in await store.conversations(PAGE, None, 10, mode)}

    assert await listed("human") == {PSID, "p2"}
    assert await listed("ai") == {"p0", "p1"}
    assert await listed(None) == {PSID, "p0", "p1", "p2"}


async def test_a_turn_costs_two_round_trips_on_the_wire(store: ConversationStore) -> None:
    """Cold and warm alike: what `World` counts as steps is what MongoDB is asked."""
    world = World()
    handler = MessageHandler(store, world, world, world, world.settings)

    async def handle(event: AnyRecord, offset: int) -> float:
        before = round_trips()
        await handler.handle(KeyBatch(CONVERSATION.encode(), [make.record(event, offset)]))
        return round_trips() - before

    assert await handle(make.message("m1"), 0) == 2
    assert await handle(make.message("m2", seconds=1), 1) == 2
    assert await handle(make.message("m2", seconds=1), 2) == 1  # Meta's copy
    assert world.produces == 2
    assert len(world.prompts) == 2


async def test_a_batch_of_history_costs_two_round_trips_on_the_wire(
    store: ConversationStore,
) -> None:
    before = round_trips()
    await keep(store, *[make.message(f"m{number}") for number in range(MOST - 1)], make.read(1))
    assert round_trips() - before == 2


def round_trips() -> float:
    return sum(
        sample.value
        for metric in REGISTRY.collect()
        if metric.name == "assistant_mongo_round_trips"
        for sample in metric.samples
        if sample.name.endswith("_total")
    )


async def test_a_long_conversation_stays_a_small_document(
    store: ConversationStore, database: Database
) -> None:
    many = [make.message(f"m{number}", "ä" * 5000, number) for number in range(300)]
    state = receive.receive(State(), arrivals(*many), rules())
    saved = await store.save(Stored(CONVERSATION), state)
    assert (await store.load(CONVERSATION)) == saved
    assert saved.state.last_activity_at == make.NOON + timedelta(seconds=299)
    assert len(saved.state.model_dump_json().encode()) < 1_200_000


async def test_indexes_can_be_declared_again(store: ConversationStore) -> None:
    await store.ensure_indexes()


async def test_a_saved_state_belongs_to_its_own_conversation(store: ConversationStore) -> None:
    await store.save(Stored(CONVERSATION), STATE)
    other = replace(Stored("100:201"), state=STATE)
    await store.save(other, ANSWERED)
    assert (await store.load(CONVERSATION)).state == STATE


async def test_what_a_reply_replies_to_is_found_by_metas_id(store: ConversationStore) -> None:
    await keep(store, make.message("m1", "Is it vegan?"), make.sent("c1"), make.echo("e1"))
    found = await store.texts(CONVERSATION, ["m1", "mid-c1-0", "e1", "unknown"])
    assert found == {
        "m1": "Is it vegan?",
        "mid-c1-0": "an answer",
        "e1": "written by hand",
    }
    assert await store.texts(f"{PAGE}:somebody else", ["m1"]) == {}


async def test_a_thread_is_searched_by_what_its_messages_say_now(store: ConversationStore) -> None:
    await keep(
        store,
        make.message("m1", "Is it Vegan?"),
        make.edited("m1", "Is it (vegan)?"),
        make.sent("c1", seconds=1),
        make.message("m2", "Danke SCHÖN", seconds=2),
        make.message("m3", "vegan, too", seconds=3),
        make.unsent("m3"),
        make.echo("e1", text="VEGAN, by hand", seconds=4),
    )
    assert await store.messages(CONVERSATION, None, 9, "dan\0ke")  # MongoDB refuses such a pattern

    async def found(words: str, after: After | None = None) -> list[str]:
        return [each["_id"] for each in await store.messages(CONVERSATION, after, 9, words)]

    assert await found("vegan") == ["100:e1", "100:m1"]
    assert await found("vegan", After(make.at(4), "100:e1")) == ["100:m1"]
    assert await found("(Vegan)?") == ["100:m1"]
    assert await found("answer") == ["100:c1:0"]
    assert await found("schön") == ["100:m2"]
    assert await found(".") == []


async def test_the_call_for_a_human_shows_beside_the_state(store: ConversationStore) -> None:
    request = HumanRequest(reason="asked", summary="wants a refund")
    asked = Answer("handover", "One moment", model="none", request=request)
    state, _ = turns.finish(STATE, CONVERSATION, asked, Takeover(epoch=0), make.at(5))
    await store.save(await store.load(CONVERSATION), state)
    conversation = await store.conversation(CONVERSATION)
    assert conversation is not None
    assert conversation["requested"]["summary"] == "wants a refund"
    assert (await store.load(CONVERSATION)).state == state


async def test_spending_adds_up_over_replicas(database: Database) -> None:
    first, second = SpendingStore(database), SpendingStore(database)
    await first.ensure_indexes()
    key = (PAGE, "2026-03-01")
    await asyncio.gather(
        *[each.add({key: Spent(1, 10, 5)}) for each in (first, second) for _ in range(20)]
    )
    await first.add({(PAGE, "2026-03-02"): Spent(1)})
    assert await second.read(*key) == Spent(40, 400, 200)
    assert await second.read("other", "2026-03-01") == Spent()
