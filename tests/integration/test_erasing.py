"""A person is erased from what each service keeps, and nothing that comes late brings them back."""

import asyncio
from datetime import datetime, timedelta

import pytest

from libs.common.channels import Channel, ChannelSettings
from libs.common.erasure_api import Person
from libs.common.erasures import Tombstones, TombstoneStore, name_of
from libs.common.events import AnyRecord, Record, TakeoverEnded
from libs.common.kafka import KeyBatch, PublishError
from libs.common.mongo import Database
from services.analytics.domain.fold import EVER
from services.analytics.erasing import PersonEraser as AnalyticsEraser
from services.analytics.folding import Folder
from services.analytics.store import AnalyticsStore
from services.console.web.privacy import KINDS
from services.conversation.contacts import ContactKeeper
from services.conversation.contacts_store import ChangedMeanwhileError, ContactStore
from services.conversation.domain import receive
from services.conversation.domain.profiles import Profile, given
from services.conversation.domain.state import State
from services.conversation.erasing import PersonEraser, PersonReader
from services.conversation.history import HistoryKeeper
from services.conversation.inbox_keeping import InboxKeeper
from services.conversation.inbox_store import InboxStore
from services.conversation.store import ConversationChangedError, ConversationStore
from services.sender.domain.deliveries import Delivery
from services.sender.erasing import PersonEraser as SenderEraser
from services.takeover.consumer import EventHandler
from services.takeover.domain.transitions import Take
from services.takeover.erasing import NotToldError
from services.takeover.erasing import PersonEraser as TakeoverEraser
from services.takeover.human_agent import HumanAgentStore
from services.takeover.keeper import Keeper
from services.takeover.messages import KeyStore
from services.takeover.roster import Roster
from services.takeover.store import TakeoverStore
from tests.integration.test_analytics import in_partitions, story, totals
from tests.unit.analytics import factories as figures
from tests.unit.analytics import reference
from tests.unit.conversation import factories as make
from tests.unit.conversation.factories import APP, CONVERSATION, PAGE, PSID
from tests.unit.conversation.world import CHANNEL
from tests.unit.takeover import factories as facts
from tests.unit.takeover.world import NOON
from tests.unit.takeover.world import PAGE as THEIR_PAGE
from tests.unit.takeover.world import PSID as THEIR_PSID

NAME, MAIL = "Ann Lee", "ann@example.org"
UNTIL = make.at(100)
ANN = Person(PAGE, PSID, UNTIL)
BOTH = ChannelSettings(contact_matching=True, auto_create_contacts=True)


class Erased:
    """Who is, once a test says so."""

    def __init__(self) -> None:
        self.people: dict[str, datetime] = {}

    def erased_at(self, conversation: str) -> datetime | None:
        return self.people.get(conversation)


class Meta:
    """The channel, and who a person is there."""

    async def channel(self, page_id: str) -> Channel | None:
        return CHANNEL.model_copy(update={"id": page_id, "settings": BOTH})

    async def renewed(self, _channel: Channel, _psid: str, profile: Profile) -> Profile:
        await asyncio.sleep(0)
        return given(make.NOON, name=NAME) or profile


