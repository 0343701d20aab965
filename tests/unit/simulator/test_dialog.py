"""The login dialog: where it leads, what it offers to whom, and its pages without a script."""

import re

import pytest
from yarl import URL

from tests.unit.simulator.harness import Facebook
from tests.unit.simulator.login import ALL, REDIRECT, App, dialog_error, dialog_path


@pytest.fixture
def app(facebook: Facebook) -> App:
    return App(facebook)


async def test_continue_leads_back_with_code_and_state(app: App) -> None:
    back = await app.dialog()
    assert str(back.with_query(None).with_fragment(None)) == REDIRECT
    assert set(back.query) == {"code", "state"}
    assert back.query["state"] == "s1"
    assert back.fragment == "_=_"


async def test_cancel_leads_back_with_metas_words(app: App) -> None:
    back = await app.dialog(answer="cancel")
    assert dict(back.query) == {
        "error": "access_denied",
        "error_code": "200",
        "error_reason": "user_denied",
        "error_description": "Permissions error",
        "state": "s1",
    }
    assert (await app.control.users())[0]["permissions"] == {}


async def test_a_query_of_the_redirect_uri_stays(app: App) -> None:
    path = dialog_path(redirect_uri=f"{REDIRECT}?tenant=7", state=None)
    back = await app.dialog(path)
    assert back.query["tenant"] == "7"
    assert "state" not in back.query


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"client_id": "1"}, "Invalid App ID"),
        ({"client_id": None}, "Invalid App ID"),
        ({"redirect_uri": None}, "Invalid redirect_uri"),
        ({"redirect_uri": "javascript:alert(1)"}, "Invalid redirect_uri"),
        ({"redirect_uri": "http://[oops"}, "Invalid redirect_uri"),
        ({"redirect_uri": "https://evil.example/"}, "URL blocked"),
        ({"redirect_uri": "http://127.0.0.1.evil.example/"}, "URL blocked"),
        ({"response_type": "token"}, "Invalid response_type"),
        ({"scope": "pages_messaging,manage_pages"}, "Invalid scopes: manage_pages"),
        ({"config_id": "abc"}, "Invalid configuration"),
    ],
)
async def test_what_facebook_does_not_trust_leads_nowhere(
    app: App, changes: dict[str, str | None], words: str
) -> None:
    path = dialog_path(**changes)
    assert words in await dialog_error(app, path)
    async with app.client.get(path, allow_redirects=False) as response:
        assert response.status == 400
        assert words.split(":")[0] in await response.text()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
async def test_this_machine_needs_no_registration(app: App, host: str) -> None:
    back = await app.dialog(dialog_path(redirect_uri=f"http://{host}:8080/cb"))
    assert back.path == "/cb"


async def test_registered_addresses_are_the_only_ones_and_equal_to_the_byte(app: App) -> None:
    await app.control.change_app(redirect_uris=["https://console.example/cb"])
    back = await app.dialog(dialog_path(redirect_uri="https://console.example/cb"))
    assert back.host == "console.example"
    for other in ("https://console.example/cb/", "https://console.example/cb?a=1", REDIRECT):
        assert "URL blocked" in await dialog_error(app, dialog_path(redirect_uri=other))


async def test_without_https_only_this_machine_is_led_to(app: App) -> None:
    await app.control.change_app(redirect_uris=["http://console.example/cb"])
    path = dialog_path(redirect_uri="http://console.example/cb")
    assert "Insecure login blocked" in await dialog_error(app, path)


async def test_what_is_ticked_is_granted_and_what_is_not_is_declined(app: App) -> None:
    await app.dialog(without=["pages_messaging"], pages=[])
    (alex, *_) = await app.control.users()
    assert alex["permissions"] == {
        "public_profile": "granted",
        **dict.fromkeys(ALL, "granted"),
        "pages_messaging": "declined",
    }
    assert alex["chosen_pages"] == []


async def test_what_was_declined_is_not_asked_again_unless_wanted(app: App) -> None:
    await app.dialog(without=["pages_messaging"])
    await app.dialog()
    assert (await app.control.users())[0]["permissions"]["pages_messaging"] == "declined"
    await app.dialog(dialog_path(auth_type="rerequest"))
    assert (await app.control.users())[0]["permissions"]["pages_messaging"] == "granted"


async def test_only_pages_with_a_role_that_are_published_can_be_ticked(
    app: App, facebook: Facebook
) -> None:
    second = await app.control.add_page("Flower Shop")
    unpublished = await app.control.add_page("Secret Shop")
    await app.control.behave(unpublished["id"], published=False)
    foreign = await app.control.add_page("Foreign Shop")
    alex = await app.user_named("Alex")
    await app.control.set_role(alex, foreign["id"], "none")
    ids = [facebook.page, second["id"], unpublished["id"], foreign["id"], "1"]
    await app.dialog(pages=ids)
    assert (await app.control.users())[0]["chosen_pages"] == ids[:2]


