"""The stream of hints: quick, for the right people, and over as soon as it has to be."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from libs.common.crypto import KeyRing
from libs.common.kafka import (
    BroadcastRecords,
    ConsumedRecord,
    KafkaPublisher,
    Message,
    open_publisher,
)
from libs.common.mongo import Database
from libs.common.settings import KafkaSettings, MongoSettings
from libs.common.topics import EVENTS
from services.console.domain.roles import Member, Role
from services.console.live.streams import MOST_OF_ACCOUNT
from services.console.web import live
from services.console.web.access import BACKGROUND
from tests.integration.console import KEYS, Browser, Console, running_console

OURS, THEIRS = "4225", "5336"
ANA, EVE = f"{OURS}:1001", f"{THEIRS}:2002"


class Log:
    """The events topic."""

    def __init__(self) -> None:
        self.is_heard = True
        self._heard: Callable[[ConsumedRecord], None] | None = None
        self._offset = 0

    @asynccontextmanager
    async def open(self, heard: Callable[[ConsumedRecord], None]) -> AsyncIterator["Log"]:
        self._heard = heard
        yield self

    def say(self, conversation: str, kind: bytes = b"message.received") -> None:
        assert self._heard is not None
        self._offset += 1
        headers = {"type": kind, "version": b"1.0"}
        self._heard(ConsumedRecord(EVENTS, 0, self._offset, conversation.encode(), b"", headers, 0))


class Conversation:
    """The conversation service: every row has every record at once."""

    def __init__(self) -> None:
        self.url = ""
        self.is_away = False
        self.asked: list[tuple[str, dict[str, Any]]] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Conversation"]:
        app = web.Application()
        app.router.add_post("/internal/v1/inbox/{what}", self._answer)
        async with TestServer(app) as server:
            self.url = str(server.make_url("")).rstrip("/")
            yield self

    async def _answer(self, request: web.Request) -> web.Response:
        what, body = request.match_info["what"], await request.json()
        self.asked.append((what, body))
        if self.is_away:
            return web.json_response({}, status=503)
        if what == "counts":
            return web.json_response({"unread": 3, "needs_human": 1, "all": 9})
        names = body["conversations"] if what == "rows" else [ANA]
        asked = {"reason": "angry", "summary": "wants money", "at": "2026-11-25T10:00:00Z"}
        heard = {"partition": 0, "offset": 1_000}
        rows = [{"id": name, "heard": heard, "asked": asked} for name in names]
        return web.json_response({"conversations": rows, "next": None})


class Listening:
    """A browser's stream, event by event."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def next(self, name: str) -> dict[str, Any]:
        """The data of the next event of this name."""
        wanted = f"event: {name}\n".encode()
        async with asyncio.timeout(10):
            while True:
                line = await self.response.content.readline()
                assert line, "the stream has ended"
                if line == wanted:
                    data = await self.response.content.readline()
                    said: dict[str, Any] = json.loads(data.removeprefix(b"data: "))
                    return said

    async def ends(self) -> None:
        async with asyncio.timeout(10):
            await self.response.content.read()


@asynccontextmanager
async def listening(browser: Browser) -> AsyncIterator[Listening]:
    headers = {**browser.headers, "Accept": "text/event-stream"}
    async with browser.session.get(browser.url + "/live", headers=headers) as response:
        assert response.status == 200, await response.text()
        yield Listening(response)


@pytest.fixture
async def log() -> Log:
    return Log()


@pytest.fixture
async def conversation() -> AsyncIterator[Conversation]:
    async with Conversation().running() as conversation:
        yield conversation


@pytest.fixture
async def console(
    database: Database, mongo: MongoSettings, log: Log, conversation: Conversation
) -> AsyncIterator[Console]:
    async with running_console(
        database, mongo, services=conversation.url, feed=log.open
    ) as console:
        await add_pages(console)
        yield console


async def add_pages(console: Console) -> None:
    admin = await console.first_admin()
    await console.add("eve@example.org", Role.ADMIN, "wsp_theirs")
    for page, workspace in ((OURS, admin.workspace_id), (THEIRS, "wsp_theirs")):
        await console.database["channels"].insert_one(
            {
                "_id": page,
                "workspace_id": workspace,
                "assistant_id": "a",
                "page_name": "Bakery",
                "token": KeyRing.parse(KEYS).encrypt("EAApage", context=page),
            }
        )


