"""The inbox's rows on the real database: kept from the log, listed, counted, looked at, erased."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from libs.common.events import AnyRecord
from libs.common.kafka import KeyBatch
from libs.common.mongo import Database, Document
from libs.common.paging import cursor_of
from libs.common.web import Readiness, base_app, json_errors, require_service_token
from services.conversation import inbox_keeping
from services.conversation.domain import inbox
from services.conversation.domain.inbox_rows import Asked, Row, from_fields
from services.conversation.domain.profiles import Profile
from services.conversation.history import HistoryKeeper
from services.conversation.inbox_handlers import INBOX, add_inbox_routes
from services.conversation.inbox_keeping import InboxKeeper
from services.conversation.inbox_store import InboxStore, Start
from services.conversation.store import ConversationStore
from services.conversation.waiting import Waiting
from tests.unit.conversation import factories as make
from tests.unit.conversation.factories import APP, CONVERSATION, PAGE
from tests.unit.conversation.test_inbox import EVENTS, folded, stored

TOKEN = "t" * 40
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
async def rows(database: Database) -> InboxStore:
    store = InboxStore(database)
    await store.ensure_indexes()
    return store


@pytest.fixture
async def client(rows: InboxStore) -> AsyncIterator[TestClient[Any, Any]]:
    app = base_app(Readiness(), json_errors, require_service_token(SecretStr(TOKEN)))
    add_inbox_routes(app)
    app[INBOX].set(rows)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with TestClient(TestServer(app), headers=headers) as opened:
        yield opened


async def ask(client: TestClient[Any, Any], path: str, **body: Any) -> Document:  # noqa: ANN401
    answer = await client.post(f"/internal/v1/inbox/{path}", json=body)
    found: Document = await answer.json()
    return found | {"status": answer.status}


async def listed(client: TestClient[Any, Any], **body: Any) -> list[str]:  # noqa: ANN401
    found = await ask(client, "list", **{"pages": [PAGE], **body})
    return [each["psid"] for each in found["conversations"]]


def history(database: Database) -> HistoryKeeper:
    keeper = InboxKeeper(database, InboxStore(database), APP)
    return HistoryKeeper(ConversationStore(database), APP, inbox=keeper)


async def take(keeper: HistoryKeeper, *events: AnyRecord, first: int = 0) -> None:
    records = [make.record(event, first + index) for index, event in enumerate(events)]
    await keeper.handle(KeyBatch(b"", records))


def row(psid: str, hours_ago: float, **more: Any) -> Start:  # noqa: ANN401
    at = NOW - timedelta(hours=hours_ago)
    made = Row(PAGE, psid, last_activity_at=at, last_user_message_at=at)
    for name, value in more.items():
        setattr(made, name, value)
    return Start(made)


def asked(hours_ago: float) -> Any:  # noqa: ANN401
    return Asked("asked", "please", NOW - timedelta(hours=hours_ago))


def unread(hours_ago: float) -> Any:  # noqa: ANN401
    window = Row(PAGE, "x").inbound
    window.admit(1, round((NOW - timedelta(hours=hours_ago)).timestamp() * 1000))
    return window


async def test_a_name_that_comes_while_the_row_is_made_is_not_lost(
    database: Database, client: TestClient[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Facebook's answer came after we had looked for a name, and before there was a row."""
    profiles = inbox_keeping.ArchiveReader.profiles
    looks = 0

    async def look(reader: inbox_keeping.ArchiveReader, names: Sequence[str]) -> dict[str, Profile]:
        nonlocal looks
        looks += 1
        found = await profiles(reader, names)
        if looks == 1:
            person = {"_id": CONVERSATION, "version": 1, "profile": {"name": "Ana Lee"}}
            await database["people"].insert_one(person)
            await InboxStore(database).name(CONVERSATION, Profile(name="Ana Lee"))
        return found

    monkeypatch.setattr(inbox_keeping.ArchiveReader, "profiles", look)
    await take(history(database), make.message("m1"))
    (found,) = (await ask(client, "rows", conversations=[CONVERSATION]))["conversations"]
    assert found["name"] == "Ana Lee"


