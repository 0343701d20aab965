"""Tokens from the code on: how they are got, what they tell, what they may do, when they die."""

from pathlib import Path
from typing import Any

import pytest

from simulator.core import Simulator
from simulator.store import load_world
from tests.unit.simulator.harness import Facebook, FakeApp, make_settings, until
from tests.unit.simulator.login import (
    ALL,
    APP_TOKEN,
    DAY_MS,
    REDIRECT,
    App,
    code_and_subcode,
    dialog_path,
)

HOUR_MS = 3_600_000


@pytest.fixture
def app(facebook: Facebook) -> App:
    return App(facebook)


def later(facebook: Facebook, by_ms: int) -> None:
    """Move the simulator's clock."""
    clock = facebook.simulator.now
    facebook.simulator.now = lambda: clock() + by_ms


# The code


async def test_a_code_becomes_a_token_of_hours_and_that_one_of_sixty_days(app: App) -> None:
    status, short = await app.exchange(code=await app.code(), redirect_uri=REDIRECT)
    assert (status, short["token_type"], short["expires_in"]) == (200, "bearer", 7200)
    status, long = await app.exchange(
        grant_type="fb_exchange_token", fb_exchange_token=short["access_token"]
    )
    assert (status, long["expires_in"]) == (200, 60 * 86400)
    assert long["access_token"] != short["access_token"]
    assert (await app.ok(long["access_token"], "GET", "/me"))["name"] == "Alex Morgan"


async def test_a_code_can_be_exchanged_with_a_get_as_well(app: App) -> None:
    code = await app.code()
    query = {
        "client_id": "1517776481860111",
        "client_secret": "test_app_secret",
        "redirect_uri": REDIRECT,
        "code": code,
    }
    async with app.client.get("/v26.0/oauth/access_token", params=query) as response:
        assert response.status == 200
        assert (await response.json())["access_token"].startswith("EAA")


async def test_a_code_works_once(app: App) -> None:
    code = await app.code()
    assert (await app.exchange(code=code, redirect_uri=REDIRECT))[0] == 200
    status, answer = await app.exchange(code=code, redirect_uri=REDIRECT)
    assert (status, *code_and_subcode(answer)) == (400, 100, 36009)


async def test_a_code_dies_after_ten_minutes(app: App, facebook: Facebook) -> None:
    code = await app.code()
    later(facebook, 10 * 60_000)
    _, answer = await app.exchange(code=code, redirect_uri=REDIRECT)
    assert code_and_subcode(answer) == (100, 36007)


async def test_another_redirect_uri_does_not_use_the_code_up(app: App) -> None:
    code = await app.code()
    _, answer = await app.exchange(code=code, redirect_uri=REDIRECT + "/")
    assert code_and_subcode(answer) == (100, 36008)
    assert (await app.exchange(code=code, redirect_uri=REDIRECT))[0] == 200


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"client_secret": "wrong_secret"}, (1, None)),
        ({"client_id": "1"}, (101, None)),
        ({"code": "AQnonsense"}, (100, None)),
        ({"code": ""}, (100, None)),
        ({"redirect_uri": ""}, (100, None)),
        ({"grant_type": "password"}, (100, None)),
        ({"grant_type": "fb_exchange_token", "fb_exchange_token": "EAAno"}, (190, None)),
    ],
)
async def test_what_an_exchange_is_refused_for(
    app: App, changes: dict[str, str], expected: tuple[int, int | None]
) -> None:
    params = {"code": await app.code(), "redirect_uri": REDIRECT, **changes}
    status, answer = await app.exchange(**params)
    assert (status, *code_and_subcode(answer)) == (400, *expected)


async def test_a_dead_or_a_pages_token_cannot_be_exchanged(app: App, facebook: Facebook) -> None:
    short = await app.short_token()
    page_token = await app.page_token(short)
    _, answer = await app.exchange(grant_type="fb_exchange_token", fb_exchange_token=page_token)
    assert code_and_subcode(answer) == (190, None)
    later(facebook, 2 * HOUR_MS)
    _, answer = await app.exchange(grant_type="fb_exchange_token", fb_exchange_token=short)
    assert code_and_subcode(answer) == (190, 463)


