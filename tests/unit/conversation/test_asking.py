"""Asking: how often, how long, and what comes of it."""

import asyncio

import pytest

from services.conversation import asking
from services.conversation.assistants.base import (
    AssistantRefusedError,
    AssistantUnavailableError,
    Prompt,
    Reply,
)
from services.conversation.domain.turns import Answer
from tests.virtual_time import run_virtually

PROMPT = Prompt("answer", "You are Crumb.", "", (), "Open?")
REPLY = Reply("Yes", "small", 0.5, 3, 2)
BUSY = AssistantUnavailableError("busy")


class Scripted:
    """Gives these in turn; None is silence."""

    def __init__(self, *script: Reply | BaseException | None) -> None:
        self._script = list(script)
        self.asked = 0

    async def reply(self, prompt: Prompt) -> Reply:
        self.asked += 1
        what = self._script.pop(0)
        if what is None:
            await asyncio.Event().wait()
        if isinstance(what, BaseException):
            raise what
        assert what is not None
        return what


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """No real pause; the longest that each could have been."""
    drawn: list[float] = []

    def uniform(low: float, high: float) -> float:
        assert low == 0
        drawn.append(high)
        return 0.0

    monkeypatch.setattr("services.conversation.asking.random.uniform", uniform)
    return drawn


async def ask(
    *script: Reply | BaseException | None, attempts: int = 3, deadline_s: float = 5.0
) -> tuple[Answer, int]:
    assistant = Scripted(*script)
    answer = await asking.ask(
        assistant, PROMPT, fallback="Sorry", attempts=attempts, deadline_s=deadline_s
    )
    return answer, assistant.asked


@pytest.mark.parametrize("failures", [0, 1, 2])
async def test_the_first_reply_is_the_answer(failures: int) -> None:
    answer, asked = await ask(*[BUSY] * failures, REPLY)
    assert answer == Answer("answer", "Yes", "small", 0.5, 3, 2)
    assert asked == failures + 1


@pytest.mark.parametrize(
    ("script", "failure", "asked"),
    [
        ([BUSY] * 3, "assistant_unavailable", 3),
        ([AssistantRefusedError("key")], "assistant_refused", 1),
        ([BUSY, AssistantRefusedError("key")], "assistant_refused", 2),
        ([ZeroDivisionError()], "assistant_failed", 1),
        ([TimeoutError()], "assistant_failed", 1),
        ([AssistantUnavailableError("busy", 6.0)], "assistant_unavailable", 1),
    ],
)
async def test_in_the_end_there_is_the_fallback_with_the_reason(
    script: list[BaseException], failure: str, asked: int
) -> None:
    answer, count = await ask(*script)
    assert (answer.kind, answer.text, answer.model) == ("fallback", "Sorry", "none")
    assert (answer.failure, answer.failed_attempts, count) == (failure, asked, asked)


@pytest.mark.parametrize("script", [[None], [BUSY, None]])
async def test_a_silent_model_is_left_at_the_deadline_of_all_attempts_together(
    script: list[AssistantUnavailableError | None],
) -> None:
    answer, asked = await ask(*script, deadline_s=0.3)
    assert (answer.failure, asked) == ("deadline", len(script))
    assert 0.3 <= answer.duration_s < 30


async def test_pauses_grow_to_a_limit(pauses: list[float]) -> None:
    await ask(*[BUSY] * 8, attempts=8, deadline_s=500)
    assert pauses[:4] == [1.0, 2.0, 4.0, 8.0]
    assert set(pauses[4:]) == {asking.MAX_BACKOFF_S}


async def test_what_the_provider_asks_for_is_waited() -> None:
    started = asyncio.get_running_loop().time()
    answer, _ = await ask(AssistantUnavailableError("busy", 0.05), REPLY)
    assert answer.text == "Yes"
    assert asyncio.get_running_loop().time() - started >= 0.05


async def test_a_cancellation_goes_through() -> None:
    task = asyncio.create_task(ask(None))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_attempts_in_vain_are_the_models_time_too() -> None:
    class Slow:
        asked = 0

        async def reply(self, _prompt: Prompt) -> Reply:
            self.asked += 1
            await asyncio.sleep(2.0)
            if self.asked == 1:
                raise BUSY
            return REPLY

    answer = run_virtually(
        asking.ask(Slow(), PROMPT, fallback="Sorry", attempts=3, deadline_s=30.0)
    )
    assert answer.duration_s == REPLY.duration_s
    assert 4.0 <= answer.model_s < 6.0
