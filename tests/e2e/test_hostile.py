"""Whatever characters people, models and Facebook use: all the way to what is sent, and in no log.

Facebook's record, the model's and the archive say what became of each text.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import regex
from aiokafka import AIOKafkaProducer

from deploy.local.services import SERVICES
from libs.common.text import printable, utf16_length
from libs.common.topics import EVENTS
from services.conversation.domain.receive import LINE_CHARACTERS
from simulator.completions import QUOTED_CHARACTERS
from tests.e2e.shop import WITHIN_S, Shop, open_shop
from tests.stack import LocalStack

LIMIT = 2000  # UTF-16 code units
ANN = {"by": "user:ann", "by_name": "Ann"}
FORGED = '\n{"event": "forged", "level": "info"}\n\x1b[31m\x9b2K'
FAMILY, FLAG, ENGLAND = "👨‍👩‍👧‍👦", "🇫🇷", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"
SUPERVISORS = re.compile(r"--- \S+ supervisor: ended with [\w ]+; starting it again in \d+ s")
PILE = "e" + "\u0301" * 10_000


@dataclass(frozen=True)
class Case:
    """A text, how it is kept, and how the model reads it: the same, unless it says otherwise."""

    name: str
    written: str
    kept: str = ""
    read: str = ""

    @property
    def stored(self) -> str:
        return self.kept or self.written

    @property
    def asked(self) -> str:
        return self.read or self.stored


CASES = (
    Case("piles of marks", "Z" + "\u0335\u0336\u0320\u0321" * 20 + "algo"),
    Case("one character of 20 kB", PILE, read=PILE[:LINE_CHARACTERS]),  # as long as is remembered
    Case("families and flags", f"{FAMILY}{FLAG}{ENGLAND}👩🏽‍🚀1️⃣"),
    Case("text that runs backwards", "\u202eevil\u202c \u2066x\u2069 \u200fab"),
    Case("NUL", "a\x00b", kept="a\ufffdb"),
    Case("control characters", "a\x01\x1b[31mb\x7f\x9bc", read="a[31mbc"),
    Case("halves of pairs", "a\ud800b\udc00c", kept="a\ufffdb\ufffdc"),
    Case("a pair", "a\ud83d\ude00b", kept="a😀b"),
    Case("byte order marks", "\ufeffhi\ufeffthere"),
    Case("no characters", "a\ufffeb\uffffc\U0001fffed", read="abc\U0001fffed"),
    Case("private use", "a\ue000\uf8ff\U000f0000\U0010fffdb"),
    Case("line separators", "a\u2028b\u2029c\x85d", read="a\nb\nc\nd"),
    Case("both ways to write an accent", "caf\u00e9 cafe\u0301 \ufb01 \u212b \u1e9b\u0323"),
    Case("full width", "ＡＢＣ１２３\u3000ｱｲｳ"),
    Case("no spaces", "สวัสดีครับยินดีต้อนรับ မင်္ဂလာပါ"),
    Case("nothing to see", "a\u200bb\u200cc\u200dd\u00ade\u2060f\U000e0068g"),
    Case("right to left", "مرحبا بالعالم שָׁלוֹם ﷽"),
    Case("markup", '<script>alert("x")</script><img src=x onerror=alert(2)>'),
    Case("a forged line", f"x{FORGED}y", read='x\n{"event": "forged", "level": "info"}\n[31m2Ky'),
)


@pytest.fixture
async def shop(modelled: LocalStack, request: pytest.FixtureRequest) -> AsyncIterator[Shop]:
    async with open_shop(modelled, request.node.name[:60]) as opened:
        await opened.simulator.set_model()  # whatever others have told it
        yield opened


@dataclass
class Webhook:
    """One, with a line of each person's in it, as Facebook's servers may write it."""

    page: str
    messaging: list[dict[str, Any]] = field(default_factory=list)

    def add(self, psid: str, text: str) -> None:
        self.messaging.append(
            {
                "sender": {"id": psid},
                "recipient": {"id": self.page},
                "timestamp": int(time.time() * 1000),
                "message": {"mid": f"m_hostile_{psid}", "text": text},
            }
        )

    @property
    def body(self) -> bytes:
        now = int(time.time() * 1000)
        entry = [{"id": self.page, "time": now, "messaging": [each]} for each in self.messaging]
        return json.dumps({"object": "page", "entry": entry}).encode()


async def test_every_text_is_kept_read_and_answered_for_what_it_is(shop: Shop) -> None:
    people = await _people(shop, len(CASES))
    webhook = Webhook(shop.page)
    for case, psid in zip(CASES, people, strict=True):
        webhook.add(psid, case.written)
    assert (await shop.simulator.webhook(shop.page, webhook.body))["status"] == 200

    for case, psid in zip(CASES, people, strict=True):
        _, answer = await shop.simulator.wait_for_answers(shop.page, psid, 2, within_s=WITHIN_S)
        is_short = len(case.asked) <= QUOTED_CHARACTERS
        quoted = case.asked if is_short else case.asked[:QUOTED_CHARACTERS] + "…"
        assert answer["text"] == (
            f"Thanks for your message! You wrote: “{quoted}”. (This is the simulated model.)"
        ), case.name
        async with asyncio.timeout(WITHIN_S):
            while len(theirs := await _archived(shop, psid)) < 4:
                await asyncio.sleep(0.1)
        # the text may come before our own time of the first answer
        sides = {
            side: [each["text"] for each in theirs if each["direction"] == side][1:]
            for side in ("in", "out")
        }
        assert sides == {"in": [case.stored], "out": [answer["text"]]}, case.name
    assert [case.name for case in CASES if case.asked not in await _read_by_the_model(shop)] == []


LONG = (
    "สวัสดีครับยินดีต้อนรับ" * 200,
    "မင်္ဂလာပါခင်ဗျာ" * 300,
    FAMILY * 400,
    FLAG * 1100,
    ENGLAND * 200,
    ("e" + "\u0301\u0302\u0323" * 30) * 80,
    "אב\u05b8ג" * 1000,
    "\u1100\u1161\u11a8" * 1500,  # one Korean syllable in three letters
)


async def test_what_a_human_types_arrives_whole_and_no_character_is_cut(shop: Shop) -> None:
    people = await _people(shop, len(LONG))
    for psid, text in zip(people, LONG, strict=True):
        path = f"/conversations/{shop.page}:{psid}"
        assert (await shop.ask("takeover", "POST", f"{path}/takeover", dict(ANN)))[0] == 200
        status, answer = await shop.ask(
            "takeover", "POST", f"{path}/messages", {**ANN, "text": text}, Idempotency_Key=psid
        )
        assert status == 202, answer
    for psid, text in zip(people, LONG, strict=True):
        assert "".join(await _parts(shop, psid, text)) == text


async def test_so_does_what_a_model_says_but_for_what_no_message_can_hold(shop: Shop) -> None:
    """One message may be a character of its own that is too long for any."""
    said = f"a\x00b\ud800c\x1b[31m\ufffe {PILE}"
    body = {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": said},
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
    await shop.simulator.add_model_fault(about="hostile model", body=json.dumps(body))
    await shop.write("hostile model")
    wanted = f"ab\ufffdc[31m {PILE}"
    parts = await _parts(shop, shop.psid, wanted.replace(" ", ""), is_cut=True)
    assert parts[0].startswith("ab\ufffdc[31m")


async def test_no_log_line_is_anybody_elses(shop: Shop, modelled: LocalStack) -> None:
    """Names, payloads, what Facebook says, headers of records, paths, user agents."""
    said = FORGED.strip("\n")
    psid = await shop.simulator.add_person(shop.page, f"Eve {said}", said)
    await shop.simulator.tap(shop.page, psid, f"P{FORGED}", "Tap")
    await shop.simulator.wait_for_answers(shop.page, psid, within_s=WITHIN_S)
    error = {"message": f"no{FORGED}", "code": 100, "fbtrace_id": FORGED, "type": FORGED}
    await shop.simulator.add_fault(
        endpoint="messages", page=shop.page, psid=psid, error=error, status=400
    )
    await shop.simulator.write(shop.page, psid, f"{FORGED} hello")
    await shop.lines(lambda _: True)
    await _publish(modelled, shop.page, psid)
    async with asyncio.timeout(WITHIN_S):
        while not any(each.get("meta_message") for each in await _archived(shop, psid)):
            await asyncio.sleep(0.1)
    await _knock(modelled)

    folder = Path(modelled.folder.path) / "logs"
    names = [*(spec.name for spec in SERVICES), "simulator"]
    wrong = {name: _wrong_lines(folder / f"{name}.log") for name in names}
    assert {name: lines for name, lines in wrong.items() if lines} == {}


def _wrong_lines(log: Path) -> list[str]:
    """Those that are no event, or whose characters do something."""
    wrong = []
    text = log.read_text(encoding="utf-8")
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        if SUPERVISORS.fullmatch(line):  # another test has killed it
            continue
        try:
            is_event = isinstance(json.loads(line)["event"], str)
            is_forged = json.loads(line)["event"] == "forged"
        except (ValueError, TypeError, KeyError):
            is_event = is_forged = False
        if not is_event or is_forged or printable(line) != line:
            wrong.append(line[:300])
    return wrong


async def _people(shop: Shop, count: int) -> list[str]:
    """Who have written and been answered: Facebook lets the Page write to them."""
    people = [await shop.simulator.add_person(shop.page, "Ann", "Lee") for _ in range(count)]
    for psid in people:
        await shop.simulator.write(shop.page, psid, "Hi")
    for psid in people:
        await shop.simulator.wait_for_answers(shop.page, psid, within_s=WITHIN_S)
    return people


async def _publish(stack: LocalStack, page: str, psid: str) -> None:
    """A record of a kind that nobody knows, with a name that is none."""
    producer = AIOKafkaProducer(bootstrap_servers=stack.environment["KAFKA_BOOTSTRAP_SERVERS"])
    await producer.start()
    try:
        headers = [(name, FORGED.encode()) for name in ("type", "version", "event_id")]
        key = f"{page}:{psid}".encode()
        await producer.send_and_wait(EVENTS, FORGED.encode(), key=key, headers=headers)
    finally:
        await producer.stop()


async def _knock(stack: LocalStack) -> None:
    """At every door, with paths and headers that are meant for a log."""
    quoted = "%0A%7B%22event%22:%22forged%22%7D%1B%5B31m"
    headers = {"User-Agent": "\x9b31m'\"{}", "X-Request-Id": "%0aforged", "Referer": quoted}
    async with aiohttp.ClientSession(headers=headers) as session:
        for spec in SERVICES:
            for path in (f"/{quoted}", f"/internal/v1/conversations/{quoted}/messages?x={quoted}"):
                async with session.get(f"{stack.url(spec.name)}{path}") as response:
                    assert response.status < 500
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", int(stack.url(spec.name).rpartition(":")[2])
            )
            writer.write(b'GET /\x1b[31m\x00 HTTP/9.9\r\n{"event": "forged"}\r\n\r\n')
            await asyncio.wait_for(reader.read(), WITHIN_S)
            writer.close()


async def _archived(shop: Shop, psid: str) -> list[dict[str, Any]]:
    """The thread as it is kept, the oldest first."""
    _, answer = await shop.ask("conversation", "GET", f"/conversations/{shop.page}:{psid}/messages")
    found: list[dict[str, Any]] = answer.get("messages", [])
    return list(reversed(found))


async def _read_by_the_model(shop: Shop) -> set[str]:
    requests = (await shop.simulator.model())["requests"]
    return {each["messages"][-1]["content"].strip() for each in requests}


async def _parts(shop: Shop, psid: str, text: str, *, is_cut: bool = False) -> Sequence[str]:
    """The parts of the last reply, once all of the text is there, as they have to be."""

    def written(thread: dict[str, Any]) -> list[str]:
        calls = [each["text"] for each in thread["messages"] if each["from"] == "page"]
        return calls if is_cut else calls[1:]  # the first answered the person

    thread = await shop.simulator.wait_for_thread(
        shop.page, psid, lambda found: len("".join(written(found))) >= len(text), WITHIN_S
    )
    parts = written(thread)
    assert len(parts) > 1
    assert all(0 < utf16_length(part) <= LIMIT for part in parts)
    if not is_cut:
        clusters = regex.findall(r"\X", text)
        assert [each for part in parts for each in regex.findall(r"\X", part)] == clusters
    return parts
