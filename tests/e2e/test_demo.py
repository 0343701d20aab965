"""`make demo` as users and programs see it: what it checks, and that it notices deviations."""

import asyncio
import json
import os
import re
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from deploy.local.demo.counters import QUIET_S
from deploy.local.demo.numbers import SOMEBODY_ELSE
from deploy.local.state import ROOT
from simulator.client import Call, Simulator
from tests.stack import LocalStack

STORY_WITHIN_S = 180.0
SCENE_WITHIN_S = 60.0
REFUSED = {"message": "(#100) Refused by a test", "type": "OAuthException", "code": 100}

CHECKS = """\
the console shows the Page as active, connected just now
at Facebook, the app is subscribed to what people write and what becomes of it
its assistant and its settings are as they were
its conversations are there, all N
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
answered with the channel's hand-over text
no model was asked, so that this works while it is down
until somebody comes, the assistant goes on answering
takeover.requested stands on the log exactly once, with the reason and her words
the list of conversations shows that she waits for a human
the list of conversations shows who has it
and its timer: the assistant has it again in N minutes
Bo, who wants it too, is told that Ann has it
the assistant is silent
what Ann typed arrives to the letter
sent as an answer inside the N-hour window
the log says that a human wrote it, and who
the assistant answers again, and knows what Ann wrote
what Tara wrote to Ann is not answered a second time
the thread keeps both changes of hands between its lines
the takeover began once
for the assistant it is too late: N hours are over
a human still may, with Meta's tag
after N days nobody may: refused, as the window closed at N-N-N N:N UTC
and Facebook was not even asked
the assistant is paused: the conversation belongs to whoever answers at Facebook
it is silent
the assistant knows what was answered at Facebook
gateway: exactly one record an event (N events, N records), and no database
conversation: N round trips on the turn's path (load; save with the answer), beside N of the archive
conversation: N records a turn: the reply with “turn done”, written together, and “seen, typing”, \
which isn't waited for
sender: N round trips and N call with a message to Facebook a part
all N are answered from knowledge.md
N calls with an answer were refused as too many, and made again later
no answer was taken twice, and none is lost
Facebook's record: taken, and the answer to the call never left
the echo settled it: after N.N s the sender knew that it was sent
it was not sent again, and the conversation goes on
N answers are written and wait, none has gone out
one call was refused; in the N s since then nothing was tried
the console shows the Page as expired, and says why
all N went out within N.N s, in the order of each person's questions
each of them once
the console shows the Page as active
N messages from people, as Facebook's record has them
to people, as the record has them: N by the assistant, N by humans, N at Facebook
N of them are delivered
N answers were not sent, each with its cause
calls for a human, takeovers and their ends are those of the log
conversations in takeover are counted exactly
gateway: N events in the whole story, N records on the log
nobody got anything more since
N messages, N names, each taken exactly once
""".replace("24-hour", "N-hour").splitlines()

QUESTION_CHECKS, BURST_CHECKS, LAST_CHECKS = 3, 2, 9


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


