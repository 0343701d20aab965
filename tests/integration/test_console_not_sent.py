"""What was not sent, and dead letters: who sees whose, what a click does, what an outage says."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from libs.common.erasures import TombstoneStore
from libs.common.kafka import KafkaUnavailableError
from libs.common.kafka.records import ConsumedRecord
from libs.common.mongo import Database
from libs.common.settings import KafkaSettings, MongoSettings
from libs.common.topics import DEAD_LETTERS as TOPIC
from libs.common.topics import EVENTS
from libs.common.web import problem
from services.console import deliveries
from services.console.audit import AuditLog
from services.console.channels_store import ChannelStore
from services.console.dead_letters import DeadLetters
from services.console.dead_letters_store import DeadLetterStore
from services.console.domain.dead_letters import Place, letter_of
from services.console.domain.roles import Role
from services.console.domain.tokens import Scope
from services.console.letters_log import Found, place_of
from services.console.web.pages import DEAD_LETTERS
from tests.integration.console import Answer, Browser, Console, running_console
from tests.integration.test_console_health import OURS, THEIRS, add_page

HOSTILE = '<img src=x onerror="alert(1)">'


class Sender:
    """The sender's lists, and what was decided."""

    def __init__(self) -> None:
        self.parts = [self.part(OURS, "held"), self.part(OURS, "failed"), self.part(THEIRS, "held")]
        self.decided: list[tuple[str, str, Any]] = []
        self.refuses: str | None = None
        self.is_away = False
        self.app = web.Application()
        self.app.router.add_get("/internal/v1/{kind}/{name}/deliveries", self.listed)
        self.app.router.add_post("/internal/v1/deliveries/{send_id}/{decision}", self.decide)

    def part(self, page_id: str, state: str) -> dict[str, Any]:
        return {
            "id": f"cmd-{page_id}-{state}:0",
            "conversation": f"{page_id}:77001",
            "page_id": page_id,
            "psid": "77001",
            "text": f"{state} {HOSTILE}",
            "state": state,
            "generation": 2,
            "at": "2026-11-25T20:00:00Z",
            "explanation": "Facebook gave no answer.",
            "advice": "Look at the Page's inbox.",
            "error_code": 1 if state == "failed" else None,
        }

    async def listed(self, request: web.Request) -> web.Response:
        if self.is_away:
            raise web.HTTPServiceUnavailable
        name = request.match_info["name"].partition(":")[0]
        state = request.query.get("state")
        found = [p for p in self.parts if p["page_id"] == name and state in (None, p["state"])]
        start, limit = int(request.query.get("cursor", "0")), int(request.query["limit"])
        more = str(start + limit) if len(found) > start + limit else None
        return web.json_response({"deliveries": found[start : start + limit], "next": more})

    async def decide(self, request: web.Request) -> web.Response:
        if self.refuses:
            return problem(409, self.refuses, "no")
        body, send_id = await request.json(), request.match_info["send_id"]
        self.decided.append((send_id, request.match_info["decision"], body["generation"]))
        (part,) = (each for each in self.parts if each["id"] == send_id)
        return web.json_response({"delivery": part})


class Topic:
    """Dead letters in memory."""

    def __init__(self) -> None:
        self.records: list[ConsumedRecord] = []
        self.back: list[ConsumedRecord] = []
        self.gone: set[str] = set()
        self.is_away = False

    def add(self, key: str, error: str = "ValueError") -> str:
        value = {"type": "message.received", "text": HOSTILE, HOSTILE: 1}
        headers = {
            "type": b"message.received",
            "dead-letter-topic": EVENTS.encode(),
            "dead-letter-service": b"conversation",
            "dead-letter-error": error.encode(),
        }
        at = int(datetime.now(UTC).timestamp() * 1000)
        offset = len(self.records)
        record = ConsumedRecord(
            TOPIC, 0, offset, key.encode(), json.dumps(value).encode(), headers, at
        )
        self.records.append(record)
        return str(place_of(record))

    async def latest(self, most: int | None) -> Found:
        del most
        if self.is_away:
            raise KafkaUnavailableError("away")
        return Found(
            tuple(
                letter_of(place_of(each), each.key, each.value, each.headers)
                for each in reversed(self.records)
            )
        )

    async def record(self, place: Place) -> ConsumedRecord | None:
        if self.is_away:
            raise KafkaUnavailableError("away")
        if str(place) in self.gone:
            return None
        return next((each for each in self.records if place_of(each) == place), None)

    def forget(self, name: str) -> None:
        """Its time is over, which who has just listed it does not know yet."""
        self.gone.add(name)

    async def put_back(self, record: ConsumedRecord) -> None:
        self.back.append(record)


