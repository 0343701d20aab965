"""OpenAI's client as we use it: the same request, without a look at each message's types."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from openai import AsyncOpenAI
from openai._utils import _transform as transform

from services.conversation.assistants.as_written import Client

TOOL = {
    "type": "function",
    "function": {"name": "request_human", "parameters": {"type": "object", "properties": {}}},
}
ANSWER = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "small",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}
    ],
}


@pytest.fixture
async def asked() -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """Where to ask, and what was asked there."""
    bodies: list[dict[str, Any]] = []

    async def handle(request: web.Request) -> web.Response:
        bodies.append(await request.json())
        return web.json_response(ANSWER)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", handle)
    async with TestServer(app) as server:
        yield f"http://127.0.0.1:{server.port}/v1", bodies


async def ask(client: AsyncOpenAI, lines: int, **more: object) -> str | None:
    messages: Any = [
        {"role": "user" if number % 2 else "assistant", "content": f"line {number} é🙂"}
        for number in range(lines)
    ]
    given: Any = {"max_tokens": 9, **more}
    async with client:
        reply = await client.chat.completions.create(model="small", messages=messages, **given)
    content: str | None = reply.choices[0].message.content
    return content


@pytest.mark.parametrize(
    "more",
    [{}, {"tools": [TOOL], "tool_choice": "auto"}, {"extra_body": {"thinking": False}}],
    ids=["text", "tools", "extra body"],
)
async def test_the_request_is_the_one_that_the_sdk_would_send(
    asked: tuple[str, list[dict[str, Any]]], more: dict[str, Any]
) -> None:
    url, bodies = asked
    for kind in (AsyncOpenAI, Client):
        assert await ask(kind(api_key="k", base_url=url), 3, **more) == "Yes."
    theirs, ours = bodies
    assert ours == theirs
    assert len(ours["messages"]) == 3


async def test_a_long_history_costs_no_look_at_its_types(
    asked: tuple[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, _ = asked
    looks: list[object] = []
    original = transform._async_transform_recursive

    async def counted(data: object, **types: Any) -> object:  # noqa: ANN401
        looks.append(data)
        return await original(data, **types)

    monkeypatch.setattr(transform, "_async_transform_recursive", counted)
    counts = []
    for lines in (1, 60):
        looks.clear()
        await ask(Client(api_key="k", base_url=url), lines, tools=[TOOL])
        counts.append(len(looks))
    assert counts[0] == counts[1] > 0