@asynccontextmanager
async def playing(stack: LocalStack, *arguments: str) -> AsyncIterator[Process]:
    """A demo that has begun. It does not outlive the block."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "STATE_DIR": str(stack.folder.path)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.local.demo", *arguments),
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def ended(process: Process) -> Ended:
    output, _ = await asyncio.wait_for(process.communicate(), STORY_WITHIN_S)
    return Ended(process.returncode or 0, output.decode())


async def demo(stack: LocalStack, *arguments: str) -> Ended:
    async with playing(stack, *arguments) as process:
        return await ended(process)


async def test_a_whole_story_holds_on_a_living_stack(
    stack: LocalStack, simulator: Simulator
) -> None:
    page = (await simulator.pages())[0]["id"]
    behaviour = await simulator.behaviour(page)
    played = await demo(stack, "--json")
    assert [check for check in played.checks if not check["held"]] == []
    assert played.exit_code == 0
    assert played.story["held"] is True
    assert [re.sub(r"\d[\d,]*\d|\d", "N", check["name"]) for check in played.checks] == CHECKS
    # what it switched off is on again
    assert await simulator.behaviour(page) == behaviour
    assert (await simulator.pages())[0]["token_state"] == "valid"


async def test_the_transcript_has_what_was_said_and_a_mark_for_each_check(
    stack: LocalStack,
) -> None:
    played = await demo(stack, "--scene", "question")
    assert played.exit_code == 0, played.output
    assert played.output.count("✓") == QUESTION_CHECKS + LAST_CHECKS
    assert f"{QUESTION_CHECKS + LAST_CHECKS} checks held" in played.output
    assert "│ When are you open on Sunday?" in played.output
    assert f"{stack.url('simulator')}/" in played.output
    assert "\x1b" not in played.output


async def test_a_demo_that_is_broken_off_leaves_a_page_that_works(
    stack: LocalStack, simulator: Simulator
) -> None:
    """SIGTERM while the token has run out and an answer waits: it goes out all the same."""
    page = (await simulator.pages())[0]["id"]
    known = (await simulator.calls(page))[-1:]
    async with playing(stack, "--json", "--scene", "token") as process:
        refused = await until_refused(process, simulator, page, known[0]["n"] if known else 0)
        process.terminate()
        assert (await ended(process)).exit_code == 130
    assert (await simulator.pages())[0]["token_state"] == "valid"
    await simulator.wait_for_answers(page, refused["psid"], within_s=30)


async def until_refused(process: Process, simulator: Simulator, page: str, since: int) -> Call:
    """The first sign or message that Facebook refuses."""
    async with asyncio.timeout(SCENE_WITHIN_S):
        while True:
            assert process.returncode is None, (await ended(process)).output
            for call in await simulator.calls(page, since=since):
                if call["endpoint"] in ("actions", "messages") and call["outcome"] == "refused":
                    return call
            await asyncio.sleep(0.02)


async def test_answers_that_never_arrive_end_the_story_soon(
    stack: LocalStack, simulator: Simulator
) -> None:
    page = (await simulator.pages())[0]["id"]
    await simulator.add_fault(endpoint="messages", page=page, times=1000, status=400, error=REFUSED)
    try:
        played = await demo(stack, "--json", "--patience", "10")
    finally:
        await simulator.clear_faults()
    assert played.exit_code == 1
    (failed,) = [check for check in played.checks if not check["held"]]
    assert failed["name"].endswith("answers within 10 s")
    assert failed["seen"].startswith("0 messages")
    assert played.story["seconds"] < 60


async def test_one_line_that_deviates_fails_and_the_rest_is_played(
    stack: LocalStack, simulator: Simulator
) -> None:
    """A sign that Meta refused is missing from its record; everything else is as it should be."""
    page = (await simulator.pages())[0]["id"]
    await simulator.add_fault(endpoint="actions", page=page, times=1, status=400, error=REFUSED)
    try:
        played = await demo(stack, "--json", "--scene", "question", "--scene", "burst")
    finally:
        await simulator.clear_faults()
    assert played.exit_code == 1
    (failed,) = [check for check in played.checks if not check["held"]]
    assert failed["name"] == "the line was marked as seen and typing was shown first"
    assert failed["seen"] != failed["expected"]
    assert len(played.checks) == QUESTION_CHECKS + BURST_CHECKS + LAST_CHECKS


async def test_a_message_of_somebody_else_while_we_count_is_noticed_and_counted_again(
    stack: LocalStack, simulator: Simulator
) -> None:
    page = (await simulator.pages())[0]["id"]
    stranger = await simulator.add_person(page, "Some", "Body")
    async with playing(stack, "--json", "--scene", "numbers") as process:
        await until_counting(process, simulator, page)
        await simulator.write(page, stranger, "Do you deliver?")
        played = await ended(process)
    assert [check for check in played.checks if not check["held"]] == []
    assert played.exit_code == 0
    said = [line["text"] for scene in played.story["scenes"] for line in scene["lines"]]
    assert len([text for text in said if text.startswith(SOMEBODY_ELSE)]) == 1


async def until_counting(process: Process, simulator: Simulator, page: str) -> None:
    """Until the first message that is counted has just been written: after a silence."""
    async with asyncio.timeout(SCENE_WITHIN_S):
        while (await simulator.behaviour(page))["echoes"]["enabled"]:
            assert process.returncode is None, (await ended(process)).output
            await asyncio.sleep(0.02)
        posted, since = (await simulator.webhooks())["posted"], time.monotonic()
        while True:
            assert process.returncode is None, (await ended(process)).output
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
