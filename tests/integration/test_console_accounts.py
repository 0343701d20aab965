"""Signing in, sessions, users and API tokens of the console, on a database, races included."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from argon2 import PasswordHasher

from libs.common.mongo import Database
from libs.common.settings import MongoSettings, RuntimeSettings
from services.console.accounts import EmailTakenError
from services.console.domain.roles import Role, UnknownMemberError
from services.console.domain.throttling import (
    PER_ACCOUNT_AND_ADDRESS,
    PER_ADDRESS,
    WINDOW,
    window_end,
)
from services.console.domain.tokens import hashed, new_secret
from services.console.hashing import Passwords
from services.console.operator import OperatorSettings, make_link, make_workspace
from services.console.settings import SiteSettings
from tests.integration.console import ADMIN, PASSWORD, QUICK, Browser, Console, running_console

NEW_PASSWORD = "a rather new password"


@pytest.fixture
async def console(database: Database, mongo: MongoSettings) -> AsyncIterator[Console]:
    async with running_console(database, mongo) as console:
        yield console


async def audit_of(console: Console) -> list[tuple[str, str]]:
    """Actions and outcomes, in order."""
    found = await console.database["audit"].find({}).sort([("at", 1)]).to_list(None)
    return [(each["action"], each["outcome"]) for each in found]


# Signing in


async def test_the_first_administrator_comes_from_the_environment(console: Console) -> None:
    browser = console.browser()
    assert (await browser.get("/")).headers["Location"] == "/sign-in"
    answer = await browser.sign_in()
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    home = await browser.get("/")
    assert home.status == 200
    assert ADMIN in home.words
    assert await audit_of(console) == [("workspace.created", "done"), ("session.started", "done")]


async def test_the_cookie_is_for_this_host_and_not_for_scripts(console: Console) -> None:
    answer = await console.browser().sign_in()
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("session-")
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Path=/" in cookie
    assert "Domain" not in cookie


async def test_the_way_back_stays_here(console: Console) -> None:
    form = {"email": ADMIN, "password": PASSWORD}
    asked = await console.browser().get("/audit?limit=3")
    assert asked.headers["Location"] == "/sign-in?next=%2Faudit%3Flimit%3D3"
    for wanted, path in (("%2Faudit%3Flimit%3D3", "/audit?limit=3"), ("//evil.example", "/")):
        answer = await console.browser().post(f"/sign-in?next={wanted}", form)
        assert answer.headers["Location"] == path


@pytest.mark.parametrize(
    "state", ["wrong password", "unknown", "disabled", "invited", "no address"]
)
async def test_whoever_is_refused_learns_nothing_about_accounts(
    console: Console, state: str
) -> None:
    admin = await console.first_admin()
    email, password = "nobody@example.org", PASSWORD
    if state == "wrong password":
        email, password = ADMIN, "not the password"
    elif state == "disabled":
        account = await console.add("off@example.org", Role.MEMBER, admin.workspace_id)
        email = account.email
        await (await console.admin()).post(f"/users/{account.id}/disable")
    elif state == "invited":
        email = "soon@example.org"
        await (await console.admin()).post("/users/invite", {"email": email})
    elif state == "no address":
        email = "not an address"
    answer = await console.browser().sign_in(email, password)
    assert answer.status == 422
    assert "E-mail or password is wrong." in answer.words
    unknown = await console.browser().sign_in("else@example.org", password)
    assert answer.text.replace(email, "") == unknown.text.replace("else@example.org", "")


class CountingHasher(PasswordHasher):
    """Notes with which parameters it checked: all that a check's time depends on."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.checked: list[str] = []

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002
        self.checked.append(str(hash).rsplit("$", 2)[0])
        return super().verify(hash, password)


async def test_an_unknown_address_costs_the_same_check_of_a_hash_as_a_known_one(
    database: Database, mongo: MongoSettings
) -> None:
    hasher = CountingHasher()
    async with running_console(database, mongo, passwords=Passwords(hasher)) as running:
        for email in (ADMIN, "else@example.org"):
            answer = await running.browser().sign_in(email, "not the password")
            assert answer.status == 422
    known, unknown = hasher.checked
    assert known == unknown


