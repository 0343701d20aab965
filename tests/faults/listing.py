"""The sender's list of parts that people have to look at, heard from the log as it grows."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.common.events import AnyRecord, MessageFailed, MessageHeld
from libs.common.kafka import BroadcastReader
from libs.common.settings import KafkaSettings
from libs.common.topics import EVENTS
from tests.faults.judging import Listed


class Listing:
    """What was held or has failed since the block was entered, by Page."""

    def __init__(self) -> None:
        self._listed: dict[str, dict[str, Listed]] = {}

    def heard(self, record: AnyRecord) -> None:
        if isinstance(record, MessageHeld | MessageFailed):
            state = "held" if isinstance(record, MessageHeld) else "failed"
            entry = Listed(record.psid, record.send_id, record.text, state)
            self._listed.setdefault(record.page_id, {})[record.send_id] = entry

    def of(self, page: str) -> list[Listed]:
        return list(self._listed.get(page, {}).values())


@asynccontextmanager
async def open_listing(bootstrap_servers: str) -> AsyncIterator[Listing]:
    listing = Listing()
    settings = KafkaSettings(bootstrap_servers=bootstrap_servers)
    async with BroadcastReader(settings, EVENTS, listing.heard):
        yield listing
