"""Graph over HTTP: tokens, proofs, bodies, errors, reads, limits and faults."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from simulator.signing import appsecret_proof
from simulator.world.world import Said
from tests.unit.simulator.harness import DEADLINE_S, SECRET, Facebook, until


def code(answer: dict[str, Any]) -> tuple[int, int | None]:
    error = answer["error"]
    assert error["fbtrace_id"]
    assert error["message"]
    assert error["type"] in ("OAuthException", "GraphMethodException")
    return error["code"], error.get("error_subcode")


async def raw(
    facebook: Facebook,
    method: str,
    path: str,
    **options: Any,  # noqa: ANN401 - aiohttp's
) -> tuple[int, dict[str, Any]]:
    async with facebook.client.request(method, path, **options) as response:
        return response.status, json.loads(await response.read())


async def test_a_send_is_in_the_thread_and_among_the_calls(facebook: Facebook) -> None:
    await facebook.says("hello")
    status, answer = await facebook.send("hi", metadata="cmd:0")
    assert status == 200
    assert answer["recipient_id"] == facebook.psid
    theirs, ours = (await facebook.thread())["messages"]
    assert (theirs["from"], theirs["text"]) == ("person", "hello")
    assert ours["mid"] == answer["message_id"]
    assert ours["from"] == "page"
    assert ours["metadata"] == "cmd:0"
    assert ours["messaging_type"] == "RESPONSE"
    (call,) = await facebook.calls()
    assert call["outcome"] == "accepted"
    assert call["mid"] == answer["message_id"]
    assert call["psid"] == facebook.psid
    assert call["body"] == facebook.message("hi", metadata="cmd:0")
    assert facebook.token not in json.dumps(call)


@pytest.mark.parametrize("prefix", ["", "/v26.0", "/v21.0", "/v3.0"])
async def test_any_living_or_dead_version_is_served(facebook: Facebook, prefix: str) -> None:
    proof = appsecret_proof(facebook.token, SECRET)
    query = {"access_token": facebook.token, "appsecret_proof": proof}
    status, answer = await raw(facebook, "GET", f"{prefix}/me", params=query)
    assert (status, answer) == (200, {"id": facebook.page, "name": "Corner Bakery"})


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v99.0/me"), ("GET", "/v26.0/a/b/c"), ("PUT", "/v26.0/me/messages")],
)
async def test_unknown_paths_are_named(facebook: Facebook, method: str, path: str) -> None:
    status, answer = await raw(facebook, method, path)
    assert (status, *code(answer)) == (400, 2500, None)


async def test_token_comes_before_proof_and_proof_before_the_rest(facebook: Facebook) -> None:
    path = f"/v26.0/{facebook.page}/messages"

    async def attempt(token: str | None, proof: str | None) -> tuple[int, int | None]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        query = {"appsecret_proof": proof} if proof else {}
        _, answer = await raw(facebook, "POST", path, json={}, headers=headers, params=query)
        return code(answer)

    assert await attempt(None, None) == (104, None)
    assert await attempt("EAAunknown", None) == (190, None)
    assert await attempt(facebook.token, None) == (100, None)
    assert await attempt(facebook.token, "0" * 64) == (100, None)
    right = appsecret_proof(facebook.token, SECRET)
    _, answer = await raw(
        facebook,
        "POST",
        path,
        json={},
        headers={"Authorization": f"Bearer {facebook.token}"},
        params={"appsecret_proof": right},
    )
    assert "recipient" in answer["error"]["message"]


@pytest.mark.parametrize("proof", [None, "0" * 64])
async def test_a_bad_proof_is_a_graph_method_exception(
    facebook: Facebook, proof: str | None
) -> None:
    query = {"access_token": facebook.token} | ({"appsecret_proof": proof} if proof else {})
    status, answer = await raw(facebook, "GET", "/me", params=query)
    assert status == 400
    assert answer["error"]["type"] == "GraphMethodException"
    assert "appsecret_proof" in answer["error"]["message"]


@pytest.mark.parametrize(
    ("state", "subcode"), [("expired", 463), ("revoked", 458), ("password_changed", 460)]
)
async def test_dead_tokens(facebook: Facebook, state: str, subcode: int) -> None:
    await facebook.control("PUT", f"/pages/{facebook.page}/token", {"state": state})
    status, answer = await facebook.send("hi")
    assert (status, *code(answer)) == (400, 190, subcode)
    await facebook.control("PUT", f"/pages/{facebook.page}/token", {"state": "valid"})
    await facebook.says("hello")
    assert (await facebook.send("hi"))[0] == 200


async def test_form_bodies_hold_json_texts(facebook: Facebook) -> None:
    await facebook.says("hello")
    form = {
        "recipient": json.dumps({"id": facebook.psid}),
        "message": json.dumps({"text": "from a form"}),
        "access_token": facebook.token,
        "appsecret_proof": appsecret_proof(facebook.token, SECRET),
    }
    status, _ = await raw(facebook, "POST", "/me/messages", data=form)
    assert status == 200
    assert (await facebook.thread())["messages"][-1]["text"] == "from a form"
    assert set((await facebook.calls())[0]["body"]) == {"recipient", "message"}


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'"x"', b"\xff\xfe", b'{"message":{"text":"\\ud800"}}']
)
async def test_bodies_that_are_no_json_objects_are_refused(facebook: Facebook, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {facebook.token}", "Content-Type": "application/json"}
    status, answer = await raw(facebook, "POST", "/me/messages", data=body, headers=headers)
    assert (status, *code(answer)) == (400, 100, None)


async def test_another_pages_path_is_not_visible(facebook: Facebook) -> None:
    other = await facebook.control("POST", "/pages", {"name": "Other"})
    _, answer = await facebook.graph("POST", f"/{other['id']}/messages", facebook.message("hi"))
    assert code(answer) == (100, 33)


async def test_sender_actions_show_in_the_thread(facebook: Facebook) -> None:
    await facebook.says("hello")

    async def act(action: str) -> dict[str, Any]:
        body = {"recipient": {"id": facebook.psid}, "sender_action": action}
        answer = await facebook.graph("POST", f"/{facebook.page}/messages", body)
        assert answer == (200, {"recipient_id": facebook.psid})
        return await facebook.thread()

    assert (await act("typing_on"))["typing"] is True
    assert (await act("typing_off"))["typing"] is False
    assert (await act("mark_seen"))["seen"] is True
    assert [call["endpoint"] for call in await facebook.calls()] == ["actions"] * 3


async def test_blocked_people_are_unavailable(facebook: Facebook) -> None:
    await facebook.says("hello")
    person = f"/pages/{facebook.page}/people/{facebook.psid}"
    await facebook.control("PATCH", person, {"blocked": True})
    assert code((await facebook.send("hi"))[1]) == (551, 1545041)


async def test_calls_beyond_the_rate_are_refused(facebook: Facebook) -> None:
    await facebook.behave(rate_limit_per_s=3)
    await facebook.says("hello")
    moment = facebook.simulator.now()
    facebook.simulator.now = lambda: moment  # all within one second
    answers = [await facebook.send("hi") for _ in range(5)]
    assert [status for status, _ in answers] == [200, 200, 200, 400, 400]
    assert code(answers[-1][1]) == (613, 2534040)
    assert answers[-1][1]["error"]["is_transient"] is True
    facebook.simulator.now = lambda: moment + 1000
    assert (await facebook.send("hi"))[0] == 200
    assert len((await facebook.thread())["messages"]) == 5


@pytest.mark.parametrize(("percent", "status", "regain"), [(76, 200, 0), (100, 400, 1)])
async def test_usage_headers(facebook: Facebook, percent: int, status: int, regain: int) -> None:
    await facebook.behave(usage_header=percent)
    await facebook.says("hello")
    async with facebook.client.post(
        f"/{facebook.page}/messages",
        json=facebook.message("hi"),
        headers={"Authorization": f"Bearer {facebook.token}"},
        params={"appsecret_proof": appsecret_proof(facebook.token, SECRET)},
    ) as response:
        assert response.status == status
        if status != 200:
            assert code(await response.json()) == (80006, None)
        assert json.loads(response.headers["X-App-Usage"])["call_count"] == percent
        (usage,) = json.loads(response.headers["X-Business-Use-Case-Usage"])[facebook.page]
    assert usage["type"] == "messenger"
    assert usage["call_count"] == percent
    assert usage["estimated_time_to_regain_access"] == regain


async def test_headers_are_absent_while_little_is_used(facebook: Facebook) -> None:
    proof = appsecret_proof(facebook.token, SECRET)
    query = {"access_token": facebook.token, "appsecret_proof": proof}
    async with facebook.client.get("/me", params=query) as response:
        assert "X-App-Usage" not in response.headers
        assert response.headers["facebook-api-version"] == "v26.0"


FIELDS = "messages.limit(20){id,message,from,to,created_time}"


async def test_a_thread_is_read_back_newest_first(facebook: Facebook) -> None:
    mid = await facebook.says("hello")
    _, sent = await facebook.send("hi")
    path = f"/{facebook.page}/conversations"
    status, answer = await facebook.graph(
        "GET", path, platform="messenger", user_id=facebook.psid, fields=FIELDS
    )
    assert status == 200
    (conversation,) = answer["data"]
    newest, oldest = conversation["messages"]["data"]
    assert newest["id"] == sent["message_id"]
    assert newest["message"] == "hi"
    assert newest["from"]["id"] == facebook.page
    assert newest["to"]["data"][0]["id"] == facebook.psid
    assert newest["created_time"].endswith("+0000")
    assert oldest["id"] == mid
    _, one = await facebook.graph("GET", f"/{mid}", fields="id,message")
    assert one == {"id": mid, "message": "hello"}


async def test_conversations_may_be_read_twice_a_second(facebook: Facebook) -> None:
    moment = facebook.simulator.now()
    facebook.simulator.now = lambda: moment
    path = f"/{facebook.page}/conversations"
    answers = [await facebook.graph("GET", path, user_id=facebook.psid) for _ in range(3)]
    assert [status for status, _ in answers] == [200, 200, 400]
    assert answers[0][1] == {"data": [], "paging": {}}
    assert code(answers[2][1]) == (613, 2534040)


async def test_old_messages_lose_their_details(facebook: Facebook) -> None:
    world, page = facebook.simulator.world, facebook.simulator.world.pages[0]
    mids = [world.write(page, facebook.psid, Said("x"), 1000 + n).mid for n in range(22)]
    _, answer = await facebook.graph("GET", f"/{mids[0]}")
    assert code(answer) == (9000001, None)
    fields = "messages.limit(100){id,message,created_time}"
    path = f"/{facebook.page}/conversations"
    _, answer = await facebook.graph("GET", path, user_id=facebook.psid, fields=fields)
    messages = answer["data"][0]["messages"]["data"]
    assert len(messages) == 22
    assert ["message" in message for message in messages] == [True] * 20 + [False] * 2


async def test_conversations_come_page_by_page_newest_first(facebook: Facebook) -> None:
    world, page = facebook.simulator.world, facebook.simulator.world.pages[0]
    world.write(page, facebook.psid, Said("first"), 1000)
    world.write(page, facebook.other_psid, Said("second"), 2000)
    path, fields = f"/{facebook.page}/conversations", "participants,message_count"
    _, first = await facebook.graph("GET", path, limit="1", fields=fields)
    (newest,) = first["data"]
    assert newest["participants"]["data"][0]["id"] == facebook.other_psid
    after = first["paging"]["cursors"]["after"]
    _, second = await facebook.graph("GET", path, limit="1", after=after, fields=fields)
    assert second["data"][0]["participants"]["data"][0]["id"] == facebook.psid
    assert second["paging"] == {}


@pytest.mark.parametrize(
    ("profile", "answer"),
    [
        ("open", {"first_name": "Mia", "name": "Mia Torres"}),
        ("hidden", {}),
        ("none", (100, 2018218)),
    ],
)
async def test_profiles(facebook: Facebook, profile: str, answer: object) -> None:
    person = f"/pages/{facebook.page}/people/{facebook.psid}"
    await facebook.control("PATCH", person, {"profile": profile})
    _, got = await facebook.graph("GET", f"/{facebook.psid}", fields="first_name,name")
    if isinstance(answer, dict):
        assert got == (answer | {"id": facebook.psid} if answer else {})
    else:
        assert code(got) == answer
    assert code((await facebook.graph("GET", "/12345"))[1]) == (100, 33)


async def test_the_apps_token_unsubscribes_a_page_whose_token_is_dead(facebook: Facebook) -> None:
    await facebook.control("PUT", f"/pages/{facebook.page}/token", {"state": "revoked"})
    token = f"{facebook.simulator.app_id}|{SECRET}"
    query = {"access_token": token, "appsecret_proof": appsecret_proof(token, SECRET)}
    path = f"/v26.0/{facebook.page}/subscribed_apps"
    assert await raw(facebook, "DELETE", path, params=query) == (200, {"success": True})
    assert facebook.simulator.world.pages[0].subscribed_fields == ()


@pytest.mark.parametrize("fields", [None, "messages,nonsense", []])
async def test_wrong_subscription_fields_are_refused(facebook: Facebook, fields: object) -> None:
    path = f"/{facebook.page}/subscribed_apps"
    _, answer = await facebook.graph("POST", path, {"subscribed_fields": fields})
    assert code(answer) == (100, None)


# Faults


async def fault(facebook: Facebook, **settings: object) -> None:
    await facebook.control("POST", "/faults", {"endpoint": "messages", **settings})


async def outcomes(facebook: Facebook) -> list[tuple[str, bool]]:
    return [(call["outcome"], "mid" in call) for call in await facebook.calls()]


async def test_dropped_after_accept_is_in_the_thread_and_unanswered(facebook: Facebook) -> None:
    await facebook.says("hello")
    await fault(facebook, drop="after_accept")
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await facebook.send("lost answer")
    assert (await facebook.thread())["messages"][-1]["text"] == "lost answer"
    assert await outcomes(facebook) == [("accepted", True)]
    assert (await facebook.send("next"))[0] == 200


async def test_dropped_before_leaves_no_trace_in_the_thread(facebook: Facebook) -> None:
    await facebook.says("hello")
    await fault(facebook, drop="before", times=2)
    for _ in range(2):
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await facebook.send("never seen")
    assert len((await facebook.thread())["messages"]) == 1
    assert await outcomes(facebook) == [("dropped", False)] * 2


async def test_a_truncated_answer_took_effect(facebook: Facebook) -> None:
    await facebook.says("hello")
    await fault(facebook, truncate=True)
    with pytest.raises(aiohttp.ClientPayloadError):
        await facebook.send("half an answer")
    assert await outcomes(facebook) == [("accepted", True)]


@pytest.mark.parametrize(("accept", "messages"), [(False, 1), (True, 2)])
async def test_an_error_may_hide_an_acceptance(
    facebook: Facebook, accept: bool, messages: int
) -> None:
    await facebook.says("hello")
    await fault(facebook, status=500, accept=accept)
    status, answer = await facebook.send("hi")
    assert (status, *code(answer)) == (500, 2, None)
    assert len((await facebook.thread())["messages"]) == messages
    assert await outcomes(facebook) == [("accepted", True) if accept else ("refused", False)]


async def test_any_error_and_any_body_can_be_had(facebook: Facebook) -> None:
    await facebook.says("hello")
    await fault(facebook, status=403, error={"code": 368, "message": "(#368) blocked"})
    status, answer = await facebook.send("hi")
    assert (status, *code(answer)) == (403, 368, None)
    await fault(facebook, status=502, body="<html>Bad Gateway</html>")
    async with facebook.client.post(
        f"/{facebook.page}/messages", headers={"Authorization": f"Bearer {facebook.token}"}
    ) as response:
        assert (response.status, await response.text()) == (502, "<html>Bad Gateway</html>")


async def test_a_held_back_answer_took_effect_already(facebook: Facebook) -> None:
    await facebook.says("hello")
    await fault(facebook, delay_ms=60_000)
    sending = asyncio.create_task(facebook.send("slow"))
    page = facebook.simulator.world.pages[0]
    await until(lambda: len(page.threads[facebook.psid].messages) == 2)
    assert not sending.done()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending


async def test_faults_are_for_one_endpoint_page_and_person_and_can_be_cleared(
    facebook: Facebook,
) -> None:
    await facebook.says("hello")
    await fault(facebook, page="1", status=500)
    await fault(facebook, psid="1", status=500)
    await fault(facebook, endpoint="profile", status=500)
    assert (await facebook.send("hi"))[0] == 200
    assert len((await facebook.control("GET", "/faults"))["faults"]) == 3
    await facebook.control("DELETE", "/faults")
    assert (await facebook.graph("GET", f"/{facebook.psid}"))[0] == 200
    await fault(facebook, page=facebook.page, psid=facebook.psid, status=500)
    assert [(await facebook.send("hi"))[0] for _ in range(2)] == [500, 200]


async def test_latency_is_before_the_decision(facebook: Facebook) -> None:
    await facebook.behave(send_latency_ms=60_000)
    sending = asyncio.create_task(facebook.send("slow"))
    done, _ = await asyncio.wait({sending}, timeout=0.1)
    assert not done
    assert await facebook.calls() == []
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(sending, DEADLINE_S)