def begin_a_window(console: Console) -> None:
    """Attempts are counted by quarters of an hour: one must not end in the middle of a test."""
    now = datetime.now(UTC)
    console.clock.ahead = window_end(now) - now


async def test_too_many_attempts_are_refused_and_say_until_when(console: Console) -> None:
    begin_a_window(console)
    browser = console.browser()
    for _ in range(PER_ACCOUNT_AND_ADDRESS):
        assert (await browser.sign_in(password="not the password")).status == 422
    refused = await browser.sign_in()
    assert refused.status == 429, "the right password is not even looked at"
    assert "Too many attempts. Try again in" in refused.words
    assert 0 < int(refused.headers["Retry-After"]) <= WINDOW.total_seconds() + 1
    console.clock.ahead += WINDOW
    assert (await browser.sign_in()).status == 303


async def test_an_address_that_tries_many_accounts_is_refused(console: Console) -> None:
    begin_a_window(console)
    browser = console.browser()
    for number in range(PER_ADDRESS):
        assert (await browser.sign_in(f"n{number}@example.org", "whatever it is")).status == 422
    assert (await browser.sign_in("another@example.org", "whatever it is")).status == 429


async def test_of_many_attempts_at_the_same_moment_no_more_get_through(console: Console) -> None:
    begin_a_window(console)
    browser = console.browser()
    answers = await asyncio.gather(
        *(browser.sign_in(password="not the password") for _ in range(PER_ACCOUNT_AND_ADDRESS * 2))
    )
    tried = [answer.status for answer in answers]
    assert 1 <= tried.count(422) <= PER_ACCOUNT_AND_ADDRESS
    assert set(tried) == {422, 429}


async def test_signing_in_often_is_not_trying_often(console: Console) -> None:
    browser = console.browser()
    for _ in range(PER_ACCOUNT_AND_ADDRESS + 2):
        assert (await browser.sign_in()).status == 303


async def test_forwarded_addresses_count_only_behind_our_own_proxy(
    database: Database, mongo: MongoSettings
) -> None:
    async with running_console(database, mongo, trusted_proxies="127.0.0.0/8") as console:
        browser = console.browser()
        for number in range(PER_ACCOUNT_AND_ADDRESS + 5):
            browser.headers["X-Forwarded-For"] = f"198.51.100.{number}"
            assert (await browser.sign_in(password="not the password")).status == 422
    browser_headers = {"X-Forwarded-For": "203.0.113.9"}
    async with running_console(database, mongo) as console:
        browser = console.browser()
        browser.headers |= browser_headers
        await browser.sign_in()
        session = await database["sessions"].find_one({})
        assert session is not None
        assert session["address"] == "127.0.0.1"


async def test_a_password_gets_todays_hash_when_it_is_used(console: Console) -> None:
    weaker = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1, hash_len=16)
    admin = await console.first_admin()
    accounts = console.database["accounts"]
    await accounts.update_one({"_id": admin.id}, {"$set": {"password_hash": weaker.hash(PASSWORD)}})
    await console.admin()
    await console.admin()
    assert not QUICK.check_needs_rehash((await console.first_admin()).password_hash or "")


# Sessions


async def test_each_sign_in_is_a_session_of_its_own_and_ends_the_browsers_last(
    console: Console,
) -> None:
    browser = await console.admin()
    first = browser.cookie
    await browser.sign_in()
    assert browser.cookie != first
    old = console.browser()
    assert (await old.get("/", Cookie=f"session-{console.url[-5:]}={first}")).status == 303
    assert await console.database["sessions"].count_documents({}) == 1


async def test_the_database_knows_no_secret_of_a_session(console: Console) -> None:
    browser = await console.admin()
    sessions = await console.database["sessions"].find({}).to_list(None)
    assert browser.cookie not in json.dumps(sessions, default=str)


