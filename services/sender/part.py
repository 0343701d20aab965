"""One part of one command, from wherever it stands to its final state.

Two round trips to the database and one call to Meta when nothing is amiss: claim, post, record.
Each step may be the last one before a crash, and the next run finds out what the last one did:

| found | means | then |
|---|---|---|
| a delivery | final | tell it again: the event may be missing |
| our claim, no delivery | posted, or about to be | evidence (`inquiry.py`) |
| the conversation elsewhere than expected | a copy, another partition | compare-and-set |
"""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import structlog
from prometheus_client import Counter

from libs.common import tracing
from libs.common.channels import Channel
from libs.common.events import SendText
from libs.common.freshness import FRESH_S
from libs.common.metrics import from_zero
from libs.common.window import Decision, Refuse, Send, Wait, as_human_agent, decide
from services.sender import reply_times
from services.sender.closing import closing_of
from services.sender.desk import Desk, PersonErasedError
from services.sender.domain.claims import Claim, Exactly, Expected, Sending, is_in_doubt
from services.sender.domain.deliveries import Delivery, DeliveryState, event_of
from services.sender.domain.evidence import Absent, Found
from services.sender.domain.keeping import NotNowError, window_end
from services.sender.domain.outcome import RateLimited, Refused, Sent, TokenRejected
from services.sender.domain.outline import Outline
from services.sender.domain.parts import send_id
from services.sender.domain.refusals import Refusal
from services.sender.draining import DrainingError, finish_first
from services.sender.inquiry import Doubt, Inquiry
from services.sender.lessons import learn
from services.sender.line import Call, now
from services.sender.meta import Answer
from services.sender.pages import LONG_STOP_S
from services.sender.store import Fence, Snapshot

PATIENCE_S = 30.0  # how long to wait for a Page before looking whether the message still may go
MAX_ATTEMPTS = 5  # with doubt about each; then a person decides
MAX_BACKOFF_S = 60.0
LATER_TRIES, LATER_S = 4, 30.0  # while a flow of Meta's has the thread

