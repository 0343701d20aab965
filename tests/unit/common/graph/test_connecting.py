"""What the console asks Meta for, and what it makes of the answers that the reference has."""

import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr
from yarl import URL

from libs.common.graph import (
    AppRejectedError,
    AppSubscription,
    CallbackRejectedError,
    CodeRejectedError,
    ConnectingClient,
    GetStarted,
    GraphError,
    Greeting,
    IceBreaker,
    IceBreakers,
    MenuItem,
    MessengerProfile,
    OutcomeUnknownError,
    PermissionMissingError,
    PersistentMenu,
    RateLimitedError,
    TokenRejectedError,
    UnsureError,
    login_url,
    open_connecting,
)
from libs.common.settings import GraphSettings
from tests.unit.common.graph.meta_server import (
    Answer,
    Asked,
    MetaServer,
    meta_server,
    refuses,
    says,
)

APP_ID, SECRET = "1517776481860111", "test_app_secret"
APP_TOKEN = f"{APP_ID}|{SECRET}"
PAGE, TOKEN = "4225", "EAATESTTOKEN"
PROOF = "bad6df0b858104754a0ffde2f0c05fe9731f1a5e141ee1bccf316d05f28d5135"
CODE, REDIRECT = "AQCcanarycode", "https://console.example/connect/callback?x=1"
SUCCESS = says({"success": True})


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[tuple[MetaServer, ConnectingClient]]:
    async with meta_server(answer) as server:
        settings = GraphSettings(
            graph_api_url=server.url,
            graph_api_version="v26.0",
            facebook_app_id=APP_ID,
            facebook_app_secret=SecretStr(SECRET),
        )
        async with open_connecting(settings, timeout_s=5) as meta:
            yield server, meta


def only_call(server: MetaServer) -> Asked:
    (call,) = server.calls
    return call


def test_the_dialogs_address_says_all_that_meta_asks_for() -> None:
    url = URL(
        login_url(
            "https://www.facebook.com/",
            "v26.0",
            app_id=APP_ID,
            redirect_uri=REDIRECT,
            state="s&t=1",
            permissions=["pages_show_list", "pages_messaging"],
        )
    )
    assert (url.host, url.path) == ("www.facebook.com", "/v26.0/dialog/oauth")
    assert dict(url.query) == {
        "client_id": APP_ID,
        "redirect_uri": REDIRECT,
        "state": "s&t=1",
        "response_type": "code",
        "scope": "pages_show_list,pages_messaging",
    }


def test_declined_permissions_are_asked_for_again_only_if_wanted() -> None:
    url = login_url(
        "http://127.0.0.1:8090",
        "v26.0",
        app_id=APP_ID,
        redirect_uri=REDIRECT,
        state="s",
        permissions=[],
        ask_again=True,
    )
    assert URL(url).query["auth_type"] == "rerequest"


def test_a_configuration_of_login_for_business_takes_the_place_of_permissions() -> None:
    url = login_url(
        "https://www.facebook.com",
        "v26.0",
        app_id=APP_ID,
        redirect_uri=REDIRECT,
        state="s",
        permissions=["pages_messaging"],
        config_id="998877",
    )
    query = URL(url).query
    assert query["config_id"] == "998877"
    assert query["override_default_response_type"] == "true"
    assert "scope" not in query


async def test_code_and_secret_travel_in_the_body_only() -> None:
    answer = says({"access_token": "EAAshort", "token_type": "bearer", "expires_in": 5183944})
    async with answering(answer) as (server, meta):
        token = await meta.exchange_code(CODE, REDIRECT)
    call = only_call(server)
    assert (call.method, call.path_qs) == ("POST", "/v26.0/oauth/access_token")
    assert call.body == {
        "client_id": APP_ID,
        "client_secret": SECRET,
        "code": CODE,
        "redirect_uri": REDIRECT,
    }
    assert "Authorization" not in call.headers
    assert token.access_token.get_secret_value() == "EAAshort"
    assert token.expires_in == 5183944
    assert "EAAshort" not in repr(token)


async def test_a_short_token_becomes_a_long_one_whose_end_may_be_unsaid() -> None:
    async with answering(says({"access_token": "EAAlong", "token_type": "bearer"})) as (
        server,
        meta,
    ):
        token = await meta.long_lived(TOKEN)
    call = only_call(server)
    assert call.body["grant_type"] == "fb_exchange_token"
    assert call.body["fb_exchange_token"] == TOKEN
    assert TOKEN not in call.path_qs
    assert (token.access_token.get_secret_value(), token.expires_in) == ("EAAlong", None)


