"""The inbox: who sees which conversations, how they are found, and what can be done with them."""

from collections.abc import AsyncIterator

import pytest
from aiohttp.test_utils import TestServer

from libs.common.mongo import Database
from libs.common.settings import MongoSettings
from tests.integration.console import Console, running_console
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
