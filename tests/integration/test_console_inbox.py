"""The inbox: who sees which conversations, how they are found, and what can be done with them."""

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from html import unescape

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from libs.common.mongo import Database
from libs.common.settings import MongoSettings
from services.console.domain.tokens import Scope
from services.console.live.hub import Hub
from tests.integration.console import Answer, Console, running_console
from tests.integration.inbox_service import FOREIGN, PAGE, InboxService, row

MIA, TOM, STRANGER = f"{PAGE}:2001", f"{PAGE}:2002", f"{FOREIGN}:2003"


@pytest.fixture
def service() -> InboxService:
    service = InboxService()
    service.rows = [
        row("2001", "Mia <b>Kowalska</b>"),
        row("2002", "Tom Okafor", unread=2),
        row("2003", "Not Yours", page=FOREIGN),
    ]
    return service


@pytest.fixture
async def console(
    database: Database, mongo: MongoSettings, service: InboxService
) -> AsyncIterator[Console]:
    async with (
        TestServer(service.app()) as server,
        running_console(database, mongo, services=str(server.make_url("")).rstrip("/")) as console,
    ):
        await connect(console, PAGE, "Crumb")
        await connect(console, FOREIGN, "Elsewhere", workspace="elsewhere")
        yield console


async def connect(console: Console, page: str, name: str, workspace: str | None = None) -> None:
    """A Page, in the first workspace."""
    ours = workspace or (await console.first_admin()).workspace_id
    facts = {"workspace_id": ours, "assistant_id": "a", "page_name": name, "token": "t"}
    await console.database["channels"].insert_one({"_id": page, **facts})


async def test_the_list_shows_the_workspaces_conversations_and_no_others(
    console: Console, service: InboxService
) -> None:
    browser = await console.admin()
    assert (await browser.get("/")).headers["Location"] == "/inbox"
    shown = await browser.get("/inbox")
    assert shown.status == 200
    assert "Mia <b>Kowalska</b>" in shown.words
    assert "Not Yours" not in shown.words
    assert {tuple(body["pages"]) for what, body in service.calls} == {(PAGE,)}


@pytest.mark.parametrize(
    ("method", "what"),
    [("GET", ""), ("GET", "/panes"), ("GET", "/details"), ("POST", "/seen"), ("POST", "/done")],
)
async def test_what_is_of_another_workspace_is_not_there(
    console: Console, service: InboxService, method: str, what: str
) -> None:
    browser = await console.admin()
    data = {"at": "2026-11-25T12:00:00Z", "done": "true"}
    for name in (STRANGER, f"{PAGE}:404404", "777:1"):
        answer = await browser.ask(method, f"/inbox/{name}{what}", data=data)
        assert answer.status == 404
    asked = [body for what, body in service.calls if what in ("seen", "done")]
    assert not service.row(STRANGER)["done"]
    assert len(asked) <= 1  # of the workspace's own Page, the service itself has to say no


async def test_a_member_is_told_which_role_it_takes(console: Console) -> None:
    browser = await console.member()
    for path in ("/inbox", "/inbox/list", f"/inbox/{MIA}", f"/inbox/{MIA}/panes"):
        answer = await browser.get(path)
        assert answer.status == 403
        assert "needs the role Admin" in answer.words
    assert "Hello" in (await browser.get("/")).words


async def test_the_list_can_be_filtered_and_goes_on(
    console: Console, service: InboxService
) -> None:
    service.rows += [row(str(4000 + n), f"Person {n}") for n in range(50)]
    browser = await console.admin()
    first = await browser.get("/inbox/list?page=1234567890")
    assert first.text.count("data-key=") == 40
    more = re.search(r'href="([^"]*cursor=\d+)"', first.text)
    assert more
    assert unescape(more[1]).startswith(f"/inbox?page={PAGE}&")
    rest = await browser.get(f"/inbox/list?cursor=40&page={PAGE}")
    assert rest.text.count("data-key=") == 12
    assert (await browser.get("/inbox/list?cursor=wrong")).status == 400
    unread = await browser.get("/inbox/list?unread=1")
    assert "Tom Okafor" in unread.words
    assert "Mia" not in unread.words
    found = await browser.get("/inbox/list?q=mi&tab=assistant")
    assert found.text.count("data-key=") == 1
    foreign = await browser.get(f"/inbox/list?page={FOREIGN}")
    assert "No conversation fits these filters." in foreign.words


