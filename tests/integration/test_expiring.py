"""Messages that a workspace keeps no longer are gone from everything, and the rest goes on."""

import asyncio
from collections import Counter
from datetime import datetime, timedelta

import pytest

from libs.common.events import AnyRecord
from libs.common.kafka import KeyBatch
from libs.common.mongo import Database
from libs.common.retention import SHORTEST_DAYS, Expirer, Leases, Periods, Step, Sweeper
from libs.common.topics import EVENTS_KEPT, LETTERS_KEPT, SEGMENT
from libs.common.window import HUMAN_AGENT_WINDOW
from services.analytics.expiring import EVERY as EVERY_FIGURES
from services.analytics.expiring import REMEMBERED as REMEMBERED_BY_FIGURES
from services.analytics.expiring import StateExpirer
from services.analytics.folding import Folder
from services.analytics.store import AnalyticsStore
from services.conversation.domain.receive import ARCHIVED
from services.conversation.expiring import NOTHING, REMEMBERED, MessageExpirer
from services.conversation.history import HistoryKeeper
from services.conversation.inbox_store import InboxStore
from services.sender.domain.deliveries import Delivery
from services.sender.expiring import TextExpirer
from tests.integration.test_analytics import in_partitions, totals
from tests.integration.test_erasing import EVENTS, MAIL, NAME, Service, left
from tests.unit.analytics import factories as figures
from tests.unit.conversation import factories as make
from tests.unit.conversation.factories import APP, CONVERSATION, PAGE, PSID

DAYS = 30


@pytest.fixture
async def service(database: Database) -> Service:
    service = Service(database)
    await service.store.ensure_indexes()
    await service.people.ensure_indexes()
    return service


async def sweep(service: Service, until: datetime) -> Counter[str]:
    """Everything that is older than that, as a sweep does it."""
    return await swept(MessageExpirer(service.database, service.eraser, service.erased), until)


async def swept(expirer: Expirer, until: datetime) -> Counter[str]:
    await expirer.begin(PAGE, until, DAYS)
    counts: Counter[str] = Counter()
    place: str | None = ""
    while place is not None:
        step = await expirer.step(PAGE, until, DAYS, place)
        counts.update(step.counts)
        place = step.place
    return counts


async def conversation(database: Database) -> dict[str, object]:
    found = await database["conversations"].find_one({"_id": CONVERSATION})
    assert found is not None
    return found


async def test_older_messages_go_from_thread_search_memory_and_list(service: Service) -> None:
    await service.hear(make.message("m1", "old words", 1), make.sent("c1", seconds=5))
    await service.hear(make.message("m2", "new words", 50), first=10)

    counts = await sweep(service, make.at(40))

    assert counts["messages"] == 2
    thread = await service.store.messages(CONVERSATION, None, 50)
    assert [each["_id"] for each in thread] == [f"{PAGE}:m2"]
    assert await service.store.messages(CONVERSATION, None, 50, "old words") == []
    state = (await service.store.load(CONVERSATION)).state
    assert [line.text for line in state.history] == ["new words"]
    assert await left(service.database, "old words") == []
    stored = await conversation(service.database)
    assert stored["expired"] == {"until": make.at(40), "days": DAYS}
    assert await service.people.people([CONVERSATION]), "who writes still is known"
    assert (await sweep(service, make.at(40)))["messages"] == 0


async def test_nothing_goes_before_its_time(service: Service) -> None:
    await service.hear(*EVENTS)
    before = await service.store.messages(CONVERSATION, None, 50)
    await sweep(service, make.at(0))
    assert await service.store.messages(CONVERSATION, None, 50) == before
    assert "expired" not in await conversation(service.database)


async def test_who_has_not_written_for_so_long_is_not_known_any_more(service: Service) -> None:
    await service.hear(*[each for each in EVENTS if each.type != "takeover.started"])

    await sweep(service, make.at(100))

    assert await left(service.database, NAME, MAIL, "changed by Ann") == []
    assert await InboxStore(service.database).rows([CONVERSATION]) == []
    assert (await conversation(service.database))["oldest_at"] == NOTHING

    await service.hear(make.message("m9", "hello again", 200), first=50)
    thread = await service.store.messages(CONVERSATION, None, 50)
    assert [each["_id"] for each in thread] == [f"{PAGE}:m9"]
    (row,) = await InboxStore(service.database).rows([CONVERSATION])
    assert row["row"]["inbound_count"] == 1, "the list begins afresh"
    state = (await service.store.load(CONVERSATION)).state
    assert [line.text for line in state.history] == ["hello again"]


async def test_what_is_left_of_them_goes_when_the_log_has_forgotten(service: Service) -> None:
    await service.hear(make.message("m1", "old words", 1))
    await sweep(service, make.at(100))
    await sweep(service, make.at(100) + REMEMBERED - timedelta(days=1))
    assert await left(service.database, CONVERSATION) != []
    await sweep(service, make.at(100) + REMEMBERED)
    assert await left(service.database, CONVERSATION) == []


