"""Asks for each prompt the model that its assistant wants: one set of connections an assistant.

Connections are made when they are first needed, off the loop, since a model's packages take
seconds to import. They are closed when the assistant's settings have changed or others need the
place, after the replies that use them.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import structlog

from libs.common.crypto import DecryptionError, KeyRing
from services.conversation.assistants.base import (
    AssistantRefusedError,
    ModelChoice,
    Prompt,
    Reply,
)
from services.conversation.assistants.factory import ClosableAssistant

MOST_KEPT = 50

Make = Callable[[ModelChoice, str | None], ClosableAssistant]
"""Makes what a choice asks for, with the key as it is sent. It may block for seconds."""

log = structlog.get_logger(__name__)


class _Kept:
    """An assistant that is being made, is there, or is to be closed after its last reply."""

    def __init__(self, choice: ModelChoice, making: "asyncio.Task[ClosableAssistant]") -> None:
        self.choice = choice
        self.making = making
        self.replies = 0
        self.is_over = False


class AssistantPool:
    """An assistant that is many.

    Args:
        own: answers where an assistant names no provider.
        make: see `Make`.
        keys: what keys are encrypted with.
    """

    def __init__(
        self, own: ClosableAssistant, make: Make, keys: KeyRing, most_kept: int = MOST_KEPT
    ) -> None:
        self._own = own
        self._make = make
        self._keys = keys
        self._most_kept = most_kept
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._closing: set[asyncio.Task[None]] = set()

    async def reply(self, prompt: Prompt) -> Reply:
        """Answer, or raise AssistantUnavailableError or AssistantRefusedError."""
        choice = prompt.choice
        if choice is None:
            return await self._own.reply(prompt)
        if prompt.model is None and choice.provider in ("openai", "anthropic"):
            raise AssistantRefusedError("no model is named", cause="model_unknown")
        async with self._lent(choice) as assistant:
            return await assistant.reply(replace(prompt, choice=None))

    async def aclose(self) -> None:
        """Close all of them, also those that still reply."""
        kept, self._kept = list(self._kept.values()), OrderedDict()
        for each in kept:
            self._end(each)
        if self._closing:
            await asyncio.wait(self._closing)
        await self._own.aclose()

    @asynccontextmanager
    async def _lent(self, choice: ModelChoice) -> AsyncIterator[ClosableAssistant]:
        kept = self._find(choice)
        kept.replies += 1
        try:
            # others wait for it as well: who goes away leaves it to them
            yield await asyncio.shield(kept.making)
        finally:
            kept.replies -= 1
            self._settle(kept)

    def _find(self, choice: ModelChoice) -> _Kept:
        if choice.keep_as is None:
            kept = _Kept(choice, self._begin(choice))
            kept.is_over = True
            return kept
        found = self._kept.get(choice.keep_as)
        if found is None or found.choice != choice or _has_failed(found.making):
            self._drop(choice.keep_as)
            found = self._kept[choice.keep_as] = _Kept(choice, self._begin(choice))
        self._kept.move_to_end(choice.keep_as)
        while len(self._kept) > self._most_kept:
            self._drop(next(iter(self._kept)))
        return found

    def _begin(self, choice: ModelChoice) -> "asyncio.Task[ClosableAssistant]":
        """Raises: AssistantRefusedError: the key can't be read, or there is none."""
        key = self._opened(choice)
        if key is None and _needs_key(choice):
            raise AssistantRefusedError("no key is stored", cause="key_missing")
        making = asyncio.to_thread(self._make, choice, key)
        return asyncio.create_task(making, name="make-assistant")

    def _opened(self, choice: ModelChoice) -> str | None:
        if choice.key is None:
            return None
        try:
            return self._keys.decrypt(choice.key, context=choice.key_context)
        except DecryptionError as error:
            log.error("assistant_key_unreadable", name=choice.keep_as, reason=str(error))
            raise AssistantRefusedError("the key is unreadable", cause="key_unreadable") from None

    def _drop(self, name: str) -> None:
        if (kept := self._kept.pop(name, None)) is not None:
            kept.is_over = True
            self._settle(kept)

    def _settle(self, kept: _Kept) -> None:
        """Close it if nobody will need it again."""
        if kept.is_over and kept.replies == 0:
            self._end(kept)

    def _end(self, kept: _Kept) -> None:
        closing = asyncio.create_task(_close(kept.making), name="close-assistant")
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)


def _needs_key(choice: ModelChoice) -> bool:
    """A server of one's own often asks for none."""
    return choice.provider == "anthropic" or (
        choice.provider == "openai" and choice.base_url is None
    )


def _has_failed(making: "asyncio.Task[ClosableAssistant]") -> bool:
    return making.done() and (making.cancelled() or making.exception() is not None)


async def _close(making: "asyncio.Task[ClosableAssistant]") -> None:
    """It may still be on its way. What goes wrong now concerns nobody."""
    with suppress(Exception):
        assistant = await making
        await assistant.aclose()