async def test_signed_out_is_signed_out(console: Console) -> None:
    browser = await console.admin()
    cookie = browser.cookie
    assert (await browser.post("/sign-out")).headers["Location"] == "/sign-in"
    name = f"session-{console.url.rpartition(':')[2]}"
    again = await console.browser().get("/", Cookie=f"{name}={cookie}")
    assert again.headers["Location"] == "/sign-in"


async def test_a_session_ends_without_a_click_and_in_any_case(
    database: Database, mongo: MongoSettings
) -> None:
    hour = 3600
    async with running_console(
        database, mongo, session_idle_s=hour, session_absolute_s=3 * hour
    ) as console:
        browser = await console.admin()
        for minutes, status in ((50, 200), (100, 200), (161, 303)):
            console.clock.ahead = timedelta(minutes=minutes)
            assert (await browser.get("/")).status == status, minutes
        console.clock.ahead = timedelta()
        browser = await console.admin()
        for minutes in range(0, 180, 30):
            console.clock.ahead = timedelta(minutes=minutes)
            assert (await browser.get("/")).status == 200, minutes
        console.clock.ahead = timedelta(minutes=181)
        assert (await browser.get("/")).status == 303


async def test_signing_out_everywhere_ends_every_session(console: Console) -> None:
    here, there = await console.admin(), await console.admin()
    await here.post("/profile/sign-out-everywhere")
    for browser in (here, there):
        assert (await browser.get("/")).status == 303


async def test_a_new_password_ends_all_sessions_but_this_one(console: Console) -> None:
    here, there = await console.admin(), await console.admin()
    before = here.cookie
    answer = await here.post("/profile/password", {"current": PASSWORD, "new": NEW_PASSWORD})
    assert answer.headers["Location"] == "/profile"
    assert here.cookie != before
    assert "Your password is changed" in (await here.get("/profile")).words
    assert "Your password is changed" not in (await here.get("/profile")).words, "said once"
    assert (await there.get("/")).status == 303
    assert (await console.browser().sign_in()).status == 422
    assert (await console.browser().sign_in(password=NEW_PASSWORD)).status == 303


@pytest.mark.parametrize("how", ["password", "everywhere", "disabled"])
async def test_a_session_that_was_just_being_made_is_over_as_well(
    console: Console, how: str
) -> None:
    """As when a sign-in has passed the check, and is stored only after all sessions were ended."""
    admin, theirs = await console.admin(), await console.member()
    mo = await console.accounts.by_email("mo@example.org")
    assert mo is not None
    late = await console.database["sessions"].find_one({"account_id": mo.id})
    assert late is not None
    if how == "password":
        await theirs.post("/profile/password", {"current": PASSWORD, "new": NEW_PASSWORD})
    elif how == "everywhere":
        await theirs.post("/profile/sign-out-everywhere")
    else:
        await admin.post(f"/users/{mo.id}/disable")
        await admin.post(f"/users/{mo.id}/enable")
    browser = console.browser()
    secret = new_secret()
    await console.database["sessions"].insert_one(late | {"_id": hashed(secret)})
    name = f"session-{console.url.rpartition(':')[2]}"
    cookie = f"{name}={secret}"
    assert (await browser.get("/", Cookie=cookie)).status == 303
    now = await console.accounts.account(mo.id)
    assert now is not None
    await console.database["sessions"].update_one(
        {"_id": hashed(secret)}, {"$set": {"epoch": now.epoch}}
    )
    assert (await browser.get("/", Cookie=cookie)).status == 200, "it is the epoch, nothing else"


async def test_a_password_is_changed_only_by_who_knows_it(console: Console) -> None:
    begin_a_window(console)
    browser = await console.admin()
    for _ in range(PER_ACCOUNT_AND_ADDRESS):
        answer = await browser.post(
            "/profile/password", {"current": "no idea", "new": NEW_PASSWORD}
        )
        assert "This is not your password." in answer.words
    answer = await browser.post("/profile/password", {"current": PASSWORD, "new": NEW_PASSWORD})
    assert "Too many attempts" in answer.words
    assert "no idea" not in answer.text


