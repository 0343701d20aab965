"""Health and /api/v1/doctor: who may look, whose Pages are shown, and what it says of an outage."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.common.crypto import KeyRing
from libs.common.mongo import Database
from libs.common.settings import KafkaSettings, MongoSettings
from services.console.domain.roles import Role
from services.console.domain.tokens import Scope
from services.console.web.pages import REPORTS, machine
from tests.integration.console import (
    APP_SECRET,
    KEYS,
    SERVICE_TOKEN,
    VERIFY_TOKEN,
    Answer,
    Console,
    running_console,
)

OURS, THEIRS = "4225", "5336"


@pytest.fixture
async def console(database: Database, mongo: MongoSettings) -> AsyncIterator[Console]:
    nobody = KafkaSettings(bootstrap_servers="127.0.0.1:9")
    async with running_console(database, mongo, kafka=nobody) as console:
        admin = await console.first_admin()
        await console.add("eve@example.org", Role.ADMIN, "wsp_theirs")
        await add_page(console, OURS, "Corner Bakery", admin.workspace_id)
        await add_page(console, THEIRS, "Victims Bakery", "wsp_theirs")
        yield console


async def add_page(console: Console, page_id: str, name: str, workspace_id: str) -> None:
    token = KeyRing.parse(KEYS).encrypt(f"EAApage{page_id}", context=page_id)
    await console.database["channels"].insert_one(
        {
            "_id": page_id,
            "workspace_id": workspace_id,
            "assistant_id": "a",
            "page_name": name,
            "token": token,
        }
    )


async def token(console: Console, *scopes: Scope) -> dict[str, str]:
    """The header of a program that may do this."""
    return {"Authorization": f"Bearer {await console.api_token(*scopes)}"}


async def test_with_everything_away_the_page_says_so_and_gives_no_secret_away(
    console: Console,
) -> None:
    health = await (await console.admin()).get("/health")
    assert health.status == 200
    assert "The sender service does not answer." in health.words
    assert "Kafka can't be reached at 127.0.0.1:9." in health.words
    assert "Not known before “Sender” is ok." in health.words
    assert "Can be decrypted." in health.words
    for secret in (APP_SECRET, SERVICE_TOKEN, VERIFY_TOKEN, KEYS.partition(":")[2], "EAApage"):
        assert secret not in health.text


async def test_pages_of_other_workspaces_are_in_no_report(console: Console) -> None:
    admin = await console.admin()
    health = await admin.get("/health")
    assert "Corner Bakery" in health.words
    assert "Victims" not in health.text
    assert THEIRS not in health.text
    assert (await admin.get(f"/health/live/{THEIRS}")).status == 404
    assert (await admin.get(f"/health/live/{OURS}")).status == 200


async def test_members_are_told_that_it_needs_an_administrator(console: Console) -> None:
    member = await console.member()
    for answer in (await member.get("/health"), await member.post("/health")):
        assert answer.status == 403
        assert "needs the role Admin" in answer.words
    assert "/health" not in (await member.get("/")).text


async def test_what_has_not_changed_is_not_sent_again(console: Console) -> None:
    admin = await console.admin()
    await admin.get("/health")
    live = await admin.get(f"/health/live/{OURS}")
    address = live.text.partition('hx-get="')[2].partition('"')[0]
    assert (await admin.get(address)).status == 204
    assert (await admin.get(address.partition("?")[0])).status == 200


async def test_a_minute_later_it_is_looked_at_anew_and_before_only_when_asked(
    console: Console,
) -> None:
    admin = await console.admin()

    async def looked_at() -> str:
        return (await admin.get("/health")).text.partition('class="looked"')[2].partition("</p>")[0]

    first = await looked_at()
    assert await looked_at() == first
    console.clock.ahead = timedelta(seconds=30)
    assert await looked_at() == first
    again = await admin.post("/health")
    assert (again.status, again.headers["Location"]) == (303, "/health")
    second = await looked_at()
    assert second != first
    console.clock.ahead = timedelta(seconds=91)
    reports, workspace_id = console.app[REPORTS].get(), (await console.first_admin()).workspace_id
    watched, _ = await reports.live(workspace_id, OURS)  # who only watches has nothing looked at
    assert machine(watched.at) in second
    assert await looked_at() != second


async def ask(console: Console, path: str, headers: dict[str, str]) -> Answer:
    return await console.browser().get(f"/api/v1{path}", **headers)


async def test_programs_read_it_with_the_scope_for_it(console: Console) -> None:
    allowed = await token(console, Scope.HEALTH_READ)
    answer = await ask(console, "/doctor", allowed)
    assert answer.status == 200
    assert (await ask(console, "/doctor", await token(console, Scope.AUDIT_READ))).status == 403
    assert THEIRS not in answer.text
    assert (await ask(console, f"/doctor?page={OURS}", allowed)).status == 200
    assert (await ask(console, f"/doctor?page={THEIRS}", allowed)).status == 404
    assert (await ask(console, "/doctor?page=x", allowed)).status == 422
    report: dict[str, Any] = json.loads(answer.text)
    at = datetime.fromisoformat(report["at"])
    console.clock.ahead = at + timedelta(seconds=5) - datetime.now(UTC)
    again = json.loads((await ask(console, "/doctor", allowed)).text)
    assert again["at"] == report["at"]  # a program that asks all the time uses no Page's calls up
    await add_page(console, "77", "New", (await console.first_admin()).workspace_id)
    assert (await ask(console, "/doctor?page=77", allowed)).status == 200
    console.clock.ahead = timedelta(seconds=40)
    again = json.loads((await ask(console, "/doctor", allowed)).text)
    assert again["at"] != report["at"]
    assert report["state"] == "failed"
    lines = {each["id"]: each for each in report["findings"]}
    assert lines["kafka.topics"]["because"] == "kafka.reachable"
    assert lines[f"page.{OURS}.stored"]["state"] == "ok"
    assert lines["service.sender"]["cure"]


async def test_the_parts_are_looked_at_without_asking_facebook(console: Console) -> None:
    """Every part has a card; what a look found since the report was made is in its headline."""
    admin = await console.admin()
    health = await admin.get("/health")
    for title in ("Gateway", "Sender", "Kafka", "MongoDB", "Facebook", "Model"):
        assert f"<h3>{title}</h3>" in health.text
    looked = health.text.partition('class="looked">Looked')[2].partition("</p>")[0]
    console.clock.ahead = timedelta(seconds=120)
    parts = await admin.get("/health/parts")
    assert parts.status == 200
    assert "<h3>Sender</h3>" in parts.text
    assert 'hx-swap-oob="true"' in parts.text
    reports, workspace_id = console.app[REPORTS].get(), (await console.first_admin()).workspace_id
    assert machine((await reports.known(workspace_id)).at) in looked  # no new report was made
    assert THEIRS not in parts.text
    assert """hx-headers='{"X-Background": "1"}'""" in parts.text  # it keeps nobody signed in
    assert (await (await console.member()).get("/health/parts")).status == 403
