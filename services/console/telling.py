"""Tells other services what became of channels: after the write, and again after a crash."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress

import structlog

from libs.common.errors import ProjectError
from libs.common.events import ChannelConnected, ChannelDisconnected, ChannelUpdated, Record
from libs.common.kafka import Publisher
from services.console.channels_store import ChannelStore
from services.console.records import ConnectedChannel, News, NewsKind

LOOK_EVERY_S = 10.0
PAUSE_S = 2.0  # after Kafka or the database failed

OpenPublisher = Callable[[], AbstractAsyncContextManager[Publisher]]

log = structlog.get_logger(__name__)


class Teller:
    """A worker. Without Kafka the console works on, and news wait in their channels."""

    def __init__(self, channels: ChannelStore, open_publisher: OpenPublisher) -> None:
        self._channels = channels
        self._open_publisher = open_publisher
        self._woken = asyncio.Event()
        self._stopping = False

    def wake(self) -> None:
        """There are news."""
        self._woken.set()

    async def run(self) -> None:
        while not self._stopping:
            try:
                async with self._open_publisher() as publisher:
                    while not self._stopping:
                        self._woken.clear()
                        await self.tell(publisher)
                        await self._wait(LOOK_EVERY_S)
            except ProjectError as error:
                log.warning("channels_not_told", error=type(error).__name__)
                self._woken.clear()
                await self._wait(PAUSE_S)

    async def stop(self, drain_timeout_s: float) -> None:
        del drain_timeout_s  # nothing is lost: what is untold waits
        self._stopping = True
        self._woken.set()

    async def tell(self, publisher: Publisher) -> None:
        """All that is untold now. A crash between the two steps tells it twice, with one id."""
        for channel in await self._channels.untold():
            if channel.news is None:
                continue
            await publisher.publish(_event(channel, channel.news))
            await self._channels.told(channel.id, channel.news.event_id)

    async def _wait(self, at_most_s: float) -> None:
        if self._stopping:
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), at_most_s)


def _event(channel: ConnectedChannel, news: News) -> Record:
    return _KINDS[news.type](event_id=news.event_id, page_id=channel.id, occurred_at=news.at)


_KINDS: Mapping[NewsKind, type[ChannelConnected | ChannelUpdated | ChannelDisconnected]] = {
    "channel.connected": ChannelConnected,
    "channel.updated": ChannelUpdated,
    "channel.disconnected": ChannelDisconnected,
}
