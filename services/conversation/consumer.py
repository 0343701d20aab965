"""Events of one conversation in, an answer out: the turn.

Two round trips to the database and one wait for Kafka a turn: load, save with the answer, publish.
Nothing is written before the answer stands, and nothing after the command is on the log; a crash
between the two is mended when the log hands out the same events again.

What comes in is `intake.py`'s, what is said `answering.py`'s; here is the order of the effects.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import get_args

import structlog
from prometheus_client import Counter, Histogram

from libs.common import tracing
from libs.common.channels import Channel
from libs.common.erasures import Erased, NobodyErased
from libs.common.kafka import KeyBatch, Publisher
from libs.common.metrics import from_zero
from services.conversation.answering import Answering, Found
from services.conversation.assistants.base import Assistant
from services.conversation.desk import Channels, Desk, Spending, Store, Unmetered
from services.conversation.domain import receive, turns
from services.conversation.domain.failures import ALL_FAILURES
from services.conversation.domain.outbox import records_of
from services.conversation.domain.state import RequestReason, State, Turn, TurnKind
from services.conversation.intake import Intake
from services.conversation.settings import Settings
from services.conversation.signs import Signs
from services.conversation.store import Stored

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

TURNS = from_zero(
    Counter("assistant_turns_total", "Turns, by what became of them.", ["kind"]),
    get_args(TurnKind),
)
FAILURES = from_zero(
    Counter(
        "assistant_turn_failures_total",
        "Turns in which no answer could be made, by why.",
        ["reason"],  # as `turn.failed` has it
    ),
    [*ALL_FAILURES, "other"],
)
REQUESTS = from_zero(
    Counter("assistant_human_requests_total", "Calls for a human, by reason.", ["reason"]),
    get_args(RequestReason),
)
ANSWER_SECONDS = Histogram(
    "assistant_turn_seconds",
    "From the first event in hand to the command on the log, quiet window and model included.",
    buckets=(0.1, 0.25, 0.5, 1, 1.5, 2, 3, 5, 10, 20, 60),
)


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
        erased: Erased | None = None,
    ) -> None:
        self._desk = Desk(
            store,
            channels,
            assistant,
            publisher,
            settings,
            spending or Unmetered(),
            clock,
            erased or NobodyErased(),
        )

    async def handle(self, batch: KeyBatch) -> None:
        """Take in the batch and whatever joins it; return when all its effects are durable."""
        conversation = batch.key.decode()
        tracing.note(conversation=conversation)
        with structlog.contextvars.bound_contextvars(conversation=conversation):
            await _Exchange(self._desk, batch, conversation).run()


class _Exchange:
    """One run of the handler: the batch as it grows, and what becomes of the conversation."""

    def __init__(self, desk: Desk, batch: KeyBatch, conversation: str) -> None:
        self._desk = desk
        self._batch = batch
        self._conversation = conversation
        self._page_id, _, self._psid = conversation.partition(":")
        self._intake = Intake(desk.store, batch, conversation, desk.erased)
        self._signs = Signs(desk.publisher, self._page_id, self._psid, desk.now)
        self._started = _now()

    async def run(self) -> None:
        arrivals = self._intake.arrivals()
        own_app_id = self._desk.settings.app.facebook_app_id
        if not any(receive.changes_state(arrival.event, own_app_id) for arrival in arrivals):
            return
        channel = await self._desk.channels.channel(self._page_id)
        stored = await self._desk.store.load(self._conversation)
        if (turn := turns.to_publish_again(stored.state, arrivals)) is not None:
            await self._publish(turn)  # we crashed, or Kafka was away, after it was stored
        rules = self._rules(channel, stored)
        state = await self._intake.receive(stored.state, arrivals, rules)
        if channel is not None and turns.needed(state) != "nothing":
            epoch = stored.takeover.epoch
            answering = Answering(self._desk, self._intake, self._signs, channel, rules, epoch)
            await self._answer(stored, state, answering)
        elif state != stored.state:
            await self._desk.store.save(stored, state)

    async def _answer(self, stored: Stored, state: State, answering: Answering) -> None:
        """One turn, and another one for what came too late for the first."""
        if answering.is_silent(state):
            await self._desk.store.save(stored, turns.dismissed(state))
            return
        stored = await self._take_turn(stored, state, answering)
        if turns.needed(stored.state) != "nothing":
            self._intake.listens = False
            await self._take_turn(stored, stored.state, answering)

    async def _take_turn(self, stored: Stored, state: State, answering: Answering) -> Stored:
        """Show that we are at it, answer, and never leave typing on when no answer goes out."""
        self._signs.show("mark_seen", "typing_on")
        is_sent = False
        try:
            found = await self._found(answering, state)
            if found.answer is None:  # nothing is to be said
                return await self._desk.store.save(stored, found.state)
            state, turn = turns.finish(
                found.state,
                self._conversation,
                found.answer,
                stored.takeover,
                self._desk.now(),
                found.asked,
            )
            # the fence: this fails if a takeover has begun since the turn did
            stored = await self._desk.store.save(stored, state)
            is_sent = await self._publish(turn)
        finally:
            if not is_sent:
                self._signs.show("typing_off")
        self._count(turn)
        return stored

    async def _found(self, answering: Answering, state: State) -> Found:
        began_at = _now()
        try:
            return await answering.find(state)
        finally:
            self._batch.note_away(_now() - began_at)

    async def _publish(self, turn: Turn) -> bool:
        """The command and the fact of the turn, together: one wait for Kafka.

        False: the channel has no text for this case, so nothing is sent.
        """
        records = records_of(turn, self._page_id, self._psid)
        if records:
            await self._desk.publisher.publish(*records)
        return bool(turn.text)

    def _count(self, turn: Turn) -> None:
        TURNS.labels(turn.kind).inc()
        if turn.failure is not None:
            FAILURES.labels(turn.failure if turn.failure in ALL_FAILURES else "other").inc()
        tracing.note(outcome=turn.kind)
        if turn.request is not None:
            REQUESTS.labels(turn.request.reason).inc()
        ANSWER_SECONDS.observe(_now() - self._started)

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
            own_app_id=self._desk.settings.app.facebook_app_id,
            answers_from=stored.takeover.since,
        )


def _now() -> float:
    """The loop's own clock, which is the monotonic one but in tests."""
    return asyncio.get_running_loop().time()