async def test_whom_a_human_has_stays_without_what_was_said(service: Service) -> None:
    await service.hear(make.message("m1", "old words", 1), make.takeover_started(seconds=7))
    takeover = {"mode": "human", "epoch": 1, "since": make.at(7)}
    await service.database["conversations"].update_one(
        {"_id": CONVERSATION}, {"$set": {"takeover": takeover}}
    )
    await sweep(service, make.at(100))
    assert await left(service.database, "old words") == []
    (row,) = await InboxStore(service.database).rows([CONVERSATION])
    assert (row["row"]["mode"], row["row"]["last"]) == ("human", None)


async def test_a_message_that_comes_late_is_found_in_the_next_hour(service: Service) -> None:
    await service.hear(make.message("m2", "new words", 50))
    await sweep(service, make.at(40))
    await service.hear(make.message("m1", "old words", 1), first=10)
    assert (await sweep(service, make.at(40)))["messages"] == 1
    assert await left(service.database, "new words") != []


async def test_conversations_from_before_are_seen_to_as_well(service: Service) -> None:
    await service.hear(make.message("m1", "old words", 1), make.message("m2", "new words", 50))
    await service.database["conversations"].update_one(
        {"_id": CONVERSATION}, {"$unset": {"oldest_at": ""}}
    )
    assert (await sweep(service, make.at(40)))["messages"] == 1
    assert (await conversation(service.database))["oldest_at"] == make.at(50)


async def archive(service: Service, *events: AnyRecord, first: int) -> None:
    """What is no part of the assistant's memory, and moves no conversation forward."""
    records = [make.record(event, first + index) for index, event in enumerate(events)]
    await HistoryKeeper(service.store, APP, service.erased).handle(KeyBatch(b"", records))


async def test_what_was_tried_later_goes_in_its_own_time(service: Service) -> None:
    """Who wrote is not known any more by then, and what reached nobody is no activity."""
    await service.hear(make.message("m1", "old words", 1))
    changes = {"occurred_at": make.at(50), "origin": "human"}
    await archive(service, make.failed().model_copy(update=changes), first=10)

    await sweep(service, make.at(40))
    assert await left(service.database, "old words") == []
    assert await left(service.database, "an answer") != []
    await sweep(service, make.at(100))
    assert await left(service.database, "an answer") == []
    assert (await conversation(service.database))["oldest_at"] == NOTHING


async def test_what_is_taken_back_when_all_is_gone_goes_as_well(service: Service) -> None:
    await service.hear(make.message("m1", "old words", 1))
    await sweep(service, make.at(40))
    await archive(service, make.unsent("m1", 50), make.reaction("unreact", 51), first=10)
    await sweep(service, make.at(45))
    assert await service.database["messages"].count_documents({}) == 1
    await sweep(service, make.at(100))
    assert await service.database["messages"].count_documents({}) == 0


async def test_a_document_that_nobody_can_read_keeps_no_others(service: Service) -> None:
    await service.hear(make.message("m1", "old words", 1))
    await service.database["conversations"].insert_one(
        {"_id": "100:1", "page_id": PAGE, "oldest_at": make.at(0), "state": {"history": "?"}}
    )
    await sweep(service, make.at(40))
    assert await left(service.database, "old words") == []


async def test_the_sender_forgets_texts_and_knows_what_was_sent(database: Database) -> None:
    now = make.NOON + timedelta(days=40)
    delivery = Delivery(
        send_id="c1:0",
        command_id="c1",
        page_id=PAGE,
        psid=PSID,
        part=0,
        parts=1,
        origin="assistant",
        text="old words",
        state="sent",
        rule="r",
        at=make.at(1),
    )
    newer = {"send_id": "c2:0", "psid": "201", "text": "new words", "at": now}
    for each in (delivery, delivery.model_copy(update=newer)):
        await database["deliveries"].insert_one(each.to_document())
        claim = {"text": each.text, "claimed_at": each.at, "send_id": each.send_id}
        conversation = f"{PAGE}:{each.psid}"
        await database["conversations"].insert_one(
            {"_id": conversation, "page_id": PAGE, "last_activity_at": each.at, "sending": claim}
        )
    counts = await swept(TextExpirer(database, lambda: now), now - timedelta(days=7))
    assert counts["deliveries"] == 1
    assert await left(database, "old words") == []
    assert await left(database, "new words") == ["conversations", "deliveries"]
    sent = await database["deliveries"].find_one({"_id": "c1:0"})
    assert sent is not None
    assert (sent["state"], sent["text"]) == ("sent", "")