async def test_a_weak_password_is_refused_at_its_field(console: Console) -> None:
    browser = await console.admin()
    for password, words in (
        ("short", "Use at least 12 characters."),
        ("aaaaaaaaaaaaaaaa", "one of the first that somebody would try"),
        (ADMIN, "This is your e-mail address"),
    ):
        answer = await browser.post("/profile/password", {"current": PASSWORD, "new": password})
        assert answer.status == 422
        assert words in answer.words
        assert password not in answer.text or password == ADMIN


async def test_with_htmx_the_browser_is_sent_on_by_a_header(console: Console) -> None:
    """It follows a redirect by itself, and would put the page it finds into the form's place."""
    browser = await console.admin()
    saved = await browser.post("/profile/name", {"name": "Ada"}, **{"HX-Request": "true"})
    assert (saved.status, saved.headers["HX-Redirect"]) == (204, "/profile")
    await browser.post("/sign-out")
    ended = await browser.post("/profile/name", {"name": "Eve"}, **{"HX-Request": "true"})
    assert (ended.status, ended.headers["HX-Redirect"]) == (401, "/sign-in")


# Users


async def invite(browser: Browser, email: str, role: str = "member") -> str:
    answer = await browser.post("/users/invite", {"email": email, "name": "Lena", "role": role})
    assert answer.status == 200, answer.words
    return answer.link


async def test_an_invitation_leads_in_once(console: Console) -> None:
    link = await invite(await console.admin(), "Lena@Example.org")
    guest = console.browser()
    assert "lena@example.org" in (await guest.get(f"/welcome/{link}")).words
    weak = await guest.post(f"/welcome/{link}", {"password": "lena"})
    assert weak.status == 422, "and the link still works"
    welcome = await guest.post(f"/welcome/{link}", {"password": NEW_PASSWORD, "name": "Lena M"})
    assert welcome.status == 303
    home = await guest.get("/")
    assert "Hello, Lena M" in home.words
    assert "Your role is Member" in home.words
    for again in (await guest.get(f"/welcome/{link}"), await guest.post(f"/welcome/{link}")):
        assert again.status == 410
    assert (await console.browser().sign_in("lena@example.org", NEW_PASSWORD)).status == 303


async def test_of_two_who_use_a_link_at_once_one_gets_in(console: Console) -> None:
    link = await invite(await console.admin(), "lena@example.org")
    answers = await asyncio.gather(
        *(
            console.browser().post(f"/welcome/{link}", {"password": f"{NEW_PASSWORD} {number}"})
            for number in range(6)
        )
    )
    assert sorted(answer.status for answer in answers) == [303] + [410] * 5
    won = next(number for number, answer in enumerate(answers) if answer.status == 303)
    signed_in = await console.browser().sign_in("lena@example.org", f"{NEW_PASSWORD} {won}")
    assert signed_in.status == 303


async def test_a_link_ends_with_time_and_with_the_next_one(console: Console) -> None:
    admin = await console.admin()
    first = await invite(admin, "lena@example.org")
    account = await console.accounts.by_email("lena@example.org")
    assert account is not None
    second = (await admin.post(f"/users/{account.id}/link")).link
    guest = console.browser()
    assert (await guest.get(f"/welcome/{first}")).status == 410
    assert (await guest.get(f"/welcome/{second}")).status == 200
    console.clock.ahead = timedelta(hours=73)
    assert (await guest.get(f"/welcome/{second}")).status == 410


async def test_a_reset_link_ends_the_old_password_only_when_used(console: Console) -> None:
    admin = await console.admin()
    first = await console.first_admin()
    mo = await console.add("mo@example.org", Role.MEMBER, first.workspace_id)
    theirs = console.browser()
    await theirs.sign_in(mo.email)
    link = (await admin.post(f"/users/{mo.id}/link")).link
    assert (await theirs.get("/")).status == 200
    await console.browser().post(f"/welcome/{link}", {"password": NEW_PASSWORD})
    assert (await theirs.get("/")).status == 303
    assert (await console.browser().sign_in(mo.email)).status == 422


