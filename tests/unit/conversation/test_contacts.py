"""Which contact a person is: found by what is known, made where nothing is, never guessed."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.conversation.domain import contacts
from services.conversation.domain.contact_addresses import Addresses
from services.conversation.domain.contacts import (
    Contact,
    ContactRules,
    Found,
    Link,
    LinkedBy,
    Person,
    Reason,
    Suggestion,
)
from services.conversation.domain.profiles import Profile
from tests.unit.conversation import factories as make
from tests.unit.conversation.factories import CONVERSATION, PATIENTLY

MINE, OF_ANOTHER, OF_ANOTHER_PAGE = CONVERSATION, "100:201", "101:300"
MAIL, PHONE = "ann@example.org", "+49301234567"


def contact(contact_id: str = "x", **facts: Any) -> Contact:  # noqa: ANN401
    values = {"id": contact_id, "workspace_id": "w1", "created_at": make.NOON}
    return Contact.model_validate(values | facts)


def person(name: str | None = None, **facts: Any) -> Person:  # noqa: ANN401
    profile = Profile(state="known", name=name) if name else Profile()
    return Person(profile=profile, since=make.NOON, **facts)


def decide(who: Person, *known: Contact, **rules: Any) -> Link:  # noqa: ANN401
    """As the store finds them."""
    settings: dict[str, Any] = {"workspace_id": "w1", "matching": True, "auto_create": False}
    return contacts.decide(MINE, who, found(who, known), ContactRules(**settings | rules))


def found(who: Person, known: tuple[Contact, ...]) -> Found:
    return Found(
        [
            each
            for each in known
            if set(who.emails) & set(each.emails) or set(who.phones) & set(each.phones)
        ],
        [each for each in known if who.key and each.name == who.profile.name],
    )


@pytest.mark.parametrize(
    ("who", "known", "by"),
    [
        (person(emails=(MAIL,)), contact(emails=(MAIL,)), "email"),
        (person(phones=(PHONE,)), contact(phones=(PHONE,)), "phone"),
        (person("Ann Lee"), contact(name="Ann Lee"), "name"),
        (person("Ann Lee", emails=(MAIL,)), contact(emails=(MAIL,), name="A. Lee"), "email"),
        (person("Ann Lee"), contact(name="Ann Lee", people=(OF_ANOTHER_PAGE,)), "name"),
        (person(emails=(MAIL,)), contact(emails=(MAIL,), people=(MINE,)), "email"),
    ],
)
def test_the_only_contact_that_fits_is_the_persons(who: Person, known: Contact, by: str) -> None:
    link = decide(who, known)
    assert (link.state, link.contact_id, link.by) == ("claiming", "x", by)


def writing(contact_id: str = "x", **facts: Any) -> Contact:  # noqa: ANN401
    return contact(contact_id, emails=(MAIL,), **facts)


def called(contact_id: str, **facts: Any) -> Contact:  # noqa: ANN401
    return contact(contact_id, name="Ann Lee", **facts)


@pytest.mark.parametrize("auto_create", [True, False])
@pytest.mark.parametrize(
    ("who", "known", "by", "suggested"),
    [
        (person(emails=(MAIL,)), [writing("x"), writing("y")], "email", ("x", "y")),
        (person("Ann Lee"), [called("x"), called("y")], "name", ("x", "y")),
        # an address of somebody whom Meta knows as another person of this Page
        (person(emails=(MAIL,)), [writing(people=(OF_ANOTHER,))], "email", ("x",)),
        # "please write to bob@…"
        (person("Ann Lee", emails=(MAIL,)), [writing(name="Bob Ray")], "email", ("x",)),
        # of the same name, but they write from another address, or call from another number
        (
            person("Ann Lee", emails=("new@example.org",)),
            [called("x", emails=(MAIL,))],
            "name",
            "x",
        ),
        (person("Ann Lee", phones=("+49309999999",)), [called("x", phones=(PHONE,))], "name", "x"),
        # one of two is another person of this Page: which is the other?
        (person("Ann Lee"), [called("x", people=(OF_ANOTHER,)), called("y")], "name", ("y",)),
    ],
)
def test_what_is_not_clear_is_left_to_a_human(
    who: Person,
    known: list[Contact],
    by: Reason,
    suggested: tuple[str, ...],
    auto_create: bool,
) -> None:
    link = decide(who, *known, auto_create=auto_create)
    assert (link.state, link.contact_id) == ("none", None)
    assert link.suggestion == Suggestion(by=by, contacts=tuple(suggested))


@pytest.mark.parametrize(
    ("who", "known"),
    [
        (person("Ann Lee", emails=(MAIL,)), called("x")),
        (person("Ann Lee"), called("x", emails=(MAIL,), phones=(PHONE,))),
        (person("Ann Lee", emails=(MAIL,)), called("x", phones=(PHONE,))),
    ],
)
def test_addresses_of_one_side_only_speak_against_nothing(who: Person, known: Contact) -> None:
    link = decide(who, known)
    assert (link.contact_id, link.by) == ("x", "name")


def test_an_address_in_common_outweighs_a_number_that_is_not() -> None:
    who = person("Ann Lee", emails=(MAIL,), phones=("+49309999999",))
    assert decide(who, called("x", emails=(MAIL,), phones=(PHONE,))).by == "email"


def test_two_people_of_one_page_with_the_same_name_are_two() -> None:
    other = contact(name="Ann Lee", people=(OF_ANOTHER,))
    assert decide(person("Ann Lee"), other) == Link(workspace_id="w1")
    assert decide(person("Ann Lee"), other, auto_create=True).by == "created"


@pytest.mark.parametrize("who", [person("Ann"), person(), person("Facebook User")])
def test_a_name_that_says_little_leads_nowhere(who: Person) -> None:
    assert decide(who, contact(name=who.profile.name)).state == "none"


def test_addresses_that_lead_to_different_contacts_are_no_match() -> None:
    who = person(emails=(MAIL,), phones=(PHONE,))
    link = decide(who, contact("x", emails=(MAIL,)), contact("y", phones=(PHONE,)))
    assert link.suggestion == Suggestion(by="email", contacts=("x", "y"))


def test_what_both_settings_leave_off_stays_off() -> None:
    who, known = person("Ann Lee", emails=(MAIL,)), contact(name="Ann Lee", emails=(MAIL,))
    assert decide(who, known, matching=False) == Link(workspace_id="w1")
    created = decide(who, known, matching=False, auto_create=True)
    assert created.contact_id == contacts.contact_id("w1", MINE)


def test_a_contact_is_made_when_the_name_is_as_known_as_it_will_be() -> None:
    soon = decide(person(), auto_create=True, name_is_settled=False)
    assert soon.state == "none"
    assert decide(person(), auto_create=True).by == "created"
    # without matching the name decides nothing
    assert decide(person(), matching=False, auto_create=True, name_is_settled=False).by == "created"


def test_who_is_linked_stays_so_and_what_was_learned_is_a_suggestion() -> None:
    link = Link(state="linked", workspace_id="w1", contact_id="own", by="created")
    later = decide(person("Ann Lee", emails=(MAIL,), link=link), contact("x", emails=(MAIL,)))
    assert (later.state, later.contact_id) == ("linked", "own")
    assert later.suggestion == Suggestion(by="email", contacts=("x",))
    by_name = decide(person("Ann Lee", link=link), contact("x", name="Ann Lee"))
    assert by_name.suggestion == Suggestion(by="name", contacts=("x",))
    matched = link.model_copy(update={"by": "email"})
    assert decide(person("Ann Lee", link=matched), contact("x", name="Ann Lee")) == matched


def test_another_workspace_knows_nothing_of_the_link() -> None:
    link = Link(state="linked", workspace_id="w0", contact_id="old", by="email")
    assert decide(person(link=link)) == Link(workspace_id="w1")


# --- what a human decides


def test_who_was_declined_is_never_tried_again() -> None:
    two = contact("x", name="Ann Lee"), contact("y", name="Ann Lee")
    link = contacts.declined(decide(person("Ann Lee"), *two), "x")
    assert link is not None
    assert link.declined == ("x",)
    again = decide(person("Ann Lee", link=link), *two)
    assert again.suggestion == Suggestion(by="name", contacts=("y",))  # y alone is not proven
    nobody = contacts.declined(again, None)
    assert nobody is not None
    assert decide(person("Ann Lee", link=nobody), *two).suggestion is None
    assert decide(person("Ann Lee", link=nobody), *two, auto_create=True).by == "created"
    alone = decide(person("Ann Lee", emails=(MAIL,), link=nobody), contact("x", emails=(MAIL,)))
    assert alone.state == "none"


def test_only_what_is_suggested_can_be_decided() -> None:
    link = Link(workspace_id="w1", suggestion=Suggestion(by="name", contacts=("x", "y")))
    assert contacts.accepted(link, "z") is None
    assert contacts.declined(link, "z") is None
    assert contacts.accepted(Link(), "x") is None
    assert contacts.declined(Link(), None) is None


def test_deciding_twice_changes_nothing() -> None:
    link = Link(workspace_id="w1", suggestion=Suggestion(by="name", contacts=("x", "y")))
    once = contacts.accepted(link, "x")
    assert once is not None
    assert (once.state, once.contact_id, once.by) == ("claiming", "x", "human")
    assert contacts.accepted(once, "x") == once
    assert contacts.accepted(contacts.settled(once), "x") == contacts.settled(once)
    refused = contacts.declined(link, "x")
    assert refused is not None
    assert contacts.declined(refused, "x") == refused


def test_a_person_is_taken_from_the_contact_they_had() -> None:
    suggestion = Suggestion(by="email", contacts=("x",))
    link = Link(
        state="linked", workspace_id="w1", contact_id="own", by="created", suggestion=suggestion
    )
    moved = contacts.accepted(link, "x")
    assert moved is not None
    assert (moved.contact_id, moved.previous_id) == ("x", "own")
    assert contacts.settled(moved).previous_id is None


# --- what a contact has to say


def test_a_contact_takes_one_person_of_a_page_unless_a_human_says_so() -> None:
    link = Link(state="claiming", workspace_id="w1", contact_id="x", by="email")
    taken = contact(people=(OF_ANOTHER,))
    assert contacts.claim(taken, MINE, link) is None
    by_hand = link.model_copy(update={"by": "human"})
    both = contacts.claim(taken, MINE, by_hand)
    assert both is not None
    assert both.people == (MINE, OF_ANOTHER)
    assert contacts.claim(both, MINE, by_hand) == both
    assert contacts.claim(contact(workspace_id="w2"), MINE, by_hand) is None


def test_a_contact_learns_what_its_person_told_but_not_what_others_claim() -> None:
    who = person("Ann Lee", emails=(MAIL, "bob@example.org"), phones=(PHONE,))
    bob = contact("bob", emails=("bob@example.org",))
    learned = contacts.learn(contact(), who, Found([bob]))
    assert (learned.name, learned.emails, learned.phones) == ("Ann Lee", (MAIL,), (PHONE,))
    assert contacts.learn(learned, who, Found([bob, learned])) == learned
    assert contacts.learn(contact(name="A. Lee"), who, Found()).name == "A. Lee"
    assert contacts.learn(contact(), person("Facebook User"), Found()).name is None


@pytest.mark.parametrize(
    ("by", "learns"), [("name", False), ("email", True), ("created", True), ("human", True)]
)
def test_a_contact_known_by_name_alone_learns_no_address_that_speaks_against_it(
    by: LinkedBy, learns: bool
) -> None:
    link = Link(workspace_id="w1", state="linked", contact_id="x", by=by)
    who = person("Ann Lee", emails=("new@example.org",), link=link)
    old = called("x", emails=(MAIL,))
    emails = ("ann@example.org", "new@example.org") if learns else (MAIL,)
    assert contacts.learn(old, who, Found()).emails == emails
    fresh = contacts.learn(called("x"), who, Found())  # nothing speaks against it
    assert fresh.emails == ("new@example.org",)


def test_a_contact_that_is_given_up_leaves_what_it_knew() -> None:
    own = contact("own", emails=(MAIL,), name="Ann Lee", is_made_by_us=True, people=(MINE,))
    left = contacts.release(own, MINE)
    assert contacts.is_idle(left)
    folded = contacts.fold(contact(phones=(PHONE,)), left)
    assert (folded.name, folded.emails, folded.phones) == ("Ann Lee", (MAIL,), (PHONE,))
    assert not contacts.is_idle(contacts.release(contact(people=(MINE,)), MINE))


def test_a_contact_that_could_not_be_had_is_free_again() -> None:
    link = Link(state="claiming", workspace_id="w1", contact_id="x", by="email")
    refused = contacts.lost(link, is_there=True)
    assert refused.suggestion == Suggestion(by="email", contacts=("x",))
    assert contacts.lost(link, is_there=False) == Link(workspace_id="w1")


# --- laws

EMAILS = st.lists(st.sampled_from([MAIL, "b@example.org"]), unique=True, max_size=2).map(tuple)
PHONES = st.lists(st.sampled_from([PHONE]), unique=True, max_size=1).map(tuple)
PEOPLE = st.lists(st.sampled_from([MINE, OF_ANOTHER, OF_ANOTHER_PAGE]), unique=True, max_size=2)
NAMES = st.sampled_from([None, "Ann", "Ann Lee", "Bob Ray"])
KNOWN = st.lists(
    st.builds(
        contact,
        st.sampled_from("xyz"),
        name=NAMES,
        emails=EMAILS,
        phones=PHONES,
        people=PEOPLE.map(tuple),
    ),
    max_size=3,
    unique_by=lambda each: each.id,
)
LINKS = st.builds(
    Link,
    workspace_id=st.just("w1"),
    declined=st.lists(st.sampled_from("xyz"), unique=True, max_size=2).map(tuple),
)
WHO = st.builds(person, NAMES, emails=EMAILS, phones=PHONES, link=LINKS)


@PATIENTLY
@given(WHO, KNOWN, st.booleans())
def test_nobody_is_linked_where_more_than_one_contact_fits(
    who: Person, known: list[Contact], auto_create: bool
) -> None:
    link = decide(who, *known, auto_create=auto_create)
    by_address = [
        each
        for each in known
        if set(who.emails) & set(each.emails) or set(who.phones) & set(each.phones)
    ]
    by_name = [each for each in known if who.key and each.name == who.profile.name]
    if link.by in ("email", "phone"):
        assert [each.id for each in by_address] == [link.contact_id]
    if link.by == "name":
        assert not by_address
        assert [each.id for each in by_name] == [link.contact_id]
    if link.by == "created":
        assert link.suggestion is None
    assert link.contact_id is None or link.contact_id not in who.link.declined
    if link.suggestion is not None:
        assert not set(link.suggestion.contacts) & set(who.link.declined)


@PATIENTLY
@given(EMAILS, PHONES, EMAILS, PHONES, st.booleans())
def test_a_name_links_only_those_whose_addresses_do_not_differ(
    emails: tuple[str, ...],
    phones: tuple[str, ...],
    known_emails: tuple[str, ...],
    known_phones: tuple[str, ...],
    auto_create: bool,
) -> None:
    who = person("Ann Lee", emails=emails, phones=phones)
    known = called("x", emails=known_emails, phones=known_phones)
    link = decide(who, known, auto_create=auto_create)
    in_common = {*emails, *phones} & {*known_emails, *known_phones}
    comparable = (emails and known_emails) or (phones and known_phones)
    if comparable and not in_common:
        assert (link.contact_id, link.suggestion) == (None, Suggestion(by="name", contacts=("x",)))
    else:
        assert link.by in (("email", "phone") if in_common else ("name",))
        assert link.contact_id == "x"


@PATIENTLY
@given(WHO, KNOWN, st.booleans(), st.randoms(use_true_random=False))
def test_what_is_known_decides_and_not_the_order_in_which_it_is_found(
    who: Person,
    known: list[Contact],
    auto_create: bool,
    chance: Any,  # noqa: ANN401
) -> None:
    link = decide(who, *known, auto_create=auto_create)
    shuffled = chance.sample(known, len(known))
    assert decide(who, *shuffled, auto_create=auto_create) == link
    again = who.model_copy(update={"link": link})
    assert decide(again, *known, auto_create=auto_create) == link


@PATIENTLY
@given(st.lists(st.tuples(EMAILS, PHONES), max_size=4))
def test_what_was_heard_is_the_same_in_any_order(
    heard: list[tuple[tuple[str, ...], tuple[str, ...]]],
) -> None:
    there, back = person(), person()
    for emails, phones in heard:
        there = contacts.hear(there, Addresses(emails, phones))
    for emails, phones in [*reversed(heard), *heard]:
        back = contacts.hear(back, Addresses(emails, phones))
    assert there == back


def test_since_is_not_touched_by_what_is_heard() -> None:
    who = person().model_copy(update={"since": make.NOON + timedelta(days=1)})
    assert contacts.hear(who, Addresses((MAIL,))).since == who.since
