"""Who may ask the console for what: every route, by everybody who shouldn't."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from libs.common.mongo import Database, Document
from libs.common.settings import MongoSettings
from libs.common.web import OPEN_PATHS
from services.console.audit import AuditLog
from services.console.connecting import CALLBACK
from services.console.domain.roles import Role
from services.console.domain.tokens import Scope
from services.console.logins_store import FacebookLoginStore
from services.console.records import Account, FacebookLogin
from services.console.web.access import SETTINGS, SIGNING_IN, Access, cookie_name
from tests.integration.console import Console, running_console


@pytest.fixture
async def console(database: Database, mongo: MongoSettings) -> AsyncIterator[Console]:
    async with running_console(database, mongo) as console:
        yield console


async def api_token(console: Console, account_id: str, workspace_id: str) -> tuple[str, str]:
    """A token with every scope: its id and its text."""
    token = await console.api_token(*Scope, owner=(account_id, workspace_id))
    return token.id, str(token)


BODIES = {
    ("PATCH", "/api/v1/users/{user}"): '{"role": "member", "disabled": true}',
    ("PATCH", "/api/v1/channels/{channel}/settings"): '{"greeting": "Got you"}',
    ("PATCH", "/api/v1/assistants/{assistant}"): '{"knowledge": "Got you"}',
    ("PUT", "/api/v1/assistants/{assistant}/key"): '{"api_key": "sk-theirs"}',
    ("POST", "/api/v1/assistants/{assistant}/test"): '{"question": "Hi?"}',
    ("POST", "/api/v1/channels/{channel}/erasures"): '{"psid": "2"}',
    ("POST", "/api/v1/conversations/{conversation}/done"): '{"done": true}',
    ("POST", "/api/v1/conversations/{conversation}/messages"): '{"text": "Got you"}',
    ("POST", "/api/v1/conversations/{conversation}/takeover/extend"): '{"auto_resume_minutes": 5}',
}
ANY = {"user": "u", "token": "t", "secret": "s", "channel": "1", "login": "l", "assistant": "a"}
ANY |= {"code": "c", "psid": "2", "conversation": "1:2"}
ANY |= {"send_id": "c:0", "delivery": "c:0", "letter": "0-1"}
ENDLESS = "/live"  # see test_console_live.py
WITHOUT_PAGES = {"/analytics.csv": 404, "/api/v1/analytics": 409}
PAGE_ID, LOGIN, ASSISTANT_ID = "1234567890", "a" * 64, "ast_victims"


async def add_page_of(console: Console, account: Account) -> None:
    """A Page and a login at Facebook, both of somebody's."""
    await console.database["channels"].insert_one(
        {
            "_id": PAGE_ID,
            "workspace_id": account.workspace_id,
            "assistant_id": "a",
            "page_name": "Victims Bakery",
            "token": "t",
        }
    )
    await console.database["assistants"].insert_one(
        {
            "_id": ASSISTANT_ID,
            "workspace_id": account.workspace_id,
            "name": "Crumb",
            "system_prompt": "You are Crumb.",
        }
    )
    login = FacebookLogin(
        id=LOGIN,
        session_id="theirs",
        account_id=account.id,
        workspace_id=account.workspace_id,
        expires_at=datetime.now(UTC) + timedelta(hours=1),
        used=True,
        pages=(),
    )
    await FacebookLoginStore(console.database).add(login)


def routes(console: Console, *wanted: Access) -> list[tuple[str, str]]:
    """Method and pattern of each."""
    found = []
    for route, (access, _) in console.needs.items():
        pattern = route.resource.canonical if route.resource else ""
        if access in wanted and not pattern.startswith("/static") and route.method != "HEAD":
            found.append((route.method, pattern))
    assert found
    return found


def filled(pattern: str, **ids: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: ids[found[1]], pattern)


async def test_every_route_says_who_may_ask(console: Console) -> None:
    silent = [
        route
        for route in console.app.router.routes()
        if route not in console.needs
        and not (route.resource and route.resource.canonical in OPEN_PATHS)
    ]
    assert silent == []


async def test_another_workspaces_ids_are_not_found(console: Console) -> None:
    """Everything with an id in its address, asked for by another workspace's administrator."""
    victim = await console.first_admin()
    victims_token, _ = await api_token(console, victim.id, victim.workspace_id)
    stranger = await console.add("eve@example.org", Role.ADMIN, "elsewhere")
    _, strangers = await api_token(console, stranger.id, "elsewhere")
    browser = console.browser()
    await browser.sign_in("eve@example.org")
    await add_page_of(console, victim)
    ids = {"user": victim.id, "token": victims_token, "channel": PAGE_ID, "login": LOGIN}
    ids |= {"assistant": ASSISTANT_ID, "code": "c", "psid": "2", "conversation": f"{PAGE_ID}:2"}
    ids |= {"send_id": "c:0", "delivery": "c:0", "letter": "0-1"}
    await browser.get("/api/v1/me", Authorization=f"Bearer {strangers}")  # notes the token's use

    before = await everything(console)
    answers = {}
    for method, pattern in routes(console, Access.ADMIN, Access.SIGNED_IN, Access.PROGRAM):
        if "{" not in pattern:
            continue
        body: object = {"role": "member"}
        headers = {"Authorization": f"Bearer {strangers}"}
        if pattern.startswith("/api/"):
            body = BODIES.get((method, pattern), "{}")
        answer = await browser.ask(method, filled(pattern, **ids), data=body, headers=headers)
        answers[method, pattern] = answer.status
    assert len(answers) >= 10
    assert set(answers.values()) == {404}, answers
    assert await everything(console) == before


