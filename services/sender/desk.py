"""What sending one part takes: everything that the parts of all commands share."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from libs.common.channels import Channel
from libs.common.erasures import Erased, NobodyErased, is_erased
from libs.common.events import ConversationRecord, Record
from services.sender.domain.claims import Claim, Expected
from services.sender.domain.deliveries import Delivery
from services.sender.domain.keeping import Kept, NotNowError
from services.sender.draining import Drain
from services.sender.echoes import Echoes
from services.sender.kept_store import Closing
from services.sender.memory import Memory
from services.sender.meta import Meta
from services.sender.meta_clock import MetaClock
from services.sender.pages import Pages
from services.sender.settings import SendingSettings
from services.sender.store import Fence, Snapshot


class PersonErasedError(Exception):
    """Whoever it was for has been erased since: nothing is sent, and nothing of it recorded."""


class Store(Protocol):
    """What is needed of `DeliveryStore`; tests keep it in memory."""

    async def claim(
        self, conversation: str, claim: Claim, fence: Fence | None, expected: Expected
    ) -> Snapshot | None: ...

    async def conversation(self, conversation: str) -> Snapshot | None: ...

    async def delivery(self, send_id: str) -> Delivery | None: ...

    async def finish(self, delivery: Delivery) -> Delivery: ...

    async def begin_again(self, send_id: str, generation: int) -> Delivery | None: ...

    async def recorded_mids(self, conversation: str, mids: Iterable[str]) -> Collection[str]: ...

    async def mids_in_order(self, conversation: str, mids: Iterable[str]) -> Collection[str]: ...

    async def held_texts(self, conversation: str, since: datetime) -> list[str]: ...


class KeptQueue(Protocol):
    """What is needed of `KeptStore`; tests keep it in memory."""

    async def place(self, conversation: str, unused_claim: str | None) -> int: ...

    async def add(self, kept: Kept) -> bool: ...

    async def mark(self, conversation: str, kept_id: str) -> None: ...

    async def marked(self, conversation: str) -> str | None: ...

    async def unmark(self, conversation: str, mark: str) -> None: ...

    async def first(self, conversation: str) -> Kept | None: ...

    async def remove(self, kept_id: str) -> None: ...

    async def postpone(self, kept: Kept, not_now: NotNowError, now: datetime) -> None: ...

    async def pages(self, partitions: Iterable[int]) -> Collection[str]: ...

    async def closing(self, page_id: str) -> Closing: ...

    async def due(self, page_id: str, now: datetime, after: str, limit: int) -> list[str]: ...

    async def expired(self, page_id: str, now: datetime, after: str, limit: int) -> list[str]: ...


class History(Protocol):
    """What is needed of `EchoHistory`."""

    async def recall(self, send_id: str, begin: datetime, end: datetime) -> None: ...


class NoHistory:
    """Nothing came while nobody listened."""

    async def recall(self, send_id: str, begin: datetime, end: datetime) -> None:
        pass


class Channels(Protocol):
    """What is needed of `ChannelDirectory`."""

    async def channel(self, page_id: str) -> Channel | None: ...


class Publisher(Protocol):
    """What is needed of the Kafka publisher: return when every record is on the log."""

    async def publish(self, *records: Record) -> None: ...


@dataclass(frozen=True)
class Desk:
    """Made once, in `app.py`."""

    store: Store
    kept: KeptQueue
    channels: Channels
    meta: Meta
    publisher: Publisher
    pages: Pages
    drain: Drain
    settings: SendingSettings
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    memory: Memory = field(default_factory=Memory)
    echoes: Echoes = field(default_factory=Echoes)
    history: History = field(default_factory=NoHistory)
    meta_clock: MetaClock = field(default_factory=MetaClock)
    erased: Erased = field(default_factory=NobodyErased)

    def check_erased(self, command: ConversationRecord) -> None:
        """Raises: PersonErasedError; StaleTombstonesError: nobody knows."""
        if is_erased(self.erased, command.conversation_id, command.occurred_at):
            raise PersonErasedError

    def now(self) -> datetime:
        """The moment, in whole milliseconds: what MongoDB keeps, so that a copy read is equal."""
        moment = self.clock()
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
