"""From what waits in a conversation to what is said: the burst, the rules, the model.

Nothing is written here. While it lasts, more may come, and a human may take over.
"""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any, NamedTuple

import structlog

from libs.common import tracing
from libs.common.channels import Assistant as AssistantProfile
from libs.common.channels import Channel
from services.conversation import composing
from services.conversation.desk import Desk
from services.conversation.domain import loops, receive, requests, turns
from services.conversation.domain.plain_requests import asks_for_human
from services.conversation.domain.state import Pending, State
from services.conversation.intake import Intake
from services.conversation.signs import TYPING_EVERY_S, Signs

MAX_RESTARTS = 2

log = structlog.get_logger(__name__)


class Found(NamedTuple):
    """An answer, the messages it answers, and the state, in which others may wait by then."""

    state: State
    answer: turns.Answer | None
    asked: tuple[Pending, ...]


class Answering:
    """What one conversation is answered, as long as its epoch lasts."""

    def __init__(
        self,
        desk: Desk,
        intake: Intake,
        signs: Signs,
        channel: Channel,
        rules: receive.Rules,
        epoch: int,
    ) -> None:
        self._desk = desk
        self._intake = intake
        self._signs = signs
        self._channel = channel
        self._rules = rules
        self._epoch = epoch
        self._asks: dict[Pending, bool] = {}

    def is_silent(self, state: State) -> bool:
        """Whether what waits goes unanswered, as it seems to come from a machine."""
        return (
            state.silent_until is not None
            and self._desk.now() < state.silent_until
            and turns.needed(state) in ("answer", "text_only")
            and not self._is_urgent(state)
        )

    async def find(self, state: State) -> Found:
        """The answer to what waits. New text while asking starts over, twice at most.

        No answer: the person took back what they wrote.

        Raises:
            ConversationChangedError: a human has taken over.
        """
        restarts = 0
        while True:
            state = await self._gather_burst(state)
            asked = state.pending
            need = turns.needed(state)
            if need == "nothing":
                return Found(state, None, asked)
            answer: turns.Answer | None
            if need == "text_only":
                text = self._channel.settings.text_only_reply
                answer = turns.Answer(need, text, model="none")
            else:
                answer = self._without_model(state)
            if answer is None:
                may_restart = self._intake.listens and restarts < MAX_RESTARTS
                state, answer = await self._ask(state, may_restart=may_restart)
            if answer is not None:
                return Found(state, answer, asked)
            restarts += 1
            tracing.event("asks_anew", attempt=restarts + 1)

    async def _gather_burst(self, state: State) -> State:
        """Wait until the person has been quiet for the channel's window, though not for ever."""
        if not self._intake.listens:
            return state
        began_at = _now()
        until = began_at + self._desk.settings.max_burst_s
        while (left := until - _now()) > 0:
            quiet_s = min(self._channel.settings.quiet_window_s, left)
            if self._is_urgent(state) or not await self._intake.wait_for_more(quiet_s):
                break
            self._signs.keep_typing()
            state = await self._take_more(state)
        tracing.event("quiet", waited_s=round(_now() - began_at, 3), records=len(state.pending))
        return state

    async def _take_more(self, state: State) -> State:
        return await self._intake.take_more(state, self._rules, self._epoch)

    # where no model is asked

    def _without_model(self, state: State) -> turns.Answer | None:
        """The answer where no model is asked: a human is wanted, or it would be wrong to go on."""
        texts = self._channel.settings
        if self._asks_for_human(state):
            return composing.handed_over(state, self._channel)
        if loops.is_loop(state, texts.loop_turns):
            log.warning("loop_suspected", count=texts.loop_turns)
            silence = timedelta(seconds=texts.loop_pause_s)
            return _no_answer(state, texts.handover_text, "loop_suspected", silence)
        return None

    def _asks_for_human(self, state: State) -> bool:
        """Whether a waiting message asks for a human. Each is judged once: there may be many."""
        heard = self._channel.settings
        for waiting in state.pending:
            if waiting.kind == "text" and waiting not in self._asks:
                self._asks[waiting] = asks_for_human(
                    waiting.text, heard.handover_languages, heard.handover_phrases
                )
        self._asks = {waiting: self._asks.get(waiting, False) for waiting in state.pending}
        return any(self._asks.values())

    def _is_urgent(self, state: State) -> bool:
        """Whether a human is asked for of whom nobody knows yet: that waits for no burst."""
        if not self._asks_for_human(state):
            return False
        return not requests.is_told(state, requests.asked(state), self._epoch, self._desk.now())

    # the model

    async def _ask(self, state: State, *, may_restart: bool) -> tuple[State, turns.Answer | None]:
        """The answer to what waits; None if it has to be asked anew: see `_starts_over`."""
        channel = self._channel
        profile = await self._desk.channels.assistant(channel.assistant_id)
        if profile is None:
            log.error("assistant_missing", channel=channel.id)
            return state, _no_answer(state, channel.settings.fallback_text, "no_assistant")
        asking = asyncio.create_task(self._asked(state, profile), name="asking")
        try:
            asked = state.pending
            while not asking.done():
                if await self._more_came(asking):
                    state = await self._take_more(state)
                    if self._starts_over(state, asked, may_restart=may_restart):
                        return state, None
            if may_restart and await self._intake.wait_for_more(0):  # it came at the same moment
                state = await self._take_more(state)
                if state.pending != asked:
                    return state, None
            answer = asking.result()
            if answer.failure is not None:
                answer = replace(answer, request=requests.trouble(state, answer.failure))
            return state, answer
        finally:
            await _end(asking)

    async def _asked(self, state: State, profile: AssistantProfile) -> turns.Answer:
        desk = self._desk
        prompt = composing.prompt_of(
            state,
            profile,
            self._channel,
            history_tokens=desk.settings.history_tokens,
            now=desk.now(),
            choice=composing.choice_of(profile),
        )
        return await composing.asked(
            desk.assistant, prompt, self._channel, desk.settings, desk.spending
        )

    def _starts_over(self, state: State, asked: tuple[Pending, ...], *, may_restart: bool) -> bool:
        """Whether an answer to `asked` is no longer wanted.

        Where a turn has started over often enough, what the person writes on waits for the next
        one, unless they took everything back, or want a human: that waits for no model.
        """
        if state.pending == asked:
            return False
        return may_restart or not state.pending or self._is_urgent(state)

    async def _more_came(self, asking: "asyncio.Task[turns.Answer]") -> bool:
        """Keep typing until the answer is there, or the person has sent something first."""
        tasks: set[asyncio.Task[Any]] = {asking}
        more = None
        if self._intake.listens:
            waiting = self._intake.wait_for_more(TYPING_EVERY_S)
            more = asyncio.create_task(waiting, name="listening")
            tasks.add(more)
        try:
            while not any(task.done() for task in tasks):
                left = self._signs.typing_fades_in_s()
                await asyncio.wait(tasks, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                if not asking.done():
                    self._signs.keep_typing()
            return more is not None and not asking.done() and more.result()
        finally:
            if more is not None:
                await _end(more)


def _no_answer(
    state: State, text: str, failure: str, silence: timedelta | None = None
) -> turns.Answer:
    request = requests.trouble(state, failure)
    return turns.Answer(
        "fallback", text, model="none", failure=failure, request=request, silence=silence
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