async def test_a_conversation_is_done_and_opened_again(
    console: Console, service: InboxService
) -> None:
    browser = await console.admin()
    answer = await browser.post(f"/inbox/{MIA}/done?tab=mine", {"done": "true"})
    assert answer.headers["Location"] == f"/inbox/{MIA}?tab=mine"
    assert service.row(MIA)["done"]
    assert "Open again" in (await browser.get(f"/inbox/{MIA}")).words
    script = {"X-Requested-With": "inbox"}
    answer = await browser.post(f"/inbox/{MIA}/done", {"done": "false"}, **script)
    assert answer.status == 204
    assert (await browser.post(f"/inbox/{MIA}/done", {"done": "perhaps"})).status == 400
    log = await browser.get("/audit")
    assert "Marked a conversation as done" in log.words
    assert "2001" not in log.words
    assert "Mia" not in log.words


async def test_what_was_written_meanwhile_is_not_done(
    console: Console, service: InboxService
) -> None:
    browser = await console.admin()
    head = await browser.get(f"/inbox/{MIA}")
    (shown,) = re.findall(r'name="wrote_at" value="([^"]+)"', head.text)
    form = {"done": "true", "wrote_at": shown}
    service.row(MIA)["last_user_message_at"] = datetime.now(UTC).isoformat()
    answer = await browser.post(f"/inbox/{MIA}/done", form, **{"X-Requested-With": "inbox"})
    assert answer.status == 409
    answer = await browser.post(f"/inbox/{MIA}/done?tab=mine", form)
    assert answer.headers["Location"] == f"/inbox/{MIA}?tab=mine"
    assert "the person has just written" in (await browser.get(f"/inbox/{MIA}")).words
    assert not service.row(MIA)["done"]


async def test_what_was_looked_at_is_noted_up_to_then(
    console: Console, service: InboxService
) -> None:
    browser = await console.admin()
    assert "data-unseen" in (await browser.get(f"/inbox/{TOM}")).text
    assert service.row(TOM)["unread"] == 2  # a page that is loaded ahead was not looked at
    at = "2026-11-25T12:00:00.123+00:00"
    script = {"X-Requested-With": "inbox"}
    assert (await browser.post(f"/inbox/{TOM}/seen", {"at": at}, **script)).status == 204
    assert service.row(TOM)["unread"] == 0
    for wrong in ("", "yesterday", "2026-11-25T12:00:00"):
        assert (await browser.post(f"/inbox/{TOM}/seen", {"at": wrong})).status == 400


async def test_while_the_service_is_away_the_page_says_so_with_a_reference(
    console: Console, service: InboxService
) -> None:
    browser = await console.admin()
    service.is_away = True
    page = await browser.get("/inbox?q=secret-word")
    assert page.status == 200
    assert "The list can't be read at the moment; nothing is lost." in page.words
    fragment = await browser.get("/inbox/list")
    assert fragment.status == 503
    assert re.search(r'data-reference="[0-9a-f]{8}"', fragment.text)
    assert (await browser.get(f"/inbox/{MIA}")).status == 503


