"""Events of one conversation in, an answer out: the turn.

Two round trips to the database and one wait for Kafka a turn: load, save with the answer, publish.
Nothing is written before the answer stands, and nothing after the command is on the log; a crash
between the two is mended when the log hands out the same events again.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple, Protocol

import structlog
from prometheus_client import Counter, Histogram

from libs.common.channels import Assistant as AssistantProfile
from libs.common.channels import Channel
from libs.common.events import (
    MessageReceived,
    SendAction,
    SenderAction,
    TakeoverStarted,
    derived_id,
)
from libs.common.kafka import KeyBatch, Publisher
from services.conversation.asking import ask
from services.conversation.assistants.base import Assistant, Prompt, PromptLine
from services.conversation.domain import archive, loops, receive, requests, turns
from services.conversation.domain.outbox import records_of
from services.conversation.domain.plain_requests import asks_for_human
from services.conversation.domain.prompt import instructions
from services.conversation.domain.receive import Arrival
from services.conversation.domain.spending import Spent, has_limits, is_over
from services.conversation.domain.state import Pending, Position, State, Turn
from services.conversation.history import arrival_of
from services.conversation.settings import Settings
from services.conversation.store import ConversationChangedError, Stored

WANTED = frozenset(
    {
        b"message.received",
        b"message.edited",
        b"postback.received",
        b"message.echoed",
        b"reaction.received",
        b"referral.received",
        b"standby.received",
        b"message.sent",
        b"message.failed",
        b"takeover.started",
    }
)
MAX_RESTARTS = 2
TYPING_EVERY_S = 15.0  # Messenger shows it for 20 s
MOST_QUOTED = 10
"""Of a batch's replies to earlier messages, the newest so many are looked up."""

TURNS = Counter("assistant_turns_total", "Turns, by what became of them.", ["kind"])
REQUESTS = Counter("assistant_human_requests_total", "Calls for a human, by reason.", ["reason"])
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

    async def sources(self, message_ids: Sequence[str]) -> dict[str, str]: ...

    async def texts(self, conversation: str, mids: Sequence[str]) -> dict[str, str]: ...


class Spending(Protocol):
    """What the handler needs of `SpendingKeeper`."""

    def count(self, page_id: str, spent: Spent) -> None: ...

    async def today(self, page_id: str) -> Spent: ...


class Unmetered:
    """Nothing is counted, so no limit is ever reached."""

    def count(self, page_id: str, spent: Spent) -> None:
        pass

    async def today(self, page_id: str) -> Spent:
        return Spent()


class Channels(Protocol):
    """What the handler needs of `ChannelDirectory`."""

    async def channel(self, page_id: str) -> Channel | None: ...

    async def assistant(self, assistant_id: str) -> AssistantProfile | None: ...


def wants(headers: Mapping[str, bytes]) -> bool:
    """Of the events topic, what matters for an answer."""
    return headers.get("type") in WANTED and headers.get("version", b"").startswith(b"1.")


class MessageHandler:
    """Handles everything that waits in one conversation, and answers it once."""

    def __init__(
        self,
        store: Store,
        channels: Channels,
        assistant: Assistant,
        publisher: Publisher,
        settings: Settings,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        spending: Spending | None = None,
    ) -> None:
        self.spending = spending or Unmetered()
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


class _Found(NamedTuple):
    """An answer, the messages it answers, and the state, in which others may wait by then."""

    state: State
    answer: turns.Answer | None
    asked: tuple[Pending, ...]