async def test_an_address_is_invited_once(console: Console) -> None:
    admin = await console.admin()
    await invite(admin, "lena@example.org")
    again = await admin.post("/users/invite", {"email": "LENA@example.org"})
    assert again.status == 422
    assert "Somebody with this e-mail address has an account already." in again.words
    assert 'value="LENA@example.org"' in again.text, "what was typed is still there"
    assert (await audit_of(console))[-1] == ("user.invited", "refused")


async def test_an_invitation_that_a_crash_left_half_done_can_be_repeated(
    console: Console,
) -> None:
    await invite(await console.admin(), "lena@example.org")
    account = await console.accounts.by_email("lena@example.org")
    assert account is not None
    workspaces = console.database["workspaces"]
    await workspaces.update_one({}, {"$unset": {f"members.{account.id}": ""}})
    link = await invite(await console.admin(), "lena@example.org")
    assert (await console.browser().get(f"/welcome/{link}")).status == 200


async def test_a_disabled_user_is_out_at_once_and_comes_back_signed_out(console: Console) -> None:
    admin, theirs = await console.admin(), await console.member()
    mo = await console.accounts.by_email("mo@example.org")
    assert mo is not None
    assert "mo@example.org is signed out" in (await admin.get(f"/users/{mo.id}/disable")).words
    await admin.post(f"/users/{mo.id}/disable")
    assert (await theirs.get("/")).status == 303
    assert (await admin.post(f"/users/{mo.id}/enable")).status == 303
    assert (await theirs.get("/")).status == 303, "the old session must not come back"
    assert (await theirs.sign_in("mo@example.org")).status == 303


async def test_a_role_counts_from_the_next_click_on(console: Console) -> None:
    admin, theirs = await console.admin(), await console.member()
    mo = await console.accounts.by_email("mo@example.org")
    assert mo is not None
    assert (await theirs.get("/users")).status == 403
    await admin.post(f"/users/{mo.id}/role", {"role": "admin"})
    assert (await theirs.get("/users")).status == 200
    await admin.post(f"/users/{mo.id}/role", {"role": "member"})
    assert (await theirs.get("/users")).status == 403


async def test_nobody_takes_their_own_rights_away(console: Console) -> None:
    admin, account = await console.admin(), await console.first_admin()
    for path, form in (("role", {"role": "member"}), ("disable", {})):
        refused = await admin.post(f"/users/{account.id}/{path}", form)
        assert refused.status == 422
        assert "nobody takes this away from themselves" in refused.words
    assert (await audit_of(console))[-1] == ("user.disabled", "refused")
    assert (await admin.get("/users")).status == 200


async def test_administrators_who_disable_each_other_leave_one(console: Console) -> None:
    """At the same moment, again and again: somebody can always manage the workspace."""
    ada = await console.first_admin()
    eve = await console.add("eve@example.org", Role.ADMIN, ada.workspace_id)
    for _ in range(10):
        await console.database["sign_in_attempts"].delete_many({})
        await console.database["workspaces"].update_one(
            {},
            {"$set": {f"members.{each.id}.disabled": False for each in (ada, eve)}}
            | {"$inc": {"roster_version": 1}},
        )
        first, second = console.browser(), console.browser()
        await first.sign_in(ada.email)
        await second.sign_in(eve.email)
        await asyncio.gather(
            first.post(f"/users/{eve.id}/disable"), second.post(f"/users/{ada.id}/disable")
        )
        workspace = await console.accounts.workspace(ada.workspace_id)
        assert workspace is not None
        assert [member.disabled for member in workspace.members.values()].count(False) == 1


async def test_what_is_wrong_stands_at_its_field(console: Console) -> None:
    admin = await console.admin()
    answer = await admin.post("/users/invite", {"email": "not one", "role": "owner"})
    assert answer.status == 422
    assert 'aria-invalid="true"' in answer.text
    assert 'aria-describedby="invite-email-error invite-email-hint"' in answer.text
    assert "Expected an e-mail address, like ana@example.org." in answer.words
    assert "Choose one of these." in answer.words


