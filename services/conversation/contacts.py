"""Events in, names and contacts out, in a consumer group of its own: no answer ever waits for it.

A person is settled in steps, each of which can be repeated: what they wrote is remembered, their
profile renewed if it is due, their contact decided on, claimed, and told. A crash between two steps
is mended by the next event, or by the sweep. While nothing new can come of it, a message of a
person costs no round trip.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog
from prometheus_client import Counter

from libs.common.channels import Channel
from libs.common.erasures import Erased, NobodyErased, is_of_erased
from libs.common.errors import TransientError
from libs.common.events import AnyRecord, MessageEdited, MessageReceived
from libs.common.kafka import KeyBatch
from services.conversation.contacts_store import (
    ChangedMeanwhileError,
    ContactStore,
    KnownContact,
    KnownPerson,
)
from services.conversation.domain import contacts
from services.conversation.domain.contact_addresses import Addresses, addresses_in
from services.conversation.domain.contacts import Contact, ContactRules, Found, Link, Person
from services.conversation.domain.profiles import Profile, asking, is_due, waiting_until
from services.conversation.history import arrival_of

WANTED = frozenset({b"message.received", b"message.edited", b"postback.received"})
REMEMBERED_PEOPLE = 20_000
QUIET_AT_MOST = timedelta(hours=1)  # contacts may come to be known that fit
NAME_WITHIN = timedelta(minutes=10)  # a contact is not made before, if its name may still come
ROUNDS = 4  # decided, refused by the contact, decided again
ATTEMPTS = 5
SWEEP_EVERY_S = 15.0
SWEPT_AT_ONCE = 20
WITHOUT_CHANNEL = timedelta(days=1)

LINKS = Counter("assistant_contact_links_total", "People linked to a contact.", ["by"])

log = structlog.get_logger(__name__)


class Channels(Protocol):
    """What is needed of `ChannelDirectory`."""

    async def channel(self, page_id: str) -> Channel | None: ...


class Profiles(Protocol):
    """What is needed of `ProfileReader`."""

    async def renewed(self, channel: Channel, psid: str, profile: Profile) -> Profile: ...


class NotSuggestedError(Exception):
    """There is no such suggestion, or not any more."""


@dataclass(frozen=True)
class _Quiet:
    """Until when a person's messages bring nothing new, unless they hold an address we lack."""

    until: datetime
    addresses: Addresses
    rules: tuple[str, bool, bool]


def wants(headers: Mapping[str, bytes]) -> bool:
    """Of the events topic, what a person does."""
    return headers.get("type") in WANTED and headers.get("version", b"").startswith(b"1.")


