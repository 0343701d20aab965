"""Everything that this service keeps about one person: counted, shown to whoever asks, erased."""

from datetime import datetime
from typing import Any

from libs.common.erasure_api import Person
from libs.common.mongo import Database, Document, mongo_errors
from services.conversation.contacts import ContactKeeper
from services.conversation.contacts_store import ContactStore, KnownPerson
from services.conversation.domain.contacts import forgotten

ATTEMPTS = 5


class PersonEraser:
    """`conversations` whole, with what other services wrote there; `messages`, `people`, `inbox`,
    and the person's share in `contacts`."""

    def __init__(self, database: Database, people: ContactStore, keeper: ContactKeeper) -> None:
        self._conversations = database["conversations"]
        self._messages = database["messages"]
        self._people_collection = database["people"]
        self._inbox = database["inbox"]
        self._contacts = database["contacts"]
        self._people = people
        self._keeper = keeper

    async def erase(self, person: Person) -> dict[str, int]:
        """The contact first: what is known of the person tells which addresses are theirs."""
        name = person.conversation
        contacts = await self.leave_contacts(name)
        with mongo_errors():
            messages = await self._messages.delete_many({"conversation": name})
            conversations = await self._conversations.delete_one({"_id": name})
            people = await self._people_collection.delete_one({"_id": name})
            rows = await self._inbox.delete_one({"_id": name})
        self._keeper.forget(name)
        return {
            "conversations": conversations.deleted_count,
            "messages": messages.deleted_count,
            "people": people.deleted_count,
            "inbox": rows.deleted_count,
            "contacts": contacts,
        }

    async def count(self, person: Person) -> dict[str, int]:
        name, until = person.conversation, person.until
        with mongo_errors():
            return {
                "conversations": await self._conversations.count_documents(
                    {"_id": name, **_of_before("last_activity_at", until)}
                ),
                "messages": await self._messages.count_documents(
                    {"conversation": name, **_of_before("at", until)}
                ),
                "people": await self._people_collection.count_documents(
                    {"_id": name, **_of_before("since", until)}
                ),
                "inbox": await self._inbox.count_documents(
                    {"_id": name, **_of_before("last_activity_at", until)}
                ),
                "contacts": await self._count_contacts(name, until),
            }

    async def _count_contacts(self, name: str, until: datetime | None) -> int:
        """Who writes again may have a contact again: theirs is the new person's."""
        newer = {"_id": name, "since": {"$gt": until}}
        if until is not None and await self._people_collection.count_documents(newer):
            return 0
        return int(await self._contacts.count_documents({"people": name}))

    def forget(self, name: str) -> None:
        """Whatever is remembered of the person in this process."""
        self._keeper.forget(name)

    async def leave_contacts(self, name: str) -> int:
        """How many contacts knew the person."""
        known = await self._people.person(name)
        left = 0
        for _ in range(ATTEMPTS):
            with mongo_errors():
                found = await self._contacts.find({"people": name}, {"_id": 1}).to_list(None)
            if not found:
                return left
            for each in found:
                left += await self._leave(str(each["_id"]), known)
        return left

    async def _leave(self, contact_id: str, known: KnownPerson) -> int:
        """Raises: ChangedMeanwhileError: the same again will pass."""
        contact = await self._people.contact(contact_id)
        if contact is None:
            return 0
        others = [each for each in contact.contact.people if each != known.id]
        people = await self._people.people(others)
        without = forgotten(contact.contact, known.id, known.person, list(people.values()))
        if without is None:
            await self._people.remove_contact(contact)
        else:
            await self._people.save_contact(contact, without)
        return 1


class PersonReader:
    """What is stored about a person here, as it is: for whoever has a right to a copy.

    Their messages are read like those of every conversation.
    """

    def __init__(self, database: Database, people: ContactStore) -> None:
        self._conversations = database["conversations"]
        self._inbox = database["inbox"]
        self._people = people

    async def facts(self, conversation: str) -> dict[str, Any]:
        """`conversation`, `inbox`, `person`, `contact`: each None where there is none.

        `inbox` is the conversation as lists show it, but for hashes of ids.
        """
        with mongo_errors():
            found = await self._conversations.find_one({"_id": conversation}, _SHOWN)
            row = await self._inbox.find_one({"_id": conversation}, {"row.kept": 0})
        known = await self._people.person(conversation)
        contact_id = known.person.link.contact_id
        contact = await self._people.contact(contact_id) if contact_id else None
        return {
            "conversation": found,
            "inbox": row,
            "person": known.person.model_dump(mode="json") if known.version else None,
            "contact": contact.contact.model_dump(mode="json") if contact else None,
        }


_SHOWN = {"takeover.untold": 0, "version": 0}


def _of_before(field: str, until: datetime | None) -> Document:
    """What has no moment at all is of before."""
    if until is None:
        return {}
    return {"$or": [{field: {"$lte": until}}, {field: None}]}
