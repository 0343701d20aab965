"""Asking the assistant: attempts, backoff, a deadline, and at last the channel's fallback text."""

import asyncio
import random
import time

import structlog
from prometheus_client import Counter, Histogram

from services.conversation.assistants.base import (
    Assistant,
    AssistantRefusedError,
    AssistantUnavailableError,
    Prompt,
    Reply,
)
from services.conversation.domain.turns import Answer

FIRST_BACKOFF_S = 0.5
MAX_BACKOFF_S = 10.0

MODEL_CALLS = Counter("assistant_model_calls_total", "Calls of the model.", ["outcome"])
MODEL_SECONDS = Histogram(
    "assistant_model_seconds",
    "How long the model took to answer.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60),
)
MODEL_TOKENS = Counter("assistant_model_tokens_total", "Tokens used.", ["direction"])

log = structlog.get_logger(__name__)


async def ask(
    assistant: Assistant, prompt: Prompt, *, fallback: str, attempts: int, deadline_s: float
) -> Answer:
    """An answer in any case: the model's, or the fallback text with the reason for it."""
    started = time.monotonic()
    reason, tried = "deadline", 0
    try:
        async with asyncio.timeout(deadline_s):
            for tried in range(1, attempts + 1):
                try:
                    return _answer(prompt, await _call(assistant, prompt))
                except AssistantUnavailableError as error:
                    reason = error.code
                    if tried < attempts:
                        await asyncio.sleep(_backoff_s(tried, error.retry_after_s))
                except AssistantRefusedError as error:
                    reason = error.code
                    break
    except TimeoutError:
        reason = "deadline"
    log.warning("model_gave_no_answer", reason=reason, attempts=tried)
    return Answer(
        kind="fallback",
        text=fallback,
        model="none",
        duration_s=time.monotonic() - started,
        failure=reason,
        failed_attempts=tried,
    )


async def _call(assistant: Assistant, prompt: Prompt) -> Reply:
    try:
        reply = await assistant.reply(prompt)
    except (AssistantUnavailableError, AssistantRefusedError) as error:
        MODEL_CALLS.labels(error.code).inc()
        raise
    except asyncio.CancelledError:
        MODEL_CALLS.labels("cancelled").inc()
        raise
    MODEL_CALLS.labels("ok").inc()
    MODEL_SECONDS.observe(reply.duration_s)
    MODEL_TOKENS.labels("input").inc(reply.input_tokens or 0)
    MODEL_TOKENS.labels("output").inc(reply.output_tokens or 0)
    return reply


def _answer(prompt: Prompt, reply: Reply) -> Answer:
    return Answer(
        kind=prompt.kind,
        text=reply.text,
        model=reply.model,
        duration_s=reply.duration_s,
        input_tokens=reply.input_tokens,
        output_tokens=reply.output_tokens,
    )


def _backoff_s(attempt: int, retry_after_s: float | None) -> float:
    """Full jitter, but never less than what the provider asked for."""
    jittered = random.uniform(0, min(MAX_BACKOFF_S, FIRST_BACKOFF_S * 2**attempt))
    return max(jittered, retry_after_s or 0.0)