class ContactKeeper:
    """Settles people: handles their events, and does what humans decide about them."""

    def __init__(
        self,
        store: ContactStore,
        channels: Channels,
        profiles: Profiles,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        erased: Erased | None = None,
    ) -> None:
        self._store = store
        self._channels = channels
        self._profiles = profiles
        self._clock = clock
        self._erased = erased or NobodyErased()
        self._quiet: OrderedDict[str, _Quiet] = OrderedDict()

    async def handle(self, batch: KeyBatch) -> None:
        """Take in a person's events; return when what follows from them is durable."""
        person_id = batch.key.decode()
        channel = await self._channels.channel(person_id.partition(":")[0])
        if channel is None or channel.status == "disconnected":
            return
        events = [arrival_of(record).event for record in batch.records]
        events = [event for event in events if not is_of_erased(self._erased, event)]
        if not events:
            return
        heard = addresses_in(_texts(events)) if _asks_for_contacts(channel) else Addresses()
        if not self._is_quiet(person_id, channel, heard):
            await self.settle(channel, person_id, heard)

    async def settle(
        self, channel: Channel, person_id: str, heard: Addresses | None = None
    ) -> Person:
        """See to a person's profile and contact; without `heard`, of whom something is known.

        Raises:
            ChangedMeanwhileError: another process did; the same again will pass.
        """
        known = await self._store.person(person_id)
        if heard is None and not known.version:
            return known.person  # erased since somebody thought of them
        person = contacts.hear(known.person, heard or Addresses())
        known = await self._with_profile(channel, known, person)
        if _asks_for_contacts(channel) or known.person.link.state == "claiming":
            known = await self._with_contact(channel, known)
        self._remember(channel, known)
        return known.person

    async def accept(self, person_id: str, contact_id: str) -> Person:
        """A human says that the person is this contact.

        Raises:
            NotSuggestedError
            TransientError: it is not done; the same again will pass.
        """
        return await self._by_hand(person_id, lambda link: contacts.accepted(link, contact_id))

    async def decline(self, person_id: str, contact_id: str | None) -> Person:
        """A human says that the person is not this contact, or none of those suggested.

        Raises: as `accept`.
        """
        return await self._by_hand(person_id, lambda link: contacts.declined(link, contact_id))

    async def put(
        self,
        workspace_id: str,
        contact_id: str,
        name: str | None,
        emails: tuple[str, ...],
        phones: tuple[str, ...],
    ) -> Contact | None:
        """Make a contact that is known from elsewhere, or replace what it says.

        None: there is one of this id in another workspace.

        Raises:
            ChangedMeanwhileError: the same again will pass.
        """
        for _ in range(ATTEMPTS):
            known = await self._store.contact(contact_id)
            if known is None:
                new = Contact(id=contact_id, workspace_id=workspace_id, created_at=self._clock())
                known = KnownContact(new)
            if known.contact.workspace_id != workspace_id:
                return None
            said = {"name": name, "emails": tuple(sorted(set(emails)))}
            told = said | {"phones": tuple(sorted(set(phones)))}
            with suppress(ChangedMeanwhileError):
                contact = known.contact.model_copy(update=told)
                return (await self._store.save_contact(known, contact)).contact
        raise ChangedMeanwhileError("again and again")

    def forget(self, person_id: str) -> None:
        """Whatever comes of this person is news."""
        self._quiet.pop(person_id, None)

    async def put_off(self, person_id: str) -> None:
        """Nobody can be asked about this person: the Page is not connected."""
        known = await self._store.person(person_id)
        if not known.version:
            return
        until = self._clock() + WITHOUT_CHANNEL
        profile = waiting_until(known.person.profile, until, "no_channel")
        await self._store.save_person(known, _changed(known.person, profile=profile))

    async def _by_hand(self, person_id: str, decide: Callable[[Link], Link | None]) -> Person:
        for _ in range(ATTEMPTS):
            known = await self._store.person(person_id)
            link = decide(known.person.link)
            if link is None:
                raise NotSuggestedError
            with suppress(ChangedMeanwhileError):
                known = await self._store.save_person(known, _changed(known.person, link=link))
                return await self._after(known)
        raise ChangedMeanwhileError("again and again")

    async def _after(self, known: KnownPerson) -> Person:
        """What follows from a human's word: the contact is told, or another one found or made."""
        self._quiet.pop(known.id, None)
        if known.person.link.state == "claiming":
            known = await self._claimed(known)
        channel = await self._channels.channel(known.id.partition(":")[0])
        if channel is None or not _asks_for_contacts(channel):
            return known.person
        return (await self._with_contact(channel, known)).person

    async def _with_profile(
        self, channel: Channel, known: KnownPerson, person: Person
    ) -> KnownPerson:
        now = self._clock()
        person = person if person.since else _changed(person, since=now)
        if not is_due(person.profile, now):
            return await self._store.save_person(known, person)
        person = _changed(person, profile=asking(person.profile, now))
        before = known.person.profile
        known = await self._store.save_person(known, person)
        psid = known.id.partition(":")[2]
        profile = await self._profiles.renewed(channel, psid, before)
        known = await self._store.save_person(known, _changed(known.person, profile=profile))
        if profile.state == "known":
            await self._store.tell_inbox(known)
        return known

    async def _with_contact(self, channel: Channel, known: KnownPerson) -> KnownPerson:
        for _ in range(ROUNDS):
            rules = self._rules(channel, known.person)
            found = Found()
            if rules.matching:
                found = await self._store.found(channel.workspace_id, known.person)
            link = contacts.decide(known.id, known.person, found, rules)
            known = await self._store.save_person(known, _changed(known.person, link=link))
            if link.state == "claiming":
                known = await self._claimed(known)
            elif link.state == "none" or await self._told(known, found):
                return known
            else:  # the contact was removed
                lost = contacts.lost(link, is_there=False)
                known = await self._store.save_person(known, _changed(known.person, link=lost))
        return known

    async def _claimed(self, known: KnownPerson) -> KnownPerson:
        """Linked, or free again: the contact says. First another one lets the person go."""
        link = known.person.link
        previous = await self._released(known.id, link)
        contact = await self._wanted(known.id, link)
        claimed = contacts.claim(contact.contact, known.id, link) if contact else None
        if contact is None or claimed is None:
            lost = contacts.lost(link, is_there=contact is not None)
            return await self._store.save_person(known, _changed(known.person, link=lost))
        if previous is not None:
            claimed = contacts.fold(claimed, previous.contact)
        found = await self._store.found(link.workspace_id, known.person)
        await self._store.save_contact(contact, contacts.learn(claimed, known.person, found))
        if previous is not None:
            await self._store.remove_contact(previous)
        LINKS.labels(link.by or "unknown").inc()
        stands = contacts.settled(link)
        return await self._store.save_person(known, _changed(known.person, link=stands))

    async def _wanted(self, person_id: str, link: Link) -> KnownContact | None:
        contact = await self._store.contact(link.contact_id) if link.contact_id else None
        if contact is None and link.by == "created":
            made = contacts.new_contact(link.workspace_id, person_id, self._clock())
            return KnownContact(made)
        return contact

    async def _released(self, person_id: str, link: Link) -> KnownContact | None:
        """Let the previous contact know; returned only if it has become nobody's."""
        if link.previous_id is None:
            return None
        previous = await self._store.contact(link.previous_id)
        if previous is None:
            return None
        without = contacts.release(previous.contact, person_id)
        previous = await self._store.save_contact(previous, without)
        return previous if contacts.is_idle(previous.contact) else None

    async def _told(self, known: KnownPerson, found: Found) -> bool:
        """What the person told becomes known of their contact; False: there is no such contact."""
        contact_id = known.person.link.contact_id
        contact = await self._store.contact(contact_id) if contact_id else None
        if contact is None:
            return False
        await self._store.save_contact(
            contact, contacts.learn(contact.contact, known.person, found)
        )
        return True

    def _rules(self, channel: Channel, person: Person) -> ContactRules:
        overdue = person.since is None or self._clock() - person.since >= NAME_WITHIN
        return ContactRules(
            workspace_id=channel.workspace_id,
            matching=channel.settings.contact_matching,
            auto_create=channel.settings.auto_create_contacts,
            name_is_settled=overdue or not person.profile.is_waiting,
        )

    def _is_quiet(self, person_id: str, channel: Channel, heard: Addresses) -> bool:
        quiet = self._quiet.get(person_id)
        return (
            quiet is not None
            and self._clock() < quiet.until
            and quiet.rules == _settings(channel)
            and not heard.without(quiet.addresses)
        )

    def _remember(self, channel: Channel, known: KnownPerson) -> None:
        person = known.person
        until = min(person.profile.next_at or self._clock(), self._clock() + QUIET_AT_MOST)
        self._quiet[known.id] = _Quiet(until, person.addresses, _settings(channel))
        self._quiet.move_to_end(known.id)
        if len(self._quiet) > REMEMBERED_PEOPLE:
            self._quiet.popitem(last=False)


