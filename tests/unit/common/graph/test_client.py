"""One call, one outcome: over real sockets, with everything that may go wrong on them."""

import asyncio
import json
import logging
import socket
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr

from libs.common.graph import (
    DateHook,
    GraphClient,
    GraphError,
    NoProfileError,
    NotSentError,
    OutcomeUnknownError,
    Profile,
    RateLimitedError,
    TokenRejectedError,
    UnsureError,
    Usage,
    UsageHook,
    WindowClosedError,
    open_graph,
)
from libs.common.settings import GraphSettings
from tests.ports import free_port
from tests.unit.common.graph.meta_server import (
    Answer,
    MetaServer,
    hangs,
    hangs_in_the_body,
    kept_connections,
    meta_server,
    refuses,
    resets,
    says,
    says_text,
    truncates,
)

PAGE, PSID = "1052938400", "7391028401"
TOKEN = "EAATESTTOKEN"
SECRET = "test_app_secret"
PROOF = "bad6df0b858104754a0ffde2f0c05fe9731f1a5e141ee1bccf316d05f28d5135"
PAYLOAD = {
    "recipient": {"id": PSID},
    "messaging_type": "RESPONSE",
    "message": {"text": "Hello", "metadata": "c1:0"},
}
SENT = {"recipient_id": PSID, "message_id": "m_AG5Hz2U"}


def graph_settings(url: str) -> GraphSettings:
    return GraphSettings(
        graph_api_url=url,
        graph_api_version="v26.0",
        facebook_app_id="1517776481860111",
        facebook_app_secret=SecretStr(SECRET),
    )


@asynccontextmanager
async def graph_at(
    url: str,
    *,
    timeout_s: float = 5.0,
    on_usage: UsageHook | None = None,
    on_date: DateHook | None = None,
) -> AsyncIterator[GraphClient]:
    async with open_graph(
        graph_settings(url), timeout_s=timeout_s, on_usage=on_usage, on_date=on_date
    ) as graph:
        yield graph


@asynccontextmanager
async def answering(
    answer: Answer,
    *,
    timeout_s: float = 5.0,
    on_usage: UsageHook | None = None,
    on_date: DateHook | None = None,
) -> AsyncIterator[tuple[MetaServer, GraphClient]]:
    async with (
        meta_server(answer) as server,
        graph_at(server.url, timeout_s=timeout_s, on_usage=on_usage, on_date=on_date) as graph,
    ):
        yield server, graph


async def fails(graph: GraphClient, kind: type[Exception]) -> Any:  # noqa: ANN401
    """The error that sending one message ends with."""
    with pytest.raises(kind) as caught:
        await graph.send_message(PAGE, TOKEN, PAYLOAD)
    return caught.value


async def test_message_goes_out_signed_with_its_token_in_the_header_only() -> None:
    async with answering(says(SENT)) as (server, graph):
        result = await graph.send_message(PAGE, TOKEN, PAYLOAD)
    assert result.message_id == "m_AG5Hz2U"
    (call,) = server.calls
    assert (call.method, call.path_qs) == ("POST", f"/v26.0/{PAGE}/messages")
    assert call.headers["Authorization"] == f"Bearer {TOKEN}"
    assert call.body == {**PAYLOAD, "appsecret_proof": PROOF}


async def test_action_holds_nothing_but_recipient_and_action() -> None:
    async with answering(says({"recipient_id": PSID})) as (server, graph):
        await graph.send_action(PAGE, TOKEN, PSID, "typing_on")
    assert server.calls[0].body == {
        "recipient": {"id": PSID},
        "sender_action": "typing_on",
        "appsecret_proof": PROOF,
    }


def thread_of(*messages: dict[str, Any], **paging: str) -> dict[str, Any]:
    return {"data": [{"id": "t_1", "messages": {"data": messages, "paging": paging}}], "paging": {}}


def said(mid: str, sender: str = PAGE, **more: str) -> dict[str, Any]:
    return {
        "id": mid,
        "from": {"name": "Somebody", "email": f"{sender}@facebook.com", "id": sender},
        "created_time": "2026-07-12T19:11:07+0000",
        **more,
    }


async def test_thread_is_read_back() -> None:
    answer = says(thread_of(said("m_2", message="Hello"), said("m_1", PSID)))
    async with answering(answer) as (server, graph):
        newest, oldest = await graph.read_thread(PAGE, TOKEN, PSID)
    assert (newest.mid, newest.from_id, newest.text) == ("m_2", PAGE, "Hello")
    assert newest.created_at == datetime(2026, 7, 12, 19, 11, 7, tzinfo=UTC)
    assert newest.created_at.tzinfo is UTC
    assert (oldest.mid, oldest.from_id, oldest.text) == ("m_1", PSID, "")
    (call,) = server.calls
    assert (call.method, call.path_qs.split("?")[0]) == ("GET", f"/v26.0/{PAGE}/conversations")
    assert call.query == {
        "platform": "messenger",
        "user_id": PSID,
        "fields": "messages.limit(20){id,message,from,created_time}",
        "appsecret_proof": PROOF,
    }
    assert TOKEN not in call.path_qs