async def test_a_hint_names_the_conversation_to_those_of_its_workspace(
    console: Console, log: Log, conversation: Conversation
) -> None:
    eve = console.browser()
    await eve.sign_in("eve@example.org")
    async with listening(await console.admin()) as ours, listening(eve) as theirs:
        assert ours.response.headers["Content-Type"].startswith("text/event-stream")
        assert ours.response.headers["X-Accel-Buffering"] == "no"
        assert "no-transform" in ours.response.headers["Cache-Control"]
        await ours.next("hello")
        while not console.app[live.STREAMS].is_heard:
            await asyncio.sleep(0.01)
        log.say(ANA)
        assert await ours.next("changed") == {"conversations": [ANA], "needs_human": []}
        assert (await ours.next("counts"))["unread"] == 3
        log.say(EVE, b"takeover.requested")
        changed = await theirs.next("changed")
        assert changed["conversations"] == [EVE]
        assert [each["id"] for each in changed["needs_human"]] == [EVE]
    for what, body in conversation.asked:
        if what == "counts":
            assert body["pages"] in ([OURS], [THEIRS])


async def test_only_administrators_listen(console: Console) -> None:
    member, stranger = await console.member(), console.browser()
    for path in ("/live", "/live/news"):
        assert (await member.get(path)).status == 403
        assert (await stranger.get(path)).status == 303


async def test_a_browser_that_comes_or_looks_by_itself_gets_the_numbers(
    console: Console, conversation: Conversation
) -> None:
    admin = await console.admin()
    news = json.loads((await admin.get("/live/news")).text)
    assert news["unread"] == 3
    assert [each["id"] for each in news["asking"]] == [ANA]
    assert all(body["pages"] == [OURS] for _, body in conversation.asked)
    assert "wants money" not in json.dumps(news)
    conversation.is_away = True
    away = await admin.get("/live/news")
    assert (away.status, json.loads(away.text)["unread"]) == (200, None)


async def test_a_stream_ends_with_its_session_and_with_its_role(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "HEARTBEAT_S", 0.05)
    monkeypatch.setattr(live, "LOOK_AGAIN_S", 0.05)
    admin = await console.admin()
    account = await console.first_admin()
    await console.add("ada2@example.org", Role.ADMIN, account.workspace_id)
    async with listening(admin) as stream:
        await stream.next("beat")
        await stream.next("beat")  # it goes on while the session does
        workspace = await console.accounts.workspace(account.workspace_id)
        assert workspace is not None
        assert await console.accounts.change_member(workspace, account.id, Member(role=Role.MEMBER))
        await stream.ends()
    admin2 = console.browser()
    await admin2.sign_in("ada2@example.org")
    async with listening(admin2) as stream:
        await stream.next("beat")
        await admin2.post("/sign-out")
        await stream.ends()


async def test_what_a_page_does_by_itself_is_no_click(console: Console) -> None:
    admin = await console.admin()
    before = await console.database["sessions"].find_one({})
    assert before is not None

    async def seen_at() -> object:
        session = await console.database["sessions"].find_one({"_id": before["_id"]})
        assert session is not None
        return session["seen_at"]

    console.clock.ahead = timedelta(minutes=5)
    assert (await admin.get("/live/news", **{BACKGROUND: "1"})).status == 200
    async with listening(admin) as stream:
        await stream.next("hello")
    assert await seen_at() == before["seen_at"]
    assert (await admin.get("/profile")).status == 200
    assert await seen_at() != before["seen_at"]


async def test_a_stop_ends_streams_at_once_and_a_stream_too_many_is_refused(
    database: Database,
    mongo: MongoSettings,
    log: Log,
    conversation: Conversation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running_console(database, mongo, services=conversation.url, feed=log.open) as there:
        admin = await there.admin()
        for _ in range(MOST_OF_ACCOUNT + 2):  # from page to page, faster than any heartbeat
            async with listening(admin) as stream:
                await stream.next("hello")
        async with listening(admin) as stream:
            await stream.next("hello")
            monkeypatch.setattr(there.app[live.STREAMS], "_most_of_account", 1)
            refused = await admin.get("/live")
            assert refused.status == 429
            assert int(refused.headers["Retry-After"]) > 0
            there.app[live.STREAMS].end()
            await stream.ends()
        assert (await admin.get("/live")).status == 503


async def test_records_of_the_real_log_are_heard_without_being_parsed(
    kafka: KafkaSettings,
    topic: str,
) -> None:
    heard: list[ConsumedRecord] = []
    async with (
        open_publisher(kafka, client_id="test") as publisher,
        BroadcastRecords(kafka, topic, heard.append, checked=True) as reader,
    ):
        assert reader.is_heard
        await said(publisher, topic, b"{", [("type", b"message.received")])
        await said(publisher, topic, b"4225:1", [("type", b"message.read")])
        async with asyncio.timeout(20):
            while len(heard) < 2:
                await asyncio.sleep(0.01)
    found = sorted((each.key, each.headers["type"]) for each in heard)
    assert found == [(b"4225:1", b"message.read"), (b"{", b"message.received")]
    assert not reader.is_heard


async def said(
    publisher: KafkaPublisher, topic: str, key: bytes, headers: list[tuple[str, bytes]]
) -> None:
    await publisher.publish_messages([Message(topic, key, b"not JSON", headers)])