async def test_lists_show_ones_own_workspace_only(console: Console) -> None:
    victim = await console.first_admin()
    await api_token(console, victim.id, victim.workspace_id)
    await add_page_of(console, victim)
    stranger = await console.add("eve@example.org", Role.ADMIN, "elsewhere")
    token_id, token = await api_token(console, stranger.id, "elsewhere")
    browser, victims = console.browser(), await console.admin()
    await browser.sign_in("eve@example.org")
    assert "Victims Bakery" in (await victims.get("/channels")).words
    for method, pattern in routes(console, Access.ADMIN, Access.SIGNED_IN, Access.PROGRAM):
        if method != "GET" or "{" in pattern or pattern in (CALLBACK, ENDLESS):
            continue
        shown = await browser.get(pattern, Authorization=f"Bearer {token}")
        assert shown.status == WITHOUT_PAGES.get(pattern, 200), pattern
        assert victim.email not in shown.text, pattern
        assert "Victims Bakery" not in shown.text, pattern
        assert token_id in shown.text or "tokens" not in pattern


async def test_a_member_is_told_which_role_everything_else_needs(console: Console) -> None:
    victim = await console.first_admin()
    token_id, _ = await api_token(console, victim.id, victim.workspace_id)
    browser = await console.member()
    before = await everything(console)
    for method, pattern in routes(console, Access.ADMIN):
        path = filled(pattern, **ANY | {"user": victim.id, "token": token_id})
        answer = await browser.ask(method, path, data={"role": "member"})
        assert answer.status == 403, (method, pattern)
        assert "This needs the role Admin" in answer.words, (method, pattern)
    assert await everything(console) == before
    assert (await browser.get("/")).status == 200
    assert (await browser.get("/profile")).status == 200


async def test_without_signing_in_there_is_only_the_door(console: Console) -> None:
    browser = console.browser()
    for method, pattern in routes(console, Access.ADMIN, Access.SIGNED_IN):
        answer = await browser.ask(method, filled(pattern, **ANY))
        assert answer.status == 303, (method, pattern)
        assert answer.headers["Location"].startswith("/sign-in"), (method, pattern)


async def test_programs_need_a_token_and_cookies_are_none(console: Console) -> None:
    browser = await console.admin()
    for method, pattern in routes(console, Access.PROGRAM):
        answer = await browser.ask(method, filled(pattern, **ANY), data="{}")
        assert answer.status == 401, (method, pattern)
        assert '"code": "unauthorized"' in answer.text


async def test_each_operation_asks_for_its_scope(console: Console) -> None:
    admin = await console.first_admin()
    token = await console.api_token(name="none")
    browser = console.browser()
    for route, (access, scope) in console.needs.items():
        if access is not Access.PROGRAM or route.method == "HEAD" or route.resource is None:
            continue
        path = filled(route.resource.canonical, **ANY | {"user": admin.id, "token": token.id})
        headers = {"Authorization": f"Bearer {token}"}
        answer = await browser.ask(route.method, path, data="{}", headers=headers)
        assert answer.status == (200 if scope is None else 403), path


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "", "Origin": "http://evil.example"},
    ],
    ids=["cross-site", "sibling", "old browser"],
)
async def test_other_sites_change_nothing(console: Console, headers: dict[str, str]) -> None:
    browser = await console.admin()
    before = await everything(console)
    for method, pattern in routes(console, Access.ADMIN, Access.SIGNED_IN, Access.PUBLIC):
        if method == "GET":
            continue
        path = filled(pattern, **ANY)
        answer = await browser.ask(method, path, headers=headers)
        assert answer.status == 403, (method, pattern)
    assert await everything(console) == before


async def test_an_old_browser_says_by_origin_that_it_is_ours(console: Console) -> None:
    browser = console.browser()
    browser.headers = {"Origin": console.url}
    assert (await browser.sign_in()).status == 303
    browser.headers = {}
    assert (await browser.post("/profile/name", {"name": "Ada"})).status == 403


async def test_other_names_for_this_host_are_refused(console: Console) -> None:
    browser = console.browser()
    answer = await browser.get("/sign-in", Host="console.evil.example")
    assert answer.status == 421
    assert (await browser.get("/healthz", Host="10.1.2.3:8080")).status == 200


