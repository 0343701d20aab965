"""Webhooks: order, retries with the same bytes, duplicates, and the end of patience."""

import asyncio
import json
from typing import Any

import pytest

from simulator import webhooks
from simulator.signing import appsecret_proof, signature_headers
from simulator.webhooks import (
    ALERT_AFTER_S,
    RETRY_PAUSES_S,
    UNSUBSCRIBE_AFTER_S,
    Health,
    Webhook,
    WebhookSender,
    retry_pause_s,
)
from simulator.world.world import Said
from tests.unit.simulator.harness import APP_ID, DEADLINE_S, SECRET, Facebook, FakeApp, until


def element(body: bytes) -> dict[str, Any]:
    (entry,) = json.loads(body)["entry"]
    (only,) = entry["messaging"]
    assert isinstance(only, dict)
    return only


def kinds(app: FakeApp) -> list[str]:
    known = ("message", "postback", "delivery", "read", "reaction")
    return [next(kind for kind in known if kind in element(each.body)) for each in app.received]


async def test_a_message_arrives_signed_and_becomes_reported(
    facebook: Facebook, fake_app: FakeApp
) -> None:
    mid = await facebook.says("hällo / 😀")
    await facebook.until_quiet()
    (received,) = fake_app.received
    assert b"\\u00e4" in received.body
    assert b"\\/" in received.body
    assert received.headers["X-Hub-Signature-256"].startswith("sha256=")
    assert received.headers["Content-Type"] == "application/json"
    said = element(received.body)
    assert said["message"] == {"mid": mid, "text": "hällo / 😀"}
    assert said["sender"] == {"id": facebook.psid}
    assert (await facebook.thread())["messages"][0]["reported"] is True


async def test_a_failing_app_gets_the_same_bytes_again(
    facebook: Facebook, fake_app: FakeApp
) -> None:
    fake_app.statuses = [500, 201, 302]
    await facebook.says("hello")
    await facebook.until_quiet()
    assert len(fake_app.received) == 4
    assert len({received.body for received in fake_app.received}) == 1
    signatures = {received.headers["X-Hub-Signature-256"] for received in fake_app.received}
    assert len(signatures) == 1


async def test_a_reset_secret_signs_from_then_on_and_is_asked_for_but_not_by_what_was_signed_before(
    facebook: Facebook, fake_app: FakeApp
) -> None:
    fake_app.statuses = [403, 403]
    await facebook.says("before")
    await fake_app.wait_for(lambda app: bool(app.received))
    secret = (await facebook.control("POST", "/app/secret"))["app_secret"]
    await facebook.says("after")
    await facebook.until_quiet()
    signatures = [
        (element(each.body)["message"]["text"], each.headers["X-Hub-Signature-256"])
        for each in fake_app.received
    ]
    assert {text for text, _ in signatures} == {"before", "after"}
    for each, (text, signature) in zip(fake_app.received, signatures, strict=True):
        wanted = secret if text == "after" else SECRET
        assert signature == signature_headers(each.body, wanted)["X-Hub-Signature-256"]
    assert (await facebook.control("GET", "/webhooks"))["forbidden"] == 2
    status, _ = await facebook.graph("GET", "/me")
    assert status == 400
    status, _ = await facebook.graph(
        "GET", "/me", appsecret_proof=appsecret_proof(facebook.token, secret)
    )
    assert status == 200


async def test_copies_are_the_same_webhook_again(facebook: Facebook, fake_app: FakeApp) -> None:
    await facebook.says("hello", copies=3)
    await facebook.until_quiet()
    assert len(fake_app.received) == 3
    assert len({received.body for received in fake_app.received}) == 1
    assert len((await facebook.thread())["messages"]) == 1


async def test_one_persons_webhooks_keep_their_order_while_one_fails(
    facebook: Facebook, fake_app: FakeApp
) -> None:
    fake_app.statuses = [500, 500]
    mids = [await facebook.says(str(number)) for number in range(5)]
    await facebook.until_quiet()
    seen = [element(received.body)["message"]["mid"] for received in fake_app.received]
    assert seen == [mids[0], mids[0], *mids]


async def test_another_persons_webhook_does_not_wait() -> None:
    """The app never answers the first one; the second comes all the same."""
    blocked, passed = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        if await reader.readexactly(length) == b"slow":
            await blocked.wait()
        else:
            passed.set()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sender = WebhookSender(f"http://127.0.0.1:{port}/", SECRET, on_unsubscribed=lambda _: None)
    await sender.open()
    sender.send("1:1", Webhook("1", b"slow"))
    sender.send("1:2", Webhook("1", b"quick"))
    await asyncio.wait_for(passed.wait(), DEADLINE_S)
    assert sender.pending >= 1
    blocked.set()
    await sender.close()
    server.close()
    await server.wait_closed()


