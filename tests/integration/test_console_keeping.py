"""For how long messages are kept: chosen by administrators, twice where something goes."""

import json
from collections.abc import AsyncIterator

import pytest

from libs.common.mongo import Database
from libs.common.retention import Periods
from libs.common.settings import MongoSettings
from services.console.audit import AuditLog
from services.console.domain.tokens import Scope
from services.console.web.keeping import PATH
from tests.integration.console import Console, running_console


async def kept(console: Console) -> int | None:
    found = await console.database["workspaces"].find_one({})
    assert found is not None
    return found.get("keep_messages_days")


@pytest.fixture
async def console(database: Database, mongo: MongoSettings) -> AsyncIterator[Console]:
    async with running_console(database, mongo) as console:
        yield console


WRONG: dict[str, dict[str, str]] = {
    "Tick this box if you want older messages to be deleted for good.": {"keep": "30"},
    "Enter a number of days, 7 to 3650.": {"keep": "own", "sure": "true"},
    "Enter 7 or more.": {"keep": "own", "own": "6", "sure": "true"},
    "Enter 3650 or less.": {"keep": "own", "own": "3651", "sure": "true"},
    "Choose one of these.": {"keep": "1", "sure": "true"},
}


async def test_what_is_not_sure_or_not_right_changes_nothing(console: Console) -> None:
    admin = await console.admin()
    for words, form in WRONG.items():
        answer = await admin.post(PATH, form)
        assert (answer.status, words in answer.words) == (422, True), words
    assert await kept(console) is None


async def test_a_period_is_chosen_told_and_in_the_audit_log(
    console: Console, database: Database
) -> None:
    admin = await console.admin()
    workspace_id = (await console.first_admin()).workspace_id
    await database["channels"].insert_one({"_id": "1", "workspace_id": workspace_id})
    assert "At present: for ever." in (await admin.get(PATH)).words

    answer = await admin.post(PATH, {"keep": "own", "own": "45", "sure": "true"})
    assert answer.headers["Location"] == PATH
    page = await admin.get(PATH)
    assert "Messages are now kept 45 days." in page.words
    assert await Periods(database).all() == {"1": 45}
    entry = (await AuditLog(database, console.clock).entries(workspace_id, None, 1))[0]
    assert (entry.action, entry.details) == (
        "workspace.keep_messages_changed",
        {"old": "for ever", "new": "45 days"},
    )

    longer = await admin.post(PATH, {"keep": "365"})  # nothing goes: nobody has to be sure
    assert longer.status == 303
    assert await Periods(database).of("1") == 365
    await admin.post(PATH, {"keep": "ever"})
    assert await Periods(database).all() == {}


async def test_only_administrators_and_tokens_with_the_scope_may(console: Console) -> None:
    member = await console.member()
    for answer in (
        await member.get(PATH),
        await member.post(PATH, {"keep": "30", "sure": "true"}),
    ):
        assert answer.status == 403
    path, browser = "/api/v1/workspace", console.browser()
    both = await console.api_token(Scope.WORKSPACE_WRITE, Scope.PEOPLE_ERASE)
    one = await console.api_token(Scope.WORKSPACE_WRITE)
    may, may_not = ({"Authorization": f"Bearer {each}"} for each in (both, one))
    wanted = '{"keep_messages_days": 90, "timezone": "Europe/Lisbon"}'
    assert (await browser.ask("PATCH", path, data=wanted, headers=may_not)).status == 403
    workspace = await console.database["workspaces"].find_one({})
    assert workspace is not None
    assert workspace.get("timezone", "UTC") == "UTC", "nothing of it"
    for body, field in (
        ('{"keep_messages_days": 6}', "keep_messages_days"),
        ('{"timezone": null}', None),
        ("{}", None),
    ):
        wrong = await browser.ask("PATCH", path, data=body, headers=may)
        assert wrong.status == 422, body
        assert json.loads(wrong.text)["error"].get("field") == field
    assert await kept(console) is None
    right = await browser.ask("PATCH", path, data='{"keep_messages_days": 90}', headers=may)
    shown = json.loads(right.text)
    assert (shown["keep_messages_days"], shown["timezone"]) == (90, "UTC")
    await browser.ask("PATCH", path, data='{"timezone": "UTC"}', headers=may)
    assert await kept(console) == 90, "what is left out stays"
    await browser.ask("PATCH", path, data='{"keep_messages_days": null}', headers=may)
    assert await kept(console) is None
