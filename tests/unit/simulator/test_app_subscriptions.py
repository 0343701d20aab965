"""The app's own webhook: its challenge, its fields, and that both levels have to agree."""

import json

import pytest

from simulator.world.model import FIELDS
from tests.unit.simulator.harness import APP_ID, Facebook, FakeApp
from tests.unit.simulator.login import APP_TOKEN, App

PATH = f"/{APP_ID}/subscriptions"


@pytest.fixture
def app(facebook: Facebook) -> App:
    return App(facebook)


def wish(url: str, **changes: object) -> dict[str, object]:
    return {
        "object": "page",
        "callback_url": url,
        "verify_token": "my-token",
        "fields": "messages,message_echoes",
        "include_values": "true",
        **changes,
    }


async def test_the_webhook_of_the_settings_is_there_from_the_start(
    app: App, fake_app: FakeApp
) -> None:
    (page,) = (await app.ok(APP_TOKEN, "GET", PATH))["data"]
    assert (page["object"], page["callback_url"], page["active"]) == ("page", fake_app.url, True)
    assert {field["name"] for field in page["fields"]} == FIELDS


async def test_an_address_is_asked_for_its_challenge_and_webhooks_go_there(
    app: App, facebook: Facebook, fake_app: FakeApp
) -> None:
    facebook.simulator.webhooks.url = "http://127.0.0.1:9/elsewhere"
    assert await app.ok(APP_TOKEN, "POST", PATH, wish(fake_app.url)) == {"success": True}
    assert fake_app.asked["hub.mode"] == "subscribe"
    assert fake_app.asked["hub.verify_token"] == "my-token"
    (page,) = (await app.ok(APP_TOKEN, "GET", PATH))["data"]
    assert [field["name"] for field in page["fields"]] == ["message_echoes", "messages"]
    await facebook.says("hello")
    await fake_app.wait_for(lambda fake: len(fake.received) == 1)
    assert json.loads(fake_app.received[0].body)["object"] == "page"


async def test_an_address_that_fails_the_challenge_changes_nothing(
    app: App, facebook: Facebook, fake_app: FakeApp
) -> None:
    before = await app.ok(APP_TOKEN, "GET", PATH)
    fake_app.answers_challenge = False
    assert await app.refusal(APP_TOKEN, "POST", PATH, wish(fake_app.url)) == (2201, None)
    nowhere = wish(fake_app.url + "/nowhere")
    assert await app.refusal(APP_TOKEN, "POST", PATH, nowhere) == (2200, None)
    unreachable = wish("http://127.0.0.1:9/")
    assert await app.refusal(APP_TOKEN, "POST", PATH, unreachable) == (2200, None)
    assert await app.ok(APP_TOKEN, "GET", PATH) == before
    assert facebook.simulator.webhooks.url == fake_app.url


async def test_a_webhook_needs_the_field_on_both_levels(
    app: App, facebook: Facebook, fake_app: FakeApp
) -> None:
    fields = {"subscribed_fields": "messages,messaging_postbacks"}
    await facebook.graph("POST", f"/{facebook.page}/subscribed_apps", fields)
    await app.ok(APP_TOKEN, "POST", PATH, wish(fake_app.url, fields="messages,message_reads"))
    await facebook.says("hello")
    tap = {"psid": facebook.psid, "payload": "GET_STARTED"}
    await facebook.control("POST", f"/pages/{facebook.page}/postbacks", tap)
    await facebook.control("POST", f"/pages/{facebook.page}/reads", {"psid": facebook.psid})
    await facebook.until_quiet()
    (webhook,) = fake_app.received
    assert b"hello" in webhook.body


async def test_without_a_subscription_of_the_app_nothing_comes(
    app: App, facebook: Facebook, fake_app: FakeApp
) -> None:
    only_one = {"object": "page", "fields": "message_reads"}
    assert await app.ok(APP_TOKEN, "DELETE", PATH, only_one) == {"success": True}
    (page,) = (await app.ok(APP_TOKEN, "GET", PATH))["data"]
    assert {field["name"] for field in page["fields"]} == FIELDS - {"message_reads"}
    assert await app.ok(APP_TOKEN, "DELETE", PATH, {"object": "page"}) == {"success": True}
    assert await app.ok(APP_TOKEN, "GET", PATH) == {"data": []}
    await facebook.says("hello")
    await facebook.until_quiet()
    assert fake_app.received == []


@pytest.mark.parametrize(
    "changes",
    [
        {"object": "user"},
        {"fields": ""},
        {"fields": "messages,feed"},
        {"callback_url": "nowhere"},
        {"verify_token": ""},
    ],
)
async def test_nonsense_is_refused(app: App, fake_app: FakeApp, changes: dict[str, str]) -> None:
    wrong = wish(fake_app.url, **changes)
    assert await app.refusal(APP_TOKEN, "POST", PATH, wrong) == (100, None)
    assert fake_app.asked == {}


async def test_only_the_app_itself_may_look_and_change(app: App, facebook: Facebook) -> None:
    assert await app.refusal(facebook.token, "GET", PATH) == (15, None)
    assert await app.refusal(await app.long_token(), "DELETE", PATH) == (15, None)
    assert await app.refusal(APP_TOKEN, "GET", "/123/subscriptions") == (100, 33)
    assert await app.refusal(APP_TOKEN, "GET", PATH, appsecret_proof="") == (100, None)