async def test_what_people_call_themselves_is_only_text(console: Console) -> None:
    admin = await console.admin()
    name = "<img src=x onerror=alert(1)>"
    await admin.post("/profile/name", {"name": name})
    for path in ("/", "/users", "/audit", "/profile"):
        assert name not in (await admin.get(path)).text, path


# The first run


async def test_without_an_environment_a_printed_code_makes_the_first_administrator(
    database: Database, mongo: MongoSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running_console(database, mongo, email="", password="") as console:
        printed = capsys.readouterr().err
        assert f"{console.url}/first-run" in printed
        code = next(line.strip() for line in printed.splitlines() if len(line.strip()) == 43)
        browser = console.browser()
        assert (await browser.get("/sign-in")).headers["Location"] == "/first-run"
        form = {"email": ADMIN, "password": PASSWORD, "code": "x" * 43}
        refused = await browser.post("/first-run", form)
        assert "This is not the code" in refused.words
        answers = await asyncio.gather(
            *(
                console.browser().post("/first-run", form | {"code": code, "email": email})
                for email in (ADMIN, "eve@example.org", "max@example.org")
            )
        )
        assert sorted(answer.status for answer in answers).count(303) >= 1
        assert await database["accounts"].count_documents({}) == 1
        assert (await browser.get("/first-run")).headers["Location"] == "/sign-in"
        assert (await browser.post("/first-run", form | {"code": code})).status == 303
        assert await database["accounts"].count_documents({}) == 1


async def test_processes_that_start_at_once_make_one_administrator(
    database: Database, mongo: MongoSettings
) -> None:
    async with AsyncExitStack() as stack:
        consoles = await asyncio.gather(
            *(stack.enter_async_context(running_console(database, mongo)) for _ in range(3))
        )
        for console in consoles:
            await console.admin()
        assert await database["accounts"].count_documents({}) == 1
        assert await database["workspaces"].count_documents({}) == 1


async def test_a_first_run_that_died_half_way_is_done_again(
    database: Database, mongo: MongoSettings
) -> None:
    async with running_console(database, mongo):
        pass
    await database["workspaces"].delete_many({})
    async with running_console(database, mongo) as console:
        assert (await (await console.admin()).get("/users")).status == 200


async def test_a_workspace_that_the_seed_made_is_taken_over(
    database: Database, mongo: MongoSettings
) -> None:
    await database["workspaces"].insert_one({"_id": "demo", "name": "Demo workspace"})
    async with running_console(database, mongo) as console:
        assert (await console.first_admin()).workspace_id == "demo"
        assert "Demo workspace" in (await (await console.admin()).get("/")).words


async def test_the_environment_changes_nobodys_password(
    database: Database, mongo: MongoSettings
) -> None:
    async with running_console(database, mongo):
        pass
    async with running_console(database, mongo, password="another good password") as console:
        await console.admin()


# API tokens and /api/v1


async def make_token(browser: Browser, *scopes: str, days: str = "90") -> str:
    form = [("name", "Report"), ("valid_days", days), *(("scopes", scope) for scope in scopes)]
    answer = await browser.post("/api-tokens", form)
    assert answer.status == 200, answer.words
    return answer.token


async def call(
    console: Console, token: str, method: str, path: str, body: object = None
) -> tuple[int, dict[str, object]]:
    answer = await console.browser().ask(
        method,
        f"/api/v1{path}",
        data=None if body is None else json.dumps(body),
        headers={"Authorization": f"Bearer {token}"},
    )
    return answer.status, json.loads(answer.text) if answer.text else {}


def code(answer: tuple[int, dict[str, object]]) -> tuple[int, object, object]:
    error = answer[1]["error"]
    assert isinstance(error, dict)
    return answer[0], error["code"], error.get("field")


async def test_a_token_works_until_it_is_revoked_and_its_use_is_noted(console: Console) -> None:
    admin = await console.admin()
    token = await make_token(admin, "users:read")
    status, me = await call(console, token, "GET", "/me")
    assert (status, me["email"], me["role"]) == (200, ADMIN, "admin")
    stored = await console.database["api_tokens"].find_one({})
    assert stored is not None
    assert token.rpartition("_")[2] not in json.dumps(stored, default=str)
    assert stored["last_used_at"] is not None
    await admin.post(f"/api-tokens/{stored['_id']}/revoke")
    assert code(await call(console, token, "GET", "/me"))[:2] == (401, "unauthorized")


async def test_a_token_ends_with_time(console: Console) -> None:
    token = await make_token(await console.admin(), "users:read", days="30")
    console.clock.ahead = timedelta(days=30, seconds=1)
    assert (await call(console, token, "GET", "/me"))[0] == 401


async def test_a_token_ends_with_its_owners_role(console: Console) -> None:
    ada = await console.first_admin()
    eve = await console.add("eve@example.org", Role.ADMIN, ada.workspace_id)
    theirs = console.browser()
    await theirs.sign_in(eve.email)
    token = await make_token(theirs, "users:read")
    admin = await console.admin()
    await admin.post(f"/users/{eve.id}/role", {"role": "member"})
    assert (await call(console, token, "GET", "/me"))[0] == 401
    await admin.post(f"/users/{eve.id}/role", {"role": "admin"})
    assert (await call(console, token, "GET", "/me"))[0] == 200
    await admin.post(f"/users/{eve.id}/disable")
    assert (await call(console, token, "GET", "/me"))[0] == 401


async def test_a_forged_token_is_none(console: Console) -> None:
    token = await make_token(await console.admin(), "users:read")
    other = "A" if token[-1] != "A" else "B"
    for forged in (token[:-1] + other, token + "x", "mat_0000000000000000_" + "a" * 43, "", "é"):
        assert (await call(console, forged, "GET", "/me"))[0] == 401


async def test_a_token_makes_none_that_may_do_more(console: Console) -> None:
    token = await make_token(await console.admin(), "tokens:write", "audit:read")
    wanted = {"name": "more", "scopes": ["users:write"]}
    refused = code(await call(console, token, "POST", "/tokens", wanted))
    assert refused[:2] == (403, "scope_exceeded")
    wanted["scopes"] = ["audit:read"]
    status, made = await call(console, token, "POST", "/tokens", wanted)
    assert status == 201
    assert (await call(console, str(made["token"]), "GET", "/audit"))[0] == 200


async def test_the_api_does_what_the_pages_do(console: Console) -> None:
    token = await make_token(
        await console.admin(), "users:read", "users:write", "tokens:read", "tokens:write"
    )
    status, link = await call(console, token, "POST", "/users", {"email": "lena@example.org"})
    assert status == 201
    secret = str(link["url"]).rpartition("/")[2]
    assert (await console.browser().get(f"/welcome/{secret}")).status == 200
    _, users = await call(console, token, "GET", "/users")
    listed = users["users"]
    assert isinstance(listed, list)
    lena = next(user for user in listed if user["email"] == "lena@example.org")
    assert (lena["state"], lena["role"]) == ("invited", "member")
    path = f"/users/{lena['id']}"
    change = {"role": "admin", "disabled": True}
    _, changed = await call(console, token, "PATCH", path, change)
    assert (changed["state"], changed["role"]) == ("disabled", "admin")
    assert code(await call(console, token, "POST", f"{path}/link"))[:2] == (409, "user_disabled")
    assert (await call(console, token, "PATCH", path, {"disabled": False}))[1]["state"] == "invited"
    _, tokens = await call(console, token, "GET", "/tokens")
    assert isinstance(tokens["tokens"], list)
    assert (await call(console, token, "DELETE", f"/tokens/{tokens['tokens'][0]['id']}"))[0] == 204
    assert (await call(console, token, "GET", "/me"))[0] == 401


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"email": "nonsense"}, (422, "invalid", "email")),
        ({}, (422, "invalid", "email")),
        ({"email": "a@example.org", "role": "owner"}, (422, "invalid", "role")),
        ({"email": "a@example.org", "rôle": "admin"}, (422, "invalid", "rôle")),
        ({"email": ADMIN}, (409, "email_taken", None)),
        ([], (422, "invalid", None)),
    ],
)
async def test_errors_have_one_shape_and_name_the_field(
    console: Console, body: object, expected: tuple[int, str, str | None]
) -> None:
    token = await make_token(await console.admin(), "users:write")
    assert code(await call(console, token, "POST", "/users", body)) == expected


