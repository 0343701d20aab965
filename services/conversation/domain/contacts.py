"""Which contact a person is: found by what is known, made where nothing is, never guessed. Pure.

A person may be linked to one contact only. A contact has at most one person of a Page, unless a
human says otherwise: Meta already told these people apart. Where more than one contact fits, or one
fits that cannot be, it is kept as a suggestion, and a human decides.

Everything is a function of what is known, without order or count: the same events again, or in
another process, lead to the same.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import Field

from libs.common.events import Model, derived_id
from services.conversation.domain.contact_addresses import Addresses
from services.conversation.domain.profiles import Profile, is_full_name, name_key

MOST_SUGGESTED = 10

Reason = Literal["email", "phone", "name"]
LinkedBy = Literal["email", "phone", "name", "created", "human"]
LinkState = Literal["none", "claiming", "linked"]


class Contact(Model):
    """Somebody that a workspace knows. `people` are `page_id:psid`, sorted."""

    id: str
    workspace_id: str
    name: str | None = None
    emails: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    is_made_by_us: bool = False
    created_at: datetime

    @property
    def addresses(self) -> Addresses:
        return Addresses(self.emails, self.phones)


class Suggestion(Model):
    """Contacts that the person may be, and what speaks for it."""

    by: Reason
    contacts: tuple[str, ...] = Field(min_length=1)


class Link(Model):
    """A person's contact. While `claiming`, the contact may not know yet, or refuse.

    `previous_id`: whom a human took the person from; that contact has to be told.
    `declined`: contacts that a human said this person is not.
    """

    state: LinkState = "none"
    workspace_id: str = ""
    contact_id: str | None = None
    by: LinkedBy | None = None
    previous_id: str | None = None
    suggestion: Suggestion | None = None
    declined: tuple[str, ...] = ()


class Person(Model):
    """What is known of one person of one Page, `page_id:psid`."""

    profile: Profile = Profile()
    emails: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()
    link: Link = Link()
    since: datetime | None = None

    @property
    def addresses(self) -> Addresses:
        return Addresses(self.emails, self.phones)

    @property
    def key(self) -> str:
        """The name to look for; empty: none that would do."""
        key = name_key(self.profile.shown_name)
        return key if is_full_name(key) else ""


@dataclass(frozen=True)
class ContactRules:
    """What the channel says, and whether the name is as known as it will soon be."""

    workspace_id: str
    matching: bool
    auto_create: bool
    name_is_settled: bool = True


@dataclass(frozen=True)
class Found:
    """The workspace's contacts that have one of the person's addresses, or their full name."""

    by_address: Sequence[Contact] = ()
    by_name: Sequence[Contact] = ()


def hear(person: Person, addresses: Addresses) -> Person:
    """What the person wrote is remembered, also for contacts that come to be known later."""
    known = person.addresses.with_(addresses)
    return person.model_copy(update={"emails": known.emails, "phones": known.phones})


def decide(person_id: str, person: Person, found: Found, rules: ContactRules) -> Link:
    """The person's link, given what is known now.

    Args:
        person_id: `page_id:psid`.
        found: as the database has it now; whether a contact can still be claimed shows later.
    """
    link = person.link
    if link.workspace_id != rules.workspace_id:
        link = Link(workspace_id=rules.workspace_id)  # the Page went to another workspace
    if link.state == "claiming":
        return link
    if link.state == "linked":
        return _linked(person_id, person, link, found, rules)
    link = link.model_copy(update={"suggestion": None})
    if rules.matching and (fitting := _fitting(person, found)) is not None:
        link = _matched(person_id, person, link, *fitting)
    if link.state == "claiming" or link.suggestion is not None:
        return link
    if rules.auto_create and (rules.name_is_settled or not rules.matching):
        made = contact_id(rules.workspace_id, person_id)
        return _claiming(link, made, "created")
    return link


def _fitting(person: Person, found: Found) -> tuple[Reason, Sequence[Contact]] | None:
    """The contacts that fit, by the best reason there is. A name counts only without addresses."""
    if found.by_address:
        emails = any(set(person.emails) & set(each.emails) for each in found.by_address)
        return "email" if emails else "phone", found.by_address
    return ("name", found.by_name) if found.by_name else None


def _matched(
    person_id: str, person: Person, link: Link, by: Reason, fitting: Sequence[Contact]
) -> Link:
    """Linked where a single contact fits, and nothing speaks against it."""
    only = fitting[0]
    if (
        len(fitting) == 1
        and only.id not in link.declined
        and can_take(only, person_id)
        and not _contradict(person, only)
        and not (by == "name" and _write_from_elsewhere(person, only))
    ):
        return _claiming(link, only.id, by)
    return _suggesting(link, by, person_id, fitting)


def _linked(person_id: str, person: Person, link: Link, found: Found, rules: ContactRules) -> Link:
    """Who is linked stays so; what was learned since may still be worth a human's look.

    A name is: only if the contact is one that we made for want of a better one.
    """
    others = Found(
        [each for each in found.by_address if each.id != link.contact_id],
        [each for each in found.by_name if each.id != link.contact_id and link.by == "created"],
    )
    fitting = _fitting(person, others) if rules.matching else None
    if fitting is None:
        return link.model_copy(update={"suggestion": None})
    by, contacts = fitting
    return _suggesting(link, by, person_id, contacts)


def _suggesting(link: Link, by: Reason, person_id: str, fitting: Iterable[Contact]) -> Link:
    """A name alone is no reason to think that two people of one Page are the same."""
    names = sorted(
        each.id
        for each in fitting
        if each.id not in link.declined and (by != "name" or can_take(each, person_id))
    )[:MOST_SUGGESTED]
    suggestion = Suggestion(by=by, contacts=tuple(names)) if names else None
    return link.model_copy(update={"suggestion": suggestion})


def _claiming(link: Link, wanted: str, by: LinkedBy) -> Link:
    change = {"state": "claiming", "contact_id": wanted, "by": by, "suggestion": None}
    return link.model_copy(update=change)


def _contradict(person: Person, contact: Contact) -> bool:
    """Whether both have names that share no word: then it is somebody else's address."""
    theirs = set(name_key(person.profile.shown_name).split())
    known = set(name_key(contact.name).split())
    return bool(theirs and known) and not theirs & known