async def test_counting_forgets_people_when_the_log_has_and_no_figure(database: Database) -> None:
    store = AnalyticsStore(database)
    events: list[AnyRecord] = [
        figures.message("m1", 1),
        figures.sent("c1", 5),
        figures.message("m2", 1, "201"),
    ]
    newer = figures.message("m3", 60, "201")
    await Folder(store, figures.APP).fold(in_partitions([*events, newer]))
    before = await totals(database)
    names = [f"{PAGE}:200", f"{PAGE}:201"]
    early = figures.at(50) + REMEMBERED_BY_FIGURES
    assert (await swept(StateExpirer(database), early - timedelta(days=1)))["receipts"] == 0
    slot = timedelta(minutes=15)  # what is known of activity is no finer
    assert (await swept(StateExpirer(database), early))["receipts"] == 0
    assert (await swept(StateExpirer(database), early + slot))["receipts"] == 2
    assert await store.states(names) == {}
    assert await totals(database) == before


# --- what is kept longer than what


def test_what_is_left_of_people_outlives_what_may_come_late() -> None:
    """An event among the dead letters, put back at the very end, and on the log again."""
    longest = LETTERS_KEPT + SEGMENT + EVENTS_KEPT + SEGMENT
    assert longest < REMEMBERED_BY_FIGURES < REMEMBERED
    # figures first, by more than the day between their looks: epochs begin anew in both
    assert REMEMBERED - REMEMBERED_BY_FIGURES > EVERY_FIGURES
    assert timedelta(days=SHORTEST_DAYS) >= max(ARCHIVED, EVENTS_KEPT, HUMAN_AGENT_WINDOW)


# --- who does it, and for which Pages


class Noted(Expirer):
    """Notes what it is asked; `steps` for each Page."""

    def __init__(self, steps: int = 1) -> None:
        self.asked: list[tuple[str, int]] = []
        self._steps = steps

    async def begin(self, page_id: str, until: datetime, days: int) -> None:
        del page_id, until, days

    async def step(self, page_id: str, until: datetime, days: int, place: str) -> Step:
        del until
        self.asked.append((page_id, days))
        await asyncio.sleep(0)
        done = int(place or 0) + 1
        return Step({}, str(done) if done < self._steps else None)


async def workspace(database: Database, name: str, days: int | None, *pages: str) -> None:
    await database["workspaces"].update_one(
        {"_id": name}, {"$set": {"keep_messages_days": days}}, upsert=True
    )
    for page in pages:
        await database["channels"].insert_one({"_id": page, "workspace_id": name})


def sweeper(database: Database, expirer: Expirer, now: datetime) -> Sweeper:
    return Sweeper(Periods(database), Leases(database, "test"), expirer, lambda: now)


async def test_of_several_processes_one_sees_to_a_page_and_again_in_an_hour(
    database: Database,
) -> None:
    await workspace(database, "short", 30, "1", "2")
    await workspace(database, "ever", None, "3")
    noted = Noted(steps=3)
    await asyncio.gather(*[sweeper(database, noted, make.NOON).look() for _ in range(3)])
    assert Counter(noted.asked) == {("1", 30): 3, ("2", 30): 3}
    await sweeper(database, noted, make.at(3599)).look()
    assert len(noted.asked) == 6
    await sweeper(database, noted, make.at(3601)).look()
    assert len(noted.asked) == 12


async def test_a_page_that_fails_keeps_neither_the_others_nor_the_service(
    database: Database,
) -> None:
    await workspace(database, "short", 30, "1", "2")

    class Mistaken(Noted):
        async def step(self, page_id: str, until: datetime, days: int, place: str) -> Step:
            if page_id == "1":
                raise KeyError("ours")
            return await super().step(page_id, until, days, place)

    mistaken, noted = Mistaken(), Noted()
    await sweeper(database, mistaken, make.NOON).look()
    assert mistaken.asked == [("2", 30)]
    await sweeper(database, noted, make.at(301)).look()
    assert noted.asked == [("1", 30)]


async def test_who_died_in_the_middle_is_followed(database: Database) -> None:
    await workspace(database, "short", 30, "1")
    assert await Leases(database, "test").take("1", 30, make.NOON)
    noted = Noted()
    await sweeper(database, noted, make.at(299)).look()
    assert noted.asked == []
    await sweeper(database, noted, make.at(301)).look()
    assert noted.asked == [("1", 30)]


async def test_another_period_holds_at_once_and_ends_the_sweep_of_the_old_one(
    database: Database,
) -> None:
    await workspace(database, "short", 30, "1")

    class Longer(Noted):
        async def step(self, page_id: str, until: datetime, days: int, place: str) -> Step:
            await workspace(database, "short", 365)
            return await super().step(page_id, until, days, place)

    longer, noted = Longer(steps=5), Noted()
    await sweeper(database, longer, make.NOON).look()
    assert longer.asked == [("1", 30)]
    await sweeper(database, noted, make.at(1)).look()
    assert noted.asked == [("1", 365)]