async def test_the_app_gets_a_token_of_its_own(app: App) -> None:
    status, answer = await app.exchange(grant_type="client_credentials")
    assert (status, answer["access_token"]) == (200, APP_TOKEN)


async def test_neither_codes_nor_secrets_nor_tokens_are_among_the_calls(app: App) -> None:
    token = await app.long_token()
    await app.debug(token)
    async with app.client.get("/simulator/api/calls") as response:
        noted = await response.text()
    assert '"endpoint": "login"' in noted
    assert "test_app_secret" not in noted
    assert '"code": "AQ' not in noted
    assert "EAA" not in noted


# What the tokens tell


async def test_what_was_given_and_declined_is_told(app: App) -> None:
    token = await app.long_token(without=["business_management"])
    data = (await app.ok(token, "GET", "/me/permissions"))["data"]
    assert {"permission": "pages_messaging", "status": "granted"} in data
    assert {"permission": "business_management", "status": "declined"} in data


async def test_a_users_token_is_explained(app: App, facebook: Facebook) -> None:
    token = await app.short_token(without=["business_management"])
    facts = await app.debug(token)
    now_s = facebook.simulator.now() // 1000
    assert facts["is_valid"]
    assert facts["type"] == "USER"
    assert facts["app_id"] == "1517776481860111"
    assert facts["user_id"] == await app.user_named("Alex")
    assert 0 <= facts["issued_at"] + 7200 - facts["expires_at"] <= 1
    assert facts["data_access_expires_at"] - now_s > 89 * 86400
    assert "business_management" not in facts["scopes"]
    granular = {each["scope"]: each["target_ids"] for each in facts["granular_scopes"]}
    assert granular["pages_messaging"] == [facebook.page]


async def test_a_pages_token_is_explained(app: App, facebook: Facebook) -> None:
    facts = await app.debug(await app.page_token(await app.long_token()))
    assert (facts["type"], facts["profile_id"]) == ("PAGE", facebook.page)
    assert (facts["is_valid"], facts["expires_at"]) == (True, 0)


async def test_the_token_of_a_page_connected_before_is_explained(
    app: App, facebook: Facebook
) -> None:
    facts = await app.debug(facebook.token)
    assert (facts["type"], facts["is_valid"]) == ("PAGE", True)
    assert facts["user_id"] == await app.user_named("Alex")
    assert set(ALL) <= set(facts["scopes"])
    await app.control.set_token(facebook.page, "expired")
    facts = await app.debug(facebook.token)
    assert (facts["is_valid"], facts["scopes"], facts["error"]["subcode"]) == (False, [], 463)


async def test_what_is_no_token_and_what_is_the_apps(app: App) -> None:
    facts = await app.debug("EAAnonsense")
    assert (facts["is_valid"], facts["error"]["code"]) == (False, 190)
    assert (await app.debug(APP_TOKEN))["type"] == "APP"


async def test_only_the_app_and_its_people_may_ask_about_tokens(app: App) -> None:
    sam = await app.user_named("Sam")
    stranger = await app.long_token(user=sam)
    refused = await app.refusal(stranger, "GET", "/debug_token", input_token=stranger)
    assert refused == (15, None)
    admin = await app.long_token()
    answer = await app.ok(admin, "GET", "/debug_token", input_token=stranger)
    assert answer["data"]["user_id"] == sam
    assert await app.refusal(APP_TOKEN, "GET", "/debug_token") == (100, None)


# Pages


async def test_pages_come_with_tasks_and_tokens(app: App, facebook: Facebook) -> None:
    (page,) = await app.accounts(await app.long_token())
    assert (page["id"], page["name"]) == (facebook.page, "Corner Bakery")
    assert {"MESSAGING", "MANAGE", "MODERATE"} <= set(page["tasks"])
    (page,) = await app.accounts(await app.long_token(user=await app.user_named("Sam")))
    assert page["tasks"] == ["ANALYZE"]
    assert await app.accounts(await app.long_token(user=await app.user_named("Noor"))) == []


async def test_a_pages_token_stays_the_same_while_it_is_good(app: App) -> None:
    token = await app.long_token()
    assert await app.page_token(token) == await app.page_token(token)