class _Exchange:
    """One run of the handler: the batch as it grows, and what becomes of the conversation."""

    def __init__(self, handler: MessageHandler, batch: KeyBatch, conversation: str) -> None:
        self._handler = handler
        self._settings = handler.settings
        self._batch = batch
        self._conversation = conversation
        self._page_id, _, self._psid = conversation.partition(":")
        self._taken = 0
        self._listens = True
        """Whether what comes meanwhile joins. Not for ever: one person's offsets have to move."""
        self._typing_again_at = 0.0
        self._asks: dict[Pending, bool] = {}
        self._started = _now()

    async def run(self) -> None:
        arrivals = self._arrivals()
        if not any(receive.changes_state(arrival.event) for arrival in arrivals):
            return
        channel = await self._handler.channels.channel(self._page_id)
        stored = await self._handler.store.load(self._conversation)
        if (turn := turns.to_publish_again(stored.state, arrivals)) is not None:
            await self._publish(turn)  # we crashed, or Kafka was away, after it was stored
        rules = self._rules(channel, stored)
        state = await self._receive(stored.state, arrivals, rules)
        if channel is not None and self._is_silent(stored, state, channel):
            await self._handler.store.save(stored, turns.dismissed(state))
        elif channel is not None and turns.needed(state) != "nothing":
            stored, state = await self._take_turn(stored, state, channel, rules)
            if turns.needed(state) != "nothing":  # it came too late for that turn
                self._listens = False
                await self._take_turn(stored, state, channel, rules)
        elif state != stored.state:
            await self._handler.store.save(stored, state)

    def _arrivals(self) -> list[Arrival]:
        """The events of the batch that have not been looked at yet."""
        new = [arrival_of(record) for record in self._batch.records[self._taken :]]
        self._taken += len(new)
        return new

    async def _take_turn(
        self, stored: Stored, state: State, channel: Channel, rules: receive.Rules
    ) -> tuple[Stored, State]:
        """Show that we are at it, answer, and never leave typing on when no answer goes out."""
        self._show("mark_seen", "typing_on")
        is_sent = False
        try:
            stored, state, is_sent = await self._answer(stored, state, channel, rules)
        finally:
            if not is_sent:
                self._show("typing_off")
        return stored, state

    async def _answer(
        self, stored: Stored, state: State, channel: Channel, rules: receive.Rules
    ) -> tuple[Stored, State, bool]:
        """Ask, save the answer with what it answers, publish it. False: nothing is to be said."""
        found = await self._find_answer(stored, state, channel, rules)
        if found.answer is None:
            return await self._handler.store.save(stored, found.state), found.state, False
        state, turn = turns.finish(
            found.state,
            self._conversation,
            found.answer,
            stored.takeover,
            self._handler.clock(),
            found.asked,
        )
        # the fence: this fails if a takeover has begun since the turn did
        stored = await self._handler.store.save(stored, state)
        is_sent = await self._publish(turn)
        TURNS.labels(turn.kind).inc()
        if turn.request is not None:
            REQUESTS.labels(turn.request.reason).inc()
        ANSWER_SECONDS.observe(_now() - self._started)
        return stored, state, is_sent

    async def _find_answer(
        self, stored: Stored, state: State, channel: Channel, rules: receive.Rules
    ) -> _Found:
        """The answer to what waits. New text while asking starts over, twice at most.

        No answer: the person took back what they wrote.
        """
        restarts = 0
        while True:
            state = await self._gather_burst(stored, state, channel, rules)
            asked = state.pending
            need = turns.needed(state)
            if need == "nothing":
                return _Found(state, None, asked)
            if need == "text_only":
                texts = channel.settings
                answer: turns.Answer | None
                answer = turns.Answer(need, texts.text_only_reply, model="none")
            else:
                answer = await self._without_model(state, channel)
            if answer is None:
                state, answer = await self._ask(
                    stored,
                    state,
                    channel,
                    rules,
                    may_restart=self._listens and restarts < MAX_RESTARTS,
                )
            if answer is not None:
                return _Found(state, answer, asked)
            restarts += 1

    async def _without_model(self, state: State, channel: Channel) -> turns.Answer | None:
        """The answer where no model is asked: a human is wanted, or it would be wrong to go on."""
        texts = channel.settings
        if self._asks_for_human(state, channel):
            request = requests.asked(state)
            return turns.Answer("handover", texts.handover_text, model="none", request=request)
        if loops.is_loop(state, texts.loop_turns):
            log.warning("loop_suspected", count=texts.loop_turns)
            silence = timedelta(seconds=texts.loop_pause_s)
            return self._no_answer(state, texts.handover_text, "loop_suspected", silence)
        if has_limits(texts) and is_over(texts, await self._handler.spending.today(self._page_id)):
            return self._no_answer(state, texts.fallback_text, "daily_limit")
        return None

    def _no_answer(
        self, state: State, text: str, failure: str, silence: timedelta | None = None
    ) -> turns.Answer:
        request = requests.trouble(state, failure)
        return turns.Answer(
            "fallback", text, model="none", failure=failure, request=request, silence=silence
        )

    def _asks_for_human(self, state: State, channel: Channel) -> bool:
        """Whether a waiting message asks for a human. Each is judged once: there may be many."""
        heard = channel.settings
        for waiting in state.pending:
            if waiting.kind == "text" and waiting not in self._asks:
                self._asks[waiting] = asks_for_human(
                    waiting.text, heard.handover_languages, heard.handover_phrases
                )
        self._asks = {waiting: self._asks.get(waiting, False) for waiting in state.pending}
        return any(self._asks.values())

    def _is_urgent(self, stored: Stored, state: State, channel: Channel) -> bool:
        """Whether a human is asked for of whom nobody knows yet: that waits for no burst."""
        if not self._asks_for_human(state, channel):
            return False
        now = self._handler.clock()
        return not requests.is_told(state, requests.asked(state), stored.takeover.epoch, now)

    def _is_silent(self, stored: Stored, state: State, channel: Channel) -> bool:
        """Whether what waits goes unanswered, as it seems to come from a machine."""
        return (
            state.silent_until is not None
            and self._handler.clock() < state.silent_until
            and turns.needed(state) in ("answer", "text_only")
            and not self._is_urgent(stored, state, channel)
        )

    async def _gather_burst(
        self, stored: Stored, state: State, channel: Channel, rules: receive.Rules
    ) -> State:
        """Wait until the person has been quiet for the channel's window, though not for ever."""
        if not self._listens:
            return state
        until = _now() + self._settings.max_burst_s
        while (left := until - _now()) > 0:
            if self._is_urgent(stored, state, channel) or not await self._batch.wait_for_more(
                min(channel.settings.quiet_window_s, left)
            ):
                break
            self._keep_typing()
            state = await self._take_more(stored, state, rules)
        return state

    async def _take_more(self, stored: Stored, state: State, rules: receive.Rules) -> State:
        """Fold in what has come meanwhile.

        Raises:
            ConversationChangedError: a human has taken over; the next attempt finds that stored.
        """
        self._batch.take_more()
        arrivals = self._arrivals()
        for arrival in arrivals:
            event = arrival.event
            if isinstance(event, TakeoverStarted) and event.epoch > stored.takeover.epoch:
                raise ConversationChangedError("a human has taken over")
        return await self._receive(state, arrivals, rules)

    async def _receive(
        self, state: State, arrivals: Sequence[Arrival], rules: receive.Rules
    ) -> State:
        """Fold events into the state, without late copies of those it has forgotten."""
        relevant = [arrival for arrival in arrivals if receive.changes_state(arrival.event)]
        doubtful = {
            arrival.position: kept_as
            for arrival in relevant
            if receive.has_to_be_looked_up(state, arrival)
            and (kept_as := archive.copied_id(arrival.event)) is not None
        }
        if doubtful:
            copies = await self._copies(doubtful)
            relevant = [arrival for arrival in relevant if arrival.position not in copies]
        return receive.receive(state, await self._with_quotes(state, relevant), rules)

    async def _with_quotes(self, state: State, arrivals: Sequence[Arrival]) -> Sequence[Arrival]:
        """With the messages that these reply to, where the memory has them not."""
        here = {getattr(arrival.event, "mid", None) for arrival in arrivals}
        mids = {
            arrival.position: arrival.event.reply_to_mid
            for arrival in arrivals
            if isinstance(arrival.event, MessageReceived)
            and arrival.event.reply_to_mid is not None
            and arrival.event.reply_to_mid not in here
            and not receive.is_known(state, arrival.event.event_id)
            and not receive.remembered(state, arrival.event.reply_to_mid)
        }
        if not mids:
            return arrivals
        wanted = list(dict.fromkeys(mids.values()))[-MOST_QUOTED:]
        texts = await self._handler.store.texts(self._conversation, wanted)
        return [
            replace(arrival, quoted=texts.get(mids.get(arrival.position, ""), ""))
            for arrival in arrivals
        ]

    async def _copies(self, doubtful: Mapping[Position, str]) -> set[Position]:
        """The records whose message another record has brought into the archive before them."""
        sources = await self._handler.store.sources(list(set(doubtful.values())))
        return {
            position
            for position, kept_as in doubtful.items()
            if kept_as in sources and sources[kept_as] != archive.source_of(position)
        }

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
            answers_from=stored.takeover.since,
        )

    async def _ask(
        self,
        stored: Stored,
        state: State,
        channel: Channel,
        rules: receive.Rules,
        *,
        may_restart: bool,
    ) -> tuple[State, turns.Answer | None]:
        """The answer to what waits; None if it has to be asked anew: see `_starts_over`."""
        texts = channel.settings
        profile = await self._handler.channels.assistant(channel.assistant_id)
        if profile is None:
            log.error("assistant_missing", channel=channel.id)
            return state, self._no_answer(state, texts.fallback_text, "no_assistant")
        asking = asyncio.create_task(
            ask(
                self._handler.assistant,
                self._prompt(state, channel, profile),
                fallback=texts.fallback_text,
                attempts=self._settings.model_attempts,
                deadline_s=self._settings.turn_deadline_s,
                handover=texts.handover_text,
                count=partial(self._handler.spending.count, self._page_id),
            ),
            name="asking",
        )
        try:
            asked = state.pending
            while not asking.done():
                if await self._more_came(asking):
                    state = await self._take_more(stored, state, rules)
                    if self._starts_over(stored, state, channel, asked, may_restart=may_restart):
                        return state, None
            if may_restart and await self._batch.wait_for_more(0):  # it came at the same moment
                state = await self._take_more(stored, state, rules)
                if state.pending != asked:
                    return state, None
            answer = asking.result()
            if answer.failure is not None:
                answer = replace(answer, request=requests.trouble(state, answer.failure))
            return state, answer
        finally:
            await _end(asking)

    def _starts_over(
        self,
        stored: Stored,
        state: State,
        channel: Channel,
        asked: tuple[Pending, ...],
        *,
        may_restart: bool,
    ) -> bool:
        """Whether an answer to `asked` is no longer wanted.

        Where a turn has started over often enough, what the person writes on waits for the next
        one, unless they took everything back, or want a human: that waits for no model.
        """
        if state.pending == asked:
            return False
        return may_restart or not state.pending or self._is_urgent(stored, state, channel)

    async def _more_came(self, asking: "asyncio.Task[turns.Answer]") -> bool:
        """Keep typing until the answer is there, or the person has sent something first."""
        tasks: set[asyncio.Task[Any]] = {asking}
        more = None
        if self._listens:
            more = asyncio.create_task(self._batch.wait_for_more(TYPING_EVERY_S), name="listening")
            tasks.add(more)
        try:
            while not any(task.done() for task in tasks):
                left = max(0.0, self._typing_again_at - _now())
                await asyncio.wait(tasks, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                if not asking.done():
                    self._keep_typing()
            return more is not None and not asking.done() and more.result()
        finally:
            if more is not None:
                await _end(more)

    def _prompt(self, state: State, channel: Channel, profile: AssistantProfile) -> Prompt:
        welcome = turns.needed(state) == "welcome"
        lines = turns.earlier_lines(state, self._settings.history_tokens)
        return Prompt(
            kind="welcome" if welcome else "answer",
            instructions=instructions(profile, channel, self._handler.clock()),
            knowledge=profile.knowledge,
            history=tuple(PromptLine(line.role, line.text, line.quoted) for line in lines),
            question=channel.settings.welcome_prompt if welcome else turns.question(state),
            assistant_name=profile.name,
            model=profile.model,
            quoted="" if welcome else turns.replied_to(state),
            may_hand_over=not welcome,
        )

    async def _publish(self, turn: Turn) -> bool:
        """The command and the fact of the turn, together: one wait for Kafka.

        False: the channel has no text for this case, so nothing is sent.
        """
        records = records_of(turn, self._page_id, self._psid)
        if records:
            await self._handler.publisher.publish(*records)
        return bool(turn.text)

    def _keep_typing(self) -> None:
        if _now() >= self._typing_again_at:
            self._show("typing_on")

    def _show(self, *actions: SenderAction) -> None:
        """Seen and typing: worth a try, never worth waiting for."""
        now = self._handler.clock()
        self._typing_again_at = _now() + TYPING_EVERY_S
        self._handler.publisher.publish_soon(
            SendAction(
                event_id=derived_id("action", self._conversation, now.isoformat(), *actions),
                page_id=self._page_id,
                psid=self._psid,
                occurred_at=now,
                actions=actions,
            )
        )


async def _end(task: "asyncio.Task[Any]") -> None:
    """Cancel a task and wait for it, whatever it ends with.

    Unlike `await task` with its CancelledError suppressed, this lets a cancellation of our own
    through.
    """
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()  # looked at, so that nobody is told it was not


def _now() -> float:
    """The loop's own clock, which is the monotonic one but in tests."""
    return asyncio.get_running_loop().time()
