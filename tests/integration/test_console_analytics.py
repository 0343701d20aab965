"""Analytics and /api/v1/analytics: the analytics service's numbers, of the visitor's Pages only."""

import csv
import io
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from libs.common.mongo import Database
from libs.common.settings import MongoSettings
from services.console.audit import AuditLog
from services.console.domain.charts import PLOT_HEIGHT
from services.console.domain.roles import Role
from services.console.domain.tokens import Scope
from tests.integration.console import Answer, Console, running_console
from tests.integration.figures_service import FiguresService, figures_service

OURS, OTHER, THEIRS = "111", "222", "333"


@pytest.fixture
async def figures() -> AsyncIterator[FiguresService]:
    async with figures_service() as service:
        yield service


@pytest.fixture
async def console(
    database: Database, mongo: MongoSettings, figures: FiguresService
) -> AsyncIterator[Console]:
    async with running_console(database, mongo, services=figures.url) as console:
        yield console


async def add_page(console: Console, page_id: str, workspace_id: str | None = None) -> None:
    owner = workspace_id or (await console.first_admin()).workspace_id
    await console.database["channels"].insert_one(
        {
            "_id": page_id,
            "workspace_id": owner,
            "assistant_id": "a",
            "page_name": f"Shop <{page_id}>",
            "token": "t",
        }
    )


async def open_shops(console: Console, figures: FiguresService) -> None:
    await console.add("eve@example.org", Role.ADMIN, "wsp_theirs")
    for page_id, workspace_id in ((OURS, None), (OTHER, None), (THEIRS, "wsp_theirs")):
        await add_page(console, page_id, workspace_id)
        figures.fill(page_id, 40, seed=int(page_id))


async def programs_answer(console: Console, query: str = "") -> Answer:
    token = await console.api_token(Scope.ANALYTICS_READ)
    headers = {"Authorization": f"Bearer {token}"}
    return await console.browser().get(f"/api/v1/analytics{query}", **headers)


async def test_chart_table_csv_and_programs_have_the_same_numbers(
    console: Console, figures: FiguresService
) -> None:
    await open_shops(console, figures)
    admin = await console.admin()
    for days in (7, 30, 90):
        answer = await programs_answer(console, f"?days={days}")
        assert answer.status == 200
        report: dict[str, Any] = json.loads(answer.text)
        assert report["pages"] == [OURS, OTHER]
        page = await admin.get(f"/analytics?days={days}")
        assert page.status == 200
        daily = [(each["inbound"], each["outbound"]) for each in report["daily"]]
        assert len(daily) == days
        assert _drawn(page.text) == daily
        assert _table(page.text) == list(reversed(daily))
        download = await admin.get(f"/analytics.csv?days={days}")
        assert download.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert f"messages_all-pages_{days}-days.csv" in download.headers["Content-Disposition"]
        lines = list(csv.DictReader(io.StringIO(download.text)))
        assert [(int(each["inbound"]), int(each["outbound"])) for each in lines] == daily
        total = page.text.partition('id="kpi-total"')[2].partition("</li>")[0]
        assert f'<p class="value">{report["messages"]["total"]:,}</p>' in total
        assert sum(map(sum, report["inbound_by_hour"])) == report["messages"]["inbound"]
        assert sum(each[0] for each in daily) == report["messages"]["inbound"]


def _drawn(page: str) -> list[tuple[int, int]]:
    """Of each day what its bars say, and that they are as high as they say."""
    places = page.split('<g class="day"')[1:]
    ticks = re.findall(r'text-anchor="end" dx="-6">([\d,]+)</text>', page)
    top = int(ticks[-1].replace(",", ""))
    found = []
    for place in places:
        values = {"in": 0, "out": 0}
        for kind, value, height in re.findall(
            r'class="bar (\w+)" data-value="(\d+)"[^>]* height="([\d.]+)"', place.split("</g>")[0]
        ):
            values[kind] = int(value)
            assert float(height) == pytest.approx(PLOT_HEIGHT * int(value) / top, abs=0.001)
        words = re.search(r"<title>[^:]+: ([\d,]+) inbound, ([\d,]+) outbound</title>", place)
        assert words is not None
        assert (int(words[1].replace(",", "")), int(words[2].replace(",", ""))) == (
            values["in"],
            values["out"],
        )
        found.append((values["in"], values["out"]))
    return found


def _table(page: str) -> list[tuple[int, int]]:
    rows = re.findall(r"<tr data-day=.*?</tr>", page)
    cells = [re.findall(r"<td>([\d,]+)</td>", row) for row in rows]
    return [(int(row[0].replace(",", "")), int(row[1].replace(",", ""))) for row in cells]


async def test_one_page_is_shown_alone_and_nobody_elses(
    console: Console, figures: FiguresService
) -> None:
    await open_shops(console, figures)
    admin = await console.admin()
    alone = json.loads((await programs_answer(console, f"?page={OTHER}")).text)
    page = await admin.get(f"/analytics?page={OTHER}")
    assert _table(page.text) == [
        (each["inbound"], each["outbound"]) for each in reversed(alone["daily"])
    ]
    assert "Shop <222>" in page.words
    assert "<222>" not in page.text
    assert THEIRS not in page.text
    for path in (f"/analytics?page={THEIRS}", f"/analytics.csv?page={THEIRS}"):
        assert (await admin.get(path)).status == 404
    assert (await programs_answer(console, f"?page={THEIRS}")).status == 404


async def test_members_see_no_figures(console: Console) -> None:
    member = await console.member()
    for path in ("/analytics", "/analytics.csv", "/analytics/time-zone"):
        assert (await member.get(path)).status == 403
    answer = await member.post("/analytics/time-zone", {"timezone": "Europe/Berlin"})
    assert answer.status == 403
    assert "/analytics" not in (await member.get("/")).text