async def test_an_accepted_send_is_echoed_and_delivered(
    facebook: Facebook, fake_app: FakeApp
) -> None:
    await facebook.says("hello")
    status, answer = await facebook.send("hi", metadata="cmd:0")
    assert status == 200
    await facebook.until_quiet()
    assert kinds(fake_app) == ["message", "message", "delivery"]
    echo = element(fake_app.received[1].body)
    assert echo["sender"] == {"id": facebook.page}
    assert echo["recipient"] == {"id": facebook.psid}
    assert echo["message"] == {
        "is_echo": True,
        "app_id": int(APP_ID),
        "metadata": "cmd:0",
        "mid": answer["message_id"],
        "text": "hi",
    }
    delivery = element(fake_app.received[2].body)["delivery"]
    assert delivery["mids"] == [answer["message_id"]]


async def test_the_inbox_echoes_with_another_app_id(facebook: Facebook, fake_app: FakeApp) -> None:
    body = {"psid": facebook.psid, "text": "a human here"}
    await facebook.control("POST", f"/pages/{facebook.page}/inbox-messages", body)
    await facebook.until_quiet()
    assert element(fake_app.received[0].body)["message"]["app_id"] == 263902037430900


async def test_behaviour_switches_receipts(facebook: Facebook, fake_app: FakeApp) -> None:
    await facebook.behave(
        delivery_receipts=False, echoes=False, read_receipts={"enabled": True, "delay_ms": 0}
    )
    await facebook.says("hello")
    await facebook.send("hi")
    await facebook.until_quiet()
    assert kinds(fake_app) == ["message", "read"]


async def test_only_subscribed_fields_are_reported(facebook: Facebook, fake_app: FakeApp) -> None:
    fields = {"subscribed_fields": "messages"}
    assert await facebook.graph("POST", f"/{facebook.page}/subscribed_apps", fields) == (
        200,
        {"success": True},
    )
    await facebook.says("hello")
    await facebook.send("hi")
    await facebook.control("POST", f"/pages/{facebook.page}/reads", {"psid": facebook.psid})
    await facebook.until_quiet()
    assert kinds(fake_app) == ["message"]
    await facebook.graph("DELETE", f"/{facebook.page}/subscribed_apps")
    await facebook.says("nobody hears this")
    assert facebook.simulator.webhooks.pending == 0
    assert await facebook.graph("GET", f"/{facebook.page}/subscribed_apps") == (200, {"data": []})


async def test_people_without_a_role_are_not_reported_by_an_app_in_development(
    facebook: Facebook, fake_app: FakeApp
) -> None:
    await facebook.behave(dev_mode=True)
    path = f"/pages/{facebook.page}/messages"
    await facebook.control("POST", path, {"psid": facebook.other_psid, "text": "unheard"})
    await facebook.says("heard")
    await facebook.until_quiet()
    (received,) = fake_app.received
    assert element(received.body)["message"]["text"] == "heard"


def test_retries_come_at_once_and_then_with_growing_gaps() -> None:
    pauses = [retry_pause_s(failures) for failures in range(1, 30)]
    assert pauses == sorted(pauses)
    assert pauses[0] == 0
    assert set(pauses[len(RETRY_PAUSES_S) :]) == {RETRY_PAUSES_S[-1]}


def test_patience_ends_after_an_hour_of_failing_without_a_success() -> None:
    health = Health()
    health.failed(100.0)
    assert not health.is_due_for_alert(100.0 + ALERT_AFTER_S - 1)
    assert health.is_due_for_alert(100.0 + ALERT_AFTER_S)
    assert not health.is_due_for_alert(100.0 + ALERT_AFTER_S + 1)
    assert not health.is_due_for_unsubscription(100.0 + UNSUBSCRIBE_AFTER_S - 1)
    assert health.is_due_for_unsubscription(100.0 + UNSUBSCRIBE_AFTER_S)
    health.succeeded()
    health.failed(5000.0)
    assert not health.is_due_for_unsubscription(5000.0 + UNSUBSCRIBE_AFTER_S - 1)