async def test_a_row_says_what_the_log_says(
    database: Database, rows: InboxStore, client: TestClient[Any, Any]
) -> None:
    keeper = history(database)
    await rows.name(CONVERSATION, Profile(name="not there yet"))
    await take(keeper, make.message("m1", "hi"), make.sent("c1", seconds=4))
    await rows.name(CONVERSATION, Profile(name="Ana Núñez", picture_url="https://a.example/1"))
    found = await ask(client, "rows", conversations=[CONVERSATION, f"{PAGE}:nobody"])
    assert found["conversations"] == [
        {
            "id": CONVERSATION,
            "page_id": PAGE,
            "psid": "200",
            "name": "Ana Núñez",
            "picture_url": "https://a.example/1",
            "last_activity_at": "2026-03-01T12:00:04+00:00",
            "last_user_message_at": "2026-03-01T12:00:00+00:00",
            "last": {
                "direction": "out",
                "origin": "assistant",
                "by_name": None,
                "kind": "text",
                "text": "an answer",
                "at": "2026-03-01T12:00:04+00:00",
            },
            "inbound_count": 1,
            "outbound_count": 1,
            "unread": 1,
            "mode": "ai",
            "epoch": 0,
            "by": None,
            "by_name": None,
            "since": None,
            "auto_resume_at": None,
            "takeover_reason": None,
            "asked": None,
            "thread_ours": True,
            "held": 0,
            "failed": 0,
            "done": False,
            "first_seen_at": "2026-03-01T12:00:00+00:00",
            "heard": {"partition": 0, "offset": 1},
        }
    ]
    assert await listed(client, search="nu") == []
    assert await listed(client, search="nú AN") == ["200"]


async def test_a_batch_costs_one_read_and_one_write_and_again_changes_nothing(
    database: Database, rows: InboxStore
) -> None:
    calls: list[str] = []
    collection = rows._rows

    class Counting:
        def find(self, *args: Any) -> Any:  # noqa: ANN401
            calls.append("find")
            return collection.find(*args)

        async def bulk_write(self, *args: Any, **more: Any) -> Any:  # noqa: ANN401
            calls.append("write")
            return await collection.bulk_write(*args, **more)

    rows._rows = Counting()  # type: ignore[assignment]
    keeper = HistoryKeeper(ConversationStore(database), APP, inbox=InboxKeeper(database, rows, APP))
    await take(keeper, *EVENTS)
    assert calls == ["find", "write"]
    (first,) = await collection.find({}).to_list(None)
    await take(keeper, *EVENTS)
    assert calls == ["find", "write", "find"]
    assert await collection.find({}).to_list(None) == [first]
    await take(keeper, *EVENTS[-4:], first=len(EVENTS) - 4)
    assert await collection.find({}).to_list(None) == [first]


async def test_those_who_look_and_those_who_write_at_once_lose_nothing(
    database: Database, rows: InboxStore
) -> None:
    keeper = history(database)
    await take(keeper, make.message("m0"))

    async def write() -> None:
        for number in range(1, 20):
            await take(keeper, make.message(f"m{number}", seconds=number), first=number)

    looks: list[int] = []

    async def look() -> None:
        found = await rows.change(CONVERSATION, lambda row: inbox.seen(row, make.at(19)))
        assert found is not None
        looks.append(found["row"]["inbound_count"])

    async def look_again_and_again() -> None:
        while looks[-1:] != [20]:
            await look()
            await asyncio.sleep(0)

    await asyncio.gather(write(), look_again_and_again())
    await look()
    (found,) = await rows.rows([CONVERSATION])
    assert (found["row"]["inbound_count"], found["row"]["unread"]) == (20, 0)
    assert looks == sorted(looks)


async def test_an_erased_row_is_not_made_again_by_a_write_of_before(
    database: Database, rows: InboxStore
) -> None:
    await take(history(database), make.message())

    def erased_meanwhile(row: Row) -> Row:
        database.delegate["inbox"].delete_one({"_id": CONVERSATION})
        return inbox.marked(row, done=True)

    assert await rows.change(CONVERSATION, erased_meanwhile) is None
    assert await database["inbox"].count_documents({}) == 0


