"""A stand-in for a language model: an OpenAI-compatible `/v1/chat/completions`."""

import asyncio
import json
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from simulator.model_faults import ModelCalls, ModelFault, ModelFaults

KEPT_REQUESTS = 50
KEPT_BYTES = 1 << 20  # of a larger request only its size is kept
QUOTED_CHARACTERS = 1_600  # with the words around it, still one message
PIECE_CHARACTERS = 24
LOOK_EVERY_S = 0.1  # whether who asked is still there


class ToolCall(BaseModel):
    """A call that the model makes. `always`: also of a tool that nobody offered, as models do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    arguments: dict[str, Any] | str = Field({}, description="as text: sent as it is, JSON or not")
    always: bool = False


class ModelSettings(BaseModel):
    """How the simulated model answers; `PUT /model` replaces all of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    delay_ms: int = Field(0, ge=0, le=600_000, description="before the first byte")
    reply: str | None = Field(None, description="instead of the echo-like answer")
    status: int | None = Field(None, ge=400, le=599, description="every request fails with it")
    stream_break: bool = Field(False, description="a stream is cut in its middle")
    tool_call: ToolCall | None = Field(None, description="instead of a text, if it is offered")


class _ChatMessage(BaseModel):
    role: str
    content: str | list[dict[str, Any]] | None = None


class _ChatRequest(BaseModel):
    """The part of OpenAI's request that matters here; the rest is taken and ignored."""

    model: str = "simulated"
    messages: list[_ChatMessage] = Field(min_length=1)
    stream: bool = False
    stream_options: dict[str, Any] | None = None
    tools: list[dict[str, Any]] = []

    def offers(self, tool: str) -> bool:
        return any(each.get("function", {}).get("name") == tool for each in self.tools)


class SimulatedModel:
    """Answers, counts and remembers the last requests."""

    def __init__(self) -> None:
        self.settings = ModelSettings()
        self.calls = 0
        self.requests: deque[dict[str, Any]] = deque(maxlen=KEPT_REQUESTS)
        self.faults = ModelFaults()
        self.log = ModelCalls()

    def clear(self) -> None:
        """Forget the settings, the faults and everything asked so far."""
        self.settings = ModelSettings()
        self.calls = 0
        self.requests.clear()
        self.faults.clear()
        self.log.clear()

    async def complete(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/chat/completions."""
        self.calls += 1
        raw = await request.read()
        try:
            asked = _ChatRequest.model_validate_json(raw)
        except ValidationError as error:
            return _failure(400, f"invalid request: {error.error_count()} problems")
        self.requests.append(json.loads(raw) if len(raw) <= KEPT_BYTES else {"bytes": len(raw)})
        settings, number = self.settings, self.calls
        question = _question(asked.messages)
        fault = self.faults.take(question)
        call = self.log.note(number, time.time_ns() // 1_000_000, question, fault)
        delay_ms = settings.delay_ms + (fault.delay_ms if fault is not None else 0)
        try:
            is_there = await _is_still_there(request, delay_ms / 1000)
        except asyncio.CancelledError:  # where handlers end with their connections
            call["left"] = True
            raise
        if not is_there:
            call["left"] = True
            return web.Response()
        if fault is not None and fault.name != "delay":
            answer = _Answer(number, asked, fault.reply or default_reply(asked.messages))
            return await _faulty(request, fault, answer)
        if settings.status is not None:
            return _failure(settings.status, "the simulator was told to fail")
        tool = settings.tool_call
        if tool is not None and not (tool.always or asked.offers(tool.name)):
            tool = None
        answer = _Answer(number, asked, settings.reply or default_reply(asked.messages), tool)
        if not asked.stream:
            return web.json_response(answer.whole())
        return await _stream(request, answer, cut=settings.stream_break)


def default_reply(messages: list[_ChatMessage]) -> str:
    """The same answer to the same question: it names what was asked."""
    asked = _question(messages)
    if not asked:
        return "Hello! How can I help you today?"
    quoted = asked if len(asked) <= QUOTED_CHARACTERS else asked[:QUOTED_CHARACTERS] + "…"
    return f"Thanks for your message! You wrote: “{quoted}”. (This is the simulated model.)"


def _question(messages: list[_ChatMessage]) -> str:
    return next((_text(each) for each in reversed(messages) if each.role == "user"), "").strip()


def _text(message: _ChatMessage) -> str:
    if isinstance(message.content, list):
        return "\n".join(str(part.get("text", "")) for part in message.content)
    return message.content or ""


class _Answer:
    """One answer in OpenAI's shapes."""

    def __init__(
        self, number: int, asked: _ChatRequest, text: str, call: ToolCall | None = None
    ) -> None:
        self._id, self._asked = f"chatcmpl-sim{number}", asked
        self._text = text if call is None else ""
        self._calls = [] if call is None else [_call(f"call_sim{number}", call)]
        self._finish_reason = "stop" if call is None else "tool_calls"
        words = sum(len(_text(message).split()) for message in asked.messages)
        prompt, completion = max(1, words), max(1, len(text.split()))
        self._usage = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }

    def whole(self) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": self._text, "refusal": None}
        if self._calls:
            message |= {"content": None, "tool_calls": self._calls}
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": self._finish_reason,
        }
        return {**self._head("chat.completion"), "choices": [choice], "usage": self._usage}

    def pieces(self) -> Iterator[dict[str, Any]]:
        yield self._piece({"role": "assistant", "content": ""})
        for start in range(0, len(self._text), PIECE_CHARACTERS):
            yield self._piece({"content": self._text[start : start + PIECE_CHARACTERS]})
        for index, call in enumerate(self._calls):
            yield self._piece({"tool_calls": [{"index": index, **call}]})
        yield self._piece({}, self._finish_reason)
        if (self._asked.stream_options or {}).get("include_usage"):
            head = self._head("chat.completion.chunk")
            yield {**head, "choices": [], "usage": self._usage}

    def _piece(self, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": 0, "model": self._asked.model}


def _call(call_id: str, call: ToolCall) -> dict[str, Any]:
    given = call.arguments
    arguments = given if isinstance(given, str) else json.dumps(given)
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }


async def _stream(request: web.Request, answer: _Answer, *, cut: bool) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
    )
    await response.prepare(request)
    pieces = list(answer.pieces())
    for piece in pieces[: len(pieces) // 2] if cut else pieces:
        await response.write(b"data: " + json.dumps(piece).encode() + b"\n\n")
    if cut:
        _cut(request)
        return response
    await response.write(b"data: [DONE]\n\n")
    return response


async def _is_still_there(request: web.Request, after_s: float) -> bool:
    """Let some time pass; False as soon as whoever asked has gone."""
    loop = asyncio.get_running_loop()
    until = loop.time() + after_s
    while (left_s := until - loop.time()) > 0:
        await asyncio.sleep(min(left_s, LOOK_EVERY_S))
        if request.transport is None or request.transport.is_closing():
            return False
    return True


async def _faulty(request: web.Request, fault: ModelFault, answer: _Answer) -> web.StreamResponse:
    """What a fault makes of an answer. Faults answer as a whole, also where a stream is wanted."""
    if fault.drop == "before":
        _cut(request)
        return web.Response()
    body = fault.body if fault.body is not None else json.dumps(answer.whole())
    status = fault.status or 200
    if status >= 400 and fault.body is None:
        body = json.dumps(_error("the simulator was told to fail"))
    response = web.StreamResponse(
        status=status, headers={"Content-Type": "application/json", **fault.headers}
    )
    content = body.encode()
    response.content_length = len(content)
    await response.prepare(request)
    await response.write(content[: len(content) // 2] if fault.drop else content)
    if fault.drop:
        _cut(request)
    return response


def _cut(request: web.Request) -> None:
    """What was written still goes out, the rest never does."""
    if request.transport is not None:
        request.transport.close()


def _failure(status: int, message: str) -> web.Response:
    headers = {"Retry-After": "1"} if status in (429, 503) else {}
    return web.json_response(_error(message), status=status, headers=headers)


def _error(message: str) -> dict[str, Any]:
    error = {"message": message, "type": "simulated_error", "param": None, "code": None}
    return {"error": error}