class Service:
    """The conversation service's consumers on a database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.erased = Erased()
        self.store = ConversationStore(database, self.erased)
        self.people = ContactStore(database, self.erased)
        self.keeper = ContactKeeper(
            self.people, Meta(), Meta(), lambda: make.NOON, erased=self.erased
        )
        self.eraser = PersonEraser(database, self.people, self.keeper)

    async def hear(self, *events: AnyRecord, first: int = 0) -> None:
        records = [make.record(event, first + index) for index, event in enumerate(events)]
        inbox = InboxKeeper(self.database, InboxStore(self.database), APP)
        await HistoryKeeper(self.store, APP, self.erased, inbox).handle(KeyBatch(b"", records))
        key = CONVERSATION.encode()
        await self.keeper.handle(KeyBatch(key, records))
        stored = await self.store.load(CONVERSATION)
        arrivals = [
            each
            for each in make.arrivals(*events, first=first)
            if not (self.erased.people and each.event.occurred_at <= UNTIL)
        ]
        if arrivals:
            state = receive.receive(stored.state, arrivals, make.rules())
            await self.store.save(stored, state)


@pytest.fixture
async def service(database: Database) -> Service:
    service = Service(database)
    await service.store.ensure_indexes()
    await service.people.ensure_indexes()
    return service


EVENTS: tuple[AnyRecord, ...] = (
    make.message("m1", f"I am {NAME}, write to {MAIL}", 1),
    make.edited("m1", "changed by Ann"),
    make.sent("c1", seconds=5),
    make.reaction(seconds=6),
    make.takeover_started(seconds=7),
    make.echo("e1", seconds=8),
)
LATE: tuple[AnyRecord, ...] = (
    make.message("m1", f"I am {NAME}", 1),
    make.delivered(1, "e1"),
    make.sent("c1", seconds=5),
    make.echo("e1", seconds=8),
)


async def left(database: Database, *texts: str) -> list[str]:
    """Collections in which any of these stands, wherever it does."""
    found = set()
    for name in await database.list_collection_names():
        documents = await database[name].find({}).to_list(None)
        if any(text in str(document) for document in documents for text in texts):
            found.add(name)
    return sorted(found)


async def test_conversation_keeps_nothing_and_nothing_late_comes_back(service: Service) -> None:
    await service.hear(*EVENTS)
    reader = PersonReader(service.database, service.people)
    stored = await reader.facts(CONVERSATION)
    assert stored["person"]["profile"]["name"] == NAME
    assert MAIL in stored["contact"]["emails"]
    before = await service.eraser.count(ANN)
    assert before == {"conversations": 1, "messages": 4, "people": 1, "inbox": 1, "contacts": 1}
    assert before.keys() <= KINDS.keys()  # the console has words for each

    service.erased.people[CONVERSATION] = UNTIL
    assert await service.eraser.erase(ANN) == before
    nothing = dict.fromkeys(before, 0)
    assert await service.eraser.count(ANN) == nothing
    assert await service.eraser.erase(ANN) == nothing
    known = await service.people.person(CONVERSATION)
    await service.people.tell_inbox(known)
    await service.hear(*LATE, first=50)
    assert await service.eraser.count(ANN) == nothing
    assert await left(service.database, PSID, NAME, MAIL, "changed by Ann") == []
    facts_left = await reader.facts(CONVERSATION)
    assert facts_left == dict.fromkeys(("conversation", "inbox", "person", "contact"))


async def test_who_writes_again_is_somebody_new(service: Service) -> None:
    await service.hear(*EVENTS)
    service.erased.people[CONVERSATION] = UNTIL
    await service.eraser.erase(ANN)
    await service.hear(make.message("m9", "hello again", 200), first=60)
    assert await service.eraser.count(ANN) == {
        "conversations": 0,
        "messages": 0,
        "inbox": 0,
        "people": 1,  # this clock of Meta's stands still at noon
        "contacts": 1,
    }
    stored = await service.store.load(CONVERSATION)
    assert [line.text for line in stored.state.history] == ["hello again"]
    assert stored.state.inbound_count == 1
    assert [m["_id"] for m in await service.store.messages(CONVERSATION, None, 9)] == ["100:m9"]


async def test_a_turn_under_way_cannot_bring_the_conversation_back(service: Service) -> None:
    """It has read what was there, and the model thinks; meanwhile the person is erased."""
    await service.hear(*EVENTS)
    under_way = await service.store.load(CONVERSATION)
    service.erased.people[CONVERSATION] = UNTIL
    await service.eraser.erase(ANN)
    with pytest.raises(ConversationChangedError):
        await service.store.save(under_way, State(inbound_count=7))
    assert await left(service.database, PSID) == []


async def test_nor_can_a_profile_that_is_being_asked_for(service: Service) -> None:
    await service.hear(*EVENTS)
    under_way = await service.people.person(CONVERSATION)
    service.erased.people[CONVERSATION] = UNTIL
    await service.eraser.erase(ANN)
    changed = under_way.person.model_copy(update={"emails": ("x@example.org",)})
    with pytest.raises(ChangedMeanwhileError):
        await service.people.save_person(under_way, changed)
    assert await left(service.database, PSID, "x@example.org") == []


async def test_nor_can_a_turn_or_a_profile_begun_just_before_the_documents_go(
    service: Service,
) -> None:
    """Everybody knows of the tombstone, and what is of before is still there: they write again."""
    await service.hear(*EVENTS)
    service.erased.people[CONVERSATION] = UNTIL
    under_way = await service.store.load(CONVERSATION)
    known = await service.people.person(CONVERSATION)
    assert under_way.state.history
    await service.eraser.erase(ANN)
    with pytest.raises(ConversationChangedError):
        await service.store.save(under_way, under_way.state)
    changed = known.person.model_copy(update={"emails": (*known.person.emails, "x@example.org")})
    with pytest.raises(ChangedMeanwhileError):
        await service.people.save_person(known, changed)
    assert await left(service.database, PSID, NAME, MAIL) == []
    again = await service.store.load(CONVERSATION)
    saved = await service.store.save(again, State(inbound_count=1))
    await service.store.save(saved, State(inbound_count=2))


async def test_who_was_to_be_seen_to_and_is_erased_meanwhile_is_not_looked_up(
    service: Service,
) -> None:
    await service.hear(*EVENTS)
    service.erased.people[CONVERSATION] = UNTIL
    await service.eraser.erase(ANN)
    channel = await Meta().channel(PAGE)
    assert channel is not None
    await service.keeper.settle(channel, CONVERSATION)  # the sweep had read the id before
    await service.keeper.put_off(CONVERSATION)
    assert await left(service.database, PSID, NAME) == []


async def test_a_contact_with_another_person_keeps_what_that_one_told(service: Service) -> None:
    await service.hear(*EVENTS)
    (contact,) = await service.database["contacts"].find({}).to_list(None)
    other = f"101:{PSID}9"
    await service.database["people"].insert_one(
        {"_id": other, "version": 1, "emails": ["both@example.org"], "profile": {"name": "A. Lee"}}
    )
    await service.database["contacts"].update_one(
        {"_id": contact["_id"]},
        {"$set": {"people": [CONVERSATION, other], "emails": [MAIL, "both@example.org"]}},
    )
    await service.eraser.erase(ANN)
    (contact,) = await service.database["contacts"].find({}).to_list(None)
    assert contact["people"] == [other]
    assert contact["emails"] == ["both@example.org"]
    assert contact["name"] == "A. Lee"
    assert await left(service.database, MAIL, NAME) == []


async def test_the_sender_keeps_nothing(database: Database) -> None:
    delivery = Delivery(
        send_id="c1:0",
        command_id="c1",
        page_id=PAGE,
        psid=PSID,
        part=0,
        parts=1,
        origin="assistant",
        text="Hello Ann",
        state="held",
        rule="r",
        at=make.at(1),
    )
    later = delivery.model_copy(update={"send_id": "c2:0", "at": make.at(200)})
    other = delivery.model_copy(update={"send_id": "c3:0", "psid": "201"})
    for each in (delivery, later, other):
        await database["deliveries"].insert_one(each.to_document())
    kept = {"_id": "k1", "conversation": CONVERSATION, "kept_at": make.at(1), "command": "{}"}
    await database["kept"].insert_one(kept)
    eraser = SenderEraser(database)
    assert await eraser.count(ANN) == {"deliveries": 1, "kept": 1}
    assert len(await eraser.stored(CONVERSATION)) == 2
    assert await eraser.erase(ANN) == {"deliveries": 2, "kept": 1}
    assert await eraser.count(Person(PAGE, PSID)) == {"deliveries": 0, "kept": 0}
    assert await left(database, f'"{PSID}"', CONVERSATION) == []
    assert await database["deliveries"].count_documents({}) == 1


class Log:
    """What was published."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    async def publish(self, *records: Record) -> None:
        self.records += records

    def publish_soon(self, record: Record) -> None:
        self.records.append(record)


