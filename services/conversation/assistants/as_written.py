"""OpenAI's client, with messages and tools sent as they are written.

The SDK walks each message through every type that it might be of, looking for fields to rename,
and there are none: that was 0.3 ms of CPU a message of the history, most of what a call cost.
Import it only where it is used, like `llm.py`.
"""

from collections.abc import Iterable
from typing import Any

from openai import AsyncOpenAI
from openai.resources.chat import AsyncChat, AsyncCompletions


class Client(AsyncOpenAI):
    """As its base; only `chat.completions.create` takes a shorter way."""

    @property
    def chat(self) -> "_Chat":
        return _Chat(self)


class _Chat(AsyncChat):
    @property
    def completions(self) -> "_Completions":
        return _Completions(self._client)


class _Completions(AsyncCompletions):
    async def create(  # type: ignore[override]
        self,
        *,
        messages: Iterable[object],
        tools: Iterable[object] | None = None,
        extra_body: object = None,
        **others: Any,  # noqa: ANN401 - as its base takes them
    ) -> object:
        """What stands in `extra_body` goes out untouched, in the place of what is typed."""
        as_written: dict[str, object] = {"messages": list(messages)}
        if tools:  # the SDK's "not given" is false
            as_written["tools"] = list(tools)
        if isinstance(extra_body, dict):
            as_written |= extra_body
        return await super().create(messages=[], extra_body=as_written, **others)
