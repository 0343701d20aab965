"""People and contacts on the real database: races, copies and crashes leave one contact each."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY

from libs.common.channels import Channel, ChannelSettings
from libs.common.events import AnyRecord
from libs.common.kafka import KeyBatch
from libs.common.mongo import Database
from services.conversation.contacts import ContactKeeper, NotSuggestedError, Sweep
from services.conversation.contacts_store import (
    AfterContact,
    ChangedMeanwhileError,
    ContactStore,
    KnownContact,
    sort_key,
)
from services.conversation.domain.contacts import Contact, Person, contact_id
from services.conversation.domain.profiles import Profile, given, waiting_until
from tests.unit.conversation import factories as make
from tests.unit.conversation.factories import CONVERSATION, PAGE, PSID
from tests.unit.conversation.world import CHANNEL

MAIL = "ann@example.org"
OWN = contact_id("w1", CONVERSATION)
BOTH = ChannelSettings(contact_matching=True, auto_create_contacts=True)


class Crash(BaseException):
    """The end of the process, at this very point."""


class World:
    """The channel and Meta, as this test wants them."""

    def __init__(self, settings: ChannelSettings) -> None:
        self.settings = settings
        self.now = make.NOON
        self.names: dict[str, str] = {}
        self.asked: list[str] = []
        self.is_connected = True

    async def channel(self, page_id: str) -> Channel | None:
        update = {"id": page_id, "settings": self.settings}
        return CHANNEL.model_copy(update=update) if self.is_connected else None

    async def renewed(self, _channel: Channel, psid: str, profile: Profile) -> Profile:
        self.asked.append(psid)
        known = given(self.now, name=self.names.get(psid))
        return known or waiting_until(profile, self.now + timedelta(minutes=1), "no_budget")


@pytest.fixture
def world() -> World:
    return World(BOTH)


@pytest.fixture
async def store(database: Database) -> ContactStore:
    store = ContactStore(database)
    await store.ensure_indexes()
    return store


@pytest.fixture
def keeper(store: ContactStore, world: World) -> ContactKeeper:
    return replica(store, world)


def replica(store: ContactStore, world: World) -> ContactKeeper:
    return ContactKeeper(store, world, world, lambda: world.now)


async def hear(keeper: ContactKeeper, *events: AnyRecord) -> None:
    records = [make.record(event, offset) for offset, event in enumerate(events)]
    by_key: dict[bytes, list[Any]] = {}
    for record in records:
        by_key.setdefault(record.key, []).append(record)
    for key, of_one in by_key.items():
        await keeper.handle(KeyBatch(key, of_one))


def says(text: str, psid: str = PSID, mid: str = "m1") -> AnyRecord:
    made: AnyRecord = make.message(mid, text).model_copy(update={"psid": psid})
    return made


async def until_it_passes(work: Callable[[], Awaitable[object]]) -> None:
    """As the consumer does with what is transient."""
    async with asyncio.timeout(60):
        while True:
            try:
                await work()
            except ChangedMeanwhileError:
                continue
            return


async def all_contacts(store: ContactStore) -> list[Contact]:
    return [each.contact for each in await store.contacts("w1", "", None, 200)]


async def with_contact(keeper: ContactKeeper, name: str, *emails: str) -> None:
    assert await keeper.put("w1", name.replace(" ", "-"), name, emails, ()) is not None


async def link_of(store: ContactStore, person_id: str = CONVERSATION) -> tuple[Any, ...]:
    link = (await store.person(person_id)).person.link
    return link.state, link.contact_id, link.by


async def test_a_new_person_gets_a_contact_with_what_is_known_of_them(
    keeper: ContactKeeper, store: ContactStore, world: World
) -> None:
    world.names[PSID] = "Ann Lee"
    await hear(keeper, says(f"I am {MAIL}"))
    (contact,) = await all_contacts(store)
    assert (contact.name, contact.emails, contact.people) == ("Ann Lee", (MAIL,), (CONVERSATION,))
    assert await link_of(store) == ("linked", OWN, "created")


async def test_by_default_there_is_a_name_and_no_contact(
    keeper: ContactKeeper, store: ContactStore, world: World
) -> None:
    world.settings, world.names[PSID] = ChannelSettings(), "Ann Lee"
    await hear(keeper, says(f"I am {MAIL}"))
    person = (await store.person(CONVERSATION)).person
    assert (person.profile.shown_name, person.emails, person.link.state) == ("Ann Lee", (), "none")
    assert await all_contacts(store) == []


async def test_copies_change_nothing_and_cost_nothing(
    keeper: ContactKeeper, store: ContactStore, world: World, database: Database
) -> None:
    world.names[PSID] = "Ann Lee"
    events = [says(MAIL), says("hello", mid="m2")]
    await hear(keeper, *events)
    before = await everything(database)
    for again in (keeper, replica(store, world)):  # one that knows, and one after a restart
        await hear(again, *events, *events)
    assert await everything(database) == before
    assert world.asked == [PSID]


async def everything(database: Database) -> list[Any]:
    names = ("people", "contacts")
    return [await database[name].find().sort("_id").to_list(None) for name in names]


async def test_a_message_of_somebody_who_is_known_costs_no_round_trip(
    keeper: ContactKeeper, store: ContactStore, world: World
) -> None:
    world.names[PSID] = "Ann Lee"
    world.settings = ChannelSettings()
    before = round_trips()
    await hear(keeper, says("hello"))
    assert round_trips() - before == 4  # and two for the Page's calls, which this world has not
    before = round_trips()
    for number in range(20):
        await hear(keeper, says(f"{number}, {MAIL}", mid=f"m{number}"))
    assert round_trips() - before == 0
    world.now += timedelta(hours=1)
    await hear(keeper, says("still there?", mid="late"))
    assert round_trips() - before == 1


async def test_a_name_is_asked_for_again_after_a_week(
    keeper: ContactKeeper, store: ContactStore, world: World
) -> None:
    for name, later in (
        ("Ann Lee", timedelta()),
        ("Ann Lee", timedelta(days=6)),
        ("Ann Ray", timedelta(days=2)),
    ):
        world.now += later
        world.names[PSID] = name
        await hear(keeper, says("hello"))
        shown = (await store.person(CONVERSATION)).person.profile
        assert (shown.shown_name, shown.fetched_at is not None) == (name, True)
    assert world.asked == [PSID, PSID]


async def test_replicas_that_handle_the_same_make_one_contact(
    store: ContactStore, world: World
) -> None:
    """Twenty at once, for ten people each of whom has an existing contact or none."""
    world.names = {str(number): f"Person Number{number}" for number in range(10)}
    first = replica(store, world)
    for number in range(0, 10, 2):
        await with_contact(first, f"Person Number{number}", f"p{number}@example.org")
    replicas = [replica(store, world) for _ in range(20)]

    def work(keeper: ContactKeeper, number: int) -> Callable[[], Awaitable[object]]:
        text = f"write to p{number}@example.org"
        return lambda: hear(keeper, says(text, psid=str(number)))

    await asyncio.gather(
        *[until_it_passes(work(each, number)) for each in replicas for number in range(10)]
    )
    contacts = await all_contacts(store)
    assert len(contacts) == 10
    people = sorted(person for contact in contacts for person in contact.people)
    assert people == sorted(f"{PAGE}:{number}" for number in range(10))
    for number in range(10):
        state, linked, _ = await link_of(store, f"{PAGE}:{number}")
        assert state == "linked"
        (owner,) = [each for each in contacts if f"{PAGE}:{number}" in each.people]
        assert owner.id == linked


async def test_two_people_of_the_same_name_at_the_same_moment_are_not_one(
    store: ContactStore, world: World
) -> None:
    """One of them may be the contact; nobody can tell which comes first, but never both."""
    world.names = {PSID: "Ann Lee", "201": "Ann Lee"}
    first = replica(store, world)
    await with_contact(first, "Ann Lee")
    for _ in range(5):
        await asyncio.gather(
            *[
                until_it_passes(lambda psid=psid: hear(replica(store, world), says("hi", psid)))  # type: ignore[misc]
                for psid in (PSID, "201")
            ]
        )
    contacts = await all_contacts(store)
    assert sorted(len(each.people) for each in contacts) == [1, 1]


async def test_a_crash_at_any_step_is_mended_when_the_event_comes_again(
    database: Database, world: World
) -> None:
    world.names[PSID] = "Ann Lee"
    for step in range(20):
        for name in ("people", "contacts"):
            await database[name].delete_many({})
        store = CrashingStore(database, step)
        with_one = replica(ContactStore(database), world)
        await with_contact(with_one, "Ann Lee", MAIL)
        try:
            await hear(replica(store, world), says(f"I am {MAIL}"))
        except Crash:
            world.now += timedelta(minutes=2)  # whoever asked Meta is dead
            await hear(replica(ContactStore(database), world), says(f"I am {MAIL}"))
        else:
            assert step > 3
            return
        assert await link_of(store) == ("linked", "Ann-Lee", "email")
        (contact,) = await all_contacts(store)
        assert contact.people == (CONVERSATION,)


class CrashingStore(ContactStore):
    """The process dies before its `step`-th write."""

    def __init__(self, database: Database, step: int) -> None:
        super().__init__(database)
        self._left = step

    def _count(self) -> None:
        if self._left == 0:
            raise Crash
        self._left -= 1

    async def save_person(self, known: Any, person: Person) -> Any:  # noqa: ANN401
        self._count()
        return await super().save_person(known, person)

    async def save_contact(self, known: KnownContact, contact: Contact) -> KnownContact:
        self._count()
        return await super().save_contact(known, contact)

    async def remove_contact(self, known: KnownContact) -> None:
        self._count()
        await super().remove_contact(known)


async def test_a_human_decides_and_the_contact_made_for_want_of_a_better_one_goes(
    keeper: ContactKeeper, store: ContactStore, world: World
) -> None:
    world.names[PSID] = "Ann Lee"
    await hear(keeper, says("hello"))
    await with_contact(keeper, "Ann Miller", MAIL)
    await hear(keeper, says(f"I am {MAIL} or +49 30 1234567", mid="m2"))
    person = (await store.person(CONVERSATION)).person
    assert person.link.contact_id == OWN
    assert person.link.suggestion is not None
    assert person.link.suggestion.contacts == ("Ann-Miller",)

    for _ in range(2):  # somebody clicks twice
        decided = await keeper.accept(CONVERSATION, "Ann-Miller")
        assert (decided.link.state, decided.link.contact_id) == ("linked", "Ann-Miller")
    (contact,) = await all_contacts(store)
    assert (contact.name, contact.people) == ("Ann Miller", (CONVERSATION,))
    assert contact.phones == ("+49301234567",)
    with pytest.raises(NotSuggestedError):
        await keeper.accept(CONVERSATION, OWN)


async def test_a_crash_while_a_human_decides_is_mended_by_the_sweep(
    database: Database, world: World
) -> None:
    world.names[PSID] = "Ann Lee"
    for step in range(20):
        for name in ("people", "contacts"):
            await database[name].delete_many({})
        plain = ContactStore(database)
        whole = replica(plain, world)
        await hear(whole, says("hello"))
        await with_contact(whole, "Ann Miller", MAIL)
        await hear(whole, says(MAIL, mid="m2"))
        try:
            await replica(CrashingStore(database, step), world).accept(CONVERSATION, "Ann-Miller")
        except Crash:
            await Sweep(replica(plain, world), plain, world).once(world.now)
        else:
            assert step > 3
            return
        expected = ("linked", OWN, "created") if step == 0 else ("linked", "Ann-Miller", "human")
        assert await link_of(plain) == expected
        people = [person for each in await all_contacts(plain) for person in each.people]
        assert people == [CONVERSATION]


async def test_what_a_human_declines_leads_to_a_contact_of_their_own(
    keeper: ContactKeeper, store: ContactStore, world: World
) -> None:
    world.names[PSID] = "Ann Lee"
    for name in ("one", "two"):
        assert await keeper.put("w1", name, "Ann Lee", (), ()) is not None
    await hear(keeper, says("hello"))
    assert await link_of(store) == ("none", None, None)
    await keeper.decline(CONVERSATION, "one")
    assert await link_of(store) == ("none", None, None)
    await keeper.decline(CONVERSATION, None)
    assert await link_of(store) == ("linked", OWN, "created")


async def test_many_of_one_name_hide_none_of_one_address(
    keeper: ContactKeeper, store: ContactStore, world: World
) -> None:
    world.names[PSID] = "Ann Lee"
    for number in range(60):
        assert await keeper.put("w1", f"a{number:02}", "Ann Lee", (), ()) is not None
    for name in ("y", "z"):
        assert await keeper.put("w1", name, "Ann Lee", (MAIL,), ()) is not None
    await hear(keeper, says(MAIL))
    suggestion = (await store.person(CONVERSATION)).person.link.suggestion
    assert suggestion is not None
    assert (suggestion.by, suggestion.contacts) == ("email", ("y", "z"))


async def test_nobody_is_made_up_by_deciding_about_them(
    keeper: ContactKeeper, store: ContactStore
) -> None:
    with pytest.raises(NotSuggestedError):
        await keeper.accept("100:nobody", "x")
    with pytest.raises(NotSuggestedError):
        await keeper.decline("100:nobody", None)
    assert await store.people(["100:nobody"]) == {}


async def test_contacts_of_other_workspaces_are_not_seen(
    keeper: ContactKeeper, store: ContactStore
) -> None:
    assert await keeper.put("w2", "theirs", "Ann Lee", (MAIL,), ()) is not None
    assert await keeper.put("w1", "theirs", "Ann Lee", (MAIL,), ()) is None
    await hear(keeper, says(MAIL))
    assert (await store.person(CONVERSATION)).person.link.suggestion is None
    assert [each.id for each in await all_contacts(store)] == []


async def test_the_sweep_sees_to_those_whose_name_had_to_wait(
    keeper: ContactKeeper, store: ContactStore, world: World
) -> None:
    world.settings = ChannelSettings(contact_matching=True)
    await with_contact(keeper, "Ann Lee")
    await hear(keeper, says("hello"))
    assert await link_of(store) == ("none", None, None)

    world.names[PSID] = "Ann Lee"
    sweep = Sweep(keeper, store, world)
    await sweep.once(world.now + timedelta(seconds=59))
    assert world.asked == [PSID]
    world.now += timedelta(minutes=1)
    await sweep.once(world.now)
    assert world.asked == [PSID, PSID]
    assert await link_of(store) == ("linked", "Ann-Lee", "name")
    assert await store.unfinished(world.now + timedelta(days=30), 10) == []


async def test_people_of_a_page_that_is_gone_are_put_off(
    keeper: ContactKeeper, store: ContactStore, world: World
) -> None:
    await hear(keeper, says("hello"))
    world.is_connected = False
    world.now += timedelta(minutes=5)
    await Sweep(keeper, store, world).once(world.now)
    assert await store.unfinished(world.now, 10) == []
    assert world.asked == [PSID]


async def test_a_sweep_ends_when_it_is_told(
    keeper: ContactKeeper, store: ContactStore, world: World
) -> None:
    sweep = Sweep(keeper, store, world)
    running = asyncio.create_task(sweep.run())
    await asyncio.sleep(0)
    await sweep.stop(5)
    await asyncio.wait_for(running, 5)


async def test_a_rush_of_new_people_looks_once_for_each(store: ContactStore) -> None:
    def looks() -> float:
        labels = {"command": "find", "collection": "profile_calls"}
        return REGISTRY.get_sample_value("assistant_mongo_round_trips_total", labels) or 0

    before = looks()
    asked = [store.spend_call(PAGE, make.at(0), 100) for _ in range(40)]
    assert await asyncio.gather(*asked) == [None] * 40
    assert looks() - before == 40


async def test_replicas_share_a_pages_calls(database: Database) -> None:
    granted: list[datetime | None] = []
    store, other = ContactStore(database), ContactStore(database)

    async def spend(second: int) -> None:
        asked = store if second % 2 else other
        granted.append(await asked.spend_call(PAGE, make.at(second), 10))

    await asyncio.gather(*[spend(second) for second in range(30)])
    assert granted.count(None) == 10
    assert await store.spend_call(PAGE, make.at(30 + 600), 10) is None


async def test_contacts_are_listed_by_name_and_found_by_how_they_begin(
    keeper: ContactKeeper, store: ContactStore
) -> None:
    for name, *emails in (
        ("Ann Lee", MAIL),
        ("Bob Ray", "bob@example.org"),
        ("Ann Ray",),
        ("Zoë Ann", "zoe@example.org"),
    ):
        await with_contact(keeper, name, *emails)
    assert await keeper.put("w1", "nameless", None, ("a@example.org",), ()) is not None

    async def names(prefix: str) -> list[str | None]:
        return [each.contact.name for each in await store.contacts("w1", prefix, None, 50)]

    assert await names("") == ["Ann Lee", "Ann Ray", "Bob Ray", "Zoë Ann", None]
    assert await names("ann") == ["Ann Lee", "Ann Ray", "Zoë Ann"]
    assert await names("ray") == ["Ann Ray", "Bob Ray"]
    assert await names("bob@") == ["Bob Ray"]
    assert await names(".*") == []

    seen: list[str | None] = []
    after: AfterContact | None = None
    while page := await store.contacts("w1", "", after, 2):
        seen += [each.contact.name for each in page]
        after = AfterContact(sort_key(page[-1].contact), page[-1].contact.id)
    assert seen == await names("")


async def test_what_was_written_meanwhile_is_not_overwritten(store: ContactStore) -> None:
    known = await store.person(CONVERSATION)
    await store.save_person(known, Person(emails=(MAIL,)))
    with pytest.raises(ChangedMeanwhileError):
        await store.save_person(known, Person())
    contact = Contact(id="x", workspace_id="w1", created_at=make.NOON)
    made = await store.save_contact(KnownContact(contact), contact)
    with pytest.raises(ChangedMeanwhileError):
        await store.save_contact(KnownContact(contact), contact)
    changed = await store.save_contact(made, contact.model_copy(update={"name": "Ann"}))
    with pytest.raises(ChangedMeanwhileError):
        await store.remove_contact(made)
    await store.remove_contact(changed)
    assert await store.contact("x") is None


async def test_of_many_people_each_reads_back_as_it_was_saved(store: ContactStore) -> None:
    who = Person(
        profile=Profile(state="known", name="Ann Lee", fetched_at=make.NOON, next_at=make.at(9)),
        emails=(MAIL,),
        since=make.NOON,
    )
    ids: Sequence[str] = [f"{PAGE}:{number}" for number in range(50)]
    await asyncio.gather(*[store.save_person(await store.person(each), who) for each in ids])
    assert await store.people([*ids, "100:nobody"]) == dict.fromkeys(ids, who)
    await store.ensure_indexes()


def round_trips() -> float:
    return sum(
        sample.value
        for metric in REGISTRY.collect()
        if metric.name == "assistant_mongo_round_trips"
        for sample in metric.samples
        if sample.name.endswith("_total")
    )