async def test_thread_holds_the_newest_twenty() -> None:
    messages = [said(f"m_{number}") for number in range(25)]
    async with answering(says(thread_of(*messages, next="https://example.org"))) as (_, graph):
        thread = await graph.read_thread(PAGE, TOKEN, PSID)
    assert [message.mid for message in thread] == [f"m_{number}" for number in range(20)]


async def test_no_thread_is_an_empty_one() -> None:
    async with answering(says({"data": []})) as (_, graph):
        assert await graph.read_thread(PAGE, TOKEN, PSID) == ()


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"data": "none"},
        {"data": [], "paging": {"next": "https://example.org"}},
        {"data": [{"id": "t_1"}]},
        {"data": [{"id": "t_1", "messages": {}}]},
        thread_of(said("m_1"), next="https://example.org"),
        thread_of({"id": "m_1", "created_time": "2026-07-12T19:11:07+0000"}),
        thread_of(said("m_1") | {"created_time": "yesterday"}),
        thread_of(said("m_1") | {"created_time": "2026-07-12T19:11:07"}),
        thread_of(said("")),
    ],
)
async def test_reading_with_gaps_is_no_reading(document: dict[str, Any]) -> None:
    """Otherwise what is missing from it would count as never sent, and be sent again."""
    async with answering(says(document)) as (_, graph):
        with pytest.raises(OutcomeUnknownError) as caught:
            await graph.read_thread(PAGE, TOKEN, PSID)
    assert caught.value.http_status == 200


async def test_profile_of_a_person() -> None:
    shown = {"first_name": "Ada", "profile_pic": "https://example.org/a.jpg", "id": PSID}
    async with answering(says(shown)) as (server, graph):
        profile = await graph.person_profile(TOKEN, PSID)
    assert profile == Profile(first_name="Ada", profile_pic="https://example.org/a.jpg")
    assert server.calls[0].path_qs.split("?")[0] == f"/v26.0/{PSID}"


async def test_profile_that_is_hidden_or_missing() -> None:
    async with answering(says({})) as (_, graph):
        assert await graph.person_profile(TOKEN, PSID) == Profile()
    async with answering(refuses(100, 2018218)) as (_, graph):
        with pytest.raises(NoProfileError):
            await graph.person_profile(TOKEN, PSID)


async def test_ids_cannot_lead_to_another_path() -> None:
    async with answering(says({})) as (server, graph):
        await graph.person_profile(TOKEN, "1/messages?x=1#y")
    assert server.calls[0].path_qs.split("?")[0] == "/v26.0/1%2Fmessages%3Fx%3D1%23y"


async def test_refusal_tells_all_that_meta_said() -> None:
    async with answering(refuses(10, 2018278, 403)) as (_, graph):
        error = await fails(graph, WindowClosedError)
    assert (error.code_, error.subcode, error.http_status) == (10, 2018278, 403)
    assert error.message == "(#10) refused"
    assert error.fbtrace_id == "AxIIVeNpuf3y2jeXdufRcEX"
    assert error.retry_after_s is None
    assert error.code == "graph_window_closed"


@pytest.mark.parametrize("status", [200, 302, 400, 401, 500, 503])
async def test_readable_error_speaks_whatever_the_status(status: int) -> None:
    async with answering(refuses(190, 460, status)) as (_, graph):
        error = await fails(graph, TokenRejectedError)
    assert error.http_status == status


async def test_code_of_metas_own_trouble_is_not_a_refusal() -> None:
    async with answering(refuses(2, status=500)) as (_, graph):
        assert (await fails(graph, GraphError)).code_ == 2
        assert isinstance(await fails(graph, GraphError), UnsureError)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry_After": "30"}, 30.0),
        ({"Retry_After": "Wed, 21 Oct 2015 07:28:00 GMT"}, None),
        ({"Retry_After": "soon"}, None),
        ({"Retry_After": "-1"}, None),
        ({"Retry_After": "inf"}, None),
        ({"Retry_After": "1e300"}, 604_800.0),
        (
            {
                "Retry_After": "30",
                "X_Business_Use_Case_Usage": json.dumps(
                    {PAGE: [{"type": "messenger", "estimated_time_to_regain_access": 5}]}
                ),
            },
            300.0,
        ),
    ],
)
async def test_limit_tells_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    async with answering(refuses(80006, None, 400, **headers)) as (_, graph):
        assert (await fails(graph, RateLimitedError)).retry_after_s == seconds


