"""Commands that stand on the log several times, as one does whose writer died before noting it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.common.events import AnyRecord, SendText
from libs.common.kafka import BroadcastReader, KafkaPublisher, open_publisher
from libs.common.settings import KafkaSettings
from libs.common.topics import COMMANDS

APART_S = 0.3


class Copier:
    """Puts the commands of some Pages on the log again, the same to the byte."""

    def __init__(self, publisher: KafkaPublisher) -> None:
        self._publisher = publisher
        self._times: dict[str, int] = {}  # by Page
        self._seen: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def copy(self, page: str, times: int) -> None:
        """From now on, each command for this Page comes so often more."""
        self._times[page] = times

    def heard(self, record: AnyRecord) -> None:
        if not isinstance(record, SendText) or record.page_id not in self._times:
            return
        if record.command_id not in self._seen:
            self._seen.add(record.command_id)
            task = asyncio.create_task(self._copy(record, self._times[record.page_id]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _copy(self, command: SendText, times: int) -> None:
        for _ in range(times):
            await self._publisher.publish(command)
            await asyncio.sleep(APART_S)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()


@asynccontextmanager
async def open_copier(bootstrap_servers: str) -> AsyncIterator[Copier]:
    settings = KafkaSettings(bootstrap_servers=bootstrap_servers, publish_timeout_s=10)
    async with open_publisher(settings, client_id="copier") as publisher:
        copier = Copier(publisher)
        async with BroadcastReader(settings, COMMANDS, copier.heard):
            try:
                yield copier
            finally:
                await copier.close()
