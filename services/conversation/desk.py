"""What a turn works with: the same for every conversation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from libs.common.channels import Assistant as AssistantProfile
from libs.common.channels import Channel, ChannelSettings
from libs.common.erasures import Erased, NobodyErased
from libs.common.kafka import Publisher
from services.conversation.asking import Settle, unmetered
from services.conversation.assistants.base import Assistant
from services.conversation.domain.spending import Spent
from services.conversation.domain.state import State
from services.conversation.settings import Settings
from services.conversation.store import Stored


class Store(Protocol):
    """What the handler needs of `ConversationStore`; tests keep it in memory."""

    async def load(self, conversation: str) -> Stored: ...

    async def save(self, stored: Stored, state: State) -> Stored: ...

    async def sources(self, message_ids: Sequence[str]) -> dict[str, str]: ...

    async def texts(self, conversation: str, mids: Sequence[str]) -> dict[str, str]: ...


class Spending(Protocol):
    """What the handler needs of `SpendingKeeper`."""

    async def begin(
        self, page_id: str, limits: ChannelSettings, expected: Spent
    ) -> Settle | None: ...


class Unmetered:
    """Nothing is counted, so no limit is ever reached."""

    async def begin(self, page_id: str, limits: ChannelSettings, expected: Spent) -> Settle | None:
        return await unmetered(expected)


class Channels(Protocol):
    """What the handler needs of `ChannelDirectory`."""

    async def channel(self, page_id: str) -> Channel | None: ...

    async def assistant(self, assistant_id: str) -> AssistantProfile | None: ...


@dataclass(frozen=True)
class Desk:
    """Clients, settings and the wall clock."""

    store: Store
    channels: Channels
    assistant: Assistant
    publisher: Publisher
    settings: Settings
    spending: Spending
    now: Callable[[], datetime]
    erased: Erased = field(default_factory=NobodyErased)