@pytest.mark.parametrize(
    "answer", [{"without": ["pages_show_list"]}, {"pages": []}], ids=["no permission", "no Page"]
)
async def test_no_page_is_an_empty_list(app: App, answer: dict[str, Any]) -> None:
    assert await app.accounts(await app.long_token(**answer)) == []


async def test_an_unpublished_page_disappears_and_can_be_looked_at(
    app: App, facebook: Facebook
) -> None:
    token = await app.long_token()
    await facebook.behave(published=False)
    assert await app.accounts(token) == []
    facts = await app.debug(token)
    assert facts["granular_scopes"][0]["target_ids"] == [facebook.page]
    page = await app.ok(token, "GET", f"/{facebook.page}", fields="name,is_published")
    assert page == {"id": facebook.page, "name": "Corner Bakery", "is_published": False}


async def test_pages_of_others_are_not_to_be_seen(app: App, facebook: Facebook) -> None:
    stranger = await app.long_token(user=await app.user_named("Noor"))
    assert await app.refusal(stranger, "GET", f"/{facebook.page}") == (10, None)
    assert await app.refusal(APP_TOKEN, "GET", f"/{facebook.page}") == (10, None)


async def test_lists_are_paged_and_a_page_of_it_may_be_empty(app: App) -> None:
    added = [await app.control.add_page(f"Shop {number}") for number in range(4)]
    first = (await app.control.pages())[0]["id"]
    chosen = [first, added[-1]["id"]]
    token = await app.long_token(pages=chosen)
    found, sizes, query = [], [], {"limit": "1", "fields": "id"}
    while True:
        answer = await app.ok(token, "GET", "/me/accounts", **query)
        found += [each["id"] for each in answer["data"]]
        sizes.append(len(answer["data"]))
        if "next" not in answer["paging"]:
            break
        assert answer["paging"]["next"].startswith("http://127.0.0.1:8090/v26.0/me/accounts?")
        query["after"] = answer["paging"]["cursors"]["after"]
    assert (found, sizes) == (chosen, [1, 0, 0, 0, 1])
    before = answer["paging"]["cursors"]["before"]
    answer = await app.ok(token, "GET", "/me/accounts", limit="4", before=before)
    assert [each["id"] for each in answer["data"]] == [first]


@pytest.mark.parametrize("query", [{"after": "nonsense"}, {"limit": "0"}, {"limit": "x"}])
async def test_nonsense_in_a_list_is_refused(app: App, query: dict[str, str]) -> None:
    token = await app.long_token()
    assert await app.refusal(token, "GET", "/me/accounts", **query) == (100, None)


# What the tokens may do


async def connected(app: App, **answer: Any) -> str:  # noqa: ANN401
    """A Page's token that never runs out."""
    return await app.page_token(await app.long_token(**answer))


async def test_a_page_is_connected_from_the_login_to_the_first_answer(
    app: App, facebook: Facebook, fake_app: FakeApp
) -> None:
    path = f"/{facebook.page}/subscribed_apps"
    token = await connected(app)
    await app.ok(token, "DELETE", path)
    await facebook.says("nobody hears it")
    await facebook.until_quiet()
    assert fake_app.received == []
    fields = {"subscribed_fields": "messages,messaging_postbacks"}
    assert await app.ok(token, "POST", path, fields) == {"success": True}
    (subscribed,) = (await app.ok(token, "GET", path))["data"]
    assert subscribed["subscribed_fields"] == ["messages", "messaging_postbacks"]
    await facebook.says("hello")
    await fake_app.wait_for(lambda fake: len(fake.received) == 1)
    sent = await app.ok(token, "POST", f"/{facebook.page}/messages", facebook.message("hi"))
    assert sent["recipient_id"] == facebook.psid


