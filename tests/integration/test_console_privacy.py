"""From a wish to be forgotten to a search that finds nothing: the console's part."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from libs.common.erasures import name_of
from libs.common.events import PersonDeletionRequested
from libs.common.mongo import Database
from libs.common.settings import MongoSettings
from libs.common.web import problem
from services.console.audit import Actor
from services.console.domain.roles import Role
from services.console.domain.tokens import Scope
from services.console.erasing import ORDER
from services.console.erasures_store import ErasureStore
from services.console.records import Connection
from services.console.web.pages import ERASING
from tests.integration.console import SERVICE_TOKEN, Console, running_console

PAGE, OTHER, PSID, USER = "1234567890", "1234567891", "2000000000000001", "1777"
NAME = "Ann <Lee>"
CODE = "abcdefghijklmnopqrstuvwxyz"
JSON = dict[str, Any]
ROW: JSON = {"psid": PSID, "name": NAME, "last_activity_at": "2026-11-25T12:00:00+00:00"}


class Services:
    """What the other services keep and say; one address for all four."""

    def __init__(self) -> None:
        self.kept: Counter[str] = Counter({f"{PAGE}:{PSID}": 7})
        self.tab = "all"
        self.comes_back_at = 0
        self.away = 0
        self.away_status = 503
        self.calls: list[tuple[str, JSON]] = []
        self.known_to_meta: list[JSON] = []
        self.meta_error: JSON | None = None
        self.paging: JSON = {}

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/internal/v1/erasures", self.erase)
        app.router.add_post("/internal/v1/erasures/check", self.check)
        app.router.add_post("/internal/v1/inbox/list", self.listed)
        app.router.add_post("/internal/v1/inbox/rows", self.rows)
        app.router.add_get("/internal/v1/conversations/{name}/stored", self.stored)
        app.router.add_get("/internal/v1/conversations/{name}/messages", self.messages)
        app.router.add_get("/{version}/{user}/ids_for_pages", self.ids_for_pages)
        return app

    async def erase(self, request: web.Request) -> web.Response:
        body = await self._body(request, "erase")
        if self.away:
            self.away -= 1
            return problem(self.away_status, "away", "away")
        name = f"{body['page_id']}:{body['psid']}"
        erasures = sum(what == "erase" for what, _ in self.calls)
        erased, self.kept[name] = self.kept[name], 2 * (erasures == self.comes_back_at)
        return web.json_response({"erased": {"messages": erased}})

    async def check(self, request: web.Request) -> web.Response:
        body = await self._body(request, "check")
        name = f"{body['page_id']}:{body['psid']}"
        return web.json_response({"left": {"messages": self.kept[name]}})

    async def listed(self, request: web.Request) -> web.Response:
        body = await self._body(request, "list")
        is_found = body["pages"] == [PAGE] and body["tab"] == self.tab
        is_found &= NAME.casefold().startswith(body["search"].casefold())
        return web.json_response({"conversations": [ROW] if is_found else [], "next": None})

    async def rows(self, request: web.Request) -> web.Response:
        wanted = (await self._body(request, "rows"))["conversations"]
        if any(len(each) > 200 for each in wanted):
            return problem(422, "invalid_body", "no", field="conversations")
        is_found = wanted == [f"{PAGE}:{PSID}"]
        return web.json_response({"conversations": [ROW] if is_found else []})

    async def stored(self, request: web.Request) -> web.Response:
        return web.json_response({"person": {"profile": {"name": NAME}}, "conversation": None})

    async def messages(self, request: web.Request) -> web.Response:
        cursor = request.query.get("cursor")
        if cursor == "wrong":
            return problem(422, "invalid_query", "no", field="cursor")
        texts = ["first"] if cursor else ["third", "second"]
        found = [{"id": text, "text": text} for text in texts]
        return web.json_response({"messages": found, "next": None if cursor else "more"})

    async def ids_for_pages(self, request: web.Request) -> web.Response:
        assert request.query["appsecret_proof"]
        if self.meta_error:
            return web.json_response({"error": self.meta_error}, status=400)
        return web.json_response({"data": self.known_to_meta, "paging": self.paging})

    async def _body(self, request: web.Request, what: str) -> JSON:
        assert request.headers["Authorization"] == f"Bearer {SERVICE_TOKEN}"
        body: JSON = await request.json()
        self.calls.append((what, body))
        return body


@pytest.fixture
def services() -> Services:
    return Services()


@asynccontextmanager
async def opened(
    database: Database, mongo: MongoSettings, services: Services
) -> AsyncIterator[Console]:
    server = TestServer(services.app())
    await server.start_server()
    url = str(server.make_url("")).rstrip("/")
    try:
        async with running_console(database, mongo, services=url, facebook_url=url) as console:
            yield console
    finally:
        await server.close()


@pytest.fixture
async def console(
    database: Database, mongo: MongoSettings, services: Services
) -> AsyncIterator[Console]:
    async with opened(database, mongo, services) as console:
        admin = await console.first_admin()
        for page, workspace in ((PAGE, admin.workspace_id), (OTHER, "elsewhere")):
            await database["channels"].insert_one(
                {
                    "_id": page,
                    "workspace_id": workspace,
                    "assistant_id": "a",
                    "page_name": "Crumb",
                    "token": "t",
                }
            )
        yield console


def wish(user_id: str = USER, code: str = CODE) -> PersonDeletionRequested:
    return PersonDeletionRequested(
        event_id="e",
        page_id="*",
        occurred_at=datetime.now(UTC),
        user_id=user_id,
        confirmation_code=code,
    )


async def until(console: Console, wanted: str, code: str = CODE) -> JSON:
    """The request, as soon as its page shows this."""
    async with asyncio.timeout(20):
        while True:
            page = await console.browser().get(f"/data-deletion/{code}")
            if wanted in page.words:
                break
            await asyncio.sleep(0.02)
    found = await console.database["erasures"].find_one({"_id": code})
    assert found is not None
    return found


async def test_a_wish_at_facebook_is_carried_out_and_a_stranger_can_read_that(
    console: Console, services: Services
) -> None:
    services.known_to_meta = [{"id": PSID, "page": {"id": PAGE, "name": "Crumb"}}]
    services.known_to_meta += [{"id": "9", "page": {"id": "not ours"}}]
    unknown = await console.browser().get(f"/data-deletion/{CODE}")
    assert (unknown.status, "no request with this code" in unknown.words) == (404, True)
    console.log.say(wish())
    console.log.say(wish())  # the log tells it again
    done = await until(console, "Done")
    page = await console.browser().get(f"/data-deletion/{CODE}")
    assert page.status == 200
    assert page.headers["X-Robots-Tag"] == "noindex, nofollow"
    assert "Everything was erased, and a search afterwards found nothing left." in page.words
    for secret in (PSID, USER, NAME, PAGE):
        assert secret not in page.text
    assert PSID not in str(done)
    assert USER not in str(done)
    assert await console.database["erasures"].count_documents({}) == 1

    (tombstone,) = await console.database["tombstones"].find({}).to_list(None)
    assert tombstone["_id"] == name_of(f"{PAGE}:{PSID}")
    assert tombstone["erased_at"] == done["erased_at"]
    erased = [body for what, body in services.calls if what == "erase"]
    assert len(erased) == len(ORDER)
    assert {each["psid"] for each in erased} == {PSID}
    assert datetime.fromisoformat(erased[0]["until"]) == done["erased_at"]
    assert [what for what, _ in services.calls][-4:] == ["check"] * 4  # the proof comes last


async def test_an_id_that_a_page_knows_as_it_is_needs_no_facebook(
    console: Console, services: Services
) -> None:
    services.meta_error = {"code": 100, "error_subcode": 33, "message": "no", "type": "x"}
    console.log.say(wish(PSID))
    await until(console, "Everything was erased")
    assert services.kept[f"{PAGE}:{PSID}"] == 0


async def test_who_is_not_known_has_nothing_stored(console: Console, services: Services) -> None:
    console.log.say(wish())
    await until(console, "Nothing was stored that belongs to this account.")
    assert [what for what, _ in services.calls if what == "erase"] == []


async def test_who_facebook_does_not_show_is_not_said_to_have_nothing(
    console: Console, services: Services
) -> None:
    """It answers so about who has just removed the app, too."""
    services.meta_error = {
        "code": 100,
        "error_subcode": 33,
        "message": "does not exist, cannot be loaded due to missing permissions",
        "type": "GraphMethodException",
    }
    console.log.say(wish())
    await until(console, "Waiting for Facebook")
    console.clock.ahead = timedelta(hours=25)
    await until(console, "Facebook did not say which conversations belong to this account")


async def test_a_wish_that_was_heard_a_day_late_is_carried_out(
    console: Console, services: Services
) -> None:
    services.known_to_meta = [{"id": PSID, "page": {"id": PAGE}}]
    old = datetime.now(UTC) - timedelta(days=3)
    console.log.say(wish().model_copy(update={"occurred_at": old}))
    await until(console, "Everything was erased")
    assert services.kept[f"{PAGE}:{PSID}"] == 0


async def test_a_list_that_does_not_say_where_it_goes_on_is_not_the_whole_answer(
    console: Console, services: Services
) -> None:
    services.known_to_meta = [{"id": PSID, "page": {"id": PAGE}}]
    services.paging = {"next": "https://graph.facebook.com/more"}
    console.log.say(wish())
    await until(console, "Waiting for Facebook")


async def test_what_facebook_refuses_is_asked_again_for_a_day(
    console: Console, services: Services
) -> None:
    services.meta_error = {"code": 10, "message": "no permission", "type": "OAuthException"}
    console.log.say(wish(PSID))
    await until(console, "Waiting for Facebook")
    assert services.kept[f"{PAGE}:{PSID}"] == 0  # what matches at once is erased at once
    count, first_at = await ErasureStore(console.database).open()
    assert count == 1
    assert first_at is not None
    assert console.clock() - first_at < timedelta(minutes=1)
    services.kept[f"{PAGE}:22"] = 3
    services.meta_error = None
    services.known_to_meta = [{"id": "22", "page": {"id": PAGE}}]
    console.clock.ahead = timedelta(hours=2)
    await until(console, "Done")
    assert services.kept[f"{PAGE}:22"] == 0
    assert await ErasureStore(console.database).open() == (0, None)


async def test_after_a_day_of_refusals_it_says_so(console: Console, services: Services) -> None:
    services.meta_error = {"code": 10, "message": "no permission", "type": "OAuthException"}
    console.log.say(wish())
    await until(console, "Waiting for Facebook")
    console.clock.ahead = timedelta(hours=25)
    await until(console, "Facebook did not say which conversations belong to this account")


async def test_who_connected_pages_is_not_named_any_more(console: Console) -> None:
    connection = Connection(
        at=datetime.now(UTC), account_id="a", facebook_user_id=USER, facebook_user_name="Alex Doe"
    )
    await console.database["channels"].update_one(
        {"_id": PAGE}, {"$set": {"connection": connection.model_dump()}}
    )
    await console.database["facebook_logins"].insert_one(
        {"_id": "l", "facebook_user_id": USER, "facebook_user_name": "Alex Doe"}
    )
    console.log.say(wish())
    await until(console, "Everything was erased")
    for name in ("channels", "facebook_logins", "erasures"):
        documents = str(await console.database[name].find({}).to_list(None))
        assert "Alex Doe" not in documents
        assert USER not in documents


async def test_what_is_there_again_is_erased_again_before_it_is_done(
    console: Console, services: Services
) -> None:
    services.comes_back_at = len(ORDER)  # the last service erases, and something came back
    console.log.say(wish(PSID))
    async with asyncio.timeout(20):
        while not (found := await console.database["erasures"].find_one({"attempts": 1})):
            await asyncio.sleep(0.02)
    assert (found["done_at"], services.kept[f"{PAGE}:{PSID}"]) == (None, 2)
    assert any(sum(each.values()) == 2 for each in found["left"][PAGE].values())
    console.clock.ahead = timedelta(minutes=1)
    found = await until(console, "Done")
    assert sum(sum(each.values()) for each in found["erased"][PAGE].values()) == 9


@pytest.mark.parametrize("status", [503, 401])
async def test_a_service_that_is_away_or_refuses_is_waited_for_and_nothing_is_done_before(
    console: Console, services: Services, status: int
) -> None:
    services.away, services.away_status = 1, status
    console.log.say(wish(PSID))
    found = await until(console, "Waiting")
    assert found["waits_for"] == ORDER[0]
    assert found["done_at"] is None
    console.clock.ahead = timedelta(minutes=1)
    found = await until(console, "Done")
    assert found["attempts"] == 1


async def test_a_console_that_dies_in_the_middle_goes_on_after_its_start(
    database: Database, mongo: MongoSettings, services: Services, console: Console
) -> None:
    services.away = 10_000  # it never gets beyond the first service
    console.log.say(wish(PSID))
    await until(console, "Waiting")
    await console.app[ERASING].get().stop(0)
    services.away = 0
    await database["erasures"].update_one({"_id": CODE}, {"$set": {"next_at": datetime.now(UTC)}})
    async with opened(database, mongo, services) as another:
        await until(another, "Done")


# An administrator


async def test_an_administrator_finds_confirms_and_erases_a_person(
    console: Console, services: Services
) -> None:
    browser = await console.admin()
    base = f"/channels/{PAGE}/privacy"
    assert "Nobody's data were erased" in (await browser.get(base)).words
    found = await browser.get(f"{base}?find={PSID}")
    assert NAME in found.words
    services.tab = "done"
    found = await browser.get(f"{base}?find=ann")
    assert NAME in found.words
    assert "<Lee>" not in found.text
    for nobody in ("nobody", "7" * 200):
        assert "Nobody is found for" in (await browser.get(f"{base}?find={nobody}")).words
    asked = await browser.get(f"{base}/erase?psid={PSID}")
    assert f"Erase {NAME}?" in asked.words
    assert "7 × messages" in asked.words
    answer = await browser.post(f"{base}/erase", {"psid": PSID})
    assert answer.status == 303
    (request,) = await console.database["erasures"].find({}).to_list(None)
    await until(console, "Done", request["_id"])
    listed = await browser.get(base)
    assert request["_id"] in listed.text
    assert "7 × messages" in listed.words
    (entry,) = await console.database["audit"].find({"action": "person.erased"}).to_list(None)
    assert (entry["target_id"], entry["outcome"]) == (request["_id"], "done")
    assert PSID not in str(entry)


async def test_a_copy_of_what_is_stored_is_a_file(console: Console) -> None:
    browser = await console.admin()
    answer = await browser.get(f"/channels/{PAGE}/privacy/export?psid={PSID}")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="person-{PSID}.json"'
    copy = json.loads(answer.text)
    assert [each["text"] for each in copy["messages"]] == ["third", "second", "first"]
    assert (copy["psid"], copy["person"]["profile"]["name"]) == (PSID, NAME)
    (entry,) = await console.database["audit"].find({"action": "person.exported"}).to_list(None)
    assert PSID not in str(entry)


async def test_without_the_other_services_the_page_says_so(
    database: Database, mongo: MongoSettings
) -> None:
    async with running_console(database, mongo) as console:
        admin = await console.first_admin()
        await database["channels"].insert_one(
            {
                "_id": PAGE,
                "workspace_id": admin.workspace_id,
                "assistant_id": "a",
                "page_name": "Crumb",
                "token": "t",
            }
        )
        browser = await console.admin()
        base = f"/channels/{PAGE}/privacy"
        assert "Not all parts of the system answer" in (await browser.get(f"{base}?find=a")).words
        for path in (f"{base}/erase?psid=1", f"{base}/export?psid=1"):
            answer = await browser.get(path)
            assert (answer.status, "Erase for good" in answer.text) == (503, False)
        for psid in ("", "x", "1" * 33):
            assert (await browser.get(f"{base}/erase?psid={psid}")).status == 400


async def test_members_and_other_workspaces_see_nothing_of_it(console: Console) -> None:
    member = await console.member()
    assert (await member.get(f"/channels/{PAGE}/privacy")).status == 403
    assert "Privacy" not in (await member.get(f"/channels/{PAGE}")).words
    browser = await console.admin()
    assert (await browser.get(f"/channels/{OTHER}/privacy")).status == 404
    assert (await browser.post(f"/channels/{OTHER}/privacy/erase", {"psid": "1"})).status == 404


# Programs


async def api_token(console: Console, *scopes: Scope) -> dict[str, str]:
    token = await console.api_token(*scopes)
    return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}


async def test_programs_erase_look_and_export(console: Console, services: Services) -> None:
    program = console.browser()
    headers = await api_token(console, Scope.PEOPLE_ERASE, Scope.PEOPLE_READ)
    path = f"/api/v1/channels/{PAGE}/erasures"
    refused = await program.post(path, '{"psid": "x"}', **headers)
    assert (refused.status, json.loads(refused.text)["error"]["field"]) == (422, "psid")
    answer = await program.post(path, json.dumps({"psid": PSID}), **headers)
    assert answer.status == 202, answer.text
    code = json.loads(answer.text)["code"]
    await until(console, "Done", code)
    shown = json.loads((await program.get(f"/api/v1/erasures/{code}", **headers)).text)
    assert (shown["state"], shown["erased"], shown["left"]) == (
        "done",
        {"messages": 7},
        {"messages": 0},
    )
    assert shown["pages"] == [PAGE]
    listed = json.loads((await program.get("/api/v1/erasures", **headers)).text)
    assert listed == {"erasures": [shown]}
    assert PSID not in str(listed)

    path = f"/api/v1/channels/{PAGE}/people/{PSID}/export"
    first = json.loads((await program.get(path, **headers)).text)
    assert first["facts"]["person"]["profile"]["name"] == NAME
    assert [each["text"] for each in first["messages"]] == ["third", "second"]
    rest = json.loads((await program.get(f"{path}?cursor={first['next']}", **headers)).text)
    assert (rest["facts"], [each["text"] for each in rest["messages"]]) == (None, ["first"])
    wrong = await program.get(f"{path}?cursor=wrong", **headers)
    assert (wrong.status, json.loads(wrong.text)["error"]["code"]) == (400, "bad_cursor")


async def test_another_workspaces_erasure_is_not_shown(
    console: Console, services: Services
) -> None:
    services.kept[f"{OTHER}:33"] = 1
    stranger = await console.add("eve@example.org", Role.ADMIN, "elsewhere")
    erasing = console.app[ERASING].get()
    actor = Actor(stranger.id, stranger.email, "elsewhere", Role.ADMIN)
    erasure = await erasing.wished_by(actor, OTHER, "33")
    headers = await api_token(console, Scope.PEOPLE_READ)
    program = console.browser()
    assert (await program.get(f"/api/v1/erasures/{erasure.id}", **headers)).status == 404
    assert json.loads((await program.get("/api/v1/erasures", **headers)).text) == {"erasures": []}
