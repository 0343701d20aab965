"""Asking the assistant: attempts, backoff, a deadline, and at last the channel's fallback text."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import NamedTuple

import structlog
from prometheus_client import Counter, Gauge, Histogram

from libs.common import tracing
from libs.common.channels import KNOWLEDGE_CHARACTERS
from libs.common.metrics import from_zero
from services.conversation.assistants.base import (
    UNKNOWN,
    Assistant,
    AssistantRefusedError,
    AssistantUnavailableError,
    Prompt,
    Reply,
    Tokens,
)
from services.conversation.domain.requests import shortened
from services.conversation.domain.spending import Spent
from services.conversation.domain.state import HumanRequest
from services.conversation.domain.turns import BYTES_PER_TOKEN, Answer

FIRST_BACKOFF_S = 0.5
MAX_BACKOFF_S = 10.0

MODEL_CALLS = from_zero(
    Counter("assistant_model_calls_total", "Calls of the model.", ["outcome"]),
    ["ok", AssistantUnavailableError.code, AssistantRefusedError.code, "cancelled", "failed"],
)
MODEL_IN_FLIGHT = Gauge("assistant_model_calls_in_flight", "Calls that wait for the model.")
MODEL_SECONDS = Histogram(
    "assistant_model_seconds",
    "How long the model took to answer.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60),
)
MODEL_TOKENS = from_zero(
    Counter("assistant_model_tokens_total", "Tokens used.", ["direction"]), ["input", "output"]
)

Settle = Callable[[Spent], None]
"""Told once what a call has cost in the end."""
Begin = Callable[[Spent], Awaitable[Settle | None]]
"""Counts a call before it is made, as far as it can be foreseen. None: it may not be made."""

log = structlog.get_logger(__name__)


async def unmetered(expected: Spent) -> Settle | None:
    """For those who keep no count."""
    return lambda spent: None


async def ask(
    assistant: Assistant,
    prompt: Prompt,
    *,
    fallback: str,
    attempts: int,
    deadline_s: float,
    handover: str = "",
    begin: Begin = unmetered,
) -> Answer:
    """An answer in any case: the model's, or the fallback text with the reason for it.

    Args:
        handover: what the person reads where the model asks for a human.
        begin: asked before every call, and told what it cost, whatever comes of it.

    Raises: what `begin` does.
    """
    started = _now()
    outcome = await _try(assistant, prompt, attempts, started + deadline_s, begin)
    if isinstance(outcome, Reply):
        return replace(_answer(prompt, outcome, handover), model_s=_now() - started)
    log.warning("model_gave_no_answer", reason=outcome.reason, attempts=outcome.attempts)
    tracing.event("no_answer_of_the_model", reason=outcome.reason, attempts=outcome.attempts)
    return Answer(
        kind="fallback",
        text=fallback,
        model="none",
        duration_s=_now() - started,
        model_s=_now() - started,
        failure=outcome.reason,
        failed_attempts=outcome.attempts,
    )


class _Failure(NamedTuple):
    reason: str
    attempts: int


async def _try(
    assistant: Assistant, prompt: Prompt, attempts: int, until: float, begin: Begin
) -> Reply | _Failure:
    """Attempts with pauses between them, for as long as there is time for another one."""
    reason = "deadline"
    expected = Spent(1, estimated_tokens(prompt))
    for attempt in range(1, attempts + 1):
        retry_after_s: float | None = None
        if (settle := await begin(expected)) is None:
            return _Failure("daily_limit", attempt - 1)
        try:
            async with asyncio.timeout(until - _now()) as deadline:
                return await _call(assistant, prompt, expected, settle)
        except AssistantUnavailableError as error:
            reason, retry_after_s = error.code, error.retry_after_s
        except AssistantRefusedError as error:
            return _Failure(error.cause, attempt)
        except Exception as error:
            if deadline.expired():
                return _Failure("deadline", attempt)
            # not in the contract: a fault of ours, for which no person shall go unanswered
            log.error("assistant_failed", error=type(error).__name__)
            return _Failure("assistant_failed", attempt)
        pause_s = _backoff_s(attempt, retry_after_s)
        if attempt == attempts or _now() + pause_s >= until:
            return _Failure(reason, attempt)
        await asyncio.sleep(pause_s)
    return _Failure(reason, attempts)


async def _call(assistant: Assistant, prompt: Prompt, expected: Spent, settle: Settle) -> Reply:
    used = UNKNOWN  # who goes away before the answer pays for the question
    try:
        with (
            MODEL_IN_FLIGHT.track_inprogress(),
            tracing.step("ask the model", kind="client", model=prompt.model),
        ):
            reply = await assistant.reply(prompt)
            tracing.note(
                model=reply.model,
                input_tokens=reply.input_tokens,
                output_tokens=reply.output_tokens,
            )
        used = Tokens(reply.input_tokens, reply.output_tokens)
    except (AssistantUnavailableError, AssistantRefusedError) as error:
        used = error.tokens
        MODEL_CALLS.labels(error.code).inc()
        raise
    except asyncio.CancelledError:
        MODEL_CALLS.labels("cancelled").inc()
        raise
    except Exception:
        MODEL_CALLS.labels("failed").inc()
        raise
    finally:
        known = expected.input_tokens if used.input is None else used.input
        settle(Spent(1, known, used.output or 0))
    MODEL_CALLS.labels("ok").inc()
    MODEL_SECONDS.observe(reply.duration_s)
    MODEL_TOKENS.labels("input").inc(reply.input_tokens or 0)
    MODEL_TOKENS.labels("output").inc(reply.output_tokens or 0)
    return reply


def estimated_tokens(prompt: Prompt) -> int:
    """What a model has to read, roughly: counted until the provider says what it was."""
    texts = [prompt.instructions, prompt.knowledge[:KNOWLEDGE_CHARACTERS], prompt.question]
    texts += [part for line in prompt.history for part in (line.text, line.quoted)]
    return round(sum(len(text.encode(errors="replace")) for text in texts) / BYTES_PER_TOKEN)


def _answer(prompt: Prompt, reply: Reply, handover: str) -> Answer:
    answer = Answer(
        kind=prompt.kind,
        text=reply.text,
        model=reply.model,
        duration_s=reply.duration_s,
        input_tokens=reply.input_tokens,
        output_tokens=reply.output_tokens,
    )
    if (asked := reply.handover) is None:
        return answer
    request = HumanRequest(reason=asked.reason, summary=shortened(asked.summary))
    return replace(answer, kind="handover", text=handover, request=request)


def _backoff_s(attempt: int, retry_after_s: float | None) -> float:
    """Full jitter, but never less than what the provider asked for."""
    jittered = random.uniform(0, min(MAX_BACKOFF_S, FIRST_BACKOFF_S * 2**attempt))
    return max(jittered, retry_after_s or 0.0)


def _now() -> float:
    """The loop's own clock, which is the monotonic one but in tests."""
    return asyncio.get_running_loop().time()
