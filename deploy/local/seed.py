"""A workspace, an assistant that knows something, and a connected Page on the simulator.

What the console will do for real Pages: the same documents, the token encrypted, the change told
on `messenger.channels`. Running it again changes nothing that somebody may have set meanwhile.
"""

import asyncio
from collections.abc import Mapping
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
from libs.common.kafka import open_publisher
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
    mongo = MongoSettings(uri=SecretStr(env["MONGODB_URI"]), database=env["MONGODB_DATABASE"])
    kafka = KafkaSettings(bootstrap_servers=env["KAFKA_BOOTSTRAP_SERVERS"], publish_timeout_s=10)
    keys = KeyRing.parse(env["ENCRYPTION_KEYS"])
    async with open_database(mongo, app_name="seed") as database:
        await _insert_once(database, "workspaces", WORKSPACE)
        await _insert_once(database, ASSISTANTS_COLLECTION, _assistant().to_document())
        async with open_publisher(kafka, client_id="seed") as publisher:
            for page in pages:
                if await _connect(database, page, keys):
                    await publisher.publish(_connected(page["id"]))
    names = ", ".join(f"{page['name']} ({page['id']})" for page in pages)
    return f"connected: {names}"


async def _simulated_pages(simulator_url: str) -> list[dict[str, str]]:
    timeout = aiohttp.ClientTimeout(total=10)
    async with (
        aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session,
        session.get(f"{simulator_url}/simulator/api/pages") as response,
    ):
        return list((await response.json())["pages"])


def _assistant() -> Assistant:
    return Assistant(
        id=ASSISTANT_ID,
        workspace_id=str(WORKSPACE["_id"]),
        name="Crumb",
        system_prompt=SYSTEM_PROMPT,
        knowledge=(Path(__file__).parent / "knowledge.md").read_text(encoding="utf-8"),
    )


async def _connect(database: Database, page: Mapping[str, str], keys: KeyRing) -> bool:
    """True if the Page was not connected with this token before, or had lost its connection."""
    channels = database[CHANNELS_COLLECTION]
    known = await channels.find_one({"_id": page["id"]})
    if known is not None:
        token = keys.decrypt(known["token"], context=page["id"])
        if token == page["access_token"] and known.get("status") not in LOST:
            return False
    channel = Channel(
        id=page["id"],
        workspace_id=str(WORKSPACE["_id"]),
        assistant_id=ASSISTANT_ID,
        page_name=page["name"],
        token=keys.encrypt(page["access_token"], context=page["id"]),
    )
    document = channel.to_document()
    if known is None:
        await channels.insert_one(document)
    else:  # as a reconnect: the token and the status change, the settings stay
        renewed = {"token": document["token"], "status": "active"}
        await channels.update_one({"_id": page["id"]}, {"$set": renewed})
    return True


def _connected(page_id: str) -> ChannelConnected:
    now = datetime.now(UTC)
    return ChannelConnected(
        event_id=derived_id("channel.connected", page_id, now), page_id=page_id, occurred_at=now
    )


async def _insert_once(database: Database, collection: str, document: Mapping[str, Any]) -> None:
    await database[collection].update_one(
        {"_id": document["_id"]}, {"$setOnInsert": dict(document)}, upsert=True
    )


if __name__ == "__main__":
    import os

    print(asyncio.run(seed(os.environ)))
