"""What the services have put on the log since the story began, person by person."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import structlog

from libs.common.events import AnyRecord, Record
from libs.common.events.base import ConversationRecord
from libs.common.kafka import BroadcastReader
from libs.common.settings import KafkaSettings
from libs.common.topics import EVENTS

R = TypeVar("R", bound=Record)


class Log:
    """`messenger.events` from the moment it was opened."""

    def __init__(self) -> None:
        self._of: defaultdict[str, list[AnyRecord]] = defaultdict(list)
        self._grown = asyncio.Event()

    def heard(self, record: AnyRecord) -> None:
        if isinstance(record, ConversationRecord):
            self._of[record.psid].append(record)
            self._grown.set()

    def of(self, psid: str, kind: type[R]) -> list[R]:
        """One person's events of one kind, in the order of the log."""
        return [record for record in self._of[psid] if isinstance(record, kind)]

    async def wait_for(self, psid: str, kind: type[R], count: int, within_s: float) -> list[R]:
        """All of a kind, as soon as there are `count` of them.

        Whatever the log has before them under the same key, that is of the same person, is known
        by then, too.

        Raises:
            TimeoutError: there are fewer.
        """
        async with asyncio.timeout(within_s):
            while len(found := self.of(psid, kind)) < count:
                self._grown.clear()
                await self._grown.wait()
        return found


@asynccontextmanager
async def open_log(kafka: KafkaSettings) -> AsyncIterator[Log]:
    """Read along inside the block.

    Raises:
        KafkaUnavailableError: it can't be reached.
    """
    log = Log()
    async with BroadcastReader(kafka, EVENTS, log.heard):
        yield log


def keep_quiet() -> None:
    """What the client of Kafka has to say is no part of a transcript."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
