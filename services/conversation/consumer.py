"""Events of one conversation in, an answer out: the turn."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog
from prometheus_client import Counter, Histogram

from libs.common.channels import Assistant as AssistantProfile
from libs.common.channels import Channel, ChannelDirectory
from libs.common.events import (
    AnyRecord,
    MessageDelivered,
    MessageRead,
    SendAction,
    SenderAction,
    TakeoverEnded,
    TakeoverStarted,
    decode,
    derived_id,
)
from libs.common.kafka import KeyBatch, Publisher
from libs.common.mongo import UpdateOne
from services.conversation.asking import ask
from services.conversation.assistants.base import Assistant, Prompt, PromptLine
from services.conversation.domain import archive, receive, turns
from services.conversation.domain.outbox import records_of
from services.conversation.domain.prompt import instructions
from services.conversation.domain.state import State, Turn
from services.conversation.settings import Settings
from services.conversation.store import Stored

WANTED = frozenset(
    {
        b"message.received",
        b"postback.received",
        b"message.echoed",
        b"message.edited",
        b"message.delivered",
        b"message.read",
        b"reaction.received",
        b"referral.received",
        b"standby.received",
        b"message.sent",
        b"message.failed",
        b"message.held",
        b"takeover.started",
        b"takeover.ended",
    }
)
MAX_RESTARTS = 2
TYPING_EVERY_S = 15.0  # Messenger shows it for 20 s

TURNS = Counter("assistant_turns_total", "Turns, by what became of them.", ["kind"])
ANSWER_SECONDS = Histogram(
    "assistant_turn_seconds",
    "From the first event in hand to the command on the log, quiet window and model included.",
    buckets=(0.1, 0.25, 0.5, 1, 1.5, 2, 3, 5, 10, 20, 60),
)

log = structlog.get_logger(__name__)


class Store(Protocol):
    """What the handler needs of `ConversationStore`; tests keep it in memory."""

    async def load(self, conversation: str) -> Stored: ...

    async def save(self, stored: Stored, state: State) -> Stored: ...

    def mark_published(self, stored: Stored, command_id: str) -> Stored: ...

    def forget(self, conversation: str) -> None: ...

    async def archive(self, writes: list[UpdateOne]) -> None: ...

    async def archived(self, message_ids: Sequence[str]) -> set[str]: ...

    async def note_receipt(
        self, conversation: str, *, delivered_ms: int = 0, read_ms: int = 0
    ) -> None: ...


def wants(headers: Mapping[str, bytes]) -> bool:
    """Of the events topic, what this service has a use for."""
    return headers.get("type") in WANTED and headers.get("version", b"").startswith(b"1.")


class MessageHandler:
    """Handles everything that waits in one conversation, and answers it once."""

    def __init__(
        self,
        store: Store,
        channels: ChannelDirectory,
        assistant: Assistant,
        publisher: Publisher,
        settings: Settings,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.store = store
        self.channels = channels
        self.assistant = assistant
        self.publisher = publisher
        self.settings = settings
        self.clock = clock

    async def handle(self, batch: KeyBatch) -> None:
        """Take in the batch and whatever joins it; return when all its effects are durable."""
        conversation = batch.key.decode()
        with structlog.contextvars.bound_contextvars(conversation=conversation):
            await _Exchange(self, batch, conversation).run()


class _Exchange:
    """One run of the handler: the batch as it grows, and the conversation as it is stored.

    Order matters: the state is saved first, then the archive is written, then the offsets may be
    committed. So an event that has left the state's memory is in the archive, always.
    """

    def __init__(self, handler: MessageHandler, batch: KeyBatch, conversation: str) -> None:
        self._handler = handler
        self._store = handler.store
        self._settings = handler.settings
        self._batch = batch
        self._conversation = conversation
        self._page_id, _, self._psid = conversation.partition(":")
        self._decoded: list[AnyRecord] = []
        self._late: list[AnyRecord] = []  # came while the model was writing
        self._archived = 0
        self._started = time.monotonic()

    async def run(self) -> None:
        events = self._decode_new()
        if any(isinstance(event, TakeoverStarted | TakeoverEnded) for event in events):
            self._store.forget(self._conversation)  # what memory says of the takeover is old
        if any(receive.changes_state(event) for event in events):
            await self._converse(events)
        await self._note_receipts()
        await self._archive()

    def _decode_new(self) -> list[AnyRecord]:
        """The events of the batch that have not been looked at yet."""
        new = [decode(record.value) for record in self._batch.records[len(self._decoded) :]]
        self._decoded.extend(new)
        return new

    async def _converse(self, events: list[AnyRecord]) -> None:
        channel = await self._handler.channels.channel(self._page_id)
        stored = await self._store.load(self._conversation)
        rules = self._rules(channel, stored)
        stored = await self._publish_again(stored, events)
        state = await self._receive(stored, stored.state, events, rules)
        if state.pending and not rules.answers:
            state = turns.drop_pending(state)
            self._show("typing_off")
        if channel is None or turns.needed(state) == "nothing":
            if state != stored.state:
                await self._store.save(stored, state)
            return
        await self._answer(stored, state, channel, rules)

    async def _answer(
        self, stored: Stored, state: State, channel: Channel, rules: receive.Rules
    ) -> None:
        """Save what came, ask, save the answer, publish it. New text while asking starts over."""
        self._show("mark_seen", "typing_on")
        state = await self._gather_burst(stored, state, channel, rules)
        restarts_left = MAX_RESTARTS
        while True:
            stored = await self._store.save(stored, state)
            await self._archive()
            answer = await self._ask(stored, channel, rules, may_restart=restarts_left > 0)
            state = await self._receive(stored, stored.state, self._late, rules)
            if answer is not None:
                break
            restarts_left -= 1
        now = self._handler.clock()
        state, turn = turns.finish(state, self._conversation, answer, stored.takeover, now)
        # the fence: this fails if a takeover has begun since the turn did
        stored = await self._store.save(stored, state)
        await self._publish(stored, turn)
        TURNS.labels(answer.kind).inc()
        ANSWER_SECONDS.observe(time.monotonic() - self._started)

    async def _gather_burst(
        self, stored: Stored, state: State, channel: Channel, rules: receive.Rules
    ) -> State:
        """Wait until the person has been quiet for the channel's window, though not for ever."""
        until = time.monotonic() + self._settings.max_burst_s
        while (left := until - time.monotonic()) > 0:
            if not await self._batch.wait_for_more(min(channel.settings.quiet_window_s, left)):
                break
            self._batch.take_more()
            state = await self._receive(stored, state, self._decode_new(), rules)
        return state

    async def _receive(
        self, stored: Stored, state: State, events: Sequence[AnyRecord], rules: receive.Rules
    ) -> State:
        """Fold events into the state, without late copies of those it has forgotten."""
        relevant = [event for event in events if receive.changes_state(event)]
        doubtful = {
            event.event_id: kept_as
            for event in relevant
            if not receive.is_known(state, event.event_id)
            and receive.may_be_late_copy(state, event.occurred_at)
            and (kept_as := archive.message_id(event)) is not None
        }
        if doubtful:
            known = await self._store.archived(list(doubtful.values()))
            relevant = [event for event in relevant if doubtful.get(event.event_id) not in known]
        return receive.receive(state, relevant, rules)

    def _rules(self, channel: Channel | None, stored: Stored) -> receive.Rules:
        return receive.Rules(
            answers=(
                channel is not None
                and channel.enabled
                and channel.status != "disconnected"
                and stored.takeover.mode == "ai"
            ),
            get_started_payload=channel.settings.get_started_payload if channel else "",
            session_idle=timedelta(seconds=channel.settings.session_idle_s if channel else 86_400),
            own_app_id=self._settings.app.facebook_app_id,
        )

    async def _ask(
        self, stored: Stored, channel: Channel, rules: receive.Rules, *, may_restart: bool
    ) -> turns.Answer | None:
        """The answer to what waits; None if the person wrote more and it has to be asked anew."""
        self._late = []
        need = turns.needed(stored.state)
        if need == "text_only":
            return turns.Answer("text_only", channel.settings.text_only_reply, model="none")
        profile = await self._handler.channels.assistant(channel.assistant_id)
        if profile is None:
            log.error("assistant_missing", channel=channel.id)
            return turns.Answer(
                "fallback", channel.settings.fallback_text, model="none", failure="no_assistant"
            )
        asking = asyncio.create_task(
            ask(
                self._handler.assistant,
                self._prompt(stored.state, channel, profile, welcome=need == "welcome"),
                fallback=channel.settings.fallback_text,
                attempts=self._settings.model_attempts,
                deadline_s=self._settings.turn_deadline_s,
            ),
            name="asking",
        )
        try:
            return await self._wait_for(asking, stored, rules, may_restart=may_restart)
        finally:
            asking.cancel()
            with suppress(asyncio.CancelledError):
                await asking

    async def _wait_for(
        self,
        asking: "asyncio.Task[turns.Answer]",
        stored: Stored,
        rules: receive.Rules,
        *,
        may_restart: bool,
    ) -> turns.Answer | None:
        """Keep typing while the model writes, and listen for what the person adds."""
        typing_at = time.monotonic() + TYPING_EVERY_S
        while not asking.done():
            more = (
                asyncio.create_task(self._batch.wait_for_more(TYPING_EVERY_S))
                if may_restart
                else None
            )
            waits: set[asyncio.Task[turns.Answer] | asyncio.Task[bool]] = {asking}
            if more is not None:
                waits.add(more)
            try:
                await asyncio.wait(
                    waits,
                    timeout=max(0.0, typing_at - time.monotonic()),
                    return_when=asyncio.FIRST_COMPLETED,
                )
                came = more is not None and more.done() and more.result()
            finally:
                if more is not None:
                    more.cancel()
            if came and not asking.done():
                self._batch.take_more()
                self._late.extend(self._decode_new())
                folded = await self._receive(stored, stored.state, self._late, rules)
                if len(folded.pending) > len(stored.state.pending):
                    return None
            if time.monotonic() >= typing_at:
                self._show("typing_on")
                typing_at = time.monotonic() + TYPING_EVERY_S
        return asking.result()

    def _prompt(
        self, state: State, channel: Channel, profile: AssistantProfile, *, welcome: bool
    ) -> Prompt:
        lines = turns.earlier_lines(state, self._settings.history_tokens)
        return Prompt(
            kind="welcome" if welcome else "answer",
            instructions=instructions(profile, channel, self._handler.clock()),
            knowledge=profile.knowledge,
            history=tuple(PromptLine(line.role, line.text) for line in lines),
            question=channel.settings.welcome_prompt if welcome else turns.question(state),
            assistant_name=profile.name,
            model=profile.model,
        )

    async def _publish_again(self, stored: Stored, events: Sequence[AnyRecord]) -> Stored:
        """After a crash between storing an answer and publishing it: publish it now."""
        seen = [
            receive.short_id(event.event_id)
            for event in events
            if receive.is_known(stored.state, event.event_id)
        ]
        turn = turns.to_publish_again(stored.state, seen)
        if turn is None or stored.published == turn.command_id:
            return stored
        return await self._publish(stored, turn)

    async def _publish(self, stored: Stored, turn: Turn) -> Stored:
        """The command and the fact of the turn, together: one wait for Kafka."""
        await self._handler.publisher.publish(*records_of(turn, self._page_id, self._psid))
        return self._store.mark_published(stored, turn.command_id)

    def _show(self, *actions: SenderAction) -> None:
        """Seen and typing: worth a try, never worth waiting for."""
        now = self._handler.clock()
        self._handler.publisher.publish_soon(
            SendAction(
                event_id=derived_id("action", self._conversation, now.isoformat(), *actions),
                page_id=self._page_id,
                psid=self._psid,
                occurred_at=now,
                actions=actions,
            )
        )

    async def _note_receipts(self) -> None:
        delivered = [e.watermark_ms for e in self._decoded if isinstance(e, MessageDelivered)]
        read = [e.watermark_ms for e in self._decoded if isinstance(e, MessageRead)]
        if delivered or read:
            await self._store.note_receipt(
                self._conversation,
                delivered_ms=max(delivered, default=0),
                read_ms=max(read, default=0),
            )

    async def _archive(self) -> None:
        """Keep what the batch brought since the last time. Doing it twice changes nothing."""
        new, self._archived = self._decoded[self._archived :], len(self._decoded)
        entries = [archive.entry_of(event, self._settings.app.facebook_app_id) for event in new]
        writes = [_write(entry) for entry in entries if entry is not None]
        if writes:
            await self._store.archive(writes)


def _write(entry: archive.Entry) -> UpdateOne:
    operator = "$setOnInsert" if entry.insert else "$set"
    return UpdateOne({"_id": entry.message_id}, {operator: entry.fields}, upsert=entry.upsert)
