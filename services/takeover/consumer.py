"""Events of one conversation in: who has it, and what the Page may do, as far as they tell."""

from collections.abc import Mapping
from typing import Protocol

import structlog
from prometheus_client import Counter

from libs.common.channels import Channel
from libs.common.erasures import Erased, NobodyErased, is_of_erased
from libs.common.events import (
    AnyRecord,
    HandoverChanged,
    MessageEchoed,
    MessageFailed,
    MessageSent,
    StandbyReceived,
    decode,
)
from libs.common.kafka import KeyBatch
from services.takeover.domain.transitions import FacebookReply, ThreadControl

WANTED = frozenset(
    {
        b"message.echoed",
        b"handover.changed",
        b"standby.received",
        b"message.sent",
        b"message.failed",
    }
)

HANDOVERS = Counter(
    "assistant_thread_control_total", "Events about who has a thread, by action.", ["action"]
)

log = structlog.get_logger(__name__)


class Keeper(Protocol):
    """What the handler needs of `Keeper`."""

    async def heard(self, conversation: str, command: FacebookReply | ThreadControl) -> None: ...


class Channels(Protocol):
    """What the handler needs of `ChannelDirectory`."""

    async def channel(self, page_id: str) -> Channel | None: ...


class Permissions(Protocol):
    """What the handler needs of `HumanAgentStore`."""

    async def heard(self, event: MessageSent | MessageFailed) -> None: ...


def wants(headers: Mapping[str, bytes]) -> bool:
    """Of the events topic, what concerns a takeover."""
    return headers.get("type") in WANTED and headers.get("version", b"").startswith(b"1.")


class EventHandler:
    """Acts on everything that waits in one conversation, in order. Doing so again changes nothing:
    what an event says is compared with the moment of what is known."""

    def __init__(
        self,
        keeper: Keeper,
        channels: Channels,
        permissions: Permissions,
        own_app_id: str,
        erased: Erased | None = None,
    ) -> None:
        self._keeper = keeper
        self._channels = channels
        self._permissions = permissions
        self._own_app_id = own_app_id
        self._erased = erased or NobodyErased()

    async def handle(self, batch: KeyBatch) -> None:
        """Return when the effects of the whole batch are durable."""
        events = [decode(record.value) for record in batch.records]
        with structlog.contextvars.bound_contextvars(conversation=batch.key.decode()):
            for event in events:
                if not is_of_erased(self._erased, event):
                    await self._act(event)

    async def _act(self, event: AnyRecord) -> None:
        match event:
            case MessageEchoed():
                if not event.is_from(self._own_app_id):
                    await self._somebody_answered(event)
            case HandoverChanged():
                await self._control_changed(event)
            case StandbyReceived():
                told = ThreadControl(at=event.occurred_at, ours=False, is_guess=True)
                await self._keeper.heard(event.conversation_id, told)
            case MessageSent() | MessageFailed():
                await self._permissions.heard(event)
            case _:
                pass

    async def _somebody_answered(self, event: MessageEchoed) -> None:
        """In Meta's own inbox, or with another tool."""
        channel = await self._channels.channel(event.page_id)
        if channel is None or not channel.settings.pause_on_facebook_reply:
            return
        reply = FacebookReply(event.occurred_at, channel.settings.auto_resume_minutes)
        await self._keeper.heard(event.conversation_id, reply)

    async def _control_changed(self, event: HandoverChanged) -> None:
        """A request changes nothing: who has the thread decides, and our app gives none away."""
        HANDOVERS.labels(event.action if event.action in _ACTIONS else "other").inc()
        log.info("thread_control", kind=event.action)
        if event.action not in ("pass", "take"):
            return
        # null: the thread is idle, and Meta lets its Page's default app write
        ours = event.new_app_id is None or event.new_app_id == self._own_app_id
        told = ThreadControl(event.occurred_at, ours, event.new_app_id)
        await self._keeper.heard(event.conversation_id, told)


_ACTIONS = frozenset({"pass", "take", "request", "roles"})