async def test_usage_is_told_with_result_error_and_hook() -> None:
    told: list[tuple[str, Usage]] = []
    used = json.dumps({"call_count": 80, "total_time": 12, "total_cputime": 3})
    hook: UsageHook = lambda page, usage: told.append((page, usage))  # noqa: E731
    async with answering(says(SENT, X_App_Usage=used), on_usage=hook) as (server, graph):
        assert (await graph.send_message(PAGE, TOKEN, PAYLOAD)).usage == Usage(80.0)
        server.answer = refuses(4, X_App_Usage=used)
        assert (await fails(graph, RateLimitedError)).usage == Usage(80.0)
        server.answer = says_text("<html>", 502)
        assert (await fails(graph, OutcomeUnknownError)).usage is None
    assert told == [(PAGE, Usage(80.0))] * 2


async def test_long_usage_headers_cost_no_message() -> None:
    """Thirty-two businesses take more room than aiohttp gives a header by default."""
    report = [{"type": "messenger", "call_count": 7, "total_cputime": 1, "total_time": 1}] * 4
    used = json.dumps({str(10**15 + number): report for number in range(32)})
    assert len(used) > 8190
    async with answering(says(SENT, X_Business_Use_Case_Usage=used)) as (_, graph):
        assert (await graph.send_message(PAGE, TOKEN, PAYLOAD)).usage == Usage(7.0)


async def test_the_time_at_meta_is_told_by_answers_of_its_own_and_by_no_proxy() -> None:
    told: list[datetime] = []
    meta = datetime(2026, 11, 25, 12, tzinfo=UTC)
    async with answering(says(SENT, Date=format_datetime(meta)), on_date=told.append) as (
        server,
        graph,
    ):
        await graph.send_message(PAGE, TOKEN, PAYLOAD)
        assert told == [meta]
        server.answer = refuses(4, Date=format_datetime(meta + timedelta(minutes=1)))
        await fails(graph, RateLimitedError)
        assert told == [meta, meta + timedelta(minutes=1)]
        server.answer = says_text("<html>", 502)
        await fails(graph, OutcomeUnknownError)
        server.answer = says(SENT, Date="the day before yesterday")
        await graph.send_message(PAGE, TOKEN, PAYLOAD)
        assert len(told) == 2


async def test_hook_that_fails_costs_no_message() -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("bug")

    says_usage = says(SENT, X_App_Usage="{}")
    async with answering(says_usage, on_usage=broken, on_date=broken) as (_, graph):
        assert (await graph.send_message(PAGE, TOKEN, PAYLOAD)).message_id == "m_AG5Hz2U"


async def test_refused_connection_is_not_sent() -> None:
    async with graph_at(f"http://127.0.0.1:{free_port()}") as graph:
        await fails(graph, NotSentError)


async def test_name_without_an_address_is_not_sent() -> None:
    async with graph_at("http://no-such-host.invalid") as graph:
        await fails(graph, NotSentError)


async def test_failed_tls_handshake_is_not_sent() -> None:
    async with meta_server(says(SENT)) as server:
        async with graph_at(server.url.replace("http:", "https:")) as graph:
            await fails(graph, NotSentError)
        assert server.calls == []


