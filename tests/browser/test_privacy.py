"""Erasing a person with a person's hands, and what a stranger reads about it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, expect

from libs.common.mongo import Database
from libs.common.settings import MongoSettings
from services.console.erasures_store import Erasure
from services.console.web.keeping import PATH as KEEPING
from tests.browser.test_console import (  # noqa: F401 - a fixture
    SIZES,
    findings,
    page,
    sign_in,
    watched,
)
from tests.integration.console import Console
from tests.integration.test_console_privacy import PAGE, PSID, Services, opened, wish

BASE = f"/channels/{PAGE}/privacy"


@pytest.fixture
def services() -> Services:
    return Services()


@pytest.fixture
async def console(
    database: Database,
    mongo: MongoSettings,
    services: Services,
) -> AsyncIterator[Console]:
    async with opened(database, mongo, services) as console:
        admin = await console.first_admin()
        await database["channels"].insert_one(
            {
                "_id": PAGE,
                "workspace_id": admin.workspace_id,
                "assistant_id": "a",
                "page_name": "Crumb & Co, a bakery with a long name",
                "token": "t",
            }
        )
        yield console


async def test_a_person_is_found_and_erased(page: Page, console: Console) -> None:  # noqa: F811
    await sign_in(page)
    await expect(page.get_by_role("heading", name="Inbox", level=1)).to_be_visible()
    await page.goto(console.url + f"/channels/{PAGE}")
    await page.get_by_role("link", name="Privacy").click()
    await expect(page.get_by_text("Nobody's data were erased on this Page so far.")).to_be_visible()
    await page.get_by_label("Name or Messenger id").fill("ann")
    await page.keyboard.press("Enter")
    await page.get_by_role("link", name="Erase… Ann <Lee>").click()
    await expect(page.get_by_role("heading", name="Erase Ann <Lee>?")).to_be_visible()
    await expect(page.get_by_text("7 × messages")).to_be_visible()
    await page.get_by_role("button", name="Erase for good").click()
    await expect(page.get_by_text("The person is being erased.")).to_be_visible()
    erasures = page.get_by_role("region", name="Erasures")
    await until_shown(page, "Done")
    await expect(erasures.get_by_text("7 × messages")).to_be_visible()
    await erasures.get_by_role("link").first.click()
    await expect(page.get_by_text("Everything was erased")).to_be_visible()
    await expect(page.get_by_text(PSID)).to_have_count(0)


async def test_messages_are_kept_for_as_long_as_somebody_chooses(
    page: Page,  # noqa: F811
    console: Console,
) -> None:
    await sign_in(page)
    await expect(page.get_by_role("heading", name="Inbox", level=1)).to_be_visible()
    await page.goto(console.url + BASE)
    await page.get_by_role("link", name="Change how long messages are kept").click()
    await page.get_by_label("Keep messages").select_option("Another number of days")
    await page.get_by_label("Number of days").fill("45")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("Tick this box if you want older")).to_be_visible()
    await page.get_by_label("Delete what is older").check()
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("Messages are now kept 45 days.")).to_be_visible()


async def until_shown(page: Page, words: str) -> None:  # noqa: F811
    """Load the page until it says so: it does not change by itself."""
    async with asyncio.timeout(20):
        while not await page.get_by_text(words, exact=True).count():
            await page.reload()


@pytest.mark.parametrize("size", SIZES)
async def test_no_page_about_privacy_bars_anybody(
    chromium: Browser, console: Console, services: Services, complaints: list[str], size: str
) -> None:
    width, height = SIZES[size]
    context = await chromium.new_context(
        viewport={"width": width, "height": height},
        reduced_motion="reduce",
        locale="en-GB",
        bypass_csp=True,  # axe is put into the page
    )
    page = await watched(context, console, complaints)  # noqa: F811
    await page.goto(console.url)
    await sign_in(page)
    await expect(page.get_by_role("heading", name="Inbox", level=1)).to_be_visible()
    found: dict[str, list[str]] = {}

    async def look(path: str, name: str) -> None:
        await page.goto(console.url + path)
        await expect(page.locator("h1")).to_have_count(1)
        found[name] = await findings(page)

    await look(BASE, "empty")
    await look(f"{BASE}?find=ann", "found")
    await look(f"{BASE}?find=77", "not found")
    await look(f"{BASE}/erase?psid={PSID}", "confirm")
    await look(f"{BASE}/erase?psid=1", "nothing stored")
    await look(KEEPING, "how long messages are kept")
    console.log.say(wish(PSID))
    await page.goto(f"{console.url}/data-deletion/{wish().confirmation_code}")
    await until_shown(page, "Done")
    await look(f"/data-deletion/{wish().confirmation_code}", "done")
    waiting = Erasure(
        id="b" * 26, how="facebook", requested_at=wish().occurred_at, pages=(PAGE,)
    ).model_copy(update={"waits_for": "facebook"})
    await console.database["erasures"].insert_one(waiting.to_document())
    await look(BASE, "list")
    await context.clear_cookies()
    await look(f"/data-deletion/{waiting.id}", "waiting, as a stranger")
    await look("/data-deletion/unknown", "unknown code")
    services.away = 0
    assert {name: each for name, each in found.items() if each} == {}
    assert complaints == []
    await context.close()
