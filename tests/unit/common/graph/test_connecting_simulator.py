"""The console's client and the stand-in for Meta understand each other, call by call."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr
from yarl import URL

from libs.common.graph import (
    AppRejectedError,
    CallbackRejectedError,
    CodeRejectedError,
    ConnectingClient,
    GetStarted,
    Greeting,
    IceBreaker,
    IceBreakers,
    InvalidRequestError,
    MenuItem,
    MessengerProfile,
    NotFoundError,
    PermissionMissingError,
    PersistentMenu,
    RateLimitedError,
    TokenRejectedError,
    login_url,
    open_connecting,
)
from libs.common.settings import GraphSettings
from libs.common.web import Readiness
from simulator.app import create_app
from simulator.client import Simulator as Control
from simulator.core import Simulator
from tests.unit.simulator.harness import APP_ID, SECRET, Facebook, FakeApp, make_settings

REDIRECT = "http://127.0.0.1:8080/connect/callback"
PERMISSIONS = (
    "pages_show_list",
    "pages_messaging",
    "pages_manage_metadata",
    "pages_read_engagement",
)


class Console:
    """What connects Pages, with the person in front of it."""

    def __init__(self, facebook: Facebook, meta: ConnectingClient, fake: FakeApp) -> None:
        self.facebook, self.meta, self.fake = facebook, meta, fake
        self.url = str(facebook.client.make_url("/")).rstrip("/")
        self.control = Control(facebook.client.session, self.url)

    async def code(self, **answer: object) -> str:
        url = login_url(
            self.url,
            "v26.0",
            app_id=APP_ID,
            redirect_uri=REDIRECT,
            state="s1",
            permissions=PERMISSIONS,
        )
        return URL(await self.control.answer_dialog(url, **answer)).query["code"]

    async def log_in(self, **answer: object) -> str:
        """A long-lived token of the person."""
        short = await self.meta.exchange_code(await self.code(**answer), REDIRECT)
        long = await self.meta.long_lived(short.access_token.get_secret_value())
        return long.access_token.get_secret_value()

    async def page_token(self, user_token: str) -> str:
        accounts = await self.meta.accounts(user_token)
        (token,) = [each.access_token for each in accounts if each.id == self.facebook.page]
        assert token is not None
        return token.get_secret_value()


def settings_of(url: str, secret: str = SECRET) -> GraphSettings:
    return GraphSettings(
        graph_api_url=url,
        graph_api_version="v26.0",
        facebook_app_id=APP_ID,
        facebook_app_secret=SecretStr(secret),
    )


@pytest.fixture
async def console(tmp_path: Path) -> AsyncIterator[Console]:
    fake, hooks = FakeApp(), web.Application()
    hooks.router.add_post("/webhooks", fake.handle)
    hooks.router.add_get("/webhooks", fake.verify)
    hooks.router.add_post("/webhooks/deauthorize", fake.take_form)
    async with TestServer(hooks) as server:
        fake.url = str(server.make_url("/webhooks"))
        simulator = Simulator(make_settings(fake.url, tmp_path))
        app = create_app(simulator, Readiness())
        async with (
            simulator.running(),
            TestClient(TestServer(app)) as client,
            open_connecting(settings_of(str(client.make_url("/"))), timeout_s=5) as meta,
        ):
            yield Console(Facebook(client, simulator), meta, fake)


async def test_a_page_is_connected_and_let_go(console: Console) -> None:
    meta, page_id = console.meta, console.facebook.page
    user_token = await console.log_in()
    user = await meta.user(user_token)
    assert user.name == "Alex Morgan"
    info = await meta.debug_token(user_token)
    assert info.is_valid
    assert (info.app_id, info.type, info.user_id) == (APP_ID, "USER", user.id)
    assert set(PERMISSIONS) <= set(info.scopes)
    assert info.pages_of("pages_messaging") == (page_id,)
    granted = {each.permission for each in await meta.permissions(user_token) if each.is_granted}
    assert set(PERMISSIONS) <= granted

    (account,) = await meta.accounts(user_token)
    assert (account.id, account.name) == (page_id, "Corner Bakery")
    assert "MESSAGING" in account.tasks
    token = await console.page_token(user_token)
    info = await meta.debug_token(token)
    assert (info.type, info.profile_id, info.expires_at) == ("PAGE", page_id, None)
    page = await meta.page(page_id, token)
    assert page.is_published
    assert page.picture is not None
    assert page.picture.endswith(f"/avatars/{page_id}.svg")

    await meta.subscribe_page(page_id, token, ["messages", "message_echoes"])
    (subscribed,) = await meta.subscribed_apps(page_id, token)
    assert subscribed.id == APP_ID
    assert subscribed.subscribed_fields == ("messages", "message_echoes")
    await console.control.set_token(page_id, "revoked")
    with pytest.raises(TokenRejectedError) as refused:
        await meta.unsubscribe_page(page_id, token)
    assert refused.value.subcode == 458
    await meta.unsubscribe_page(page_id)
    assert await meta.subscribed_apps(page_id) == ()


async def test_codes_are_refused_for_the_reasons_there_are(console: Console) -> None:
    code = await console.code()
    with pytest.raises(CodeRejectedError) as refused:
        await console.meta.exchange_code(code, REDIRECT + "x")
    assert refused.value.reason == "redirect_uri"
    await console.meta.exchange_code(code, REDIRECT)
    with pytest.raises(CodeRejectedError) as refused:
        await console.meta.exchange_code(code, REDIRECT)
    assert refused.value.reason == "used"
    late = await console.code()
    clock = console.facebook.simulator.now
    console.facebook.simulator.now = lambda: clock() + 600_000
    with pytest.raises(CodeRejectedError) as refused:
        await console.meta.exchange_code(late, REDIRECT)
    assert refused.value.reason == "expired"
    async with open_connecting(settings_of(console.url, "wrong_secret"), timeout_s=5) as other:
        with pytest.raises(AppRejectedError):
            await other.exchange_code(await console.code(), REDIRECT)


async def test_why_there_is_no_page_can_be_told_apart(console: Console) -> None:
    meta, page_id = console.meta, console.facebook.page
    noor = next(
        user["id"] for user in await console.control.users() if user["name"] == "Noor Haddad"
    )
    no_role = await console.log_in(user=noor)
    assert await meta.accounts(no_role) == ()
    assert (await meta.debug_token(no_role)).pages_of("pages_messaging") == ()

    no_tick = await console.log_in(pages=[])
    assert await meta.accounts(no_tick) == ()

    declined = await console.log_in(without=["pages_show_list"])
    assert await meta.accounts(declined) == ()
    states = {each.permission: each.status for each in await meta.permissions(declined)}
    assert states["pages_show_list"] == "declined"

    await console.control.remove_app((await meta.user(declined)).id)
    unpublished = await console.log_in()
    await console.control.behave(page_id, published=False)
    assert await meta.accounts(unpublished) == ()
    assert (await meta.debug_token(unpublished)).pages_of("pages_messaging") == (page_id,)
    assert (await meta.page(page_id, unpublished)).is_published is False


async def test_many_pages_are_all_found(console: Console) -> None:
    for number in range(120):
        await console.control.add_page(f"Shop {number}")
    assert len(await console.meta.accounts(await console.log_in())) == 121


async def test_what_was_declined_is_missing_where_it_is_needed(console: Console) -> None:
    meta, page_id = console.meta, console.facebook.page
    token = await console.page_token(await console.log_in(without=["pages_manage_metadata"]))
    with pytest.raises(PermissionMissingError):
        await meta.subscribe_page(page_id, token, ["messages"])


async def test_a_profile_is_written_read_and_removed(console: Console) -> None:
    meta, page_id = console.meta, console.facebook.page
    token = await console.page_token(await console.log_in())
    fresh = await meta.messenger_profile(page_id, token)
    assert fresh == MessengerProfile(get_started=GetStarted(payload="GET_STARTED"))
    profile = MessengerProfile(
        get_started=GetStarted(payload="GET_STARTED"),
        greeting=(Greeting(text="Hello!"), Greeting(text="Hallo!", locale="de_DE")),
        ice_breakers=(
            IceBreakers(call_to_actions=(IceBreaker(question="Where?", payload="LOC"),)),
        ),
        persistent_menu=(
            PersistentMenu(
                call_to_actions=(
                    MenuItem(type="postback", title="A human", payload="CARE"),
                    MenuItem(type="web_url", title="Shop", url="https://shop.example"),
                )
            ),
        ),
    )
    await meta.set_messenger_profile(page_id, token, profile)
    assert await meta.messenger_profile(page_id, token) == profile
    with pytest.raises(InvalidRequestError) as refused:
        await meta.delete_messenger_profile(page_id, token, ["get_started"])
    assert refused.value.subcode == 2018145
    await meta.delete_messenger_profile(page_id, token, ["greeting", "ice_breakers"])
    rest = await meta.messenger_profile(page_id, token)
    assert (rest.greeting, rest.ice_breakers, rest.get_started) == (
        None,
        None,
        GetStarted(payload="GET_STARTED"),
    )
    too_long = MessengerProfile(greeting=(Greeting(text="a" * 161),))
    with pytest.raises(InvalidRequestError):
        await meta.set_messenger_profile(page_id, token, too_long)
    for _ in range(3):
        await meta.messenger_profile(page_id, token)
    with pytest.raises(RateLimitedError):
        await meta.messenger_profile(page_id, token)


async def test_the_apps_webhook_is_set_read_and_removed(console: Console) -> None:
    meta = console.meta
    await meta.subscribe_app(console.fake.url, "verify-me", ["messages"])
    assert console.fake.asked["hub.verify_token"] == "verify-me"
    (subscription,) = await meta.app_subscriptions()
    assert subscription.callback_url == console.fake.url
    assert subscription.fields == ("messages",)
    with pytest.raises(CallbackRejectedError):
        await meta.subscribe_app("http://127.0.0.1:9/", "verify-me", ["messages"])
    await meta.unsubscribe_app()
    assert await meta.app_subscriptions() == ()


async def test_who_removes_the_app_ends_every_token(console: Console) -> None:
    user_token = await console.log_in()
    token = await console.page_token(user_token)
    await console.meta.remove_app(user_token)
    info = await console.meta.debug_token(token)
    assert not info.is_valid
    assert info.error is not None
    assert (info.error.code, info.error.subcode) == (190, 458)


async def test_a_person_who_wants_deletion_is_found_by_what_they_are_called_on_pages(
    console: Console,
) -> None:
    page = await console.control.add_page("Crumb")
    psid = await console.control.add_person(page["id"], "Ann", "Lee")
    wish = await console.control.wants_deletion(page["id"], psid)
    assert wish["user_id"] != psid
    again = await console.control.wants_deletion(page["id"], psid)
    assert again["user_id"] == wish["user_id"]
    (found,) = await console.meta.ids_for_pages(wish["user_id"])
    assert (found.id, found.page.id) == (psid, page["id"])
    with pytest.raises(NotFoundError):
        await console.meta.ids_for_pages("1999")
    assert (await console.control.wants_deletion(page["id"], psid, as_psid=True))["user_id"] == psid