@pytest.mark.parametrize(
    ("missing", "method", "edge", "code"),
    [
        ("pages_messaging", "POST", "messages", 200),
        ("pages_messaging", "POST", "subscribed_apps", 200),
        ("pages_messaging", "GET", "messenger_profile", 200),
        ("pages_manage_metadata", "POST", "subscribed_apps", 200),
        ("pages_manage_metadata", "GET", "subscribed_apps", 200),
        ("pages_read_engagement", "GET", "conversations", 200),
    ],
)
async def test_a_declined_permission_closes_what_needs_it(
    app: App, facebook: Facebook, missing: str, method: str, edge: str, code: int
) -> None:
    await facebook.says("hello")
    token = await connected(app, without=[missing])
    body = {"subscribed_fields": "messages"} if edge == "subscribed_apps" else {}
    body = facebook.message("hi") if edge == "messages" else body
    path = f"/{facebook.page}/{edge}"
    query = {"fields": "greeting"} if edge == "messenger_profile" else {}
    sent = body if method == "POST" else None
    assert await app.refusal(token, method, path, sent, **query) == (code, None)


@pytest.mark.parametrize(
    ("role", "may_send", "may_subscribe"),
    [
        ("admin", True, True),
        ("editor", True, True),
        ("moderator", True, True),
        ("advertiser", False, False),
        ("analyst", False, False),
    ],
)
async def test_a_role_decides_what_the_pages_token_may_do(
    app: App, facebook: Facebook, role: str, may_send: bool, may_subscribe: bool
) -> None:
    await facebook.says("hello")
    alex = await app.user_named("Alex")
    await app.control.set_role(alex, facebook.page, role)
    token = await connected(app)
    sent, _ = await app.call(token, "POST", f"/{facebook.page}/messages", facebook.message("hi"))
    subscribed, _ = await app.call(
        token, "POST", f"/{facebook.page}/subscribed_apps", {"subscribed_fields": "messages"}
    )
    assert (sent == 200, subscribed == 200) == (may_send, may_subscribe)


async def test_each_kind_of_token_is_for_its_own_calls(app: App, facebook: Facebook) -> None:
    user, page = await app.long_token(), facebook.token
    subscribe = ("POST", f"/{facebook.page}/subscribed_apps", {"subscribed_fields": "messages"})
    assert await app.refusal(user, *subscribe) == (210, None)
    assert await app.refusal(APP_TOKEN, *subscribe) == (210, None)
    for token in (page, APP_TOKEN):
        assert await app.refusal(token, "GET", "/me/accounts") == (2500, None)
    assert await app.refusal("EAAnonsense", "GET", "/me/accounts") == (190, None)
    without_proof = await app.refusal(user, "GET", "/me/accounts", appsecret_proof="no")
    assert without_proof == (100, None)


async def test_a_pages_token_is_for_its_page_only(app: App) -> None:
    other = (await app.control.add_page("Flower Shop"))["id"]
    token = await connected(app)
    assert await app.refusal(token, "GET", f"/{other}/subscribed_apps") == (100, 33)


@pytest.mark.parametrize("change", [{"mode": "development"}, {"reviewed": ["pages_show_list"]}])
async def test_an_app_that_is_not_open_knows_people_with_a_role_only(
    app: App, facebook: Facebook, fake_app: FakeApp, change: dict[str, Any]
) -> None:
    await app.control.change_app(**change)
    token = await connected(app)
    await facebook.says("from somebody with a role")
    stranger = {"psid": facebook.other_psid, "text": "from a stranger"}
    await facebook.control("POST", f"/pages/{facebook.page}/messages", stranger)
    await facebook.until_quiet()
    assert [b"stranger" in each.body for each in fake_app.received] == [False]
    message = facebook.message("hi")
    path = f"/{facebook.page}/messages"
    await app.ok(token, "POST", path, message)
    message["recipient"]["id"] = facebook.other_psid
    assert await app.refusal(token, "POST", path, message) == (200, 2018028)


# When they die


async def test_a_pages_token_outlives_the_long_token_it_came_with(
    app: App, facebook: Facebook
) -> None:
    user = await app.long_token()
    page = await app.page_token(user)
    later(facebook, 60 * DAY_MS)
    assert await app.refusal(user, "GET", "/me") == (190, 463)
    assert (await app.ok(page, "GET", "/me"))["id"] == facebook.page


async def test_a_pages_token_got_with_a_short_one_dies_with_it(
    app: App, facebook: Facebook
) -> None:
    page = await app.page_token(await app.short_token())
    assert (await app.debug(page))["expires_at"] > 0
    later(facebook, 2 * HOUR_MS)
    assert await app.refusal(page, "GET", "/me") == (190, 463)
    facts = await app.debug(page)
    assert (facts["is_valid"], facts["error"]["subcode"]) == (False, 463)


