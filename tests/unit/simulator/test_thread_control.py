"""Conversation routing: who has a thread, what the app hears of it, and what it may send."""

import json
from typing import Any

from tests.unit.simulator.harness import APP_ID, Facebook, FakeApp

INBOX = "263902037430900"
OTHER = "520913367702418"


async def gives(facebook: Facebook, app: str, **more: str) -> dict[str, Any]:
    body = {"psid": facebook.psid, "app": app, **more}
    return await facebook.control("POST", f"/pages/{facebook.page}/thread-owner", body)


def heard(app: FakeApp) -> list[tuple[str, dict[str, Any]]]:
    """Of every webhook: where its only element stood, and the element."""
    found = []
    for received in app.received:
        (entry,) = json.loads(received.body)["entry"]
        (place,) = set(entry) - {"id", "time"}
        (element,) = entry[place]
        found.append((place, element))
    return found


async def test_taking_and_passing_a_thread_is_told_with_both_owners(
    facebook: Facebook, fake_app: FakeApp
) -> None:
    assert await gives(facebook, "inbox") == {"owner": "inbox", "app_id": INBOX}
    await gives(facebook, "inbox")  # has it already: nothing is told
    await gives(facebook, "other", how="pass")
    assert await gives(facebook, "ours") == {"owner": "ours", "app_id": APP_ID}
    await facebook.until_quiet()
    ways = ("take_thread_control", "pass_thread_control", "pass_thread_control")
    owners = ((APP_ID, INBOX), (INBOX, OTHER), (OTHER, APP_ID))
    assert len(fake_app.received) == 3
    for (place, element), way, (before, after) in zip(heard(fake_app), ways, owners, strict=True):
        assert place == "messaging"
        assert element["sender"] == {"id": facebook.psid}
        assert element["recipient"] == {"id": facebook.page}
        assert element[way] == {"previous_owner_app_id": before, "new_owner_app_id": after}


async def test_what_happens_in_a_thread_of_another_app_comes_on_standby(
    facebook: Facebook, fake_app: FakeApp
) -> None:
    await gives(facebook, "inbox")
    mid = await facebook.says("hello?")
    tap = {"psid": facebook.psid, "payload": "MENU", "title": "Menu"}
    await facebook.control("POST", f"/pages/{facebook.page}/postbacks", tap)
    answer = {"psid": facebook.psid, "text": "a human here"}
    await facebook.control("POST", f"/pages/{facebook.page}/inbox-messages", answer)
    await facebook.until_quiet()
    await gives(facebook, "ours")
    await facebook.says("and you?")
    await facebook.until_quiet()
    _, said, tapped, echoed, delivered, _, after = heard(fake_app)
    assert said[0] == tapped[0] == echoed[0] == delivered[0] == "standby"
    assert said[1]["message"] == {"mid": mid, "text": "hello?"}
    assert tapped[1]["postback"]["title"] == "Menu"
    assert "payload" not in tapped[1]["postback"]
    assert echoed[1]["message"]["app_id"] == int(INBOX)
    assert "delivery" in delivered[1]
    assert after[0] == "messaging"


async def test_standby_has_to_be_subscribed(facebook: Facebook, fake_app: FakeApp) -> None:
    fields = {"subscribed_fields": "messages,messaging_handovers"}
    await facebook.graph("POST", f"/{facebook.page}/subscribed_apps", fields)
    await gives(facebook, "other")
    await facebook.says("hello?")
    await facebook.until_quiet()
    assert [next(iter(element)) for _, element in heard(fake_app)] == ["sender"]
    assert "take_thread_control" in heard(fake_app)[0][1]


async def test_our_sends_are_refused_as_long_as_another_app_has_the_thread(
    facebook: Facebook,
) -> None:
    await facebook.says("hello")
    await gives(facebook, "other")
    status, answer = await facebook.send("hi")
    assert (status, answer["error"]["code"], answer["error"]["error_subcode"]) == (400, 10, 2018300)
    assert (await facebook.thread())["owner"] == "other"
    await gives(facebook, "ours")
    status, _ = await facebook.send("hi")
    assert status == 200
    assert [call["outcome"] for call in await facebook.calls()] == ["refused", "accepted"]


async def test_a_request_for_a_thread_changes_nothing(
    facebook: Facebook, fake_app: FakeApp
) -> None:
    body = {"psid": facebook.psid, "app": "other"}
    await facebook.control("POST", f"/pages/{facebook.page}/thread-requests", body)
    await facebook.until_quiet()
    ((place, element),) = heard(fake_app)
    assert place == "messaging"
    assert element["request_thread_control"] == {"requested_owner_app_id": int(OTHER)}
    assert (await facebook.thread())["owner"] == "ours"


async def test_who_answers_in_the_inbox_has_the_thread_only_where_routing_is_on(
    facebook: Facebook, fake_app: FakeApp
) -> None:
    answer = {"psid": facebook.psid, "text": "a human here"}
    await facebook.control("POST", f"/pages/{facebook.page}/inbox-messages", answer)
    assert (await facebook.thread())["owner"] == "ours"
    await facebook.until_quiet()
    fake_app.received.clear()
    await facebook.behave(inbox_takes_control=True, delivery_receipts=False)
    await facebook.control("POST", f"/pages/{facebook.page}/inbox-messages", answer)
    await facebook.until_quiet()
    (first, control), (second, echo) = heard(fake_app)
    assert (first, second) == ("messaging", "standby")
    assert control["take_thread_control"]["new_owner_app_id"] == INBOX
    assert echo["message"]["text"] == "a human here"
    assert (await facebook.thread())["owner"] == "inbox"


async def test_an_app_without_human_agent_learns_it_from_metas_refusal(facebook: Facebook) -> None:
    await facebook.behave(human_agent="not_granted")
    await facebook.says("hello", timestamp=facebook.simulator.now() - 25 * 3_600_000)
    tagged = {**facebook.message("hi"), "messaging_type": "MESSAGE_TAG", "tag": "HUMAN_AGENT"}
    status, answer = await facebook.graph("POST", f"/{facebook.page}/messages", tagged)
    assert (status, answer["error"]["code"], answer["error"]["error_subcode"]) == (
        400,
        100,
        2018276,
    )
