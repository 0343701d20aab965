"""`make demo` as users and programs see it: what it checks, and that it notices deviations."""

import asyncio
import json
import os
import re
import sys
import time
from dataclasses import dataclass
from typing import Any

import pytest

from deploy.local.demo.counters import QUIET_S
from deploy.local.demo.numbers import SOMEBODY_ELSE
from deploy.local.state import ROOT
from simulator.client import Simulator
from tests.stack import LocalStack

STORY_WITHIN_S = 180.0
REFUSED = {"message": "(#100) Refused by a test", "type": "OAuthException", "code": 100}

CHECKS = """\
the answer is what knowledge.md says about opening hours
the line was marked as seen and typing was shown first
sent as an answer inside the 24-hour window
the answer takes up all of them: it greets, and tells about cakes
three lines, one answer
N characters of Markdown went out in N parts
no part is longer than N UTF-N units: N, N, N, N
they came in order, all parts of one answer
sent as one answer, inside the N-hour window
no Markdown is left to see
nothing is lost, doubled or out of place: N words compared with knowledge.md
answered with the channel's text-only reply
a welcome: Crumb says hello and who it is
and what one can ask about: headings of knowledge.md
answered from knowledge.md
the gateway takes it, as Meta wants it to
N deliveries, one answer; the next question is answered as usual
refused, as forged
counted by the gateway, and nothing put on the log
what Gina really writes is answered
and nothing else
gateway: exactly one record an event (N events, N records), and no database
conversation: N round trips on the turn's path (load; save with the answer), beside N of the archive
conversation: N records a turn: the reply with “turn done”, written together, and “seen, typing”, \
which isn't waited for
sender: N round trips and N call with a message to Facebook a part
gateway: N events in the whole story, N records on the log
nobody got anything more since
N messages, N names, each taken exactly once
""".replace("24-hour", "N-hour").splitlines()


@dataclass(frozen=True)
class Ended:
    """A demo that has ended."""

    exit_code: int
    output: str

    @property
    def story(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.output)
        return document

    @property
    def checks(self) -> list[dict[str, Any]]:
        return [check for scene in self.story["scenes"] for check in scene["checks"]]


async def demo(stack: LocalStack, *arguments: str) -> Ended:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "STATE_DIR": str(stack.folder.path)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.local.demo", *arguments),
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), STORY_WITHIN_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Ended(process.returncode or 0, output.decode())


async def test_a_whole_story_holds_on_a_living_stack(
    stack: LocalStack, simulator: Simulator
) -> None:
    page = (await simulator.pages())[0]["id"]
    behaviour = await simulator.behaviour(page)
    ended = await demo(stack, "--json")
    assert [check for check in ended.checks if not check["held"]] == []
    assert ended.exit_code == 0
    assert ended.story["held"] is True
    assert [re.sub(r"\d[\d,]*\d|\d", "N", check["name"]) for check in ended.checks] == CHECKS
    assert await simulator.behaviour(page) == behaviour  # what it switched off is on again


async def test_the_transcript_has_what_was_said_and_a_mark_for_each_check(
    stack: LocalStack,
) -> None:
    ended = await demo(stack)
    assert ended.exit_code == 0, ended.output
    assert ended.output.count("✓") == len(CHECKS)
    assert f"{len(CHECKS)} checks held" in ended.output
    assert "│ When are you open on Sunday?" in ended.output
    assert f"{stack.url('simulator')}/" in ended.output
    assert "\x1b" not in ended.output


async def test_answers_that_never_arrive_end_the_story_soon(
    stack: LocalStack, simulator: Simulator
) -> None:
    page = (await simulator.pages())[0]["id"]
    await simulator.add_fault(endpoint="messages", page=page, times=1000, status=400, error=REFUSED)
    try:
        ended = await demo(stack, "--json", "--patience", "4")
    finally:
        await simulator.clear_faults()
    assert ended.exit_code == 1
    (failed,) = [check for check in ended.checks if not check["held"]]
    assert failed["name"].endswith("answers within 4 s")
    assert failed["seen"].startswith("0 messages")
    assert ended.story["seconds"] < 30


async def test_one_line_that_deviates_fails_and_the_rest_is_played(
    stack: LocalStack, simulator: Simulator
) -> None:
    """A sign that Meta refused is missing from its record; everything else is as it should be."""
    page = (await simulator.pages())[0]["id"]
    await simulator.add_fault(endpoint="actions", page=page, times=1, status=400, error=REFUSED)
    try:
        ended = await demo(stack, "--json")
    finally:
        await simulator.clear_faults()
    assert ended.exit_code == 1
    (failed,) = [check for check in ended.checks if not check["held"]]
    assert failed["name"] == "the line was marked as seen and typing was shown first"
    assert failed["seen"] != failed["expected"]
    assert len(ended.checks) == len(CHECKS)


async def test_a_message_of_somebody_else_while_we_count_is_noticed_and_counted_again(
    stack: LocalStack, simulator: Simulator
) -> None:
    page = (await simulator.pages())[0]["id"]
    stranger = await simulator.add_person(page, "Some", "Body")
    playing = asyncio.create_task(demo(stack, "--json"))
    await until_counting(simulator, page)
    await simulator.write(page, stranger, "Do you deliver?")
    ended = await playing
    assert [check for check in ended.checks if not check["held"]] == []
    assert ended.exit_code == 0
    said = [line["text"] for scene in ended.story["scenes"] for line in scene["lines"]]
    assert len([text for text in said if text.startswith(SOMEBODY_ELSE)]) == 1


async def until_counting(simulator: Simulator, page: str) -> None:
    """Until the first message that is counted has just been written: after a silence."""
    async with asyncio.timeout(STORY_WITHIN_S):
        while (await simulator.behaviour(page))["echoes"]["enabled"]:
            await asyncio.sleep(0.02)
        posted, since = (await simulator.webhooks())["posted"], time.monotonic()
        while True:
            await asyncio.sleep(0.02)
            now, at = (await simulator.webhooks())["posted"], time.monotonic()
            if now > posted and at - since >= QUIET_S * 0.8:
                return
            if now > posted:
                posted, since = now, at


async def test_a_service_that_is_away_is_a_failure_and_no_traceback(
    stack: LocalStack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    nowhere = tmp_path_factory.mktemp("nowhere")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "STATE_DIR": str(nowhere)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.local.demo"),
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1
    assert out == b""
    assert err.decode().startswith("error: no stack is ready")
    assert "make up" in err.decode()
