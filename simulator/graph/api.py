"""Graph over HTTP: every call is looked at, carried out, noted and answered, with its faults."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from simulator.core import Simulator
from simulator.faults import Fault
from simulator.graph.answer import Answer, Operation
from simulator.graph.operations import endpoint_of, usage_percent
from simulator.graph.request import GraphCall, read_params, route
from simulator.state import SIMULATOR
from simulator.world.limits import REGAIN_MINUTES
from simulator.world.model import Page
from simulator.world.refusals import Refusal

_SLOWED = frozenset({"messages", "actions"})  # by the Page's send_latency_ms
_JSON = {"Content-Type": "application/json; charset=UTF-8"}


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    body: bytes
    headers: dict[str, str]


async def graph_call(request: web.Request) -> web.StreamResponse:
    """Any call to Graph, with or without a version in its path."""
    simulator = request.app[SIMULATOR]
    call: GraphCall | None = None
    try:
        call = route(request)
        await read_params(request, call)
        endpoint = endpoint_of(simulator, call)
    except Refusal as refusal:
        if call is not None and call.token:  # others are browsers looking for a favicon
            _note(simulator, call, "unknown", request.method, refusal)
        return _respond(_refused(simulator, refusal, None, call))
    page = _page_meant(simulator, call)
    fault = simulator.faults.take(
        endpoint.name, page.id if page else None, _psid(call, endpoint.name)
    )
    if page and endpoint.name in _SLOWED and page.behaviour.send_latency_ms:
        await asyncio.sleep(page.behaviour.send_latency_ms / 1000)
    if page:
        limits = simulator.world.limits(page)
        limits.calls_today = limits.day.add(simulator.now())
    outcome = await _carry_out(simulator, call, endpoint.run, fault)
    reply = _reply(simulator, call, page, outcome, fault)
    _note(simulator, call, endpoint.name, call.method, outcome, page, fault, reply)
    return await _answer(request, reply, fault)


def _page_meant(simulator: Simulator, call: GraphCall) -> Page | None:
    """Whose call it is, for faults, limits and the list: the token's Page, or the path's."""
    by_token = simulator.world.page_of_token(call.token) if call.token else None
    return by_token or simulator.world.find_page(call.segments[0])


async def _carry_out(
    simulator: Simulator,
    call: GraphCall,
    operation: Operation,
    fault: Fault | None,
) -> Answer | Refusal | None:
    """The call's outcome in the world; None: a fault kept it from having one."""
    if fault is not None and not fault.takes_effect:
        return None
    try:
        outcome = operation(simulator, call)
        return outcome if isinstance(outcome, Answer) else await outcome
    except Refusal as refusal:
        return refusal


def _reply(
    simulator: Simulator,
    call: GraphCall,
    page: Page | None,
    outcome: Answer | Refusal | None,
    fault: Fault | None,
) -> _Reply | None:
    """What the caller gets; None: the connection is cut."""
    if fault is not None and fault.drop:
        return None
    if fault is not None and fault.replaces_answer:
        return _replaced(simulator, fault)
    if isinstance(outcome, Answer):
        body = json.dumps(outcome.body).encode()
        return _Reply(200, body, _headers(simulator, page, call))
    if isinstance(outcome, Refusal):
        return _refused(simulator, outcome, page, call)
    raise AssertionError("a call without an outcome has a fault")


def _replaced(simulator: Simulator, fault: Fault) -> _Reply:
    if fault.body is not None:
        headers = {"Content-Type": "text/html; charset=utf-8"}
        return _Reply(fault.status or 200, fault.body.encode(), headers | fault.headers)
    error = {"message": "(#2) Service temporarily unavailable", "type": "OAuthException", "code": 2}
    if fault.error is not None:
        error = {"message": "An error occurred", "type": "OAuthException"} | fault.error
    elif fault.status is not None and fault.status < 400:
        return _Reply(fault.status, b"{}", _JSON | fault.headers)
    body = {"error": error | {"fbtrace_id": simulator.world.ids.trace()}}
    status = fault.status or 400
    return _Reply(status, json.dumps(body).encode(), _JSON | fault.headers)


def _refused(
    simulator: Simulator, refusal: Refusal, page: Page | None, call: GraphCall | None
) -> _Reply:
    trace = simulator.world.ids.trace()
    headers = _headers(simulator, page, call) | {"x-fb-trace-id": trace}
    return _Reply(refusal.status, json.dumps(refusal.body(trace)).encode(), headers)


def _headers(simulator: Simulator, page: Page | None, call: GraphCall | None) -> dict[str, str]:
    """The version that answered, and how much is used once that is worth a word."""
    headers = dict(_JSON)
    if call is not None:
        headers["facebook-api-version"] = f"v{call.version[0]}.{call.version[1]}"
    if page is not None and (percent := usage_percent(simulator, page)) > 0:
        shares = {"call_count": percent, "total_cputime": percent // 2, "total_time": percent // 2}
        regain = REGAIN_MINUTES if percent >= 100 else 0
        messenger = {"type": "messenger", **shares, "estimated_time_to_regain_access": regain}
        headers["X-App-Usage"] = json.dumps(shares)
        headers["X-Business-Use-Case-Usage"] = json.dumps({page.id: [messenger]})
    return headers


def _note(
    simulator: Simulator,
    call: GraphCall | None,
    endpoint: str,
    method: str,
    outcome: Answer | Refusal | None,
    page: Page | None = None,
    fault: Fault | None = None,
    reply: _Reply | None = None,
) -> None:
    error: dict[str, Any] | None = None
    if isinstance(outcome, Refusal):
        error = {"code": outcome.code, "error_subcode": outcome.subcode, "message": str(outcome)}
    accepted = isinstance(outcome, Answer)
    dropped = fault is not None and fault.drop == "before"
    simulator.calls.add(
        at=simulator.now(),
        page=page.id if page else None,
        psid=_psid(call, endpoint) if call else None,
        method=method,
        endpoint=endpoint,
        body=call.params if call else {},
        outcome="accepted" if accepted else "dropped" if dropped else "refused",
        status=reply.status if reply else outcome.status if isinstance(outcome, Refusal) else None,
        mid=outcome.mid if isinstance(outcome, Answer) else None,
        error=error,
        fault=fault.name if fault else None,
    )


def _psid(call: GraphCall, endpoint: str) -> str | None:
    """The person a call is about, as far as it says so."""
    if endpoint == "profile":
        return call.segments[0]
    recipient = call.params.get("recipient")
    given = recipient.get("id") if isinstance(recipient, dict) else call.params.get("user_id")
    return str(given) if given is not None else None


async def _answer(
    request: web.Request, reply: _Reply | None, fault: Fault | None
) -> web.StreamResponse:
    if fault is not None and fault.delay_ms:
        await asyncio.sleep(fault.delay_ms / 1000)
    if reply is None:
        return cut(request)
    if fault is not None and fault.truncate:
        return await _truncated(request, reply)
    return _respond(reply)


def _respond(reply: _Reply) -> web.Response:
    return web.Response(status=reply.status, body=reply.body, headers=reply.headers)


def cut(request: web.Request) -> web.Response:
    """Close the connection without a word; what is returned here reaches nobody."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _truncated(request: web.Request, reply: _Reply) -> web.StreamResponse:
    """The head promises the whole body, half of it comes, then the connection ends."""
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    response.content_length = len(reply.body)
    await response.prepare(request)
    await response.write(reply.body[: len(reply.body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