@pytest.fixture
def sender() -> Sender:
    return Sender()


@pytest.fixture
def topic() -> Topic:
    return Topic()


@pytest.fixture
async def console(
    database: Database, mongo: MongoSettings, sender: Sender, topic: Topic
) -> AsyncIterator[Console]:
    nobody = KafkaSettings(bootstrap_servers="127.0.0.1:9")
    async with (
        TestServer(sender.app) as server,
        running_console(
            database, mongo, kafka=nobody, services=str(server.make_url("")).rstrip("/")
        ) as console,
    ):
        admin = await console.first_admin()
        await console.add("eve@example.org", Role.ADMIN, "wsp_theirs")
        await add_page(console, OURS, "Corner Bakery", admin.workspace_id)
        await add_page(console, THEIRS, "Victims Bakery", "wsp_theirs")
        office = DeadLetters(
            topic,
            DeadLetterStore(database),
            TombstoneStore(database),
            ChannelStore(database),
            AuditLog(database, console.clock),
            console.clock,
        )
        console.app[DEAD_LETTERS].set(office)
        yield console


async def decide(browser: Browser, decision: str, page_id: str, state: str = "held") -> Answer:
    form = {
        "send_id": f"cmd-{page_id}-{state}:0",
        "conversation": f"{page_id}:77001",
        "generation": "2",
    }
    return await browser.post(f"/health/messages/{decision}", form)


async def test_what_was_not_sent_is_listed_with_why_and_only_for_our_pages(
    console: Console,
) -> None:
    admin = await console.admin()
    listed = await admin.get("/health/messages")
    assert listed.status == 200
    for words in ("Facebook gave no answer.", "Look at the Page's inbox.", "Facebook's code 1"):
        assert words in listed.words
    assert "the person gets it twice" in listed.words
    assert HOSTILE not in listed.text
    assert f'href="/inbox/{OURS}:77001"' in listed.text
    assert THEIRS not in listed.text
    assert "failed &lt;img" not in (await admin.get("/health/messages?state=held")).text
    assert (await admin.get(f"/health/messages?page={OURS}")).status == 200
    assert (await admin.get(f"/health/messages?page={THEIRS}")).status == 404
    for nonsense in ("state=x", "page=x", "cursor=" + "x" * 999):
        assert (await admin.get(f"/health/messages?{nonsense}")).status == 400
    assert (await (await console.member()).get("/health/messages")).status == 403


async def test_a_decision_is_made_once_about_a_part_of_ours_and_audited(
    console: Console, sender: Sender
) -> None:
    admin = await console.admin()
    again = await decide(admin, "send-again", OURS)
    assert (again.status, again.headers["Location"]) == (303, "/health/messages")
    assert (await decide(admin, "discard", OURS, "failed")).status == 303
    assert sender.decided == [
        (f"cmd-{OURS}-held:0", "send-again", 2),
        (f"cmd-{OURS}-failed:0", "discard", 2),
    ]
    assert (await decide(admin, "discard", THEIRS)).status == 404
    theirs = {"send_id": f"cmd-{THEIRS}-held:0", "conversation": f"{OURS}:1", "generation": "2"}
    assert (await admin.post("/health/messages/discard", theirs)).status == 409
    assert (await admin.post("/health/messages/discard", {"send_id": "x"})).status == 400
    assert len(sender.decided) == 2
    audit = (await admin.get("/audit")).words
    assert "Had a message sent again" in audit
    assert "Discarded a message" in audit
    assert "77001" not in audit
    sender.refuses = "already_sent"
    late = await decide(admin, "send-again", OURS)
    assert late.status == 409
    assert "It has arrived after all" in late.words


async def test_a_part_is_found_however_many_later_ones_there_are(
    console: Console, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "MOST", 1)
    assert (await decide(await console.admin(), "discard", OURS, "failed")).status == 303
    assert sender.decided == [(f"cmd-{OURS}-failed:0", "discard", 2)]


async def test_without_the_sender_it_says_so(console: Console, sender: Sender) -> None:
    admin = await console.admin()
    sender.is_away = True
    listed = await admin.get("/health/messages")
    assert listed.status == 503
    assert "so the list can't be read" in listed.words
    assert "Nothing was held" not in listed.words
    assert (await decide(admin, "discard", OURS)).status == 503


