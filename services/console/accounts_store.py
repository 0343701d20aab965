"""MongoDB: `accounts`, `workspaces.members`, `links` and `setup`.

Who is in a workspace and what they may do is one map in the workspace's document, so that "somebody
can still manage it" is decided by one compare-and-set.
"""

from collections.abc import Mapping
from datetime import datetime

from libs.common.mongo import Database, DuplicateKeyError, ReturnDocument, mongo_errors
from services.console.domain.roles import Member
from services.console.records import Account, Link, LinkPurpose, Workspace

SETUP_ID = "first-run"
MOST_CODES = 20  # each start of a process that finds nobody adds one


class AccountStore:
    """Accounts, the workspaces they belong to, and the links that let them in."""

    def __init__(self, database: Database) -> None:
        self._accounts = database["accounts"]
        self._workspaces = database["workspaces"]
        self._links = database["links"]
        self._setup = database["setup"]

    async def ensure_indexes(self) -> None:
        with mongo_errors():
            await self._accounts.create_index("email", unique=True)
            await self._links.create_index("account_id")
            await self._links.create_index("expires_at", expireAfterSeconds=0)

    async def is_empty(self) -> bool:
        """Whether nobody belongs to any workspace. An account alone may be what a crash left."""
        with mongo_errors():
            found = await self._workspaces.find_one({"members": {"$exists": True}}, {"_id": 1})
        return found is None

    async def account(self, account_id: str) -> Account | None:
        with mongo_errors():
            found = await self._accounts.find_one({"_id": account_id})
        return Account.model_validate(found) if found else None

    async def by_email(self, email: str) -> Account | None:
        with mongo_errors():
            found = await self._accounts.find_one({"email": email})
        return Account.model_validate(found) if found else None

    async def accounts(self, ids: list[str]) -> dict[str, Account]:
        with mongo_errors():
            found = await self._accounts.find({"_id": {"$in": ids}}).to_list(None)
        return {each["_id"]: Account.model_validate(each) for each in found}

    async def add(self, account: Account) -> bool:
        """False if somebody has this e-mail address."""
        try:
            with mongo_errors():
                await self._accounts.insert_one(account.to_document())
        except DuplicateKeyError:
            return False
        return True

    async def set_name(self, account_id: str, name: str) -> None:
        with mongo_errors():
            await self._accounts.update_one({"_id": account_id}, {"$set": {"name": name}})

    async def set_password(self, account_id: str, password_hash: str) -> int:
        """A new password ends every session; the epoch of those that begin now."""
        with mongo_errors():
            after = await self._accounts.find_one_and_update(
                {"_id": account_id},
                {"$set": {"password_hash": password_hash}, "$inc": {"epoch": 1}},
                return_document=ReturnDocument.AFTER,
            )
        return int(after["epoch"]) if after else 0

    async def rehash(self, account_id: str, old: str, new: str) -> None:
        """The same password with today's parameters; nothing if it was changed meanwhile."""
        with mongo_errors():
            await self._accounts.update_one(
                {"_id": account_id, "password_hash": old}, {"$set": {"password_hash": new}}
            )

    async def end_sessions(self, account_id: str) -> int:
        """Whatever session exists, or is just being made, is over. Returns the new epoch."""
        with mongo_errors():
            after = await self._accounts.find_one_and_update(
                {"_id": account_id},
                {"$inc": {"epoch": 1}},
                return_document=ReturnDocument.AFTER,
            )
        return int(after["epoch"]) if after else 0

    async def signed_in(self, account_id: str, at: datetime) -> None:
        with mongo_errors():
            await self._accounts.update_one({"_id": account_id}, {"$set": {"last_sign_in_at": at}})

    async def workspace(self, workspace_id: str) -> Workspace | None:
        with mongo_errors():
            found = await self._workspaces.find_one({"_id": workspace_id})
        return Workspace.model_validate(found) if found else None

    async def set_timezone(self, workspace_id: str, timezone: str) -> None:
        with mongo_errors():
            await self._workspaces.update_one(
                {"_id": workspace_id}, {"$set": {"timezone": timezone}}
            )

    async def set_keep_messages(self, workspace_id: str, days: int | None) -> None:
        with mongo_errors():
            await self._workspaces.update_one(
                {"_id": workspace_id}, {"$set": {"keep_messages_days": days}}
            )

    async def empty_workspace(self) -> Workspace | None:
        """One that has been made without anybody in it, as the development stack's seed does."""
        with mongo_errors():
            found = await self._workspaces.find_one({"members": {"$exists": False}})
        return Workspace.model_validate(found) if found else None

    async def add_member(
        self, workspace_id: str, account_id: str, member: Member, *, name: str
    ) -> None:
        """Put somebody on the roster who isn't; the workspace is made if it isn't there."""
        place = f"members.{account_id}"
        roster = {"$set": {place: member.model_dump()}, "$inc": {"roster_version": 1}}
        with mongo_errors():
            await self._workspaces.update_one(
                {"_id": workspace_id}, {"$setOnInsert": {"name": name}}, upsert=True
            )
            await self._workspaces.update_one(
                {"_id": workspace_id, place: {"$exists": False}}, roster
            )

    async def change_member(
        self, workspace: Workspace, account_id: str, member: Member
    ) -> Workspace | None:
        """Compare and set: None if the roster is no longer what `workspace` says."""
        with mongo_errors():
            after = await self._workspaces.find_one_and_update(
                {"_id": workspace.id, "roster_version": workspace.roster_version},
                {"$set": {f"members.{account_id}": member.model_dump()}}
                | {"$inc": {"roster_version": 1}},
                return_document=ReturnDocument.AFTER,
            )
        return Workspace.model_validate(after) if after else None

    async def add_link(self, link: Link) -> None:
        """The account's earlier links stop working."""
        with mongo_errors():
            await self._links.delete_many({"account_id": link.account_id})
            await self._links.insert_one(link.to_document())

    async def link(self, link_hash: str, now: datetime) -> Link | None:
        with mongo_errors():
            found = await self._links.find_one({"_id": link_hash, "expires_at": {"$gt": now}})
        return Link.model_validate(found) if found else None

    async def take_link(self, link_hash: str, now: datetime) -> Link | None:
        """Use it up: of any number who try, one gets it."""
        with mongo_errors():
            found = await self._links.find_one_and_delete(
                {"_id": link_hash, "expires_at": {"$gt": now}}
            )
        return Link.model_validate(found) if found else None

    async def remove_links(self, account_id: str) -> None:
        with mongo_errors():
            await self._links.delete_many({"account_id": account_id})

    async def open_links(self, ids: list[str], now: datetime) -> Mapping[str, LinkPurpose]:
        """Which of the accounts have a link that works."""
        with mongo_errors():
            found = await self._links.find(
                {"account_id": {"$in": ids}, "expires_at": {"$gt": now}}
            ).to_list(None)
        return {each["account_id"]: each["purpose"] for each in found}

    async def add_code(self, code_hash: str) -> None:
        """A code for the first run. Each process that starts has printed one of its own."""
        with mongo_errors():
            await self._setup.update_one(
                {"_id": SETUP_ID},
                {"$push": {"codes": {"$each": [code_hash], "$slice": -MOST_CODES}}},
                upsert=True,
            )

    async def has_code(self, code_hash: str) -> bool:
        with mongo_errors():
            return await self._setup.find_one({"_id": SETUP_ID, "codes": code_hash}) is not None

    async def take_code(self, code_hash: str) -> bool:
        """Use the first run up, for all codes: of any number who try, one gets it."""
        with mongo_errors():
            found = await self._setup.find_one_and_delete({"_id": SETUP_ID, "codes": code_hash})
        return found is not None

    async def forget_codes(self) -> None:
        with mongo_errors():
            await self._setup.delete_one({"_id": SETUP_ID})