async def test_what_is_not_json_is_said_to_be_none(console: Console) -> None:
    token = await make_token(await console.admin(), "users:write")
    for body in ("", "{", "[" * 100_000, b"\xff\xfe"):
        answer = await console.browser().ask(
            "POST", "/api/v1/users", data=body, headers={"Authorization": f"Bearer {token}"}
        )
        assert (answer.status, json.loads(answer.text)["error"]["code"]) == (400, "not_json")


async def test_the_audit_log_tells_everything_page_by_page(console: Console) -> None:
    admin = await console.admin()
    token = await make_token(admin, "audit:read", "users:write")
    for number in range(4):
        await call(console, token, "POST", "/users", {"email": f"n{number}@example.org"})
    seen: list[dict[str, object]] = []
    cursor = ""
    while True:
        _, page = await call(console, token, "GET", f"/audit?limit=2{cursor}")
        entries = page["entries"]
        assert isinstance(entries, list)
        seen += entries
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert [entry["action"] for entry in seen] == [
        *["user.invited"] * 4,
        "api_token.created",
        "session.started",
        "workspace.created",
    ]
    assert (seen[0]["who"], seen[0]["via"], seen[0]["target"]) == (
        ADMIN,
        "Report",
        "n3@example.org",
    )
    assert {entry["outcome"] for entry in seen} == {"done"}
    shown = (await admin.get("/audit")).words
    assert "Invited a user" in shown
    assert "API token “Report”" in shown
    assert code(await call(console, token, "GET", "/audit?cursor=x"))[:2] == (400, "bad_cursor")
    assert code(await call(console, token, "GET", "/audit?limit=0")) == (422, "invalid", "limit")