class Sweep:
    """Sees to those who were left waiting: for a call, for Meta, or by a crash."""

    def __init__(self, keeper: ContactKeeper, store: ContactStore, channels: Channels) -> None:
        self._keeper = keeper
        self._store = store
        self._channels = channels
        self._stopping = asyncio.Event()
        self._finished = asyncio.Event()

    async def run(self) -> None:
        """Return after `stop`. A database that is away is tried again."""
        try:
            while not self._stopping.is_set():
                with suppress(TransientError):
                    await self.once(datetime.now(UTC))
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), SWEEP_EVERY_S)
        finally:
            self._finished.set()

    async def stop(self, drain_timeout_s: float) -> None:
        self._stopping.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._finished.wait(), drain_timeout_s)

    async def once(self, now: datetime) -> None:
        """See to some of those who are due; who can't be is no reason to leave the others."""
        for person_id in await self._store.unfinished(now, SWEPT_AT_ONCE):
            if self._stopping.is_set():
                return
            try:
                await self._see_to(person_id)
            except ChangedMeanwhileError:
                continue  # another process does
            except TransientError:
                raise
            except Exception as error:
                log.exception("sweep_failed", error=type(error).__name__)

    async def _see_to(self, person_id: str) -> None:
        channel = await self._channels.channel(person_id.partition(":")[0])
        if channel is None or channel.status == "disconnected":
            await self._keeper.put_off(person_id)
        else:
            await self._keeper.settle(channel, person_id)


def _asks_for_contacts(channel: Channel) -> bool:
    return channel.settings.contact_matching or channel.settings.auto_create_contacts


def _settings(channel: Channel) -> tuple[str, bool, bool]:
    settings = channel.settings
    return channel.workspace_id, settings.contact_matching, settings.auto_create_contacts


def _texts(events: list[AnyRecord]) -> list[str]:
    return [
        event.text
        for event in events
        if isinstance(event, MessageReceived | MessageEdited) and event.text
    ]


def _changed(person: Person, **changes: object) -> Person:
    return person.model_copy(update=changes)