async def test_each_tab_lists_its_own_in_its_order(
    rows: InboxStore, client: TestClient[Any, Any]
) -> None:
    mine: dict[str, Any] = {"mode": "human", "by": "u1"}
    await rows.add(
        [
            row("new", 0.1),
            row("old", 900, inbound=unread(900)),
            row("older", 9000),
            row("waits", 1, asked=asked(2)),
            row("waits-longer", 0.2, asked=asked(30)),
            row("mine", 5, **mine),
            row("hers", 6, mode="human", by="u2"),
            row("done", 3, done=True, **mine),
        ]
    )
    await rows.add([Start(Row("101", "other", last_activity_at=NOW))])
    assert await listed(client) == [
        "new", "waits-longer", "waits", "mine", "hers", "old", "older",
    ]  # fmt: skip
    assert await listed(client, tab="needs_human") == ["waits-longer", "waits"]
    assert await rows.waiting() == {PAGE: Waiting(2, NOW - timedelta(hours=30))}
    assert await listed(client, tab="mine", by="u1") == ["mine"]
    assert await listed(client, tab="mine") == []
    assert await listed(client, tab="assistant") == ["new", "old", "older"]
    assert await listed(client, tab="done") == ["done"]
    assert await listed(client, unread=True) == ["old"]
    assert await listed(client, pages=["101"]) == ["other"]
    assert await listed(client, pages=[]) == []
    counted = await ask(client, "counts", pages=[PAGE], by="u1")
    assert counted == {
        "needs_human": 2, "mine": 1, "assistant": 3, "all": 7, "done": 1, "unread": 1,
        "status": 200,
    }  # fmt: skip
    assert (await ask(client, "counts", pages=[PAGE]))["mine"] == 0