async def test_what_was_begun_and_not_ended_says_so(console: Console) -> None:
    """As after a crash between the entry and what it is about."""
    admin = await console.admin()
    await console.database["audit"].update_many({}, {"$set": {"outcome": "begun"}})
    assert "Begun, may be done" in (await admin.get("/audit")).words


def operators(console: Console, mongo: MongoSettings) -> OperatorSettings:
    return OperatorSettings(
        runtime=RuntimeSettings(env="test"),
        mongo=mongo,
        site=SiteSettings(env="test", console_url=console.url),
    )


async def test_whoever_runs_it_lets_a_locked_out_administrator_in(
    console: Console, mongo: MongoSettings
) -> None:
    link = await make_link(operators(console, mongo), ADMIN)
    path = link.removeprefix(console.url)
    assert (await console.browser().post(path, {"password": NEW_PASSWORD})).status == 303
    assert (await console.browser().sign_in(password=NEW_PASSWORD)).status == 303
    assert ("user.link_made", "done") in await audit_of(console)
    with pytest.raises(UnknownMemberError, match="nobody has the address"):
        await make_link(operators(console, mongo), "else@example.org")


async def test_whoever_runs_it_makes_more_workspaces(
    console: Console, mongo: MongoSettings
) -> None:
    settings = operators(console, mongo)
    link = await make_workspace(settings, "Second shop", "eve@example.org")
    theirs = console.browser()
    await theirs.post(link.removeprefix(console.url), {"password": NEW_PASSWORD})
    users = (await theirs.get("/users")).words
    assert "Second shop" in users
    assert "eve@example.org" in users
    assert ADMIN not in users
    assert "Created the workspace" in (await theirs.get("/audit")).words
    assert "eve@example.org" not in (await (await console.admin()).get("/users")).words
    with pytest.raises(EmailTakenError):
        await make_workspace(settings, "Third shop", ADMIN)
    assert await console.database["workspaces"].count_documents({}) == 2