async def test_without_pages_or_messages_it_says_what_will_stand_here(
    console: Console, figures: FiguresService
) -> None:
    admin = await console.admin()
    assert "No Page is connected yet." in (await admin.get("/analytics")).words
    assert (await admin.get("/analytics.csv")).status == 404
    assert (await programs_answer(console)).status == 409
    await add_page(console, OURS)
    assert "Nobody has written yet." in (await admin.get("/analytics")).words
    figures.fill(OURS, 3)
    for number in range(3):  # a while ago
        figures.documents.pop(f"{OURS}:2026-03-0{3 - number}")
    quiet = await admin.get("/analytics?days=nonsense")
    assert "Nothing was written in these days." in quiet.words
    assert _table(quiet.text) == [(0, 0)] * 7


async def test_with_the_service_away_the_frame_stays_and_says_so(
    console: Console, figures: FiguresService
) -> None:
    await open_shops(console, figures)
    figures.is_broken = True
    admin = await console.admin()
    away = await admin.get("/analytics?days=30")
    assert away.status == 503
    assert "The analytics service gives no answer" in away.words
    assert 'href="/analytics?days=30">Try again</a>' in away.text
    assert "90 days" in away.words
    assert (await admin.get("/analytics.csv")).status == 503
    answer = await programs_answer(console)
    assert (answer.status, json.loads(answer.text)["error"]["code"]) == (503, "service_away")


async def test_of_too_many_pages_one_has_to_be_chosen(console: Console) -> None:
    for number in range(101):
        await add_page(console, str(1000 + number))
    page = await (await console.admin()).get("/analytics")
    assert page.status == 200
    assert "These figures can't be shown: at most 100 Pages at once." in page.words
    assert "Choose fewer days, or one Page." in page.words


async def test_days_are_those_of_the_workspaces_time_zone(
    console: Console, figures: FiguresService
) -> None:
    await open_shops(console, figures)
    admin = await console.admin()
    assert "Days in UTC" in (await admin.get("/analytics")).words
    wrong = await admin.post("/analytics/time-zone", {"timezone": "Berlin"})
    assert wrong.status == 422
    assert "Choose one of the list, such as Europe/Berlin or UTC." in wrong.words
    right = await admin.post("/analytics/time-zone", {"timezone": "pacific/auckland"})
    assert right.headers["Location"] == "/analytics"
    page = await admin.get("/analytics")
    assert "Days are now those of Pacific/Auckland." in page.words
    assert "26 Feb to 4 Mar 2026, today so far" in page.words  # it is tomorrow, there
    assert re.search(r"Updated \d\d:\d\d · Pacific/Auckland", page.words)
    report = json.loads((await programs_answer(console)).text)
    assert (report["timezone"], report["period"]["to"]) == ("Pacific/Auckland", "2026-03-04")
    audit = AuditLog(console.database, console.clock)
    workspace_id = (await console.first_admin()).workspace_id
    entry = (await audit.entries(workspace_id, None, 1))[0]
    assert entry.action == "workspace.timezone_changed"
    assert entry.details == {"old": "UTC", "new": "Pacific/Auckland"}
    await admin.post("/analytics/time-zone", {"timezone": "Pacific/Auckland"})
    assert (await audit.entries(workspace_id, None, 1))[0].id == entry.id  # nothing has changed


async def test_programs_choose_the_time_zone_with_the_scope_for_it(console: Console) -> None:
    may = {"Authorization": f"Bearer {await console.api_token(Scope.WORKSPACE_WRITE)}"}
    may_not = {"Authorization": f"Bearer {await console.api_token(Scope.ANALYTICS_READ)}"}
    browser = console.browser()
    wanted = '{"timezone": "europe/lisbon"}'
    path = "/api/v1/workspace"
    assert (await browser.ask("PATCH", path, data=wanted, headers=may_not)).status == 403
    wrong = await browser.ask("PATCH", path, data='{"timezone": "Lisbon"}', headers=may)
    assert (wrong.status, json.loads(wrong.text)["error"]["field"]) == (422, "timezone")
    assert (await browser.ask("PATCH", path, data=wanted, headers=may)).status == 200
    shown = json.loads((await browser.get(path, **may_not)).text)
    assert shown["timezone"] == "Europe/Lisbon"
    audit = AuditLog(console.database, console.clock)
    entry = (await audit.entries(shown["id"], None, 1))[0]
    assert (entry.action, entry.via) == ("workspace.timezone_changed", "all")


WRONG = {
    "?days=8": "days",
    "?timezone=Nowhere": "timezone",
    "?from=2026-03-02&to=2026-03-01": "from",
    "?from=2026-03-01&to=2026-03-09": "to",
    "?from=2026-03-01": None,
    "?days=7&from=2026-03-01&to=2026-03-02": None,
    "?page=x": "page",
    "?dayz=7": "dayz",
}


async def test_programs_are_told_what_is_wrong(console: Console, figures: FiguresService) -> None:
    await open_shops(console, figures)
    for query, field in WRONG.items():
        answer = await programs_answer(console, query)
        assert answer.status == 422, query
        assert json.loads(answer.text)["error"].get("field") == field, query


async def test_programs_may_ask_for_any_range(console: Console, figures: FiguresService) -> None:
    await open_shops(console, figures)
    answer = await programs_answer(console, "?from=2026-02-20&to=2026-02-21&timezone=Asia/Tokyo")
    report = json.loads(answer.text)
    assert [each["date"] for each in report["daily"]] == ["2026-02-20", "2026-02-21"]
    assert report["timezone"] == "Asia/Tokyo"