def _write_from_elsewhere(person: Person, contact: Contact) -> bool:
    """Whether both have addresses of one kind, and none in common: then a name proves little."""
    sides = ((person.emails, contact.emails), (person.phones, contact.phones))
    return any(theirs and known and not {*theirs} & {*known} for theirs, known in sides)


def can_take(contact: Contact, person_id: str) -> bool:
    """Whether the contact has no other person of this Page."""
    page = f"{person_id.partition(':')[0]}:"
    return all(each == person_id or not each.startswith(page) for each in contact.people)


def contact_id(workspace_id: str, person_id: str) -> str:
    """The contact made for a person: the same whoever makes it."""
    return derived_id("contact", workspace_id, person_id)


def new_contact(workspace_id: str, person_id: str, now: datetime) -> Contact:
    return Contact(
        id=contact_id(workspace_id, person_id),
        workspace_id=workspace_id,
        is_made_by_us=True,
        created_at=now,
    )


def claim(contact: Contact, person_id: str, link: Link) -> Contact | None:
    """The contact with this person; None: it has another one of the same Page, or is not ours.

    What a human decided is not questioned.
    """
    is_free = link.by == "human" or can_take(contact, person_id)
    if contact.workspace_id != link.workspace_id or not is_free:
        return None
    return contact.model_copy(update={"people": tuple(sorted({*contact.people, person_id}))})


