"""The internal HTTP API of contacts over real sockets, on stores in memory."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient as Client
from aiohttp.test_utils import TestServer

from libs.common.web import Late, Readiness, base_app, json_errors, require_service_token
from services.conversation.contacts import NotSuggestedError
from services.conversation.contacts_handlers import CONTACTS, KEEPER, add_contact_routes
from services.conversation.contacts_store import (
    AfterContact,
    ChangedMeanwhileError,
    KnownContact,
    sort_key,
)
from services.conversation.domain.contacts import Contact, Link, Person, Suggestion
from services.conversation.domain.profiles import Profile
from tests.unit.conversation import factories as make
from tests.unit.conversation.factories import CONVERSATION
from tests.unit.conversation.world import TOKEN, settings

LIST = "/internal/v1/workspaces/w1/contacts"
SUGGESTION = f"/internal/v1/conversations/{CONVERSATION}/contact-suggestion"
ANN = Contact(
    id="ann",
    workspace_id="w1",
    name="Ann Lee",
    emails=("ann@example.org",),
    people=(CONVERSATION,),
    created_at=make.NOON,
)
ANN_SHOWN = {
    "id": "ann",
    "workspace_id": "w1",
    "name": "Ann Lee",
    "emails": ["ann@example.org"],
    "phones": [],
    "identities": [
        {
            "channel": "messenger",
            "page_id": "100",
            "psid": "200",
            "conversation": CONVERSATION,
        }
    ],
    "created_automatically": False,
    "created_at": "2026-03-01T12:00:00+00:00",
}
DECIDED = Person(
    profile=Profile(state="known", name="Ann Lee"),
    link=Link(
        state="linked",
        contact_id="ann",
        by="human",
        suggestion=Suggestion(by="phone", contacts=("bob",)),
    ),
)


class Desk:
    """A store and a keeper that do as they are told, and remember it."""

    def __init__(self) -> None:
        self.known = [ANN]
        self.asked: list[tuple[Any, ...]] = []
        self.error: Exception | None = None

    async def contacts(
        self, workspace_id: str, prefix: str, after: AfterContact | None, limit: int
    ) -> list[KnownContact]:
        self.asked.append((workspace_id, prefix, limit))
        keys = [(sort_key(each), each.id) for each in self.known]
        start = 0 if after is None else sum(key <= (after.sort_key, after.id) for key in keys)
        return [KnownContact(each, 1) for each in self.known[start : start + limit]]

    async def contact(self, contact_id: str) -> KnownContact | None:
        return next((KnownContact(each, 1) for each in self.known if each.id == contact_id), None)

    async def accept(self, *given: Any) -> Person:  # noqa: ANN401
        return self._decided("accept", *given)

    async def decline(self, *given: Any) -> Person:  # noqa: ANN401
        return self._decided("decline", *given)

    async def put(self, *given: Any) -> Contact | None:  # noqa: ANN401
        self._decided("put", *given)
        return ANN if given[0] == "w1" else None

    def _decided(self, *call: Any) -> Person:  # noqa: ANN401
        if self.error is not None:
            raise self.error
        self.asked.append(call)
        return DECIDED


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
async def client(desk: Desk) -> AsyncIterator[Client[Any, Any]]:
    token = require_service_token(settings().internal.service_token)
    app = base_app(Readiness(), json_errors, token)
    app[CONTACTS] = Late("the database")
    app[KEEPER] = Late("the database")
    app[CONTACTS].set(desk)  # type: ignore[arg-type]
    app[KEEPER].set(desk)  # type: ignore[arg-type]
    add_contact_routes(app)
    async with Client(TestServer(app)) as client:
        yield client


async def call(
    client: Client[Any, Any],
    method: str,
    path: str,
    token: str = TOKEN,
    **more: Any,  # noqa: ANN401
) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}"}
    async with client.request(method, path, headers=headers, **more) as response:
        return response.status, await response.json()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", LIST),
        ("GET", f"{LIST}/ann"),
        ("PUT", f"{LIST}/ann"),
        ("POST", f"{SUGGESTION}/accept"),
        ("POST", f"{SUGGESTION}/decline"),
    ],
)
async def test_nobody_gets_in_without_the_service_token(
    client: Client[Any, Any], desk: Desk, method: str, path: str
) -> None:
    assert (await call(client, method, path, token="wrong"))[0] == 401
    assert desk.asked == []


async def test_contacts_are_listed_with_their_identities(
    client: Client[Any, Any], desk: Desk
) -> None:
    status, body = await call(client, "GET", LIST, params={"search": "  ANN  L", "limit": "7"})
    assert (status, body) == (200, {"contacts": [ANN_SHOWN], "next": None})
    assert desk.asked == [("w1", "ann l", 7)]


async def test_pages_of_contacts_leave_nothing_out(client: Client[Any, Any], desk: Desk) -> None:
    names = ["Ann Lee", "Ann Lee", "Bob Ray", "Zoë ÿ", None]
    desk.known = [
        ANN.model_copy(update={"id": f"c{number}", "name": name})
        for number, name in enumerate(names)
    ]
    seen, query = [], {"limit": "2"}
    while True:
        _, body = await call(client, "GET", LIST, params=query)
        seen += [each["id"] for each in body["contacts"]]
        if body["next"] is None:
            break
        query["cursor"] = body["next"]
    assert seen == ["c0", "c1", "c2", "c3", "c4"]


async def test_a_contact_is_shown_in_its_workspace_only(client: Client[Any, Any]) -> None:
    assert await call(client, "GET", f"{LIST}/ann") == (200, ANN_SHOWN)
    for path in (f"{LIST}/bob", "/internal/v1/workspaces/w2/contacts/ann"):
        status, body = await call(client, "GET", path)
        assert (status, body["error"]["code"]) == (404, "not_found")


async def test_a_contact_from_elsewhere_is_put_with_addresses_in_one_spelling(
    client: Client[Any, Any], desk: Desk
) -> None:
    given = {"name": "Ann Lee", "emails": ["Ann@Example.org"], "phones": ["+49 30 1234567"]}
    status, body = await call(client, "PUT", f"{LIST}/ann", json=given)
    assert (status, body) == (200, ANN_SHOWN)
    expected = ("put", "w1", "ann", "Ann Lee", ("ann@example.org",), ("+49301234567",))
    assert desk.asked == [expected]


async def test_an_id_belongs_to_one_workspace(client: Client[Any, Any]) -> None:
    status, body = await call(client, "PUT", "/internal/v1/workspaces/w2/contacts/ann", json={})
    assert (status, body["error"]["code"]) == (409, "conflict")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"emails": ["nobody"]}, "emails"),
        ({"phones": ["030 1234567"]}, "phones"),
        ({"name": "x" * 201}, "name"),
        ({"nick": "A."}, "nick"),
        ({"emails": ["a@example.org"] * 21}, "emails"),
    ],
)
async def test_a_wrong_contact_is_refused_by_the_fields_name(
    client: Client[Any, Any], desk: Desk, body: dict[str, Any], field: str
) -> None:
    status, answer = await call(client, "PUT", f"{LIST}/ann", json=body)
    assert (status, answer["error"]["field"]) == (422, field)
    assert desk.asked == []


@pytest.mark.parametrize(
    ("decision", "body", "asked"),
    [
        ("accept", b'{"contact_id": "ann"}', "ann"),
        ("decline", b'{"contact_id": "ann"}', "ann"),
        ("decline", b"{}", None),
        ("decline", b"", None),
    ],
)
async def test_a_human_decides_about_a_suggestion(
    client: Client[Any, Any], desk: Desk, decision: str, body: bytes, asked: str | None
) -> None:
    status, shown = await call(client, "POST", f"{SUGGESTION}/{decision}", data=body)
    assert status == 200
    assert desk.asked == [(decision, CONVERSATION, asked)]
    assert (shown["name"], shown["contact_id"]) == ("Ann Lee", "ann")
    assert shown["contact_suggestion"] == {"by": "phone", "contacts": ["bob"]}


@pytest.mark.parametrize("decision", ["accept", "decline"])
@pytest.mark.parametrize("body", [b'{"contact_id": ""}', b"[]", b"{", b'{"contact": "ann"}'])
async def test_a_decision_that_makes_no_sense_is_refused(
    client: Client[Any, Any], desk: Desk, decision: str, body: bytes
) -> None:
    status, answer = await call(client, "POST", f"{SUGGESTION}/{decision}", data=body)
    assert (status, answer["error"]["code"]) == (422, "invalid_body")
    assert desk.asked == []


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NotSuggestedError(), 409, "not_suggested"),
        (ChangedMeanwhileError("x"), 503, "service_unavailable"),
    ],
)
async def test_what_is_not_suggested_or_not_done_is_told(
    client: Client[Any, Any], desk: Desk, error: Exception, status: int, code: str
) -> None:
    desk.error = error
    body = {"contact_id": "ann"}
    for decision in ("accept", "decline"):
        got, answer = await call(client, "POST", f"{SUGGESTION}/{decision}", json=body)
        assert (got, answer["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": "bnVsbA=="}, "cursor"),
        ({"cursor": "WzFd"}, "cursor"),
        ({"cursor": "WyJcdWQ4MDAiLCJhIl0="}, "cursor"),  # half of a surrogate pair
        ({"search": "x" * 201}, "search"),
    ],
)
async def test_a_wrong_query_is_refused_by_name(
    client: Client[Any, Any], desk: Desk, query: dict[str, str], field: str
) -> None:
    status, body = await call(client, "GET", LIST, params=query)
    assert (status, body["error"]["code"], body["error"]["field"]) == (422, "invalid_query", field)
    assert desk.asked == []
