"""The client and the stand-in for Meta understand each other, call by call."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from libs.common.graph import (
    GraphClient,
    GraphError,
    NoProfileError,
    OutcomeUnknownError,
    RateLimitedError,
    TokenRejectedError,
    Usage,
    open_graph,
)
from libs.common.settings import GraphSettings
from libs.common.web import Readiness
from simulator.app import create_app
from simulator.core import Simulator
from tests.unit.simulator.harness import APP_ID, SECRET, Facebook, FakeApp, make_settings


@pytest.fixture
async def facebook(tmp_path: Path) -> AsyncIterator[Facebook]:
    fake, hooks = FakeApp(), web.Application()
    hooks.router.add_post("/webhooks", fake.handle)
    async with TestServer(hooks) as server:
        fake.url = str(server.make_url("/webhooks"))
        simulator = Simulator(make_settings(fake.url, tmp_path))
        app = create_app(simulator, Readiness())
        async with simulator.running(), TestClient(TestServer(app)) as client:
            yield Facebook(client, simulator)


@pytest.fixture
def told() -> list[tuple[str, Usage]]:
    return []


@pytest.fixture
async def graph(facebook: Facebook, told: list[tuple[str, Usage]]) -> AsyncIterator[GraphClient]:
    settings = GraphSettings(
        graph_api_url=str(facebook.client.make_url("/")),
        graph_api_version="v26.0",
        facebook_app_id=APP_ID,
        facebook_app_secret=SecretStr(SECRET),
    )
    hear = lambda page_id, usage: told.append((page_id, usage))  # noqa: E731
    async with open_graph(settings, timeout_s=4, on_usage=hear) as client:
        yield client


def hello(facebook: Facebook) -> dict[str, Any]:
    return facebook.message("Hello 🥐", metadata="c1:0")


async def test_message_is_sent_and_read_back(facebook: Facebook, graph: GraphClient) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    asked = await facebook.says("Are you open?")
    sent = await graph.send_message(facebook.page, facebook.token, hello(facebook))
    thread = await graph.read_thread(facebook.page, facebook.token, facebook.psid)
    assert [(message.mid, message.from_id, message.text) for message in thread] == [
        (sent.message_id, facebook.page, "Hello 🥐"),
        (asked, facebook.psid, "Are you open?"),
    ]
    assert all(before <= message.created_at <= datetime.now(UTC) for message in thread)
    assert await graph.read_message(facebook.page, facebook.token, sent.message_id) == thread[0]


async def test_thread_longer_than_a_reading(facebook: Facebook, graph: GraphClient) -> None:
    mids = [await facebook.says(f"message {number}") for number in range(25)]
    thread = await graph.read_thread(facebook.page, facebook.token, facebook.psid)
    assert [message.mid for message in thread] == mids[:4:-1]


async def test_person_without_a_thread(facebook: Facebook, graph: GraphClient) -> None:
    assert await graph.read_thread(facebook.page, facebook.token, facebook.psid) == ()


async def test_signs_are_shown(facebook: Facebook, graph: GraphClient) -> None:
    await facebook.says("Are you open?")
    await graph.send_action(facebook.page, facebook.token, facebook.psid, "mark_seen")
    await graph.send_action(facebook.page, facebook.token, facebook.psid, "typing_on")
    thread = await facebook.thread()
    assert thread["seen"]
    assert thread["typing"]


async def test_person_has_a_name(facebook: Facebook, graph: GraphClient) -> None:
    profile = await graph.person_profile(facebook.token, facebook.psid)
    assert profile.first_name
    assert profile.profile_pic


async def test_refusals_come_as_their_own_errors(facebook: Facebook, graph: GraphClient) -> None:
    with pytest.raises(GraphError) as caught:
        await graph.send_message(facebook.page, facebook.token, hello(facebook))
    assert (caught.value.code_, caught.value.subcode) == (10, 2018278)  # nobody wrote yet
    assert caught.value.fbtrace_id

    await facebook.control("PUT", f"/pages/{facebook.page}/token", {"state": "password_changed"})
    with pytest.raises(TokenRejectedError) as rejected:
        await graph.send_message(facebook.page, facebook.token, hello(facebook))
    assert rejected.value.subcode == 460


async def test_usage_is_heard_before_and_with_the_limit(
    facebook: Facebook, graph: GraphClient, told: list[tuple[str, Usage]]
) -> None:
    await facebook.says("Are you open?")
    await facebook.behave(usage_header=80)
    await graph.send_message(facebook.page, facebook.token, hello(facebook))
    assert told[-1] == (facebook.page, Usage(80.0))
    await facebook.behave(usage_header=100)
    with pytest.raises(RateLimitedError) as caught:
        await graph.send_message(facebook.page, facebook.token, hello(facebook))
    assert caught.value.retry_after_s is not None
    assert caught.value.usage == told[-1][1]
    assert caught.value.retry_after_s == told[-1][1].regain_s > 0


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"drop": "before"}, None),
        ({"drop": "after_accept"}, None),
        ({"truncate": True}, 200),
        ({"status": 502, "body": "<html>Bad Gateway</html>"}, 502),
        ({"delay_ms": 6000}, None),
    ],
)
async def test_faults_leave_the_outcome_open_and_cause_no_second_call(
    facebook: Facebook, graph: GraphClient, fault: dict[str, Any], status: int | None
) -> None:
    await facebook.says("Are you open?")
    await facebook.control("POST", "/faults", {"endpoint": "messages", "times": 1, **fault})
    with pytest.raises(OutcomeUnknownError) as caught:
        await graph.send_message(facebook.page, facebook.token, hello(facebook))
    assert caught.value.http_status == status
    assert len([call for call in await facebook.calls() if call["endpoint"] == "messages"]) == 1


async def test_wrong_app_secret_is_refused(facebook: Facebook, graph: GraphClient) -> None:
    settings = GraphSettings(
        graph_api_url=str(facebook.client.make_url("/")),
        facebook_app_id=APP_ID,
        facebook_app_secret=SecretStr("another secret"),
    )
    async with open_graph(settings, timeout_s=2) as other:
        with pytest.raises(GraphError) as caught:
            await other.person_profile(facebook.token, facebook.psid)
    assert caught.value.code_ == 100
    assert not isinstance(caught.value, NoProfileError)
    assert (await graph.person_profile(facebook.token, facebook.psid)).first_name
