"""The internal HTTP API: who may ask, what is listed, what a decision answers."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from libs.common.web import Late, Readiness, base_app, json_errors, require_service_token
from services.sender.domain.deliveries import Delivery
from services.sender.handlers import DECISIONS, REVIEW, add_routes
from tests.unit.sender.test_again import Desks
from tests.unit.sender.world import PAGE, PSID, STARTED_AT, World

TOKEN = "a-service-token-of-tests"
Client = TestClient[web.Request, web.Application]


def held(send_id: str = "c1:0", **facts: Any) -> Delivery:  # noqa: ANN401
    values = {
        "send_id": send_id,
        "command_id": send_id.split(":")[0],
        "page_id": PAGE,
        "psid": PSID,
        "part": 0,
        "parts": 1,
        "origin": "assistant",
        "text": "hello",
        "state": "held",
        "rule": "no_evidence",
        "reason": "no_evidence",
        "at": STARTED_AT,
        "since": STARTED_AT,
        **facts,
    }
    return Delivery.model_validate(values)


@pytest.fixture
def world() -> World:
    world = World()
    failed = held("c2:0", state="failed", reason="person_unavailable", error_code=551)
    sent = held("c3:0", state="sent", mid="m", reason=None)
    world.store.deliveries = {item.send_id: item for item in (held(), failed, sent)}
    return world


@pytest.fixture
async def client(world: World) -> AsyncIterator[Client]:
    app = base_app(Readiness(), json_errors, require_service_token(SecretStr(TOKEN)))
    app[REVIEW], app[DECISIONS] = Late("the list"), Late("deciding")
    add_routes(app)
    desks = Desks(world)
    app[REVIEW].set(desks.review)  # type: ignore[arg-type]
    app[DECISIONS].set(desks.decisions)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with TestClient(TestServer(app), headers=headers) as opened:
        yield opened


async def test_without_the_service_token_nothing_is_told(client: Client) -> None:
    answer = await client.get(
        f"/internal/v1/pages/{PAGE}/deliveries", headers={"Authorization": "Bearer other"}
    )
    assert answer.status == 401


@pytest.mark.parametrize(
    ("query", "listed"),
    [("", ["c1:0", "c2:0"]), ("?state=held", ["c1:0"]), ("?state=failed", ["c2:0"])],
)
@pytest.mark.parametrize("whose", [f"pages/{PAGE}", f"conversations/{PAGE}:{PSID}"])
async def test_held_and_failed_parts_are_listed_with_what_is_known(
    client: Client, whose: str, query: str, listed: list[str]
) -> None:
    answer = await client.get(f"/internal/v1/{whose}/deliveries{query}")
    body = await answer.json()
    assert [item["id"] for item in body["deliveries"]] == listed
    assert body["next"] is None
    first = body["deliveries"][0]
    assert first["conversation"] == f"{PAGE}:{PSID}"
    assert {"state", "reason", "explanation", "text", "generation", "at"} <= set(first)


async def test_a_full_page_says_where_the_next_one_begins(client: Client) -> None:
    url = f"/internal/v1/pages/{PAGE}/deliveries"
    body = await (await client.get(f"{url}?limit=1")).json()
    assert body["next"] is not None
    assert (await client.get(url, params={"cursor": body["next"]})).status == 200


@pytest.mark.parametrize(
    ("query", "field"), [("limit=0", "limit"), ("cursor=x", "cursor"), ("state=sent", "state")]
)
async def test_a_senseless_query_is_refused_by_field(
    client: Client, query: str, field: str
) -> None:
    answer = await client.get(f"/internal/v1/pages/{PAGE}/deliveries?{query}")
    assert answer.status == 422
    assert (await answer.json())["error"]["field"] == field


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("c1:0/send-again", {}, 202, None),
        ("c1:0/send-again", {"generation": 0}, 202, None),
        ("c2:0/send-again", {}, 202, None),
        ("c3:0/send-again", {}, 409, "already_sent"),
        ("c1:0/send-again", {"generation": 1}, 409, "changed"),
        ("c9:0/send-again", {}, 404, "not_found"),
        ("c1:0/discard", {}, 200, None),
        ("c2:0/discard", {}, 200, None),
        ("c3:0/discard", {}, 409, "changed"),
        ("c9:0/discard", {}, 404, "not_found"),
        ("c1:0/discard", {"generation": "x"}, 422, "invalid_body"),
    ],
)
async def test_a_decision_is_taken_or_says_why_it_cannot_be(
    client: Client, path: str, body: dict[str, Any], status: int, code: str | None
) -> None:
    answer = await client.post(f"/internal/v1/deliveries/{path}", json=body)
    assert answer.status == status
    told = await answer.json()
    assert told.get("error", {}).get("code") == code
    if code is None:
        assert told["delivery"]["id"] == path.split("/")[0]


async def test_a_decision_needs_no_body(client: Client, world: World) -> None:
    answer = await client.post("/internal/v1/deliveries/c1:0/send-again")
    assert answer.status == 202
    assert set(world.kept.kept) == {"c1:0~1"}
