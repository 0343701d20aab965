"""The internal HTTP API over real sockets, on a store in memory."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from aiohttp.test_utils import TestClient as Client
from aiohttp.test_utils import TestServer

from libs.common.mongo import Document
from libs.common.paging import After
from libs.common.web import Late, Readiness, base_app, json_errors, require_service_token
from services.conversation.contacts_handlers import CONTACTS
from services.conversation.domain.contacts import Link, Person, Suggestion
from services.conversation.domain.profiles import Profile
from services.conversation.handlers import STORE, add_routes
from tests.unit.conversation import factories as make
from tests.unit.conversation.factories import CONVERSATION, PAGE, PSID
from tests.unit.conversation.world import TOKEN, settings

CONVERSATIONS = f"/internal/v1/pages/{PAGE}/conversations"
MESSAGES = f"/internal/v1/conversations/{CONVERSATION}/messages"
NOON_MS = int(make.NOON.timestamp() * 1000)


class Lists:
    """What the console reads, newest first."""

    def __init__(self) -> None:
        self.of_conversations: list[Document] = []
        self.of_messages: list[Document] = []
        self.of_people: dict[str, Person] = {}
        self.of_reactions: dict[str, Document] = {}
        self.receipts: Document = {}
        self.searched: str | None = None
        self.asked: list[tuple[str, After | None, int]] = []
        self.modes: list[str | None] = []

    async def conversations(
        self, page_id: str, after: After | None, limit: int, mode: str | None = None
    ) -> list[Document]:
        self.asked.append((page_id, after, limit))
        self.modes.append(mode)
        return self._page(self.of_conversations, "last_activity_at", after, limit)

    async def conversation(self, conversation: str) -> Document | None:
        return {"_id": CONVERSATION, **self.receipts} if conversation == CONVERSATION else None

    async def messages(
        self, conversation: str, after: After | None, limit: int, search: str | None = None
    ) -> list[Document]:
        self.asked.append((conversation, after, limit))
        self.searched = search
        return self._page(self.of_messages, "at", after, limit)

    async def people(self, person_ids: Sequence[str]) -> dict[str, Person]:
        return {name: self.of_people[name] for name in person_ids if name in self.of_people}

    async def reactions(self, message_ids: Sequence[str]) -> dict[str, Document]:
        return {name: self.of_reactions[name] for name in message_ids if name in self.of_reactions}

    def _page(
        self, documents: list[Document], moment: str, after: After | None, limit: int
    ) -> list[Document]:
        if after is not None:
            documents = [
                document
                for document in documents
                if (document[moment], document["_id"]) < (after.at, after.id)
            ]
        return documents[:limit]


@pytest.fixture
def lists() -> Lists:
    return Lists()


@pytest.fixture
async def client(lists: Lists) -> AsyncIterator[Client[Any, Any]]:
    token = require_service_token(settings().internal.service_token)
    app = base_app(Readiness(), json_errors, token)
    app[STORE] = Late("the database")
    app[STORE].set(lists)  # type: ignore[arg-type]
    app[CONTACTS] = Late("the database")
    app[CONTACTS].set(lists)  # type: ignore[arg-type]
    add_routes(app)
    async with Client(TestServer(app)) as client:
        yield client


async def get(client: Client[Any, Any], path: str, **query: Any) -> tuple[int, Any]:  # noqa: ANN401
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with client.get(path, params=query, headers=headers) as response:
        return response.status, await response.json()


@pytest.mark.parametrize("path", [CONVERSATIONS, MESSAGES])
@pytest.mark.parametrize("authorization", [None, "Bearer wrong", TOKEN, f"Basic {TOKEN}"])
async def test_nobody_reads_without_the_service_token(
    client: Client[Any, Any], lists: Lists, path: str, authorization: str | None
) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    async with client.get(path, headers=headers) as response:
        assert response.status == 401
        assert (await response.json())["error"]["code"] == "unauthorized"
    assert lists.asked == []


async def test_a_thread_says_at_its_end_that_older_messages_are_not_kept(
    client: Client[Any, Any], lists: Lists
) -> None:
    lists.receipts = {"expired": {"until": make.at(-9), "days": 30}}
    lists.of_messages = [
        {"_id": f"{PAGE}:m{number}", "conversation": CONVERSATION, "direction": "in"}
        | {"at": make.at(-number), "said": {"number": 0, "text": "hello"}}
        for number in range(2)
    ]
    _, body = await get(client, f"{MESSAGES}?limit=2")
    assert [each.get("event") for each in body["messages"]] == [None, None]
    _, body = await get(client, f"{MESSAGES}?limit=2&cursor={body['next']}")
    assert body == {
        "messages": [
            {
                "id": f"{CONVERSATION}:expired",
                "kind": "system",
                "event": "messages.expired",
                "days": 30,
                "at": make.at(-9).isoformat(),
            }
        ],
        "next": None,
    }
    _, found = await get(client, f"{MESSAGES}?search=hello")
    assert [each.get("event") for each in found["messages"]] == [None, None]


async def test_a_conversation_shows_who_has_it_and_when_it_was_active(
    client: Client[Any, Any], lists: Lists
) -> None:
    lists.of_conversations = [
        {
            "_id": CONVERSATION,
            "page_id": PAGE,
            "psid": PSID,
            "inbound_count": 3,
            "last_user_message_at": make.NOON,
            "last_activity_at": make.at(5),
            "takeover": {
                "mode": "human",
                "epoch": 1,
                "by": "user:7",
                "by_name": "Bo",
                "since": make.at(4),
                "auto_resume_at": make.at(304),
                "reason": "taken",
                "thread": {"ours": False, "owner_app_id": "7", "since": make.at(3)},
            },
            "version": 4,
        }
    ]
    lists.of_people[CONVERSATION] = Person(
        profile=Profile(
            first_name="Ann",
            last_name="Lee",
            picture_url="https://cdn.example.org/ann.jpg",
            fetched_at=make.at(6),
        ),
        link=Link(
            state="linked",
            contact_id="c1",
            by="created",
            suggestion=Suggestion(by="email", contacts=("c2",)),
        ),
    )
    status, body = await get(client, CONVERSATIONS)
    assert status == 200
    assert body == {
        "conversations": [
            {
                "id": CONVERSATION,
                "page_id": PAGE,
                "psid": PSID,
                "mode": "human",
                "takeover": {
                    "by": "user:7",
                    "by_name": "Bo",
                    "since": "2026-03-01T12:00:04+00:00",
                    "auto_resume_at": "2026-03-01T12:05:04+00:00",
                    "reason": "taken",
                },
                "thread": {
                    "ours": False,
                    "owner_app_id": "7",
                    "since": "2026-03-01T12:00:03+00:00",
                },
                "human_requested": None,
                "inbound_count": 3,
                "last_user_message_at": "2026-03-01T12:00:00+00:00",
                "last_activity_at": "2026-03-01T12:00:05+00:00",
                "name": "Ann Lee",
                "first_name": "Ann",
                "last_name": "Lee",
                "picture_url": "https://cdn.example.org/ann.jpg",
                "picture_fetched_at": "2026-03-01T12:00:06+00:00",
                "contact_id": "c1",
                "contact_linked_by": "created",
                "contact_suggestion": {"by": "email", "contacts": ["c2"]},
            }
        ],
        "next": None,
    }


@pytest.mark.parametrize(
    ("takeover", "shown"),
    [
        ({}, True),
        ({"takeover": {"mode": "ai", "epoch": 2}}, True),
        ({"takeover": {"mode": "human", "epoch": 3}}, False),
        ({"takeover": {"mode": "ai", "epoch": 4}}, False),
    ],
    ids=["never", "before", "now", "since"],
)
async def test_a_call_for_a_human_shows_until_one_has_come(
    client: Client[Any, Any], lists: Lists, takeover: Document, shown: bool
) -> None:
    requested = {"reason": "asked", "summary": "human!", "at": make.NOON, "epoch": 2}
    document = {"_id": CONVERSATION, "last_activity_at": make.NOON, "requested": requested}
    lists.of_conversations = [document | takeover]
    _, body = await get(client, CONVERSATIONS)
    badge = {"reason": "asked", "summary": "human!", "at": "2026-03-01T12:00:00+00:00"}
    assert body["conversations"][0]["human_requested"] == (badge if shown else None)


async def test_a_conversation_that_was_never_answered_has_its_defaults(
    client: Client[Any, Any], lists: Lists
) -> None:
    lists.of_conversations = [{"_id": CONVERSATION, "last_activity_at": make.NOON}]
    _, body = await get(client, CONVERSATIONS)
    [shown] = body["conversations"]
    assert (shown["mode"], shown["takeover"], shown["inbound_count"]) == ("ai", None, 0)
    assert shown["thread"] == {"ours": True, "owner_app_id": None, "since": None}
    assert shown["last_user_message_at"] is None
    assert (shown["name"], shown["contact_id"], shown["contact_suggestion"]) == (None, None, None)


async def test_what_was_a_takeover_once_is_none_now(client: Client[Any, Any], lists: Lists) -> None:
    takeover = {"mode": "ai", "epoch": 2, "by": "timer", "since": make.NOON}
    document = {"_id": CONVERSATION, "last_activity_at": make.NOON, "takeover": takeover}
    lists.of_conversations = [document]
    _, body = await get(client, CONVERSATIONS, mode="ai")
    assert (body["conversations"][0]["mode"], body["conversations"][0]["takeover"]) == ("ai", None)
    assert lists.modes == ["ai"]


async def test_words_that_are_looked_for_are_passed_on(
    client: Client[Any, Any], lists: Lists
) -> None:
    for asked, passed in (("  vegan ", "vegan"), ("", None), ("  ", None)):
        assert (await get(client, MESSAGES, search=asked))[0] == 200
        assert lists.searched == passed
    status, answer = await get(client, MESSAGES, search="x" * 201)
    assert (status, answer["error"]["field"]) == (422, "search")


async def test_a_change_of_hands_stands_between_the_messages(
    client: Client[Any, Any], lists: Lists
) -> None:
    lists.of_messages = [
        {
            "_id": "100:x",
            "conversation": CONVERSATION,
            "kind": "system",
            "event": "takeover.started",
            "by": "user:7",
            "by_name": "Bo",
            "auto_resume_at": make.at(300),
            "at": make.NOON,
        }
    ]
    _, body = await get(client, MESSAGES)
    assert body["messages"] == [
        {
            "id": "100:x",
            "conversation": CONVERSATION,
            "kind": "system",
            "event": "takeover.started",
            "by": "user:7",
            "by_name": "Bo",
            "auto_resume_at": "2026-03-01T12:05:00+00:00",
            "at": "2026-03-01T12:00:00+00:00",
        }
    ]


async def test_a_message_shows_its_status_by_the_receipts(
    client: Client[Any, Any], lists: Lists
) -> None:
    lists.receipts = {"delivered_ms": NOON_MS}
    lists.of_messages = [
        {"_id": "100:b", "at": make.at(1), "status": "sent", "text": "later"},
        {"_id": "100:a", "at": make.NOON, "status": "sent", "text": "hi", "source": "0:1"},
        {
            "_id": "100:m",
            "at": make.NOON,
            "text": None,
            "attachments": [{"type": "image", "payload_json": '{"url": 1}'}],
        },
    ]
    status, body = await get(client, MESSAGES)
    assert status == 200
    assert [message["status"] for message in body["messages"]] == ["sent", "delivered", "received"]
    assert body["messages"][1] == {
        "id": "100:a",
        "at": "2026-03-01T12:00:00+00:00",
        "status": "delivered",
        "text": "hi",
    }
    assert body["messages"][2]["attachments"] == [{"type": "image", "payload": {"url": 1}}]


async def test_a_message_shows_what_it_says_now_and_who_liked_it(
    client: Client[Any, Any], lists: Lists
) -> None:
    heart = {"at": make.at(3), "action": "react", "reaction": "love", "emoji": "❤", "by": PSID}
    lists.of_messages = [
        {
            "_id": "100:c1:0",
            "conversation": CONVERSATION,
            "at": make.at(2),
            "outcome": {"is_sent": True, "at": make.at(2), "status": "sent", "mid": "m9"},
        },
        {
            "_id": "100:m1",
            "conversation": CONVERSATION,
            "at": make.NOON,
            "said": {"number": 2, "at": make.at(1), "text": "at six"},
            "attached": {"is_deleted": False, "items": []},
        },
    ]
    lists.of_reactions = {"100:m9": {"key": heart}}
    _, body = await get(client, MESSAGES)
    ours, theirs = body["messages"]
    heart_shown = {"by": PSID, "reaction": "love", "emoji": "❤", "at": "2026-03-01T12:00:03+00:00"}
    assert ours["reactions"] == [heart_shown]
    assert (theirs["text"], theirs["edits"], theirs["attachments"]) == ("at six", 2, [])
    assert "said" not in theirs


@pytest.mark.parametrize("name", ["conversations", "messages"])
async def test_pages_leave_nothing_out_even_where_moments_are_equal(
    client: Client[Any, Any], lists: Lists, name: str
) -> None:
    path = CONVERSATIONS if name == "conversations" else MESSAGES
    ids = [f"100:{letter}" for letter in "gfedcba"]
    documents = [{"_id": each, "at": make.NOON, "last_activity_at": make.NOON} for each in ids]
    lists.of_conversations = lists.of_messages = documents
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 3}
    while True:
        status, body = await get(client, path, **query)
        assert status == 200
        seen += [item["id"] for item in body[name]]
        if body["next"] is None:
            break
        query["cursor"] = body["next"]
    assert seen == ids


async def test_an_unknown_conversation_is_not_found(client: Client[Any, Any]) -> None:
    status, body = await get(client, "/internal/v1/conversations/100:999/messages")
    assert (status, body["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize("path", [CONVERSATIONS, MESSAGES])
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "201"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": "%%%"}, "cursor"),
        ({"cursor": "ÿÿÿÿ"}, "cursor"),
        ({"cursor": "eHh4fHk="}, "cursor"),
        ({"cursor": ""}, "cursor"),
    ],
)
async def test_a_wrong_query_is_refused_by_name(
    client: Client[Any, Any], lists: Lists, path: str, query: dict[str, str], field: str
) -> None:
    status, body = await get(client, path, **query)
    assert (status, body["error"]["code"], body["error"]["field"]) == (422, "invalid_query", field)
    assert lists.asked == []


async def test_a_mode_that_does_not_exist_is_refused(
    client: Client[Any, Any], lists: Lists
) -> None:
    status, body = await get(client, CONVERSATIONS, mode="both")
    assert (status, body["error"]["code"], body["error"]["field"]) == (422, "invalid_query", "mode")
    assert lists.asked == []


async def test_before_the_database_is_reached_there_is_an_answer_all_the_same(
    client: Client[Any, Any],
) -> None:
    assert client.server is not None
    client.server.app[STORE].clear()  # type: ignore[attr-defined]
    status, body = await get(client, CONVERSATIONS)
    assert (status, body["error"]["code"]) == (503, "service_unavailable")