def learn(contact: Contact, person: Person, found: Found) -> Contact:
    """The contact with what its person told: not what other contacts claim for themselves, nor
    what speaks against a link that rests on the name alone.
    """
    if person.link.by == "name" and _write_from_elsewhere(person, contact):
        return contact
    taken = Addresses()
    for other in found.by_address:
        if other.id != contact.id:
            taken = Addresses((*taken.emails, *other.emails), (*taken.phones, *other.phones))
    known = contact.addresses.with_(person.addresses.without(taken))
    told = person.profile.shown_name
    name = contact.name or (told if name_key(told) else None)
    return contact.model_copy(update={"emails": known.emails, "phones": known.phones, "name": name})


def fold(contact: Contact, other: Contact) -> Contact:
    """The contact with what another knew that is given up."""
    known = contact.addresses.with_(other.addresses)
    return contact.model_copy(
        update={
            "emails": known.emails,
            "phones": known.phones,
            "name": contact.name or other.name,
        }
    )


def forgotten(
    contact: Contact, person_id: str, person: Person, others: Sequence[Person]
) -> Contact | None:
    """The contact without a person who is erased, and without what they told; None: it goes, too.

    It goes if we made it and nobody else is it. What the others told stays, and so does the name
    that a workspace gave to a contact of its own.

    Args:
        others: those who are the same contact.
    """
    without = release(contact, person_id)
    if is_idle(without):
        return None
    emails = {each for other in others for each in other.emails}
    phones = {each for other in others for each in other.phones}
    name = contact.name
    if contact.is_made_by_us and name_key(name) == name_key(person.profile.shown_name):
        names = (other.profile.shown_name for other in others)
        name = next((each for each in names if name_key(each)), None)
    return without.model_copy(
        update={
            "name": name,
            "emails": tuple(e for e in contact.emails if e not in person.emails or e in emails),
            "phones": tuple(p for p in contact.phones if p not in person.phones or p in phones),
        }
    )


def release(contact: Contact, person_id: str) -> Contact:
    return contact.model_copy(
        update={"people": tuple(each for each in contact.people if each != person_id)}
    )


def is_idle(contact: Contact) -> bool:
    """Whether a contact that we made has nobody left: it was only ever this person."""
    return contact.is_made_by_us and not contact.people


def settled(link: Link) -> Link:
    """The contact knows: the link stands."""
    return link.model_copy(update={"state": "linked", "previous_id": None})


def lost(link: Link, *, is_there: bool) -> Link:
    """The contact could not be had. If it is there, a human may see why; nothing else is tried
    with it by itself.
    """
    change: dict[str, object] = {"state": "none", "contact_id": None, "by": None}
    by = link.by
    if is_there and link.contact_id is not None and by in ("email", "phone"):
        change["suggestion"] = Suggestion(by=by, contacts=(link.contact_id,))
    return link.model_copy(update=change)


def accepted(link: Link, wanted: str) -> Link | None:
    """A human says that the person is this contact; None: that was not suggested.

    Saying it again changes nothing.
    """
    if link.contact_id == wanted and link.state != "none":
        return link
    if link.state == "claiming" or link.suggestion is None:
        return None
    if wanted not in link.suggestion.contacts:
        return None
    taken_from = link.contact_id if link.state == "linked" else None
    claiming = _claiming(link, wanted, "human")
    return claiming.model_copy(update={"previous_id": taken_from})


def declined(link: Link, unwanted: str | None) -> Link | None:
    """A human says that the person is not this contact, or none of those suggested.

    None: it was not suggested. Saying it again changes nothing.
    """
    suggested = link.suggestion.contacts if link.suggestion else ()
    refused = suggested if unwanted is None else (unwanted,)
    if not {*refused, *link.declined} or not set(refused) <= {*suggested, *link.declined}:
        return None
    rest = tuple(each for each in suggested if each not in refused)
    by = link.suggestion.by if link.suggestion else "name"
    return link.model_copy(
        update={
            "declined": tuple(sorted({*link.declined, *refused})),
            "suggestion": Suggestion(by=by, contacts=rest) if rest else None,
        }
    )