@pytest.mark.parametrize(
    ("code", "subcode", "kind"),
    [
        (100, 36009, CodeRejectedError),
        (100, 36008, CodeRejectedError),
        (100, None, CodeRejectedError),
        (1, None, AppRejectedError),
        (101, None, AppRejectedError),
        (191, None, AppRejectedError),
        (1, 99, UnsureError),
        (2, None, UnsureError),
        (190, 463, TokenRejectedError),
        (4, None, RateLimitedError),
    ],
)
async def test_what_an_exchange_is_refused_for(
    code: int, subcode: int | None, kind: type[GraphError]
) -> None:
    async with answering(refuses(code, subcode)) as (_, meta):
        with pytest.raises(kind) as caught:
            await meta.exchange_code(CODE, REDIRECT)
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("subcode", "reason"),
    [(36007, "expired"), (36008, "redirect_uri"), (36009, "used"), (None, "other"), (1, "other")],
)
async def test_why_a_code_is_no_good(subcode: int | None, reason: str) -> None:
    async with answering(refuses(100, subcode)) as (_, meta):
        with pytest.raises(CodeRejectedError) as caught:
            await meta.exchange_code(CODE, REDIRECT)
    assert caught.value.reason == reason


async def test_no_error_tells_a_secret_even_if_meta_quotes_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    quoted = f"Bad {CODE} {TOKEN} {SECRET} verify-me"
    answer = says({"error": {"message": quoted, "type": "OAuthException", "code": 100}}, 400)
    calls: list[Callable[[ConnectingClient], Awaitable[object]]] = [
        lambda meta: meta.exchange_code(CODE, REDIRECT),
        lambda meta: meta.long_lived(TOKEN),
        lambda meta: meta.debug_token(TOKEN),
        lambda meta: meta.subscribe_app("https://x.example", "verify-me", ["messages"]),
    ]
    secrets = [[CODE, SECRET], [TOKEN, SECRET], [TOKEN], ["verify-me"]]
    caplog.set_level(logging.DEBUG)
    for call, hidden in zip(calls, secrets, strict=True):
        async with answering(answer) as (_, meta):
            with pytest.raises(GraphError) as caught:
                await call(meta)
        told = "".join(traceback.format_exception(caught.value)) + caught.value.message
        for secret in hidden:
            assert secret not in told
    for secret in (CODE, TOKEN, SECRET):
        assert secret not in caplog.text


DEBUG_TOKEN = {
    "data": {
        "app_id": APP_ID,
        "type": "PAGE",
        "application": "Name",
        "issued_at": 1565000000,
        "expires_at": 0,
        "data_access_expires_at": 1576687825,
        "is_valid": True,
        "scopes": ["pages_messaging", "pages_show_list"],
        "granular_scopes": [
            {"scope": "pages_messaging", "target_ids": ["4225"]},
            {"scope": "pages_show_list"},
        ],
        "user_id": "10215241773831025",
        "profile_id": "4225",
    }
}


async def test_what_meta_says_of_a_token() -> None:
    async with answering(says(DEBUG_TOKEN)) as (server, meta):
        info = await meta.debug_token(TOKEN)
    call = only_call(server)
    assert call.query["input_token"] == TOKEN
    assert call.headers["Authorization"] == f"Bearer {APP_TOKEN}"
    assert info.is_valid
    assert (info.type, info.user_id, info.profile_id) == ("PAGE", "10215241773831025", "4225")
    assert info.issued_at == datetime(2019, 8, 5, 10, 13, 20, tzinfo=UTC)
    assert info.expires_at is None
    assert info.pages_of("pages_messaging") == ("4225",)
    assert info.pages_of("pages_show_list") is None
    assert info.pages_of("pages_manage_metadata") is None


async def test_a_token_that_is_not_valid_says_why() -> None:
    error = {"code": 190, "message": "The session has been invalidated", "subcode": 460}
    body = {"data": {"error": error, "is_valid": False, "scopes": []}}
    async with answering(says(body)) as (_, meta):
        info = await meta.debug_token(TOKEN)
    assert not info.is_valid
    assert info.error is not None
    assert (info.error.code, info.error.subcode) == (190, 460)


@pytest.mark.parametrize("data", [None, [], {"is_valid": True, "expires_at": 10**30}, "no"])
async def test_nonsense_about_a_token_says_nothing(data: object) -> None:
    async with answering(says({"data": data})) as (_, meta):
        with pytest.raises(OutcomeUnknownError):
            await meta.debug_token(TOKEN)


async def test_who_logged_in_and_what_they_gave() -> None:
    async with answering(says({"id": 300, "name": "Alex"})) as (server, meta):
        user = await meta.user(TOKEN)
    assert (user.id, user.name) == ("300", "Alex")
    assert only_call(server).query == {"fields": "id,name", "appsecret_proof": PROOF}

    given = [
        {"permission": "pages_messaging", "status": "granted"},
        {"permission": "business_management", "status": "declined"},
    ]
    async with answering(says({"data": given})) as (_, meta):
        permissions = await meta.permissions(TOKEN)
    assert [(each.permission, each.is_granted) for each in permissions] == [
        ("pages_messaging", True),
        ("business_management", False),
    ]