async def test_a_new_password_kills_the_tokens_of_the_pages_too(app: App) -> None:
    user = await app.long_token()
    page = await app.page_token(user)
    await app.control.change_password(await app.user_named("Alex"))
    assert await app.refusal(user, "GET", "/me") == (190, 460)
    assert await app.refusal(page, "GET", "/me") == (190, 460)
    again = await connected(app)
    assert (await app.debug(again))["is_valid"]


async def test_a_lost_role_kills_the_pages_token_only(app: App, facebook: Facebook) -> None:
    user = await app.long_token()
    page = await app.page_token(user)
    await app.control.set_role(await app.user_named("Alex"), facebook.page, "none")
    assert await app.refusal(page, "GET", "/me") == (190, 492)
    assert await app.accounts(user) == []


async def test_the_control_api_kills_and_revives_every_token_of_a_page(
    app: App, facebook: Facebook
) -> None:
    page = await connected(app)
    await app.control.set_token(facebook.page, "revoked")
    assert await app.refusal(page, "GET", "/me") == (190, 458)
    assert await app.refusal(facebook.token, "GET", "/me") == (190, 458)
    again = await connected(app)  # a reconnect is good at once
    assert (await app.ok(again, "GET", "/me"))["id"] == facebook.page
    await app.control.set_token(facebook.page, "valid")
    await app.ok(page, "GET", "/me")


async def test_all_tokens_of_a_user_can_be_made_to_expire(app: App) -> None:
    user = await app.long_token()
    page = await app.page_token(user)
    await app.control.set_user_tokens(await app.user_named("Alex"), "expired")
    assert await app.refusal(user, "GET", "/me") == (190, 463)
    assert await app.refusal(page, "GET", "/me") == (190, 463)


async def test_one_permission_can_be_taken_back(app: App, facebook: Facebook) -> None:
    await facebook.says("hello")
    user = await app.long_token()
    page = await app.page_token(user)
    assert await app.ok(user, "DELETE", "/me/permissions/pages_messaging") == {"success": True}
    path = f"/{facebook.page}/messages"
    assert await app.refusal(page, "POST", path, facebook.message("hi")) == (200, None)
    assert "pages_messaging" not in (await app.debug(user))["scopes"]
    refused = await app.refusal(user, "DELETE", "/me/permissions/email")
    assert refused == (100, None)


async def test_a_page_that_is_unticked_later_is_closed_for_older_tokens(
    app: App, facebook: Facebook
) -> None:
    token = await connected(app)
    await app.dialog(pages=[])
    path = f"/{facebook.page}/subscribed_apps"
    assert await app.refusal(token, "GET", path) == (200, None)


async def test_a_lost_review_closes_what_strangers_had_granted(
    app: App, facebook: Facebook
) -> None:
    sam = await app.user_named("Sam")
    await app.control.set_role(sam, facebook.page, "admin")
    strangers, admins = await connected(app, user=sam), await connected(app)
    await app.control.change_app(reviewed=["pages_show_list"])
    path = f"/{facebook.page}/subscribed_apps"
    assert await app.refusal(strangers, "GET", path) == (200, None)
    await app.ok(admins, "GET", path)


# What the app is told


async def test_who_removes_the_app_ends_all_tokens_and_the_app_is_told(
    app: App, facebook: Facebook, fake_app: FakeApp
) -> None:
    user = await app.long_token()
    page = await app.page_token(user)
    assert await app.ok(user, "DELETE", "/me/permissions") == {"success": True}
    assert await app.refusal(user, "GET", "/me") == (190, 458)
    assert await app.refusal(page, "GET", "/me") == (190, 458)
    await until(lambda: len(fake_app.forms) == 1)
    path, signed_request = fake_app.forms[0]
    assert path == "/webhooks/messenger/deauthorize"
    assert fake_app.user_of(signed_request) == await app.user_named("Alex")
    alex = (await app.control.users())[0]
    assert (alex["permissions"], alex["chosen_pages"]) == ({}, [])


