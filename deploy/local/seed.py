"""A workspace, an assistant that knows something, and a connected Page on the simulator.

What the console will do for real Pages: the same documents, the token encrypted, the change told
on `messenger.channels`. Running it again changes nothing that somebody may have set meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from pydantic import SecretStr

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
ASSISTANT_ID = "demo-assistant"
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
        await office.insert_once(
            ASSISTANTS_COLLECTION, _assistant(office.workspace_id).to_document()
        )
        for page in pages:
            if not await office.is_connected(page):
                await office.connect(page)
    names = ", ".join(f"{page['name']} ({page['id']})" for page in pages)
    return f"connected: {names}"


async def reconnect(env: Mapping[str, str], page_id: str) -> None:
    """As an administrator does with a Page whose token was refused: its token as it is now,
    encrypted anew, the channel active, and everybody told. The settings stay.

    Raises:
        LookupError: the simulator has no such Page.
        DecryptionError: the stack's keys are others; nothing was changed.
    """
    pages = {page["id"]: page for page in await _simulated_pages(env["GRAPH_API_URL"])}
    page = pages[page_id]
    async with _opened(env) as office:
        await office.is_connected(
            page
        )  # reads the token that is there: the keys are the right ones
        await office.connect(page)


@dataclass(frozen=True)
class _Office:
    """What connecting takes."""

    database: Database
    publisher: KafkaPublisher
    keys: KeyRing
    workspace_id: str

    async def insert_once(self, collection: str, document: Mapping[str, Any]) -> None:
        await self.database[collection].update_one(
            {"_id": document["_id"]}, {"$setOnInsert": dict(document)}, upsert=True
        )

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
        await self.insert_once(CHANNELS_COLLECTION, channel.to_document())
        renewed = {"token": channel.token, "status": "active"}
        channels = self.database[CHANNELS_COLLECTION]
        await channels.update_one({"_id": page["id"]}, {"$set": renewed})
        await self.publisher.publish(_connected(page["id"]))


def is_the_consoles(channel: Mapping[str, Any]) -> bool:
    """Whether a Page was connected or disconnected in the console: the seed leaves it alone."""
    return channel.get("connection") is not None or channel.get("status") == "disconnected"


@asynccontextmanager
async def _opened(env: Mapping[str, str]) -> AsyncIterator[_Office]:
    mongo = MongoSettings(uri=SecretStr(env["MONGODB_URI"]), database=env["MONGODB_DATABASE"])
    kafka = KafkaSettings(bootstrap_servers=env["KAFKA_BOOTSTRAP_SERVERS"], publish_timeout_s=10)
    keys = KeyRing.parse(env["ENCRYPTION_KEYS"])
    async with (
        open_database(mongo, app_name="seed") as database,
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


def _assistant(workspace_id: str) -> Assistant:
    return Assistant(
        id=ASSISTANT_ID,
        workspace_id=workspace_id,
        name="Crumb",
        system_prompt=SYSTEM_PROMPT,
        knowledge=(Path(__file__).parent / "knowledge.md").read_text(encoding="utf-8"),
    )


def _connected(page_id: str) -> ChannelConnected:
    now = datetime.now(UTC)
    return ChannelConnected(
        event_id=derived_id("channel.connected", page_id, now), page_id=page_id, occurred_at=now
    )


if __name__ == "__main__":
    import os

    print(asyncio.run(seed(os.environ)))