async def test_who_removes_the_app_needs_a_token_and_a_proof() -> None:
    async with answering(SUCCESS) as (server, meta):
        await meta.remove_app(TOKEN)
    call = only_call(server)
    assert (call.method, call.path_qs) == (
        "DELETE",
        f"/v26.0/me/permissions?appsecret_proof={PROOF}",
    )


def paged(*pages: list[str], cursor: Callable[[int], str] = str) -> Answer:
    """Pages of Pages, some of which may be empty, each but the last with a `next`."""

    async def answer(request: web.Request) -> web.StreamResponse:
        number = int(request.query.get("after", "0"))
        data = [
            {"id": name, "name": name, "access_token": f"EAA{name}", "tasks": ["MESSAGING"]}
            for name in pages[number]
        ]
        paging: dict[str, Any] = {"cursors": {"before": "x", "after": cursor(number + 1)}}
        if number + 1 < len(pages):
            paging["next"] = "https://graph.facebook.com/elsewhere?access_token=EAA"
        return web.json_response({"data": data, "paging": paging})

    return answer


async def test_pages_are_read_to_the_end_over_empty_pages_too() -> None:
    async with answering(paged(["1", "2"], [], ["3"])) as (server, meta):
        accounts = await meta.accounts(TOKEN)
    assert [account.id for account in accounts] == ["1", "2", "3"]
    assert accounts[0].access_token == SecretStr("EAA1")
    assert accounts[0].tasks == ("MESSAGING",)
    assert "EAA1" not in repr(accounts)
    assert [call.query.get("after") for call in server.calls] == [None, "1", "2"]
    assert all(call.path_qs.startswith("/v26.0/me/accounts?") for call in server.calls)


async def test_no_page_is_an_answer() -> None:
    async with answering(says({"data": []})) as (_, meta):
        assert await meta.accounts(TOKEN) == ()


async def test_a_page_without_a_token_is_still_listed() -> None:
    async with answering(says({"data": [{"id": "7", "name": "Kiosk"}]})) as (_, meta):
        (account,) = await meta.accounts(TOKEN)
    assert account.access_token is None
    assert account.tasks == ()


async def test_a_list_that_never_ends_is_not_believed() -> None:
    async with answering(paged(["1"], ["2"], cursor=lambda _: "1")) as (_, meta):
        assert [each.id for each in await meta.accounts(TOKEN)] == ["1", "2"]
    async with answering(paged(["1"], ["2"], ["3"], cursor=lambda _: "1")) as (server, meta):
        with pytest.raises(OutcomeUnknownError):
            await meta.accounts(TOKEN)
    assert len(server.calls) == 2


async def test_a_page_and_whether_it_is_published() -> None:
    body = {
        "id": PAGE,
        "name": "Cisco Dog Page",
        "is_published": False,
        "picture": {"data": {"url": "https://cdn.example/p.png"}},
    }
    async with answering(says(body)) as (_, meta):
        page = await meta.page(PAGE, TOKEN)
    assert page.is_published is False
    assert page.picture == "https://cdn.example/p.png"
    async with answering(says({"id": PAGE})) as (_, meta):
        page = await meta.page(PAGE, TOKEN)
    assert (page.is_published, page.picture) == (None, None)


async def test_a_page_is_subscribed_with_all_its_fields() -> None:
    async with answering(SUCCESS) as (server, meta):
        await meta.subscribe_page(PAGE, TOKEN, ["messages", "message_echoes"])
    call = only_call(server)
    assert (call.method, call.path_qs) == ("POST", "/v26.0/4225/subscribed_apps")
    assert call.body == {"subscribed_fields": "messages,message_echoes", "appsecret_proof": PROOF}


@pytest.mark.parametrize("fields", [["messages"], [{"name": "messages", "version": "v26.0"}]])
async def test_what_a_page_is_subscribed_to(fields: object) -> None:
    app = {"category": "Business", "name": "Bot", "id": APP_ID, "subscribed_fields": fields}
    async with answering(says({"data": [app]})) as (_, meta):
        (found,) = await meta.subscribed_apps(PAGE, TOKEN)
    assert (found.id, found.subscribed_fields) == (APP_ID, ("messages",))


@pytest.mark.parametrize(("token", "sent"), [(TOKEN, TOKEN), (None, APP_TOKEN)])
async def test_a_page_is_let_go_even_with_a_dead_token(token: str | None, sent: str) -> None:
    async with answering(SUCCESS) as (server, meta):
        await meta.unsubscribe_page(PAGE, token)
    call = only_call(server)
    assert call.method == "DELETE"
    assert call.headers["Authorization"] == f"Bearer {sent}"


