"""A model that fails, for the questions that it is told to fail for."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from tests.unit.simulator.harness import DEADLINE_S, Facebook
from tests.unit.simulator.test_completions import PATH, asked

RYE, WHEAT = "Do you bake rye?", "Do you bake wheat?"


async def answered(facebook: Facebook, question: str) -> tuple[int, str, dict[str, str]]:
    async with facebook.client.post(PATH, json=asked(question)) as response:
        return response.status, await response.text(), dict(response.headers)


async def test_a_fault_meets_its_questions_so_many_times_and_no_others(facebook: Facebook) -> None:
    fault = {"about": "rye", "times": 2, "status": 429, "headers": {"Retry-After": "7"}}
    await facebook.control("POST", "/model/faults", fault)
    statuses = [(await answered(facebook, question))[0] for question in (RYE, WHEAT, RYE, RYE)]
    assert statuses == [429, 200, 429, 200]
    assert (await facebook.control("GET", "/model/faults"))["faults"] == []


async def test_what_was_asked_is_listed_with_what_it_met(facebook: Facebook) -> None:
    await facebook.control("POST", "/model/faults", {"about": "rye", "status": 503})
    for question in (RYE, WHEAT, RYE):
        await answered(facebook, question)
    calls = (await facebook.control("GET", "/model/calls?about=rye"))["calls"]
    assert [(call["n"], call["question"], call.get("fault")) for call in calls] == [
        (1, RYE, "replace"),
        (3, RYE, None),
    ]
    assert calls[0]["at"] <= calls[1]["at"]
    await facebook.control("POST", "/reset")
    assert (await facebook.control("GET", "/model/calls"))["calls"] == []


@pytest.mark.parametrize("body", ["", "<html>", '{"choices": [{"message": "\\ud800"}]}'])
async def test_any_body_can_be_the_answer(facebook: Facebook, body: str) -> None:
    await facebook.control("POST", "/model/faults", {"body": body})
    assert (await answered(facebook, RYE))[:2] == (200, body)


async def test_an_answer_of_another_text_with_headers(facebook: Facebook) -> None:
    fault = {"reply": "x" * 1_000_000, "headers": {"X-Told": "yes"}}
    await facebook.control("POST", "/model/faults", fault)
    status, body, headers = await answered(facebook, RYE)
    assert (status, headers["X-Told"]) == (200, "yes")
    assert json.loads(body)["choices"][0]["message"]["content"] == fault["reply"]


@pytest.mark.parametrize(
    ("drop", "error"),
    [("before", aiohttp.ServerDisconnectedError), ("middle", aiohttp.ClientPayloadError)],
)
async def test_a_cut_connection(facebook: Facebook, drop: str, error: type[Exception]) -> None:
    await facebook.control("POST", "/model/faults", {"drop": drop})
    with pytest.raises(error):
        await answered(facebook, RYE)


async def test_a_model_that_hangs_keeps_others_from_nothing(facebook: Facebook) -> None:
    await facebook.control("POST", "/model/faults", {"about": "rye", "delay_ms": 600_000})
    waiting = asyncio.create_task(answered(facebook, RYE))
    assert (await answered(facebook, WHEAT))[0] == 200
    assert not waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(DEADLINE_S):
        while not await has_left(facebook):
            await asyncio.sleep(0.02)


async def has_left(facebook: Facebook) -> bool:
    (call,) = (await facebook.control("GET", "/model/calls?about=rye"))["calls"]
    return bool(call.get("left"))


async def test_faults_can_be_listed_and_cleared(facebook: Facebook) -> None:
    await facebook.control("POST", "/model/faults", {"delay_ms": 10})
    (fault,) = (await facebook.control("GET", "/model/faults"))["faults"]
    assert (fault["delay_ms"], fault["times"]) == (10, 1)
    assert (await facebook.control("DELETE", "/model/faults"))["faults"] == []


@pytest.mark.parametrize(
    ("fault", "field"),
    [
        ({"abuot": "rye"}, "abuot"),
        ({"times": 0}, "times"),
        ({"drop": "after"}, "drop"),
        ({"status": 99}, "status"),
        ({"delay_ms": -1}, "delay_ms"),
    ],
)
async def test_a_wrong_fault_is_refused_by_its_field(
    facebook: Facebook, fault: dict[str, Any], field: str
) -> None:
    status, answer = await facebook.ask("POST", "/simulator/api/model/faults", fault)
    assert status == 400
    assert answer["error"].startswith(f"{field}: ")
