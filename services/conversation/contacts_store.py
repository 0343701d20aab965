"""MongoDB: `people`, `contacts` and `profile_calls`. Nobody else writes them.

Every document carries a `version` and changes by compare-and-set: who comes second is told, reads
again, and decides again.
"""

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from weakref import WeakValueDictionary

from libs.common.erasures import Erased, NobodyErased
from libs.common.errors import TransientError
from libs.common.mongo import (
    Collection,
    Database,
    Document,
    DuplicateKeyError,
    GroupReader,
    mongo_errors,
)
from services.conversation.domain.contacts import Contact, Found, Person
from services.conversation.domain.profiles import name_key, next_call_at, spend
from services.conversation.inbox_store import InboxStore

MOST_FOUND = 50  # more than a handful is as ambiguous as two
NAMELESS = "\uffff"  # behind every name
UNKNOWN = Person()
AT_ONCE = datetime.fromtimestamp(0, UTC)


class ChangedMeanwhileError(TransientError):
    """Somebody else wrote the document since it was read."""

    code = "changed_meanwhile"


@dataclass(frozen=True)
class KnownPerson:
    """A person as the database has them, and when they were erased before that, if they were."""

    id: str
    person: Person = UNKNOWN
    version: int = 0
    erased_at: datetime | None = None


@dataclass(frozen=True)
class KnownContact:
    """A contact as the database has it; version 0: not yet."""

    contact: Contact
    version: int = 0


@dataclass(frozen=True)
class AfterContact:
    """Where a page of the list begins: behind this contact."""

    sort_key: str
    id: str


class ContactStore:
    """What is known of people and contacts, one method a question."""

    def __init__(self, database: Database, erased: Erased | None = None) -> None:
        self._erased = erased or NobodyErased()
        self._people = database["people"]
        self._contacts = database["contacts"]
        self._calls = database["profile_calls"]
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._inbox = InboxStore(database)
        self._reader = GroupReader(self._people)

    async def ensure_indexes(self) -> None:
        with mongo_errors():
            for field in ("emails", "phones", "name_key", "search"):
                await self._contacts.create_index([("workspace_id", 1), (field, 1)])
            await self._contacts.create_index([("workspace_id", 1), ("sort_key", 1), ("_id", 1)])
            await self._people.create_index([("see_to_at", 1)])

    async def person(self, person_id: str) -> KnownPerson:
        erased_at = self._erased.erased_at(person_id)  # before: what is read is no newer
        document = await self._reader.read(person_id)
        if document is None:
            return KnownPerson(person_id, erased_at=erased_at)
        person = Person.model_validate(document)
        return KnownPerson(person_id, person, document["version"], erased_at)

    async def people(self, person_ids: Sequence[str]) -> dict[str, Person]:
        """Those of these people that are known."""
        with mongo_errors():
            cursor = self._people.find({"_id": {"$in": list(person_ids)}})
            found = await cursor.to_list(None)
        return {document["_id"]: Person.model_validate(document) for document in found}

    async def save_person(self, known: KnownPerson, person: Person) -> KnownPerson:
        """Write what changed of a person.

        Raises:
            ChangedMeanwhileError: somebody else did, or the person has been erased.
        """
        if person == known.person and known.version:
            return known
        if self._erased.erased_at(known.id) != known.erased_at:
            raise ChangedMeanwhileError("erased")
        fields = person.model_dump() | {"see_to_at": _see_to_at(person)}
        await _compare_and_set(self._people, known.id, known.version, fields)
        return replace(known, person=person, version=known.version + 1)

    async def tell_inbox(self, known: KnownPerson) -> None:
        """What a person is called, for its lists. It is told so each time that Meta is asked: what
        got lost between two writes comes to be known then."""
        await self._inbox.name(known.id, known.person.profile)

    async def unfinished(self, now: datetime, limit: int) -> list[str]:
        """People to be seen to: who waits longest comes first."""
        with mongo_errors():
            cursor = self._people.find({"see_to_at": {"$lte": now}}, {"_id": 1})
            cursor = cursor.sort([("see_to_at", 1)])
            return [document["_id"] for document in await cursor.limit(limit).to_list(limit)]

    async def contact(self, contact_id: str) -> KnownContact | None:
        with mongo_errors():
            document = await self._contacts.find_one({"_id": contact_id})
        return _known(document) if document is not None else None

    async def save_contact(self, known: KnownContact, contact: Contact) -> KnownContact:
        """Write what changed of a contact, or make it.

        Raises:
            ChangedMeanwhileError: somebody else did.
        """
        if contact == known.contact and known.version:
            return known
        await _compare_and_set(self._contacts, contact.id, known.version, _fields(contact))
        return KnownContact(contact, known.version + 1)

    async def remove_contact(self, known: KnownContact) -> None:
        """Raises ChangedMeanwhileError if somebody else wrote it since."""
        wanted = {"_id": known.contact.id, "version": known.version}
        with mongo_errors():
            removed = await self._contacts.delete_one(wanted)
        if not removed.deleted_count:
            raise ChangedMeanwhileError("written, or gone")

    async def found(self, workspace_id: str, person: Person) -> Found:
        """The workspace's contacts that have one of the person's addresses, or their name."""
        addresses = {"emails": person.emails, "phones": person.phones}
        fitting = [{name: {"$in": list(values)}} for name, values in addresses.items() if values]
        by_name = [{"name_key": person.key}] if person.key else []
        return Found(
            await self._some(workspace_id, fitting), await self._some(workspace_id, by_name)
        )

    async def _some(self, workspace_id: str, fitting: list[dict[str, Any]]) -> list[Contact]:
        """Contacts that any of these fit; asked for apart, so that many of one kind hide none."""
        if not fitting:
            return []
        with mongo_errors():
            cursor = self._contacts.find({"workspace_id": workspace_id, "$or": fitting})
            documents = await cursor.sort([("_id", 1)]).limit(MOST_FOUND).to_list(MOST_FOUND)
        return [_known(document).contact for document in documents]

    async def contacts(
        self, workspace_id: str, prefix: str, after: AfterContact | None, limit: int
    ) -> list[KnownContact]:
        """A workspace's contacts by name: those of which a name or an address begins so."""
        query: dict[str, Any] = {"workspace_id": workspace_id}
        if prefix:
            query["search"] = {"$regex": f"^{re.escape(prefix)}"}
        if after is not None:
            same = {"sort_key": after.sort_key, "_id": {"$gt": after.id}}
            query["$or"] = [{"sort_key": {"$gt": after.sort_key}}, same]
        with mongo_errors():
            cursor = self._contacts.find(query).sort([("sort_key", 1), ("_id", 1)])
            return [_known(document) for document in await cursor.limit(limit).to_list(limit)]

    async def spend_call(self, page_id: str, now: datetime, most: int) -> datetime | None:
        """Take one of the calls that a Page has in ten minutes, whichever process asks.

        Of those who ask at the same moment one is quicker each time, and the others look again: at
        most as often as there are calls to be had. Within a process they take turns, or a rush of
        new people would cost as many looks as its square.

        Returns:
            None: it is ours. Otherwise when to try again.
        """
        async with self._turns.setdefault(page_id, asyncio.Lock()):
            return await self._spend_call(page_id, now, most)

    async def _spend_call(self, page_id: str, now: datetime, most: int) -> datetime | None:
        for _ in range(most + 1):
            with mongo_errors():
                document = await self._calls.find_one({"_id": page_id}) or {}
            calls = document.get("calls", ())
            spent = spend(calls, now, most)
            if spent is None:
                return next_call_at(calls, now, most)
            fields = {"calls": list(spent)}
            with suppress(ChangedMeanwhileError):
                await _compare_and_set(self._calls, page_id, document.get("version", 0), fields)
                return None
        raise ChangedMeanwhileError("others were quicker each time")


