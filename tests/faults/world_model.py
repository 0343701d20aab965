"""The model hangs, refuses, breaks off and talks nonsense, to some; others talk as ever."""

import asyncio
import json
import unicodedata
from typing import Any

from libs.common.channels import ChannelSettings
from libs.common.text import utf16_length
from tests.faults.guests import Guest, arrive, check_guests, shortened
from tests.faults.judging import REPLY
from tests.faults.run import Run

TEXTS = ChannelSettings()
MOST_ATTEMPTS = 3
MOST_PARTS = 12  # of the longest answer
ASKED_WITHIN_S = 60.0
LOOK_EVERY_S = 0.1
ASKS_TO_WAIT_S = 2
HANGS_MS = 600_000


def completion(content: str | None, **message: Any) -> str:  # noqa: ANN401
    """An answer of the model, as it comes: broken characters stand there as `\\ud83d`."""
    said = {"role": "assistant", "content": content, **message}
    choice = {"index": 0, "message": said, "finish_reason": "stop"}
    facts = {"id": "c", "object": "chat.completion", "created": 0, "model": "m"}
    return json.dumps({**facts, "choices": [choice]})


def _call(name: str, arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"tool_calls": [{"id": "1", "type": "function", "function": function}]}


NO_ANSWERS = {
    "empty": "",
    "no JSON": "<html>Welcome to nginx</html>",
    "half": completion("Yes, we do")[:-20],
    "nothing in it": "{}",
    "no choice": '{"choices": []}',
    "silent": completion(None),
    "spaces": completion("\n" * 100_000),
    "numbers": '{"choices": [{"message": 1e999}]}',
    "deep": "[" * 100_000,
    "foreign tool": completion(None, **_call("delete_all", "{}")),
}
"""Of these, nobody can make an answer."""

ODD_ANSWERS = {
    "a million letters": "word " * 200_000,
    "one long word": "W" * 1_000_000,
    "lines": "First." + "\n" * 100_000 + "Last.",
    "controls": "Bread\x00\x07\x1b[31m is\x9f there.\u2028Daily.",
    "surrogates": "half \ud83d an \udc00 emoji",
    "markdown": "[" * 5_000 + "](" * 5_000 + "*" * 5_000 + "`" * 5_000,
    "combining": "e" + "\u0301" * 10_000,
}
"""Of these, somebody can."""


# it hangs


async def hangs(run: Run) -> None:
    guests = await arrive(run, "Ada", "Bo")
    for guest in guests:
        await run.simulator.add_model_fault(about=guest.question(), times=1_000, delay_ms=HANGS_MS)
        await guest.ask()
        await _until_asked(guest)
    run.fault_now()
    await run.until_answered()  # somebody else
    if any(run.settled_parts(guest.psid) for guest in guests):
        run.complain("answered by a model that hangs")
    for guest in guests:
        guest.owed.append(TEXTS.fallback_text)
        await guest.until_told(1)
    await asyncio.gather(*[guest.asks_and_is_answered(2) for guest in guests])


async def check_hangs(run: Run) -> None:
    await check_guests(run)
    for guest in run.kept["guests"]:
        calls = await run.simulator.model_calls(guest.question())
        if not 1 <= len(calls) <= MOST_ATTEMPTS or not all(call.get("left") for call in calls):
            run.complain(f"a model that hangs was asked so: {calls}")


async def _until_asked(guest: Guest, times: int = 1) -> None:
    async with asyncio.timeout(ASKED_WITHIN_S):
        while len(await guest.run.simulator.model_calls(guest.question())) < times:
            await asyncio.sleep(LOOK_EVERY_S)


# it fails for a while


async def fails_for_a_while(run: Run) -> None:
    """One answer at last, or the fallback where it takes too long; never half of one."""
    ways: dict[str, dict[str, Any]] = {
        "limited": {"status": 429, "headers": {"Retry-After": str(ASKS_TO_WAIT_S)}},
        "broken": {"status": 500, "times": 2},
        "overloaded": {"status": 529},
        "away": {"status": 503, "body": "<html>upstream connect error</html>"},
        "cut": {"drop": "before", "times": 2},
        "cut in the middle": {"drop": "middle"},
    }
    guests = await arrive(run, *ways, "limited for long")
    for guest in guests[:-1]:
        await run.simulator.add_model_fault(about=guest.question(), **ways[guest.name])
    for_long = {"status": 429, "headers": {"Retry-After": "3600"}, "times": 1_000}
    await run.simulator.add_model_fault(about=guests[-1].question(), **for_long)
    run.fault_now()
    answers = [None] * len(ways) + [TEXTS.fallback_text]
    await asyncio.gather(
        *[
            guest.asks_and_is_answered(1, answer)
            for guest, answer in zip(guests, answers, strict=True)
        ]
    )


async def check_failures(run: Run) -> None:
    await check_guests(run)
    guests = {guest.name: guest for guest in run.kept["guests"]}
    first, *more = await run.simulator.model_calls(guests["limited"].question())
    if not more or more[0]["at"] - first["at"] < ASKS_TO_WAIT_S * 1000:
        run.complain("a model that asked us to wait was asked again too soon")
    for_long = await run.simulator.model_calls(guests["limited for long"].question())
    if len(for_long) != 1:
        run.complain("a model was asked again though it said to wait for an hour")


# it talks nonsense


async def talks_nonsense(run: Run) -> None:
    run.kept["restarts"] = run.stack.component("conversation")["restarts"]
    guests = await arrive(run, *NO_ANSWERS, *ODD_ANSWERS, "no arguments")
    bodies = NO_ANSWERS | {name: completion(text) for name, text in ODD_ANSWERS.items()}
    bodies["no arguments"] = completion(None, **_call("request_human", '{"reason": '))
    for guest in guests:
        await run.simulator.add_model_fault(
            about=guest.question(), times=1_000, body=bodies[guest.name]
        )
    run.fault_now()
    await asyncio.gather(*[_hears_nonsense(guest) for guest in guests])


async def _hears_nonsense(guest: Guest) -> None:
    """And asks again when it has begun: that is answered after everything before."""
    await guest.ask()
    await guest.until_told(1)
    await guest.ask(2)
    await guest.until_answered(2)


async def check_nonsense(run: Run) -> None:
    for guest in run.kept["guests"]:
        *first, last = await guest.texts() or [""]
        if last != REPLY.format(guest.question(2)):
            run.complain(f"after {guest.name}: no answer to the next question")
        wrong = {
            "no arguments": first != [TEXTS.handover_text],
            **{name: first != [TEXTS.fallback_text] for name in NO_ANSWERS},
        }.get(guest.name, not _is_an_answer(first))
        if wrong:
            run.complain(f"of {guest.name} came {shortened(first)}")
    if run.stack.component("conversation")["restarts"] != run.kept["restarts"]:
        run.complain("conversation died of it")


def _is_an_answer(parts: list[str]) -> bool:
    return 1 <= len(parts) <= MOST_PARTS and all(map(_can_be_read, parts))


def _can_be_read(text: str) -> bool:
    controls = {each for each in text if unicodedata.category(each) in ("Cc", "Cs")}
    return (
        bool(text.strip())
        and utf16_length(text) <= TEXTS.max_message_length
        and (controls <= {"\n", "\t"})
    )