async def test_a_takeover_ends_before_it_is_erased_and_no_late_echo_begins_another(
    database: Database,
) -> None:
    conversation = f"{THEIR_PAGE}:{THEIR_PSID}"
    await database["conversations"].insert_one({"_id": conversation, "page_id": THEIR_PAGE})
    rows, keys, log, erased = Roster(database), KeyStore(database), Log(), Erased()
    now = NOON + timedelta(minutes=5)
    keeper = Keeper(TakeoverStore(database), rows, log, lambda: now)
    await keeper.carry_out(conversation, Take("user:ann", "Ann"))
    await keys.ensure_indexes()
    await keys.claim("k1", name_of(conversation), "digest", NOON)
    until = now - timedelta(minutes=1)
    person = Person(THEIR_PAGE, THEIR_PSID, until)
    eraser = TakeoverEraser(database, keeper)
    assert await eraser.count(Person(THEIR_PAGE, THEIR_PSID)) == {
        "takeovers": 1,
        "human_messages": 1,
    }
    erased.people[conversation] = until
    await eraser.erase(person)
    ended = log.records[-1]
    assert isinstance(ended, TakeoverEnded)
    assert (ended.reason, ended.occurred_at) == ("erased", until)
    handler = EventHandler(keeper, Meta(), HumanAgentStore(database), "4242", erased)
    await handler.handle(facts.batch(facts.echo(NOON)))
    assert await eraser.count(person) == {"takeovers": 0, "human_messages": 0}
    (document,) = await database["conversations"].find({}).to_list(None)
    assert "takeover" not in document
    assert (await eraser.erase(person))["takeovers"] == 0


class SilentLog(Log):
    """Kafka is away."""

    async def publish(self, *_records: Record) -> None:
        raise PublishError("away")