async def test_connection_that_does_not_come_about_in_time_is_not_sent() -> None:
    """The listener's queue is full: no handshake ends, the kernel drops what comes."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(8)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(address)
            async with graph_at(f"http://127.0.0.1:{address[1]}", timeout_s=0.4) as graph:
                await fails(graph, NotSentError)
        finally:
            for filler in fillers:
                filler.close()


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (resets, None),
        (truncates, 200),
        (says_text('{"message_id": "m_', content_type="application/json"), 200),
        (says_text("", content_type="application/json"), 200),
        (says({"recipient_id": PSID}), 200),
        (says({"message_id": ""}), 200),
        (says({"message_id": 17}), 200),
        (says(["message_id"]), 200),
        (says_text("<html>Bad Gateway</html>", 502), 502),
        (says_text("<html>Bad Gateway</html>", 200), 200),
        (says(SENT, 500), 500),
        (says({"error": {"message": "no code"}}, 400), 400),
        (says({"error": {"code": True}}, 400), 400),
        (says({"error": "yes"}, 400), 400),
        (says_text("Too Many Requests", 429), 429),
        (says_text("x" * (2 << 20)), 200),
        (says(SENT | {"padding": "x" * (2 << 20)}), 200),
    ],
)
async def test_what_nobody_can_tell_is_unknown(answer: Answer, status: int | None) -> None:
    async with answering(answer) as (server, graph):
        error = await fails(graph, OutcomeUnknownError)
    assert error.http_status == status
    assert len(server.calls) == 1


@pytest.mark.parametrize(("answer", "status"), [(hangs, None), (hangs_in_the_body, 200)])
async def test_silence_has_a_deadline(answer: Answer, status: int | None) -> None:
    async with answering(answer, timeout_s=1.0) as (_, graph):
        started_at = asyncio.get_running_loop().time()
        error = await fails(graph, OutcomeUnknownError)
        took_s = asyncio.get_running_loop().time() - started_at
    assert error.http_status == status
    assert took_s < 20


async def test_redirect_is_not_followed() -> None:
    """It would carry the token to another host, and perhaps the message twice."""
    async with meta_server(says(SENT)) as elsewhere:
        async with answering(says({}, 307, Location=elsewhere.url)) as (_, graph):
            assert (await fails(graph, OutcomeUnknownError)).http_status == 307
        assert elsewhere.calls == []


async def test_kept_connection_that_died_is_unknown_and_no_second_post_leaves() -> None:
    """Closed by the server at the moment the second message is written to it."""
    async with kept_connections() as server, graph_at(server.url) as graph:
        await graph.send_message(PAGE, TOKEN, PAYLOAD)
        server.writers[0].transport.abort()
        await fails(graph, OutcomeUnknownError)
        assert (len(server.writers), server.requests) == (1, 1)


async def test_connection_reset_after_the_second_request_is_unknown() -> None:
    async with kept_connections() as server, graph_at(server.url) as graph:
        server.reset_second = True
        await graph.send_message(PAGE, TOKEN, PAYLOAD)
        await fails(graph, OutcomeUnknownError)
        assert (len(server.writers), server.requests) == (1, 2)


async def test_reading_survives_a_kept_connection_that_died() -> None:
    async with kept_connections() as server, graph_at(server.url) as graph:
        await graph.read_thread(PAGE, TOKEN, PSID)
        server.writers[0].transport.abort()
        assert await graph.read_thread(PAGE, TOKEN, PSID) == ()
        assert len(server.writers) == 2


async def test_cancelled_call_stays_cancelled() -> None:
    async with answering(hangs) as (server, graph):
        task = asyncio.create_task(graph.send_message(PAGE, TOKEN, PAYLOAD))
        async with asyncio.timeout(5):
            while not server.calls:
                await asyncio.sleep(0.005)
        before = calls("messages", "cancelled")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert calls("messages", "cancelled") == before + 1


@pytest.mark.parametrize("token", ["", "two words", "line\r\nbreak", "é", "\x00"])
async def test_what_cannot_be_a_token_is_rejected_without_a_call(token: str) -> None:
    async with answering(says(SENT)) as (server, graph):
        with pytest.raises(TokenRejectedError):
            await graph.send_message(PAGE, token, PAYLOAD)
    assert server.calls == []


@pytest.mark.parametrize(
    "answer",
    [
        says({"error": {"code": 190, "message": f"Malformed access token {TOKEN}"}}, 400),
        says_text(f"<html>{TOKEN}</html>", 502),
        resets,
        hangs,
        says({"message_id": None}),
    ],
)
async def test_no_error_and_no_log_shows_token_proof_or_text(
    answer: Answer, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    async with answering(answer, timeout_s=1.0) as (_, graph):
        error = await fails(graph, Exception)
    shown = "".join(traceback.format_exception(error)) + caplog.text
    shown += repr(error) + "".join(capsys.readouterr()) + str(getattr(error, "message", ""))
    for secret in (TOKEN, PROOF, SECRET, PSID):
        assert secret not in shown


async def test_no_address_with_a_proof_is_shown_when_connecting_fails() -> None:
    async with graph_at(f"http://127.0.0.1:{free_port()}") as graph:
        with pytest.raises(NotSentError) as caught:
            await graph.read_thread(PAGE, TOKEN, PSID)
    shown = "".join(traceback.format_exception(caught.value))
    assert PROOF not in shown
    assert TOKEN not in shown


async def test_calls_are_counted_by_outcome_and_timed() -> None:
    expected = {
        "ok": says(SENT),
        "refused": refuses(100),
        "limited": refuses(613),
        "token": refuses(190),
        "unsure": refuses(1),
        "unknown": says({"recipient_id": PSID}),
    }
    async with answering(says({})) as (server, graph):
        for outcome, answer in expected.items():
            server.answer = answer
            before, timed = calls("messages", outcome), seconds_count("messages")
            if outcome == "ok":
                await graph.send_message(PAGE, TOKEN, PAYLOAD)
            else:
                await fails(graph, Exception)
            assert calls("messages", outcome) == before + 1
            assert seconds_count("messages") == timed + 1


def calls(endpoint: str, outcome: str) -> float:
    labels = {"endpoint": endpoint, "outcome": outcome}
    return REGISTRY.get_sample_value("assistant_graph_calls_total", labels) or 0.0


def seconds_count(endpoint: str) -> float:
    labels = {"endpoint": endpoint}
    return REGISTRY.get_sample_value("assistant_graph_call_seconds_count", labels) or 0.0