async def test_after_an_hour_the_page_is_unsubscribed_and_what_waits_is_lost() -> None:
    unsubscribed = asyncio.Event()
    lost: list[str] = []
    hours = iter(range(100))

    def on_unsubscribed(page_id: str) -> None:
        lost.append(page_id)
        unsubscribed.set()

    sender = WebhookSender(
        "http://127.0.0.1:9/",  # nobody listens there
        SECRET,
        on_unsubscribed=on_unsubscribed,
        clock=lambda: next(hours) * UNSUBSCRIBE_AFTER_S,
    )
    await sender.open()
    accepted: list[bool] = []
    for _ in range(3):
        sender.send("1:1", Webhook("1", b"{}", on_done=accepted.append))
    await asyncio.wait_for(unsubscribed.wait(), DEADLINE_S)
    await until(lambda: sender.pending == 0)
    assert lost == ["1"]
    assert accepted == [False] * 3
    assert sender.lost == 3
    await sender.close()


async def test_the_world_forgets_the_subscription(facebook: Facebook) -> None:
    facebook.simulator._unsubscribed(facebook.page)
    page = facebook.simulator.world.page(facebook.page)
    assert page.subscribed_fields == ()


@pytest.mark.parametrize("body", [b"", b"not json", b'{"object":"page","entry":[]}\n'])
async def test_raw_bodies_are_signed_and_posted_as_they_are(
    facebook: Facebook, fake_app: FakeApp, body: bytes
) -> None:
    fake_app.statuses = [418]
    path = f"/simulator/api/pages/{facebook.page}/webhooks"
    async with facebook.client.post(path, data=body) as response:
        assert await response.json() == {"status": 418, "body": "OK"}
    assert fake_app.received[0].body == body


async def test_a_full_queue_refuses_people_and_loses_receipts(
    facebook: Facebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    await facebook.says("hello")
    await facebook.until_quiet()
    monkeypatch.setattr("simulator.webhooks.MAX_PENDING", 0)
    body = {"psid": facebook.psid, "text": "no room"}
    path = f"/simulator/api/pages/{facebook.page}/messages"
    assert (await facebook.ask("POST", path, body))[0] == 503
    assert (await facebook.send("hi"))[0] == 200  # the send itself is not in doubt
    assert [said["text"] for said in (await facebook.thread())["messages"]] == ["hello", "hi"]
    assert (await facebook.control("GET", "/webhooks"))["lost"] == 2  # echo and receipt


@pytest.mark.parametrize(("answer", "verified"), [("challenge", True), ("nonsense", False)])
async def test_the_webhooks_address_is_verified_as_meta_does(
    facebook: Facebook, fake_app: FakeApp, answer: str, verified: bool
) -> None:
    fake_app.answers_challenge = answer == "challenge"
    result = await facebook.control("POST", "/webhooks/verify")
    assert result == {"verified": verified, "status": 200}
    assert fake_app.asked["hub.mode"] == "subscribe"
    assert fake_app.asked["hub.verify_token"] == "verify"


async def test_two_thousand_conversations_at_once_are_handed_over_quickly(
    facebook: Facebook, fake_app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "ANSWER_WITHIN_S", 60)
    simulator = facebook.simulator
    page = simulator.world.page(facebook.page)
    people = [simulator.world.add_person(page, "P", str(number)) for number in range(2000)]
    for person in people:
        simulator.person_writes(page, person.psid, Said("one"), simulator.now())
        simulator.person_writes(page, person.psid, Said("two"), simulator.now())
    await until(lambda: simulator.webhooks.pending == 0, deadline_s=240)
    assert len(fake_app.received) == 4000
    by_person: dict[str, list[str]] = {}
    for received in fake_app.received:
        said = element(received.body)
        by_person.setdefault(said["sender"]["id"], []).append(said["message"]["text"])
    assert all(texts == ["one", "two"] for texts in by_person.values())


async def test_what_is_sent_while_the_rest_is_forgotten_is_counted_right(
    facebook: Facebook, fake_app: FakeApp
) -> None:
    simulator = facebook.simulator
    page = simulator.world.page(facebook.page)
    fake_app.statuses = [500] * 3
    simulator.person_writes(page, facebook.psid, Said("forgotten"), simulator.now())
    await fake_app.wait_for(lambda app: len(app.received) == 2)
    clearing = asyncio.create_task(simulator.webhooks.clear())
    await asyncio.sleep(0)
    simulator.person_writes(page, facebook.psid, Said("kept"), simulator.now())
    await clearing
    await facebook.until_quiet()
    assert element(fake_app.received[-1].body)["message"]["text"] == "kept"
    assert simulator.webhooks.pending == 0
