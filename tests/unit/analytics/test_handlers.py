"""The internal HTTP API over real sockets, on documents in memory."""

import csv
import io
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp.test_utils import TestClient as Client
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from libs.common.mongo import Document
from libs.common.web import Late, Readiness, base_app, json_errors, require_service_token
from services.analytics.handlers import CLOCK, READER, add_routes
from tests.unit.analytics.factories import PAGE
from tests.unit.analytics.test_figures import LOG, documents

TOKEN = "t" * 32
METRICS = f"/internal/v1/pages/{PAGE}/metrics"
NOW = datetime(2026, 3, 1, 20, tzinfo=UTC)


class Rollups:
    def __init__(self) -> None:
        self.found = documents(LOG)
        self.asked: list[str] = []

    async def rollups(self, rollup_ids: Iterable[str]) -> list[Document]:
        self.asked = list(rollup_ids)
        return [each for each in self.found if each["_id"] in set(self.asked)]


@pytest.fixture
def rollups() -> Rollups:
    return Rollups()


@pytest.fixture
async def client(rollups: Rollups) -> AsyncIterator[Client[Any, Any]]:
    app = base_app(Readiness(), json_errors, require_service_token(SecretStr(TOKEN)))
    app[READER] = Late("the database")
    app[READER].set(rollups)
    add_routes(app)
    app[CLOCK] = lambda: NOW
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with Client(TestServer(app), headers=headers) as opened:
        yield opened


async def test_a_weeks_figures(client: Client[Any, Any], rollups: Rollups) -> None:
    async with client.get(METRICS) as response:
        assert response.status == 200
        found = await response.json()
    assert found["pages"] == [PAGE]
    assert found["timezone"] == "UTC"
    assert (found["period"]["from"], found["period"]["to"]) == ("2026-02-23", "2026-03-01")
    assert found["messages"]["total"] == 7
    assert len(found["daily"]) == 7
    assert found["previous"]["messages"]["total"] == 0
    assert len(rollups.asked) == 15  # two weeks, and what there is for all time


@pytest.mark.parametrize("days", [7, 30, 90])
async def test_the_ranges_that_are_offered(client: Client[Any, Any], days: int) -> None:
    async with client.get(METRICS, params={"days": days, "timezone": "Asia/Tokyo"}) as response:
        found = await response.json()
    assert found["period"]["days"] == len(found["daily"]) == days
    assert found["period"]["to"] == "2026-03-02"  # tomorrow, there
    assert found["daily"][-1]["so_far"]


async def test_any_range_in_any_zone(client: Client[Any, Any]) -> None:
    asked = {"from": "2026-02-28", "to": "2026-02-28", "timezone": "Europe/Berlin"}
    async with client.get(METRICS, params=asked) as response:
        found = await response.json()
    assert found["messages"]["total"] == 2
    assert not found["period"]["today_so_far"]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"days": "8"}, "days"),
        ({"days": "many"}, "days"),
        ({"days": "7", "from": "2026-02-28", "to": "2026-03-01"}, "days"),
        ({"from": "2026-02-28"}, "to"),
        ({"to": "2026-02-28"}, "from"),
        ({"from": "yesterday", "to": "2026-03-01"}, "from"),
        ({"from": "2026-03-01", "to": "2026-02-28"}, "from"),
        ({"from": "2024-03-01", "to": "2026-02-28"}, "from"),
        ({"from": "2026-03-01", "to": "2026-03-02"}, "to"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": ""}, "timezone"),
        ({"pages": "1"}, "pages"),
        ({"day": "7"}, "day"),
    ],
)
@pytest.mark.parametrize("path", [METRICS, f"{METRICS}.csv"])
async def test_what_is_wrong_is_named(
    client: Client[Any, Any], path: str, asked: dict[str, str], field: str
) -> None:
    async with client.get(path, params=asked) as response:
        assert response.status == 422
        error = (await response.json())["error"]
    assert error["code"] == "invalid_query"
    assert error["field"] == field
    assert error["message"]


async def test_several_pages_are_summed_up(client: Client[Any, Any], rollups: Rollups) -> None:
    other = [{**each, "_id": each["_id"].replace(PAGE, "101")} for each in rollups.found]
    rollups.found += other
    async with client.get("/internal/v1/metrics", params={"pages": f"{PAGE},101"}) as response:
        found = await response.json()
    assert found["pages"] == [PAGE, "101"]
    assert found["messages"]["total"] == 14
    assert found["conversations"] == {"active": 6, "new": 6, "total": 6, "in_takeover": 2}


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"pages": ""},
        {"pages": "1,,2"},
        {"pages": "a:b"},
        {"pages": "1,1,1,1,1"},
        {"pages": ",".join(map(str, range(101)))},
        {"pages": ",".join(map(str, range(50))), "from": "2025-03-01", "to": "2026-02-28"},
    ],
)
async def test_pages_are_ids_and_not_too_many(
    client: Client[Any, Any], asked: dict[str, str]
) -> None:
    async with client.get("/internal/v1/metrics", params=asked) as response:
        fine = asked.get("pages") == "1,1,1,1,1"  # the same one is asked for once
        assert response.status == (200 if fine else 422)
        if not fine:
            assert (await response.json())["error"]["field"] == "pages"


async def test_the_days_as_csv(client: Client[Any, Any]) -> None:
    async with client.get(f"{METRICS}.csv", params={"days": "7"}) as response:
        assert response.content_type == "text/csv"
        assert "messages_2026-02-23_2026-03-01.csv" in response.headers["Content-Disposition"]
        lines = [*csv.DictReader(io.StringIO(await response.text()))]
    assert len(lines) == 7
    last = lines[-1]
    assert (last["date"], last["so_far"], last["inbound"]) == ("2026-03-01", "yes", "3")
    assert lines[0]["first_answer_median_s"] == ""


async def test_without_the_service_token_nothing_is_told(client: Client[Any, Any]) -> None:
    async with client.get(METRICS, headers={"Authorization": "Bearer no"}) as response:
        assert response.status == 401