async def test_a_dead_letter_is_looked_at_replayed_once_and_audited(
    console: Console, topic: Topic
) -> None:
    ours, theirs = topic.add(f"{OURS}:77001"), topic.add(f"{THEIRS}:77001")
    nobodys = topic.add("<script>")
    admin = await console.admin()
    listed = await admin.get("/health/dead-letters")
    assert "message.received" in listed.words
    assert "Corner Bakery" in listed.words
    assert "Victims" not in listed.words
    looked = await admin.get(f"/health/dead-letters/{ours}")
    assert f"text: text, {len(HOSTILE)} characters" in looked.words
    assert "onerror" not in looked.text
    assert "77001" not in looked.text
    for name in (theirs, nobodys, "0-99-1", "1-2-3-4", "--"):
        for answer in (
            await admin.get(f"/health/dead-letters/{name}"),
            await admin.post(f"/health/dead-letters/{name}/replay"),
            await admin.post(f"/health/dead-letters/{name}/discard"),
        ):
            assert answer.status == 404
    for _ in range(3):
        assert (await admin.post(f"/health/dead-letters/{ours}/replay")).status == 303
    assert [place_of(each) for each in topic.back] == [Place.parse(ours)]
    assert "No dead letter waits." in (await admin.get("/health/dead-letters")).words
    settled = await admin.get("/health/dead-letters?show=settled")
    assert "Replayed" in settled.words
    refused = await admin.post(f"/health/dead-letters/{ours}/discard")
    assert refused.status == 409
    assert "It was put back on its topic by" in refused.words
    assert (await admin.get("/audit")).words.count("Replayed a dead letter") == 1
    member = await console.member()
    assert (await member.get(f"/health/dead-letters/{ours}")).status == 403
    assert (await member.post(f"/health/dead-letters/{ours}/discard")).status == 403


async def test_all_that_the_filters_show_are_replayed_the_oldest_first(
    console: Console, topic: Topic
) -> None:
    errors = ("ValueError", "TypeError", "ValueError", "TypeError")
    names = [topic.add(f"{OURS}:77001", error) for error in errors]
    topic.add(f"{THEIRS}:77001")
    admin = await console.admin()
    listed = await admin.get("/health/dead-letters?error=ValueError")
    assert "Replay all 2" in listed.words
    assert "Replay all 4" in (await admin.get("/health/dead-letters")).words
    done = await admin.post("/health/dead-letters/replay?error=ValueError")
    assert done.headers["Location"] == "/health/dead-letters?error=ValueError"
    assert [each.offset for each in topic.back] == [0, 2]
    assert "Replayed: 2." in (await admin.get("/health/dead-letters")).words
    topic.forget(names[1])
    assert (await admin.post("/health/dead-letters/replay")).status == 303
    assert [each.offset for each in topic.back] == [0, 2, 3]


async def test_without_kafka_the_page_says_so(console: Console, topic: Topic) -> None:
    name = topic.add(f"{OURS}:77001")
    topic.is_away = True
    admin = await console.admin()
    for answer in (
        await admin.get("/health/dead-letters"),
        await admin.get(f"/health/dead-letters/{name}"),
        await admin.post(f"/health/dead-letters/{name}/replay"),
        await admin.post(f"/health/dead-letters/{name}/discard"),
    ):
        assert answer.status == 503
        assert "Kafka g" in answer.words


async def test_programs_list_and_settle_them_with_the_scope_for_it(
    console: Console, topic: Topic
) -> None:
    ours, theirs = topic.add(f"{OURS}:77001"), topic.add(f"{THEIRS}:77001")
    other = topic.add(f"{OURS}:77001", "TypeError")

    async def ask(scope: Scope, method: str, path: str) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {await console.api_token(scope)}"}
        answer = await console.browser().ask(method, f"/api/v1/dead-letters{path}", headers=headers)
        return answer.status, json.loads(answer.text)

    status, listed = await ask(Scope.HEALTH_READ, "GET", "")
    assert status == 200
    assert [each["id"] for each in listed["dead_letters"]] == [other, ours]
    assert "77001" not in str(listed)
    assert (await ask(Scope.HEALTH_READ, "POST", f"/{ours}/replay"))[0] == 403
    assert (await ask(Scope.HEALTH_WRITE, "POST", f"/{theirs}/replay"))[0] == 404
    assert (await ask(Scope.HEALTH_WRITE, "POST", f"/{ours}/replay"))[1]["state"] == "replayed"
    assert (await ask(Scope.HEALTH_WRITE, "POST", f"/{ours}/discard"))[0] == 409
    assert (await ask(Scope.HEALTH_WRITE, "POST", f"/{other}/discard"))[1]["state"] == "discarded"
    _, settled = await ask(Scope.HEALTH_READ, "GET", "?show=settled")
    assert [each["state"] for each in settled["dead_letters"]] == ["discarded", "replayed"]
    topic.is_away = True
    status, told = await ask(Scope.HEALTH_WRITE, "POST", f"/{ours}/replay")
    assert (status, told["error"]["code"]) == (503, "kafka_away")
