"""The stand-in for a language model."""

import json
from typing import Any

import aiohttp
import pytest

from tests.unit.simulator.harness import Facebook

PATH = "/v1/chat/completions"


def asked(text: str, **more: object) -> dict[str, Any]:
    system = {"role": "system", "content": "Be brief."}
    return {"model": "any", "messages": [system, {"role": "user", "content": text}], **more}


async def streamed(facebook: Facebook, body: dict[str, Any]) -> list[str]:
    async with facebook.client.post(PATH, json=body) as response:
        assert response.content_type == "text/event-stream"
        lines = [line.decode().strip() async for line in response.content]
    return [line.removeprefix("data: ") for line in lines if line]


def content(pieces: list[dict[str, Any]]) -> str:
    choices = [choice for piece in pieces for choice in piece["choices"]]
    return "".join(choice["delta"].get("content", "") for choice in choices)


async def test_the_same_question_gets_the_same_answer(facebook: Facebook) -> None:
    answers = [await facebook.ask("POST", PATH, asked("Do you bake rye?")) for _ in range(2)]
    texts = [answer["choices"][0]["message"]["content"] for _, answer in answers]
    assert texts[0] == texts[1]
    assert "Do you bake rye?" in texts[0]
    assert answers[0][1]["choices"][0]["finish_reason"] == "stop"
    assert answers[0][1]["usage"]["total_tokens"] > 0


async def test_a_stream_holds_the_same_answer_in_pieces(facebook: Facebook) -> None:
    _, whole = await facebook.ask("POST", PATH, asked("Do you bake rye?"))
    options = {"stream": True, "stream_options": {"include_usage": True}}
    lines = await streamed(facebook, asked("Do you bake rye?", **options))
    assert lines[-1] == "[DONE]"
    pieces = [json.loads(line) for line in lines[:-1]]
    assert len(pieces) > 4
    assert content(pieces) == whole["choices"][0]["message"]["content"]
    assert pieces[-1]["usage"] == whole["usage"]
    assert pieces[-2]["choices"][0]["finish_reason"] == "stop"


async def test_settings_are_replaced_as_a_whole_and_calls_counted(facebook: Facebook) -> None:
    await facebook.control("PUT", "/model", {"reply": "fixed", "delay_ms": 1})
    _, answer = await facebook.ask("POST", PATH, asked("anything"))
    assert answer["choices"][0]["message"]["content"] == "fixed"
    await facebook.control("PUT", "/model", {"status": 429})
    async with facebook.client.post(PATH, json=asked("anything")) as response:
        assert response.status == 429
        assert response.headers["Retry-After"] == "1"
    model = await facebook.control("GET", "/model")
    assert model["calls"] == 2
    assert model["settings"]["reply"] is None
    assert model["requests"][-1] == asked("anything")


async def test_a_stream_can_break_in_its_middle(facebook: Facebook) -> None:
    await facebook.control("PUT", "/model", {"stream_break": True})
    with pytest.raises(aiohttp.ClientPayloadError):
        await streamed(facebook, asked("Do you bake rye?", stream=True))


@pytest.mark.parametrize("body", [{}, {"messages": []}, {"messages": [{"content": "x"}]}])
async def test_what_is_no_request_is_refused(facebook: Facebook, body: object) -> None:
    status, answer = await facebook.ask("POST", PATH, body)
    assert status == 400
    assert "invalid" in answer["error"]["message"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", "Hello!"), ([{"type": "text", "text": "in parts"}], "in parts"), ("x" * 1_601, "x…")],
)
async def test_odd_questions_are_answered_too(
    facebook: Facebook, text: object, expected: str
) -> None:
    body = {"messages": [{"role": "user", "content": text}]}
    _, answer = await facebook.ask("POST", PATH, body)
    assert expected in answer["choices"][0]["message"]["content"]


TOOL = {"type": "function", "function": {"name": "ring", "parameters": {"type": "object"}}}
CALL = {"name": "ring", "arguments": {"times": 2}}


@pytest.mark.parametrize(
    ("tools", "call", "is_made"),
    [([TOOL], CALL, True), ([], CALL, False), ([], {**CALL, "always": True}, True)],
    ids=["offered", "not offered", "made up"],
)
async def test_the_model_calls_a_tool_as_it_was_told(
    facebook: Facebook, tools: list[Any], call: dict[str, Any], is_made: bool
) -> None:
    await facebook.control("PUT", "/model", {"tool_call": call})
    _, answer = await facebook.ask("POST", PATH, asked("Do you bake rye?", tools=tools))
    (choice,) = answer["choices"]
    assert choice["finish_reason"] == ("tool_calls" if is_made else "stop")
    if is_made:
        assert choice["message"]["content"] is None
        (made,) = choice["message"]["tool_calls"]
        assert made["function"]["name"] == "ring"
        assert json.loads(made["function"]["arguments"]) == {"times": 2}
    else:
        assert "Do you bake rye?" in choice["message"]["content"]


async def test_a_streamed_tool_call(facebook: Facebook) -> None:
    await facebook.control("PUT", "/model", {"tool_call": {"name": "ring", "arguments": "{no"}})
    lines = await streamed(facebook, asked("Rye?", tools=[TOOL], stream=True))
    choices = [json.loads(line)["choices"][0] for line in lines[:-1]]
    (made,) = [
        choice["delta"]["tool_calls"][0] for choice in choices if choice["delta"].get("tool_calls")
    ]
    assert made["function"] == {"name": "ring", "arguments": "{no"}
    assert choices[-1]["finish_reason"] == "tool_calls"