async def test_every_answer_has_the_headers(console: Console) -> None:
    browser = await console.admin()
    for path in ("/", "/nothing", "/static/console.css", "/api/v1/me", "/api/v1/openapi.json"):
        headers = (await browser.get(path)).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        for part in ("object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"):
            assert part in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
    assert (await browser.get("/")).headers["Cache-Control"] == "no-store"


async def test_over_https_the_cookie_is_bound_to_the_host_and_browsers_stay_on_https(
    database: Database, mongo: MongoSettings
) -> None:
    async with running_console(
        database, mongo, console_url="https://console.example.org"
    ) as console:
        browser = console.browser()
        browser.headers["Host"] = "console.example.org"
        answer = await browser.sign_in()
        cookie = answer.headers["Set-Cookie"]
        assert cookie.startswith("__Host-session=")
        assert "; Secure" in cookie
        assert "Path=/" in cookie
        assert "Domain" not in cookie
        assert answer.headers["Strict-Transport-Security"].startswith("max-age=31536000")
        secret = cookie.partition("=")[2].partition(";")[0]
        signed_in = console.browser()
        signed_in.headers["Host"] = "console.example.org"
        assert (await signed_in.get("/", Cookie=f"__Host-session={secret}")).status == 200
        assert (await signed_in.get("/", Cookie=f"session-443={secret}")).status == 303


async def test_without_its_database_the_console_says_so_and_when_to_come_back(
    console: Console,
) -> None:
    browser = await console.admin()
    console.app[SIGNING_IN].clear()
    page = await browser.get("/users")
    assert (page.status, page.headers["Retry-After"]) == (503, "5")
    assert "The console can't reach its database" in page.words
    program = await browser.get("/api/v1/me", Authorization="Bearer mat_x")
    assert (program.status, '"code": "unavailable"' in program.text) == (503, True)


async def test_a_fault_of_ours_has_a_reference_and_no_details(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise ValueError("a secret detail")

    monkeypatch.setattr(AuditLog, "entries", fail)
    page = await (await console.admin()).get("/audit")
    assert page.status == 500
    assert "Something went wrong here" in page.words
    assert "Reference for whoever runs this" in page.words
    assert "secret detail" not in page.text


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/x-www-form-urlencoded", b"email=\xff\xfe"),
        ("application/x-www-form-urlencoded; charset=bogus", b"email=a"),
        ("multipart/form-data", b"--x"),
        ("multipart/form-data; boundary=x", b"--x\r\nnonsense"),
    ],
)
async def test_a_form_that_cannot_be_read_is_refused(
    console: Console, kind: str, body: bytes
) -> None:
    answer = await console.browser().post("/sign-in", body, **{"Content-Type": kind})
    assert answer.status in (400, 422)


async def test_who_is_not_signed_in_sends_little(console: Console) -> None:
    """Some hundred large bodies, never finished, would take all of the console's memory."""
    much = {"email": "a@example.org", "password": "x" * 20_000}
    assert (await console.browser().post("/sign-in", much)).status == 413
    pretending = {"Cookie": f"{cookie_name(console.app[SETTINGS])}=nobodys"}
    assert (await console.browser().post("/sign-in", much, **pretending)).status == 413
    browser = await console.admin()
    assert (await browser.post("/sign-in", much)).status == 422


async def test_strange_paths_and_ids_are_not_found(console: Console) -> None:
    browser = await console.admin()
    for path in (
        "/users/%FF",
        "/users/$where",
        "/users/a.b",
        "/users/%00",
        "/welcome/%00",
        "/x/../y",
    ):
        assert (await browser.get(path)).status in (404, 410), path


async def test_what_an_address_can_be_asked_for_is_said(console: Console) -> None:
    browser = await console.admin()
    for path in ("/sign-in", "/api/v1/users"):
        answer = await browser.ask("DELETE", path)
        assert answer.status == 405
        assert set(answer.headers["Allow"].split(",")) == {"GET", "POST"}


async def test_no_get_changes_anything(console: Console) -> None:
    admin = await console.first_admin()
    browser = await console.admin()
    token_id, token = await api_token(console, admin.id, admin.workspace_id)
    await browser.get("/api/v1/me", Authorization=f"Bearer {token}")  # notes the token's use
    before = await everything(console)
    for method, pattern in routes(console, *Access):
        if method == "GET" and pattern != ENDLESS:
            path = filled(pattern, **ANY | {"user": admin.id, "token": token_id})
            await browser.get(path, Authorization=f"Bearer {token}")
    assert await everything(console) == before


async def everything(console: Console) -> dict[str, list[Document]]:
    """All that is stored."""
    names = await console.database.list_collection_names()
    return {
        name: await console.database[name].find({}).sort("_id", 1).to_list(None)
        for name in sorted(names)
        if name != "sign_in_attempts"
    }
