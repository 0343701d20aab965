"""A workspace, an assistant that knows something, and a connected Page on the simulator.

`connect_in_console` does it as an administrator would. `seed` writes the same documents itself, for
stacks without a console, and for tests that are about something else. Running either again changes
nothing that somebody may have set meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from pydantic import SecretStr

from deploy.local.admin import Admin, ConsoleError, SignInRefusedError, open_admin
from libs.common.channels import (
    ASSISTANTS_COLLECTION,
    CHANNELS_COLLECTION,
    Assistant,
    Channel,
)
from libs.common.crypto import KeyRing
from libs.common.events import ChannelConnected, derived_id
from libs.common.kafka import KafkaPublisher, open_publisher
from libs.common.mongo import Database, open_database
from libs.common.settings import KafkaSettings, MongoSettings

WORKSPACE = {"_id": "demo", "name": "Demo workspace", "time_zone": "Europe/Berlin"}
NAME = "Crumb"
ASSISTANT_ID = "demo-assistant"  # of the one that `seed` writes
MOST_AT_ONCE = 100  # Pages that one choice in the console takes
LOST = ("expired", "revoked")
"""What a channel becomes when its token is refused; who disconnected it on purpose keeps that."""
SYSTEM_PROMPT = (
    "You are Crumb, the friendly assistant of a small bakery. Answer questions of customers from "
    "what you know about the bakery, briefly and warmly."
)


async def seed(env: Mapping[str, str]) -> str:
    """Connect every Page of the simulator that is not connected yet; say what there is now.

    Args:
        env: the stack's environment: `GRAPH_API_URL`, `MONGODB_*`, `KAFKA_*`, `ENCRYPTION_KEYS`.
    """
    pages = await _simulated_pages(env["GRAPH_API_URL"])
    async with _opened(env) as office:
        assistant = seeded_assistant(office.workspace_id).to_document()
        await insert_once(office.database, ASSISTANTS_COLLECTION, assistant)
        for page in pages:
            if not await office.is_connected(page):
                await office.connect(page)
    return f"connected: {_names(pages)}"


async def connect_in_console(env: Mapping[str, str]) -> str:
    """Connect every new Page of the simulator through the console, log-in and all; say what there
    is now.

    A stack that has a Page already is not stopped by what goes wrong with another one.

    Args:
        env: as for `seed`, and what `open_admin` needs.

    Raises:
        ConsoleError: no Page could be connected.
    """
    pages = await _simulated_pages(env["GRAPH_API_URL"])
    async with _opened_database(env) as database:
        workspace_id = await _workspace(database)
        new = [page for page in pages if await _is_new(database, page["id"], workspace_id)]
    if new:
        try:
            async with open_admin(env) as admin:
                chosen = [page["id"] for page in new][:MOST_AT_ONCE]
                await admin.connect(chosen, assistant=await _hired(admin))
        except ConsoleError as error:
            if len(new) == len(pages) and not isinstance(error, SignInRefusedError):
                raise
            return f"not connected: {_names(new)}; {error}. Connect what you need in the console"
    return f"connected in the console: {_names(pages)}"


@dataclass(frozen=True)
class _Office:
    """What connecting takes."""

    database: Database
    publisher: KafkaPublisher
    keys: KeyRing
    workspace_id: str

    async def is_connected(self, page: Mapping[str, str]) -> bool:
        """Whether the Page is connected with this token, and has not lost its connection; or
        somebody has taken it in hand in the console, where its token came from a login."""
        known = await self.database[CHANNELS_COLLECTION].find_one({"_id": page["id"]})
        if known is None:
            return False
        if is_the_consoles(known):
            return True
        token = self.keys.decrypt(known["token"], context=page["id"])
        return token == page["access_token"] and known.get("status") not in LOST

    async def connect(self, page: Mapping[str, str]) -> None:
        """The first time, or again: then the token and the status change, the settings stay."""
        channel = Channel(
            id=page["id"],
            workspace_id=self.workspace_id,
            assistant_id=ASSISTANT_ID,
            page_name=page["name"],
            token=self.keys.encrypt(page["access_token"], context=page["id"]),
        )
        await insert_once(self.database, CHANNELS_COLLECTION, channel.to_document())
        renewed = {"token": channel.token, "status": "active"}
        channels = self.database[CHANNELS_COLLECTION]
        await channels.update_one({"_id": page["id"]}, {"$set": renewed})
        await self.publisher.publish(_connected(page["id"]))


def is_the_consoles(channel: Mapping[str, Any]) -> bool:
    """Whether a Page was connected or disconnected in the console: the seed leaves it alone."""
    return channel.get("connection") is not None or channel.get("status") == "disconnected"


async def _hired(admin: Admin) -> str:
    """The id of the assistant that answers on the simulator's Pages, made if it isn't there."""
    async with admin.api("make up", "assistants:read", "assistants:write") as api:
        for each in (await api.ask("GET", "/assistants"))["assistants"]:
            if each["name"] == NAME:
                return str(each["id"])
        wanted = {"name": NAME, "system_prompt": SYSTEM_PROMPT, "knowledge": _knowledge()}
        return str((await api.ask("POST", "/assistants", wanted))["id"])


async def insert_once(database: Database, collection: str, document: Mapping[str, Any]) -> None:
    """Nothing happens if it is there."""
    await database[collection].update_one(
        {"_id": document["_id"]}, {"$setOnInsert": dict(document)}, upsert=True
    )


async def _is_new(database: Database, page_id: str, workspace_id: str) -> bool:
    """Whether nobody has the Page yet, in whatever workspace; or only a seed has had it."""
    known = await database[CHANNELS_COLLECTION].find_one({"_id": page_id})
    if known is None:
        return True
    return known.get("workspace_id") == workspace_id and not is_the_consoles(known)


def _opened_database(env: Mapping[str, str]) -> AbstractAsyncContextManager[Database]:
    mongo = MongoSettings(uri=SecretStr(env["MONGODB_URI"]), database=env["MONGODB_DATABASE"])
    return open_database(mongo, app_name="seed")


@asynccontextmanager
async def _opened(env: Mapping[str, str]) -> AsyncIterator[_Office]:
    kafka = KafkaSettings(bootstrap_servers=env["KAFKA_BOOTSTRAP_SERVERS"], publish_timeout_s=10)
    keys = KeyRing.parse(env["ENCRYPTION_KEYS"])
    async with (
        _opened_database(env) as database,
        open_publisher(kafka, client_id="seed") as publisher,
    ):
        yield _Office(database, publisher, keys, await _workspace(database))


async def _workspace(database: Database) -> str:
    """The id of the workspace that is there, as the console makes one at its first start. Without a
    console, ours is made, and a console that comes later takes it over."""
    workspaces = database["workspaces"]
    if (there := await workspaces.find_one({})) is None:
        await workspaces.insert_one(dict(WORKSPACE))
        return str(WORKSPACE["_id"])
    await workspaces.update_one(
        {"_id": there["_id"], "time_zone": {"$exists": False}},
        {"$set": {name: value for name, value in WORKSPACE.items() if name != "_id"}},
    )
    return str(there["_id"])


async def _simulated_pages(simulator_url: str) -> list[dict[str, str]]:
    timeout = aiohttp.ClientTimeout(total=10)
    async with (
        aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session,
        session.get(f"{simulator_url}/simulator/api/pages") as response,
    ):
        return list((await response.json())["pages"])


def _names(pages: Sequence[Mapping[str, str]]) -> str:
    return ", ".join(f"{page['name']} ({page['id']})" for page in pages)


def seeded_assistant(workspace_id: str) -> Assistant:
    """Who answers where there is no console."""
    return Assistant(
        id=ASSISTANT_ID,
        workspace_id=workspace_id,
        name=NAME,
        system_prompt=SYSTEM_PROMPT,
        knowledge=_knowledge(),
    )


def _knowledge() -> str:
    return (Path(__file__).parent / "knowledge.md").read_text(encoding="utf-8")


def _connected(page_id: str) -> ChannelConnected:
    now = datetime.now(UTC)
    return ChannelConnected(
        event_id=derived_id("channel.connected", page_id, now), page_id=page_id, occurred_at=now
    )


if __name__ == "__main__":
    import os

    print(asyncio.run(seed(os.environ)))