PARTS = from_zero(
    Counter("assistant_parts_total", "Parts by what became of them.", ["state"]),
    ["sent", "failed", "held"],
)
DOUBTS = from_zero(
    Counter(
        "assistant_part_doubts_total", "Parts in doubt, by what the inquiry found.", ["outcome"]
    ),
    ["recorded", "found", "absent", "unclear"],
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """Where on the log the command stands."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """Try to claim and post. `expected` None: look at the database first."""

    expected: Expected | None
    after_s: float = 0.0


Step = Attempt | Doubt | Delivery


class Part:
    """Brings one part to its final state, recorded and told."""

    def __init__(
        self,
        desk: Desk,
        command: SendText,
        source: Source,
        outline: Outline,
        part: int,
        *,
        kept: bool = False,
        generation: int = 0,
    ) -> None:
        self._desk = desk
        self._command = command
        self._source = source
        self._outline = outline
        self._part = part
        self._kept = kept  # nothing of this person is put away before it
        self._generation = generation
        self._not_before: datetime | None = None  # Meta wants this person left alone until then
        self._needs_tag = False  # the 24 hours are over, by what Meta says
        self._send_id = send_id(command.command_id, part)
        self._page = desk.pages[command.page_id]
        self._place = self._page.place(  # whatever comes between
            human=command.origin == "human",
            old=not part and not generation and _is_old(command, desk.now()),
        )
        self._attempts = 0
        self._refusals = 0
        self._since: datetime | None = None  # of the first attempt that may have got through
        self._by_meta = False  # whose clock that is
        self._cleared: str | None = None  # the claim that evidence says came to nothing

    async def deliver(self, expected: Expected | None) -> Delivery:
        """Deliver the part, if it is not delivered yet.

        Args:
            expected: what the conversation looks like if nothing is amiss; None: look first.

        Raises:
            TransientError: something is away, or the service stops; another run goes on from here.
            NotNowError: it cannot go out for long; another run goes on from here.
            PersonErasedError: whoever it is for was erased.
        """
        with tracing.step(
            "deliver a part",
            expected=(NotNowError, PersonErasedError, DrainingError),
            send_id=self._send_id,
            part=self._part,
            generation=self._generation,
        ):
            delivery = await self._deliver(expected)
            tracing.note(outcome=delivery.state, rule=delivery.rule, reason=delivery.reason)
            return delivery

    async def _deliver(self, expected: Expected | None) -> Delivery:
        known = self._desk.memory.result(self._send_id)
        ours = known is not None and known.generation == self._generation
        step: Step = await self._conclude(known) if known and ours else Attempt(expected)
        while not isinstance(step, Delivery):
            step = await (self._settle(step) if isinstance(step, Doubt) else self._try(step))
        self._outline.settle(self._part, step.text)
        return step

    async def fail(self, reason: str, explanation: str) -> Delivery:
        """Record, without a try, that the part will not be sent."""
        failed = self._final("failed", rule=reason, reason=reason, explanation=explanation)
        return await self._conclude(failed)

    async def _try(self, attempt: Attempt) -> Step:
        if attempt.after_s:
            await self._desk.drain.sleep(attempt.after_s)
        self._desk.drain.check()
        self._desk.check_erased(self._command)
        if attempt.expected is None:
            return await self._look()
        if await closing_of(self._desk, self._command.page_id) is not None:
            return Attempt(None)
        began_at = now()
        async with self._page.turn(PATIENCE_S, self._place) as call:
            is_free = call is not None
            tracing.event("turn" if is_free else "no_turn", waited_s=round(now() - began_at, 3))
            if call is None:
                return Attempt(None)
            return await finish_first(
                self._claim_and_post(call, attempt.expected), self._desk.settings.http_timeout_s
            )

    async def _look(self) -> Step:
        """Something is not as expected, or time has passed: see how things stand."""
        # the conversation first: a claim that is read before the missing delivery is in doubt
        snapshot = await self._desk.store.conversation(self._command.conversation_id)
        recorded = await self._desk.store.delivery(self._send_id)
        if recorded is not None and not self._is_open_again(recorded):
            return await self._tell(recorded)
        if snapshot is not None and snapshot.kept is not None and not self._kept:
            raise NotNowError("behind", expires_at=self._window_end(snapshot))
        sending = snapshot.sending if snapshot else None
        decision = _decide(self._command, await self._channel(), snapshot, self._desk.now())
        if sending is not None and self._is_in_doubt(sending):
            doubt = self._doubt(sending)
            if not self._was_absent(doubt):
                return await self._look_into(doubt, snapshot, decision)
            self._clear(doubt)
        if isinstance(decision, Refuse):
            return await self._refuse(decision)
        await self._give_up_place(snapshot)
        if sending is None:
            return Attempt(Exactly(None, begins=True))
        begins = self._command.command_id not in sending.recent
        return Attempt(Exactly(sending.claim_id, begins=begins))

    def _was_absent(self, doubt: Doubt) -> bool:
        """Whether an earlier run has just found that out, could not go on, and no echo has come."""
        if self._echoed is not None:
            return False
        return self._desk.memory.is_absent(self._send_id, doubt.claim_id, now())

    @property
    def _echoed(self) -> str | None:
        """The message that the part is, should it have arrived after all: an echo may be later than
        all patience, and it is the better evidence."""
        return self._desk.echoes.mid_of(self._send_id)

    async def _look_into(self, doubt: Doubt, snapshot: Snapshot | None, decision: Decision) -> Step:
        """Where the Page cannot be called, neither can the thread be read: put it away, unless its
        echo is there or waiting cannot help any more."""
        if self._echoed is not None:
            return doubt
        if await closing_of(self._desk, self._command.page_id) is None:
            return doubt
        if isinstance(decision, Refuse):
            self._attempts, self._since, self._by_meta = doubt.attempts, doubt.since, doubt.by_meta
            return await self._conclude(await self._held(doubt, tried=False))
        await self._give_up_place(snapshot)
        return Attempt(None)

    async def _give_up_place(self, snapshot: Snapshot | None) -> None:
        """Raises: NotNowError: the part cannot go out, nor be asked about, for long."""
        not_before, now = self._not_before, self._desk.now()
        sending = snapshot.sending if snapshot else None
        facts: dict[str, Any] = {"expires_at": self._window_end(snapshot)}
        if sending is not None and sending.send_id == self._send_id and self._is_unused(sending):
            facts["unused_claim"] = sending.claim_id
        closing = await closing_of(self._desk, self._command.page_id)
        if closing is not None:
            raise NotNowError(closing.why, wake_at=closing.until, **facts)
        if not_before is not None and (not_before - now).total_seconds() > LONG_STOP_S:
            raise NotNowError("person_limit", wake_at=not_before, **facts)

    def _window_end(self, snapshot: Snapshot | None) -> datetime | None:
        last = snapshot.last_user_message_at if snapshot else None
        return window_end(self._command.origin, last)

    def _is_open_again(self, recorded: Delivery) -> bool:
        return (recorded.state, recorded.generation) == ("again", self._generation)

    def _is_unused(self, sending: Sending) -> bool:
        return sending.unused or self._desk.memory.is_unused(sending.claim_id)

    def _is_in_doubt(self, sending: Sending) -> bool:
        if sending.claim_id == self._cleared and self._echoed is None:
            return False
        if sending.send_id == self._send_id and self._is_unused(sending):
            return False
        if self._generation:  # what went before, a person has seen and decided about
            ours = (self._send_id, self._generation)
            return (sending.send_id, sending.generation) == ours
        return is_in_doubt(sending, self._command.command_id, self._part)

    def _doubt(self, sending: Sending) -> Doubt:
        if sending.send_id == self._send_id:
            self._outline.settle(self._part, sending.text)
            return Doubt.about(sending)
        # others were claimed since: all we know is that it was after the command
        return Doubt(
            sending.claim_id, self._command.occurred_at, sending.deadline_at, self._text, 1
        )

    async def _claim_and_post(self, call: Call, expected: Expected) -> Step:
        claim = self._new_claim()
        fence = Fence(self._command.epoch) if self._command.origin == "assistant" else None
        self._desk.memory.keep_unused(claim.claim_id)
        with tracing.step("claim", attempt=claim.attempt):
            snapshot = await self._desk.store.claim(
                self._command.conversation_id, claim, fence, expected
            )
        if snapshot is None:
            tracing.event("not_as_expected")
            return Attempt(None)
        channel, now = await self._channel(), self._desk.now()
        decision = _decide(self._command, channel, snapshot, now)
        tracing.event("decided", outcome=type(decision).__name__.lower(), rule=decision.rule)
        if isinstance(decision, Refuse):
            return await self._refuse(decision)
        if channel is None or isinstance(decision, Wait):
            return Attempt(None)
        if self._needs_tag and decision.tag is None:
            decision = as_human_agent(decision)
        await call.room()
        if not claim.leaves(self._desk.settings.http_timeout, self._desk.now()):
            return Attempt(Exactly(claim.claim_id))  # the claim itself took too long
        if self._since is not None and (mid := self._echoed) is not None:
            return await self.found(mid, "echo", self._since)  # it came while we waited for a turn
        self._desk.check_erased(self._command)  # the last moment: the call follows
        self._desk.memory.use(claim.claim_id)
        self._attempts = claim.attempt
        with call:
            answer = await self._desk.meta.send(
                channel, self._command.psid, claim.text, self._send_id, decision
            )
        return await self._take(answer, claim, decision)

    def _new_claim(self) -> Claim:
        now, at_meta = self._desk.now(), self._desk.meta_clock.now()
        return Claim(
            claim_id=uuid4().hex,
            send_id=self._send_id,
            command_id=self._command.command_id,
            part=self._part,
            partition=self._source.partition,
            offset=self._source.offset,
            text=self._text,
            attempt=self._attempts + 1,
            first_claimed_at=self._since or at_meta or now,
            by_meta=self._by_meta if self._since else at_meta is not None,
            claimed_at=now,
            deadline_at=now + self._desk.settings.claim_lifetime,
            generation=self._generation,
        )

    async def _take(self, answer: Answer, claim: Claim, decision: Send) -> Step:
        outcome = answer.outcome
        if isinstance(outcome, Sent):
            self._page.answered()
            if not (self._kept or self._generation):
                reply_times.observe(self._command, self._part, self._desk.now())
            return await self._conclude(self._sent(outcome.mid, decision.rule, decision))
        if isinstance(outcome, RateLimited | TokenRejected):
            return await self._give_way(outcome, claim)
        if isinstance(outcome, Refused):
            return await self._accept_refusal(outcome, answer, claim, decision)
        log.warning("send_uncertain", send_id=self._send_id, reason=outcome.reason)
        if outcome.reason == "too_many_calls":
            self._page.limited(outcome.retry_after_s)
        return Doubt.about(claim)

    async def _give_way(self, outcome: RateLimited | TokenRejected, claim: Claim) -> Step:
        """Surely not sent, and nothing wrong with the message: same part, same place, later."""
        self._desk.memory.keep_unused(claim.claim_id)
        again = Exactly(claim.claim_id)
        if isinstance(outcome, RateLimited) and outcome.scope == "person":
            pause_s = outcome.retry_after_s or self._backoff_s()
            if pause_s > LONG_STOP_S:
                self._not_before = self._desk.now() + timedelta(seconds=pause_s)
                return Attempt(None)
            return Attempt(again, after_s=pause_s)
        await learn(self._desk, self._command.page_id, outcome)
        return Attempt(again)

    async def _accept_refusal(
        self, refused: Refused, answer: Answer, claim: Claim, decision: Send
    ) -> Step:
        refusal = refused.refusal
        if refusal.kind != "network":
            self._page.answered()
        pause_s = self._pause_before_another(refusal)
        if self._is_out_of_standard_window(refusal, decision):
            self._needs_tag, pause_s = True, 0.0
        if pause_s is not None:
            self._desk.memory.keep_unused(claim.claim_id)
            return Attempt(Exactly(claim.claim_id), pause_s)
        return await self._conclude(
            self._final(
                "failed",
                rule="meta_refused",
                messaging_type=decision.messaging_type,
                tag=decision.tag,
                window_expires_at=decision.window_expires_at,
                reason=refusal.reason,
                explanation=refusal.explanation,
                advice=refusal.advice,
                error_code=refused.code,
                error_subcode=refused.subcode,
                fbtrace_id=answer.fbtrace_id,
                meta_message=answer.message,
            )
        )

    def _is_out_of_standard_window(self, refusal: Refusal, decision: Send) -> bool:
        """Meta may know that what we took for the person's latest message opened no window."""
        is_closed = refusal.reason == "window_closed" and decision.tag is None
        return is_closed and self._command.origin == "human"

    def _pause_before_another(self, refusal: Refusal) -> float | None:
        """Seconds until it is worth another try, by itself; None: it is not."""
        if refusal.retry == "split":
            splits = not self._generation and self._outline.split_again(self._part)
            return 0.0 if splits else None
        if refusal.retry == "soon":
            return self._backoff_s()
        if refusal.retry == "once" and not self._refusals:
            return self._backoff_s()
        if refusal.retry == "later" and self._refusals < LATER_TRIES:
            return LATER_S + self._backoff_s()
        return None

    async def _refuse(self, refuse: Refuse) -> Delivery:
        failed = self._final(
            "failed",
            rule=refuse.rule,
            reason=refuse.code,
            explanation=refuse.explanation,
            advice=refuse.advice,
            window_expires_at=refuse.window_expired_at,
        )
        return await self._conclude(failed)

    async def _settle(self, doubt: Doubt) -> Step:
        self._take_up(doubt)
        with tracing.step("look for evidence", expected=(DrainingError,)):
            found = await Inquiry(self._desk, self._command, self._send_id, doubt).run()
            tracing.note(outcome="nothing" if found is None else type(found).__name__.lower())
        if found is None:
            return Attempt(None)
        if isinstance(found, Delivery):
            DOUBTS.labels("recorded").inc()
            return await self._tell(found)
        DOUBTS.labels(type(found).__name__.lower()).inc()
        if isinstance(found, Found):
            return await self.found(found.mid, found.by, doubt.since)
        if isinstance(found, Absent) and self._attempts < MAX_ATTEMPTS:
            self._desk.memory.keep_absent(self._send_id, doubt.claim_id, now())
            self._clear(doubt)
            return Attempt(Exactly(doubt.claim_id))
        return await self._conclude(await self._held(doubt, tried=isinstance(found, Absent)))

    def _take_up(self, doubt: Doubt) -> None:
        """A next claim goes on counting, and is looked for from when the first one was made."""
        self._attempts = max(self._attempts, doubt.attempts)
        self._since, self._by_meta = doubt.since, doubt.by_meta

    def _clear(self, doubt: Doubt) -> None:
        self._take_up(doubt)
        self._cleared = doubt.claim_id

    async def found(self, mid: str, by: str, since: datetime) -> Delivery:
        """Record that it was sent after all."""
        how = await self._decided_at(since)
        return await self._conclude(self._sent(mid, f"found_by_{by}", how))

    async def _decided_at(self, moment: datetime) -> Send | None:
        """As what a message of then went out. The assistant has but one way."""
        if self._command.origin == "assistant":
            return None
        snapshot = await self._desk.store.conversation(self._command.conversation_id)
        decision = _decide(self._command, await self._channel(), snapshot, moment)
        return decision if isinstance(decision, Send) else None

    async def _conclude(self, delivery: Delivery) -> Delivery:
        """Record the final state, then tell it. What is recorded first is what counts."""
        self._desk.memory.keep_result(delivery)  # first: who was erased may not be known just now
        try:
            self._desk.check_erased(self._command)
        except PersonErasedError:
            self._desk.memory.recorded(delivery.send_id)
            raise
        with tracing.step("settle", outcome=delivery.state):
            recorded = await self._desk.store.finish(delivery)
        self._desk.memory.recorded(delivery.send_id)
        PARTS.labels(recorded.state).inc()
        level = log.debug if recorded.state == "sent" else log.warning
        level(
            "part_final",
            send_id=recorded.send_id,
            state=recorded.state,
            rule=recorded.rule,
            reason=recorded.reason,
            code=recorded.error_code,
            subcode=recorded.error_subcode,
            attempts=recorded.attempts,
        )
        return await self._tell(recorded)

    async def _tell(self, delivery: Delivery) -> Delivery:
        if delivery.state != "again":  # somebody is at it
            await self._desk.publisher.publish(event_of(delivery))
        return delivery

    def _sent(self, mid: str, rule: str, how: Send | None) -> Delivery:
        return self._final(
            "sent",
            rule=rule,
            mid=mid,
            messaging_type=how.messaging_type if how else "RESPONSE",
            tag=how.tag if how else None,
            window_expires_at=how.window_expires_at if how else None,
        )

    async def _held(self, doubt: Doubt, *, tried: bool) -> Delivery:
        how = await self._decided_at(doubt.since)
        seen = (
            f"Facebook gave no clear answer to {self._attempts} attempts, and the thread does not "
            "show the message."
            if tried
            else "Facebook gave no clear answer, and the thread could not be read back or shows "
            "too little to tell."
        )
        return self._final(
            "held",
            rule="no_evidence",
            reason="unanswered" if tried else "no_evidence",
            since=doubt.since,
            since_by_meta=doubt.by_meta,
            messaging_type=how.messaging_type if how else None,
            tag=how.tag if how else None,
            explanation=f"{seen} Whether it arrived has to be seen in Facebook's own inbox.",
        )

    def _final(self, state: DeliveryState, **facts: Any) -> Delivery:  # noqa: ANN401 - as Delivery
        return Delivery(
            send_id=self._send_id,
            command_id=self._command.command_id,
            page_id=self._command.page_id,
            psid=self._command.psid,
            part=self._part,
            parts=max(len(self._outline), 1),
            origin=self._command.origin,
            turn_id=self._command.turn_id,
            epoch=self._command.epoch,
            by=self._command.by,
            by_name=self._command.by_name,
            text=self._text,
            state=state,
            at=self._desk.now(),
            attempts=self._attempts,
            generation=self._generation,
            **facts,
        )

    @property
    def _text(self) -> str:
        return self._outline[self._part] if len(self._outline) else ""

    async def _channel(self) -> Channel | None:
        return await self._desk.channels.channel(self._command.page_id)

    def _backoff_s(self) -> float:
        self._refusals += 1
        return min(2.0 ** min(self._refusals - 1, 10), MAX_BACKOFF_S) * random.uniform(0.5, 1.0)


def _is_old(command: SendText, now: datetime) -> bool:
    """Whether it answers somebody who has waited so long that others may go first."""
    if command.waiting_since is None:
        return False
    return (now - command.waiting_since).total_seconds() - (command.model_s or 0.0) > FRESH_S


def _decide(
    command: SendText, channel: Channel | None, snapshot: Snapshot | None, now: datetime
) -> Decision:
    """The rules, with what is known now; waiting only for what may still come to be sent."""

    def with_status(status: Any) -> Decision:  # noqa: ANN401 - ChannelStatus or None
        return decide(
            origin=command.origin,
            channel_enabled=channel is not None and channel.enabled,
            channel_status=status,
            mode_now=snapshot.mode if snapshot else "ai",
            mode_epoch_now=snapshot.epoch if snapshot else 0,
            command_epoch=command.epoch,
            last_user_message_at=snapshot.last_user_message_at if snapshot else None,
            now=now,
            thread_is_ours=snapshot.thread_is_ours if snapshot else True,
        )

    decision = with_status(channel.status if channel else None)
    if isinstance(decision, Wait):
        once_active = with_status("active")
        return once_active if isinstance(once_active, Refuse) else decision
    return decision