def sort_key(contact: Contact) -> str:
    return name_key(contact.name) or NAMELESS


def search_key(text: str) -> str:
    """How a prefix is looked for: names and addresses in small letters."""
    return name_key(text)


async def _compare_and_set(
    collection: Collection, document_id: str, version: int, fields: Document
) -> None:
    """Write the fields if the document has this version still; 0: if there is none.

    Then the upsert meets the unique `_id` if there is one. What has been there and is gone was
    erased, and stays so.
    """
    change = {"$set": fields | {"version": version + 1}}
    wanted = {"_id": document_id, "version": version}
    try:
        with mongo_errors():
            done = await collection.update_one(wanted, change, upsert=not version)
    except DuplicateKeyError:
        raise ChangedMeanwhileError("written by somebody else meanwhile") from None
    if version and not done.matched_count:
        raise ChangedMeanwhileError("written by somebody else meanwhile, or gone")


def _see_to_at(person: Person) -> datetime | None:
    """When the sweep should; None: everything about this person is done."""
    if person.link.state == "claiming":
        return AT_ONCE
    return person.profile.next_at if person.profile.is_waiting else None


def _known(document: Document) -> KnownContact:
    contact = Contact.model_validate({**document, "id": document["_id"]})
    return KnownContact(contact, document["version"])


def _fields(contact: Contact) -> Document:
    words = name_key(contact.name).split()
    names = [" ".join(words[start:]) for start in range(len(words))]
    return contact.model_dump(exclude={"id"}) | {
        "name_key": name_key(contact.name),
        "sort_key": sort_key(contact),
        "search": [*names, *contact.emails, *contact.phones],
    }