async def test_a_picture_comes_from_where_the_graph_api_is_and_from_nowhere_else(
    database: Database, mongo: MongoSettings, service: InboxService
) -> None:
    app = service.app()
    answers = {"good": (200, "image/png"), "html": (200, "text/html"), "moved": (302, "image/png")}

    async def draw(request: web.Request) -> web.Response:
        status, kind = answers.get(request.match_info["name"], (404, "image/png"))
        headers = {"Location": "/pictures/good"} if status == 302 else {}
        return web.Response(status=status, body=b"png", content_type=kind, headers=headers)

    pictures = web.Application()
    pictures.router.add_get("/pictures/{name}", draw)
    async with (
        TestServer(app) as server,
        TestServer(pictures) as facebook,
        running_console(
            database,
            mongo,
            services=str(server.make_url("")).rstrip("/"),
            facebook_url=str(facebook.make_url("")).rstrip("/"),
        ) as console,
    ):
        await connect(console, PAGE, "Crumb")
        browser = await console.admin()

        async def ask(url: str | None) -> Answer:
            service.row(MIA)["picture_url"] = url
            return await browser.get(f"/inbox/{MIA}/picture?v=1")

        good = await ask(str(facebook.make_url("/pictures/good")))
        assert (good.status, good.headers["Content-Type"]) == (200, "image/png")
        assert good.headers["Cache-Control"] == "private, max-age=86400"
        elsewhere = str(server.make_url("/pictures/good"))
        for url in (
            *(str(facebook.make_url(f"/pictures/{n}")) for n in ("html", "moved", "gone")),
            elsewhere,
            "file:///etc/passwd",
            None,
        ):
            assert (await ask(url)).status == 404, url


async def test_programs_read_conversations_with_a_token_that_may(
    console: Console, service: InboxService, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(Hub, "touched", lambda _, conversation: told.append(conversation))
    program = console.browser()
    token = await console.api_token(Scope.CONVERSATIONS_READ, Scope.CONVERSATIONS_WRITE)
    bearer = {"Authorization": f"Bearer {token}"}
    service.messages[MIA] = [{"id": "m1", "text": "Hi"}]
    listed = json.loads((await program.get("/api/v1/conversations?unread=true", **bearer)).text)
    assert [each["id"] for each in listed["conversations"]] == [TOM]
    one = json.loads((await program.get(f"/api/v1/conversations/{MIA}", **bearer)).text)
    assert (one["name"], one["last"]["origin"]) == ("Mia <b>Kowalska</b>", "assistant")
    messages = await program.get(f"/api/v1/conversations/{MIA}/messages", **bearer)
    assert json.loads(messages.text) == {"messages": [{"id": "m1", "text": "Hi"}], "next": None}
    path = f"/api/v1/conversations/{MIA}/done"
    done = await program.post(path, '{"done": true}', **bearer)
    assert json.loads(done.text)["done"]
    assert service.row(MIA)["done"]
    assert told == [MIA]  # whoever has it on their screen
    wrong = await program.get("/api/v1/conversations?cursor=wrong", **bearer)
    assert (wrong.status, json.loads(wrong.text)["error"]["code"]) == (400, "bad_cursor")
    assert (await program.get(f"/api/v1/conversations/{STRANGER}", **bearer)).status == 404
    service.is_away = True
    away = await program.get("/api/v1/conversations", **bearer)
    assert (away.status, json.loads(away.text)["error"]["code"]) == (503, "service_away")
    reader = {"Authorization": f"Bearer {await console.api_token(Scope.CONVERSATIONS_READ)}"}
    assert (await program.post(path, '{"done": true}', **reader)).status == 403


async def test_scripts_and_styles_are_compressed_on_their_way(console: Console) -> None:
    browser = await console.admin()
    page = await browser.get("/inbox")
    for address in re.findall(r'(?:href|src)="(/static/[^"]+\.(?:js|css)\?[^"]+)"', page.text):
        answer = await browser.get(address)
        assert answer.headers["Content-Encoding"] in ("gzip", "deflate"), address
        assert "immutable" in answer.headers["Cache-Control"]
        again = await browser.get(address, **{"If-None-Match": answer.headers["Etag"]})
        assert (again.status, again.text) == (304, "")
    assert "Content-Encoding" not in page.headers  # secrets and somebody's words side by side