async def test_a_takeover_is_not_erased_before_its_end_is_on_the_log(database: Database) -> None:
    conversation = f"{THEIR_PAGE}:{THEIR_PSID}"
    await database["conversations"].insert_one({"_id": conversation, "page_id": THEIR_PAGE})
    now = NOON + timedelta(minutes=5)
    store, rows, log = TakeoverStore(database), Roster(database), Log()
    await Keeper(store, rows, log, lambda: now).carry_out(conversation, Take("user:ann", "Ann"))
    person = Person(THEIR_PAGE, THEIR_PSID, now)
    without = TakeoverEraser(database, Keeper(store, rows, SilentLog(), lambda: now))
    with pytest.raises(NotToldError):
        await without.erase(person)
    found = await store.find(conversation)
    assert found is not None
    assert [each.type for each in found.untold] == ["takeover.ended"]


@pytest.mark.parametrize("first", [0, 100, 300])
@pytest.mark.parametrize("is_known_first", [True, False])
async def test_figures_stay_what_they_are_and_late_events_count_as_they_would_have(
    database: Database, first: int, *, is_known_first: bool
) -> None:
    """Erased after so many events; the rest comes late, and all of it once more."""
    events, gone = story(), ["200", "205", "210"]
    log, erased = in_partitions(events), Erased()
    await Folder(AnalyticsStore(database), figures.APP, erased).fold(log[:first])
    until = figures.at(1e6)
    folder = Folder(AnalyticsStore(database), figures.APP, erased)
    if is_known_first:  # the tombstone is there for some seconds before anything is erased
        erased.people |= {f"{figures.PAGE}:{psid}": until for psid in gone}
        await folder.fold(log[first : first + 50])
    eraser = AnalyticsEraser(database)
    for psid in gone:
        person = Person(figures.PAGE, psid, until)
        await eraser.erase(person)
        await eraser.erase(person)
        assert await eraser.count(person) == {"receipts": 0}
        erased.people[person.conversation] = until
    await folder.fold(log[first:])
    await Folder(AnalyticsStore(database), figures.APP, erased).fold(log)
    assert await totals(database) == reference.totals(events)
    assert await left(database, *(f"{figures.PAGE}:{psid}" for psid in gone)) == []


async def test_a_receipt_of_after_an_erasure_counts_and_brings_no_name_back(
    database: Database,
) -> None:
    """Somebody opens Messenger, and has not written again."""
    events: list[AnyRecord] = [
        figures.message("m1", 0, "200"),
        figures.sent("a1", 5, "200"),
        figures.echo("a1", 4, "200"),
    ]
    late: list[AnyRecord] = [
        figures.delivered(500, "m.a1", psid="200"),
        figures.read(600, psid="200"),
    ]
    again = figures.message("m2", 700, "200")
    log, erased = in_partitions([*events, *late, again]), Erased()
    person = Person(figures.PAGE, "200", figures.at(100))
    await Folder(AnalyticsStore(database), figures.APP, erased).fold(log[:3])
    erased.people[person.conversation] = figures.at(100)
    await AnalyticsEraser(database).erase(person)
    folder = Folder(AnalyticsStore(database), figures.APP, erased)
    await folder.fold(log[3:5])
    assert await left(database, person.conversation) == []
    found, expected = await totals(database), reference.totals([*events, *late])
    assert found == expected
    assert sum(n for (_, name), n in found.items() if name == "read") == 1
    await folder.fold(log[3:])
    assert await left(database, person.conversation) == ["receipts"]


async def test_a_rebuild_counts_those_who_were_erased_and_who_comes_back_is_new(
    database: Database,
) -> None:
    events, erased = story(1), Erased()
    conversation = f"{figures.PAGE}:200"
    erased.people[conversation] = figures.at(1e6)
    again = figures.message("m-new", 2e6, "200")
    log = in_partitions([*events, again])
    await Folder(AnalyticsStore(database, 1), figures.APP, erased).fold(log)
    found = await totals(database, "rollups_1")
    expected = reference.totals([*events, again])
    assert found.pop((EVER, "conversations")) == expected.pop((EVER, "conversations")) + 1
    messages = {key: n for key, n in found.items() if "gap" not in key[1]}
    assert messages == {key: n for key, n in expected.items() if "gap" not in key[1]}


async def test_a_tombstone_is_found_also_after_a_clock_was_ahead_by_days(
    database: Database,
) -> None:
    store, known = TombstoneStore(database), Tombstones(database)
    await store.ensure_indexes()
    await store.put("100:1", NOON, NOON + timedelta(days=2))
    await known.look()
    await store.put("100:2", NOON, NOON)
    await known.look()
    assert known.erased_at("100:2") == NOON