@pytest.mark.parametrize("tab", ["all", "needs_human"])
async def test_pages_of_a_list_leave_nobody_out(
    rows: InboxStore, client: TestClient[Any, Any], tab: str
) -> None:
    many = [row(f"p{each:02}", each // 3 * 7, asked=asked(each // 3)) for each in range(25)]
    await rows.add(many)
    found: list[str] = []
    cursor: str | None = None
    for _ in range(20):
        body = {"pages": [PAGE], "tab": tab, "limit": 4, "cursor": cursor}
        answer = await ask(client, "list", **body)
        found += [each["psid"] for each in answer["conversations"]]
        cursor = answer["next"]
        if cursor is None:
            break
    assert sorted(found) == [f"p{each:02}" for each in range(25)]
    assert found == await listed(client, tab=tab, limit=100)


async def test_looking_and_done_change_a_row(
    database: Database, client: TestClient[Any, Any]
) -> None:
    keeper = history(database)
    await take(keeper, make.message("m1"), make.message("m2", seconds=5), make.takeover_requested())
    name = quote(CONVERSATION, safe="")
    looked = await ask(client, f"{name}/seen", at=make.at(4).isoformat())
    assert looked["conversation"]["unread"] == 1
    looked = await ask(client, f"{name}/seen", at=make.at(5).isoformat())
    assert looked["conversation"]["unread"] == 0
    done = await ask(client, f"{name}/done", done=True, wrote_at=make.at(4).isoformat())
    assert not done["conversation"]["done"]  # nobody has seen what was written then
    done = await ask(client, f"{name}/done", done=True, wrote_at=make.at(5).isoformat())
    assert (done["conversation"]["done"], done["conversation"]["asked"]) == (True, None)
    assert await listed(client) == []
    await take(keeper, make.message("m3", seconds=9), first=3)
    assert await listed(client) == ["200"]
    assert (await ask(client, "100%3Anobody/done", done=True))["status"] == 404


async def test_a_cursor_from_before_there_was_anything_lists_nothing(
    client: TestClient[Any, Any],
) -> None:
    cursor = cursor_of(datetime.min.replace(tzinfo=UTC), "x")
    assert await ask(client, "list", pages=[PAGE], cursor=cursor) == {
        "conversations": [], "next": None, "status": 200,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("list", {"pages": [PAGE], "limit": 101}, "limit"),
        ("list", {"pages": [PAGE], "tab": "theirs"}, "tab"),
        ("list", {"pages": [PAGE], "cursor": "?"}, "cursor"),
        ("list", {"tab": "all"}, "pages"),
        ("counts", {"pages": PAGE}, "pages"),
        ("rows", {"conversations": ["x"] * 101}, "conversations"),
        ("100%3A200/seen", {"at": "yesterday"}, "at"),
        ("100%3A200/done", {}, "done"),
    ],
)
async def test_what_is_wrong_is_named(
    client: TestClient[Any, Any], path: str, body: Document, field: str
) -> None:
    answer = await ask(client, path, **body)
    assert (answer["status"], answer["error"]["field"]) == (422, field)


async def test_conversations_of_before_get_their_rows_in_the_background(
    database: Database, rows: InboxStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them of more messages than are read."""
    monkeypatch.setattr(inbox_keeping, "BETWEEN_PASSES_S", 0.0)
    monkeypatch.setattr(inbox_keeping, "LATEST", 20)
    monkeypatch.setattr(inbox_keeping, "AT_ONCE", 2)
    before = HistoryKeeper(ConversationStore(database), APP)
    await take(before, *EVENTS)
    long = [
        make.message(f"x{each}", seconds=each).model_copy(update={"psid": "long"})
        for each in range(30)
    ]
    await take(before, *long, first=100)
    await take(before, make.message("y").model_copy(update={"psid": "third"}), first=200)
    await database["people"].insert_one(
        {"_id": CONVERSATION, "version": 1, "profile": {"name": "Ana Lee"}}
    )

    keeper = InboxKeeper(database, rows, APP)
    await keeper.look()
    await HistoryKeeper(ConversationStore(database), APP, inbox=keeper).handle(
        KeyBatch(b"", [make.record(make.message("m9", seconds=99), 300)])
    )
    running = asyncio.create_task(keeper.run())
    async with asyncio.timeout(20):
        while await database["upgrades"].count_documents({}) == 0:
            await asyncio.sleep(0.05)
    await keeper.stop(1)
    await running

    found = {each["_id"]: each for each in await database["inbox"].find({}).to_list(None)}
    assert {name: each["row"]["inbound_count"] for name, each in found.items()} == {
        CONVERSATION: folded(*EVENTS).inbound_count + 1, "100:long": 30, "100:third": 1,
    }  # fmt: skip
    assert {name: each["row"]["unread"] for name, each in found.items()} == {
        CONVERSATION: 1, "100:long": 0, "100:third": 0,
    }  # fmt: skip
    assert found[CONVERSATION]["words"] == ["ana", "lee"]
    later = InboxKeeper(database, rows, APP)
    await later.look()
    assert later._is_complete


async def test_whoever_is_erased_meanwhile_gets_no_row_of_before(
    database: Database, rows: InboxStore
) -> None:
    class Gone:
        def erased_at(self, conversation: str) -> datetime | None:
            return make.at(99) if conversation == CONVERSATION else None

    other = make.message("y").model_copy(update={"psid": "other"})
    await take(HistoryKeeper(ConversationStore(database), APP), make.message("m1"), other)
    keeper = InboxKeeper(database, rows, APP, Gone())
    assert await keeper.fill([CONVERSATION, "100:other"]) == 1
    assert [each["_id"] for each in await database["inbox"].find({}).to_list(None)] == ["100:other"]


async def test_where_nothing_was_before_there_is_nothing_to_make(
    database: Database, rows: InboxStore
) -> None:
    keeper = InboxKeeper(database, rows, APP)
    await keeper.look()
    assert await database["upgrades"].count_documents({"_id": inbox_keeping.UPGRADE}) == 1


def _same(found: Sequence[Document], expected: Row) -> bool:
    return [stored(from_fields(each)) for each in found] == [expected]


async def test_the_row_in_the_database_is_the_row_of_the_fold(database: Database) -> None:
    await take(history(database), *EVENTS)
    assert _same(await database["inbox"].find({}).to_list(None), folded(*EVENTS))