async def test_a_login_without_pages_leaves_the_chosen_ones(app: App, facebook: Facebook) -> None:
    await app.dialog()
    await app.dialog(dialog_path(scope="email"), pages=[])
    alex = (await app.control.users())[0]
    assert alex["chosen_pages"] == [facebook.page]
    assert alex["permissions"]["email"] == "granted"


async def test_in_development_mode_only_people_with_a_role_on_the_app_get_in(app: App) -> None:
    await app.control.change_app(mode="development")
    noor = await app.user_named("Noor")
    assert "App not active" in await dialog_error(app, dialog_path(), user=noor)
    async with app.client.get(dialog_path() + f"&as={noor}") as response:
        assert (response.status, "App not active" in await response.text()) == (400, True)
    assert "code" in (await app.dialog()).query
    await app.control.set_app_role(noor, "tester")
    assert "code" in (await app.dialog(user=noor)).query


async def test_login_for_business_answers_development_mode_like_a_cancel(app: App) -> None:
    await app.control.change_app(mode="development")
    noor = await app.user_named("Noor")
    path = dialog_path(config_id="998877", scope=None)
    assert (await app.dialog(path, user=noor)).query["error_reason"] == "user_denied"
    async with app.client.get(f"{path}&as={noor}", allow_redirects=False) as response:
        assert response.status == 302
        assert URL(response.headers["Location"]).query["error"] == "access_denied"


async def test_login_for_business_is_all_or_nothing(app: App) -> None:
    await app.dialog(dialog_path(config_id="998877", scope=None), permissions=[])
    permissions = (await app.control.users())[0]["permissions"]
    assert set(permissions.values()) == {"granted"}
    assert set(ALL) <= set(permissions)


async def test_a_permission_without_review_is_offered_to_nobody_without_a_role(app: App) -> None:
    await app.control.change_app(reviewed=["pages_show_list"])
    sam = await app.user_named("Sam")
    await app.dialog(user=sam)
    await app.dialog()
    alex, sam_now, _ = await app.control.users()
    assert "pages_messaging" not in sam_now["permissions"]
    assert sam_now["permissions"]["pages_show_list"] == "granted"
    assert alex["permissions"]["pages_messaging"] == "granted"


# In a browser without a script


async def test_the_first_page_lists_everybody_and_keeps_what_the_app_said(app: App) -> None:
    path = dialog_path(state='"><script>')
    async with app.client.get(path) as response:
        html = await response.text()
    assert response.status == 200
    for name in ("Alex Morgan", "Sam Rivera", "Noor Haddad"):
        assert name in html
    assert "nothing here reaches Facebook" in html
    assert "<script" not in html
    assert "form-action 'self' http://127.0.0.1:8080" in response.headers["Content-Security-Policy"]


async def test_the_form_answers_the_dialog(app: App, facebook: Facebook) -> None:
    alex = await app.user_named("Alex")
    async with app.client.get(f"{dialog_path()}&as={alex}") as response:
        html = await response.text()
    assert "Corner Bakery" in html
    hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', html))
    assert hidden["as"] == alex
    form = [*hidden.items(), ("permission", "pages_show_list"), ("page", facebook.page)]
    (action,) = re.findall(r'<form method="post" action="([^"]+)"', html)
    async with app.client.post(
        action, data=[*form, ("answer", "continue")], allow_redirects=False
    ) as response:
        back = URL(response.headers["Location"])
    assert (response.status, back.query["state"]) == (302, "s1")
    permissions = (await app.control.users())[0]["permissions"]
    assert permissions["pages_show_list"] == "granted"
    assert permissions["pages_messaging"] == "declined"
    async with app.client.post(
        action, data=[*form, ("answer", "cancel")], allow_redirects=False
    ) as response:
        assert URL(response.headers["Location"]).query["error"] == "access_denied"


async def test_another_sites_page_cannot_answer_it(app: App) -> None:
    alex = await app.user_named("Alex")
    form = {"client_id": "1517776481860111", "redirect_uri": REDIRECT, "as": alex}
    async with app.client.post(
        "/v26.0/dialog/oauth",
        data={**form, "answer": "continue"},
        headers={"Origin": "https://evil.example"},
        allow_redirects=False,
    ) as response:
        assert response.status == 400
    assert (await app.control.users())[0]["permissions"] == {}


async def test_somebody_without_pages_is_told_so(app: App) -> None:
    noor = await app.user_named("Noor")
    async with app.client.get(f"{dialog_path()}&as={noor}") as response:
        assert "Noor Haddad has no role on any Page" in await response.text()