async def test_an_app_that_cannot_be_told_is_removed_all_the_same(
    app: App, facebook: Facebook
) -> None:
    await app.control.change_app(deauthorize_url="http://127.0.0.1:9/gone")
    await app.long_token()
    await app.control.remove_app(await app.user_named("Alex"))
    assert (await app.control.users())[0]["permissions"] == {}
    await until(lambda: not facebook.simulator.callbacks._running)


async def test_a_wish_for_deletion_is_posted_and_its_answer_shown(
    app: App, fake_app: FakeApp
) -> None:
    alex = await app.user_named("Alex")
    answer = await app.control.request_deletion(alex)
    assert answer == {"user_id": alex, "status": 200, "answer": "OK"}
    ((path, signed_request),) = fake_app.forms
    assert path == "/webhooks/messenger/data-deletion"
    assert fake_app.user_of(signed_request) == alex
    await app.control.change_app(data_deletion_url="http://127.0.0.1:9/gone")
    status, said = await app.facebook.ask("POST", f"/simulator/api/users/{alex}/data-deletion", {})
    assert (status, said["error"].split(":")[0]) == (502, "callback")


# The world


async def test_a_killed_simulator_has_forgotten_no_login(
    app: App, facebook: Facebook, fake_app: FakeApp, tmp_path: Path
) -> None:
    user = await app.long_token(without=["business_management"])
    page = await app.page_token(user)
    code = await app.code()
    used = await app.code()
    await app.exchange(code=used, redirect_uri=REDIRECT)
    await app.control.add_user("Zoë", "tester")
    await app.control.change_app(name="Crumb", redirect_uris=[REDIRECT])
    greeting = {"greeting": [{"locale": "default", "text": "Hello"}]}
    await app.ok(page, "POST", "/me/messenger_profile", greeting)
    sam, noor = await app.user_named("Sam"), await app.user_named("Noor")
    await app.long_token(user=sam)
    await app.control.change_password(sam)
    await app.long_token(user=noor)
    await app.control.remove_app(noor)

    settings = make_settings(fake_app.url, tmp_path)
    second = Simulator(settings, load_world(settings.state_dir / "simulator.json"))
    assert second.world._state.facebook == facebook.simulator.world._state.facebook
    assert second.world.pages == facebook.simulator.world.pages
    assert second.world.page_of_token(page) is second.world.pages[0]
    now = second.now()
    assert second.world.logins.redeem(code, REDIRECT, now).token.startswith("EAA")


async def test_a_new_page_belongs_to_the_first_user(app: App) -> None:
    page = await app.control.add_page("Flower Shop")
    alex, sam, _ = await app.control.users()
    assert alex["roles"][page["id"]] == "admin"
    assert page["id"] not in sam["roles"]


async def test_an_empty_world_has_nobody_until_it_has_a_page(app: App, facebook: Facebook) -> None:
    await app.long_token()
    await facebook.control("POST", "/reset")
    assert await app.control.users() == []
    assert facebook.simulator.world._state.facebook.tokens == {}
    with pytest.raises(Exception, match="nobody who could log in"):
        await app.dialog(dialog_path())
    page = await app.control.add_page("Flower Shop")
    alex = (await app.control.users())[0]
    assert alex["roles"] == {page["id"]: "admin"}


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "/users", {"name": ""}, "name"),
        ("PATCH", "/app", {"reviewed": ["manage_pages"]}, "reviewed.0"),
        ("PATCH", "/app", {"mode": "beta"}, "mode"),
        ("PATCH", "/app", {"redirect_uris": ["ftp://x"]}, "redirect_uris.0"),
        ("POST", "/logins", {}, "url"),
        ("POST", "/logins", {"url": "x", "user": "1"}, "url"),
    ],
)
async def test_nonsense_is_refused_by_name(
    facebook: Facebook, method: str, path: str, body: object, field: str
) -> None:
    status, answer = await facebook.ask(method, f"/simulator/api{path}", body)
    assert (status, answer["error"].split(":")[0]) == (400, field)


async def test_unknown_users_are_named(facebook: Facebook) -> None:
    for method, path in [("PATCH", "/users/1"), ("POST", "/users/1/app-removal")]:
        status, answer = await facebook.ask(method, f"/simulator/api{path}", {"app_role": "none"})
        assert (status, answer["error"]) == (404, "user: there is no '1'")