@pytest.mark.parametrize("body", [{"success": False}, {}, {"result": "no"}])
async def test_an_answer_without_success_is_none(body: dict[str, object]) -> None:
    async with answering(says(body)) as (_, meta):
        with pytest.raises(OutcomeUnknownError):
            await meta.subscribe_page(PAGE, TOKEN, ["messages"])


@pytest.mark.parametrize("body", [{"success": True}, {"success": "true"}, {"result": "success"}])
async def test_success_comes_in_several_forms(body: dict[str, object]) -> None:
    async with answering(says(body)) as (_, meta):
        await meta.delete_messenger_profile(PAGE, TOKEN, ["greeting"])


async def test_only_what_is_given_of_a_profile_is_written() -> None:
    profile = MessengerProfile(
        get_started=GetStarted(payload="GET_STARTED"), greeting=(Greeting(text="Hello!"),)
    )
    async with answering(says({"result": "success"})) as (server, meta):
        await meta.set_messenger_profile(PAGE, TOKEN, profile)
    call = only_call(server)
    assert (call.method, call.path_qs) == ("POST", "/v26.0/me/messenger_profile")
    assert call.body == {
        "get_started": {"payload": "GET_STARTED"},
        "greeting": [{"text": "Hello!", "locale": "default"}],
        "appsecret_proof": PROOF,
    }


async def test_a_profile_is_read_and_what_is_not_set_is_none() -> None:
    body = {
        "data": [
            {
                "get_started": {"payload": "GO"},
                "ice_breakers": [{"question": "Where?", "payload": "LOC"}],
                "persistent_menu": [
                    {
                        "locale": "default",
                        "composer_input_disabled": False,
                        "call_to_actions": [
                            {"type": "web_url", "title": "Shop", "url": "https://shop.example"}
                        ],
                    }
                ],
            }
        ]
    }
    async with answering(says(body)) as (_, meta):
        profile = await meta.messenger_profile(PAGE, TOKEN)
    assert profile == MessengerProfile(
        get_started=GetStarted(payload="GO"),
        ice_breakers=(
            IceBreakers(call_to_actions=(IceBreaker(question="Where?", payload="LOC"),)),
        ),
        persistent_menu=(
            PersistentMenu(
                call_to_actions=(
                    MenuItem(type="web_url", title="Shop", url="https://shop.example"),
                )
            ),
        ),
    )
    async with answering(says({"data": []})) as (_, meta):
        assert await meta.messenger_profile(PAGE, TOKEN) == MessengerProfile()


async def test_parts_of_a_profile_are_removed_by_name() -> None:
    async with answering(says({"result": "success"})) as (server, meta):
        await meta.delete_messenger_profile(PAGE, TOKEN, ["greeting", "get_started"])
    call = only_call(server)
    assert call.method == "DELETE"
    assert call.query == {"appsecret_proof": PROOF}
    assert call.body == {"fields": ["greeting", "get_started"]}


async def test_the_apps_webhook_is_set_and_read_by_the_app_itself() -> None:
    async with answering(SUCCESS) as (server, meta):
        await meta.subscribe_app("https://bot.example/hook", "verify-me", ["messages"])
    call = only_call(server)
    assert (call.method, call.path_qs) == ("POST", f"/v26.0/{APP_ID}/subscriptions")
    assert call.headers["Authorization"] == f"Bearer {APP_TOKEN}"
    assert call.body["object"] == "page"
    assert call.body["callback_url"] == "https://bot.example/hook"
    assert call.body["verify_token"] == "verify-me"

    told = {
        "object": "page",
        "callback_url": "https://bot.example/hook",
        "active": True,
        "fields": [{"name": "messages", "version": "v26.0"}],
    }
    async with answering(says({"data": [told]})) as (_, meta):
        assert await meta.app_subscriptions() == (
            AppSubscription(
                object="page", callback_url="https://bot.example/hook", fields=("messages",)
            ),
        )


@pytest.mark.parametrize("code", [2200, 2201])
async def test_an_address_that_fails_the_challenge_is_told_apart(code: int) -> None:
    async with answering(refuses(code)) as (_, meta):
        with pytest.raises(CallbackRejectedError):
            await meta.subscribe_app("https://bot.example/hook", "verify-me", ["messages"])


async def test_what_a_page_may_not_do_is_a_missing_permission() -> None:
    async with answering(refuses(200, status=403)) as (_, meta):
        with pytest.raises(PermissionMissingError):
            await meta.subscribe_page(PAGE, TOKEN, ["messages"])
