"""The sender's list of parts that people have to look at: as it is told, and as it is shown."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from libs.common.events import AnyRecord, MessageFailed, MessageHeld
from libs.common.kafka import BroadcastReader
from libs.common.settings import KafkaSettings
from libs.common.topics import EVENTS
from tests.faults.judging import Listed

LIMIT = 200  # entries of one answer


class Listing:
    """What was told to be held or failed since the block was entered, and what is listed now."""

    def __init__(self, session: aiohttp.ClientSession, sender_url: str, token: str) -> None:
        self._session = session
        self._url = f"{sender_url}/internal/v1/pages"
        self._headers = {"Authorization": f"Bearer {token}"}
        self._told: dict[str, dict[str, MessageHeld | MessageFailed]] = {}

    def heard(self, record: AnyRecord) -> None:
        if isinstance(record, MessageHeld | MessageFailed):
            self._told.setdefault(record.page_id, {})[record.send_id] = record

    def told(self, page: str) -> dict[str, MessageHeld | MessageFailed]:
        """What was told of each of these parts: cheap, for those who wait."""
        return self._told.get(page, {})

    async def shown(self, page: str) -> list[Listed]:
        """The sender's list, through its internal API: for the judge."""
        listed: list[Listed] = []
        query = {"limit": str(LIMIT)}
        while True:
            async with self._session.get(
                f"{self._url}/{page}/deliveries", params=query, headers=self._headers
            ) as response:
                response.raise_for_status()
                answer = await response.json()
            listed += [
                Listed(each["psid"], each["id"], each["text"], each["state"], each["reason"])
                for each in answer["deliveries"]
            ]
            if answer["next"] is None:
                return listed
            query["cursor"] = answer["next"]


@asynccontextmanager
async def open_listing(
    session: aiohttp.ClientSession, sender_url: str, token: str, bootstrap_servers: str
) -> AsyncIterator[Listing]:
    listing = Listing(session, sender_url, token)
    settings = KafkaSettings(bootstrap_servers=bootstrap_servers)
    async with BroadcastReader(settings, EVENTS, listing.heard):
        yield listing
