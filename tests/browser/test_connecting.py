"""From signing in to the first answered message: a Page connected by hand, in the whole system."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Browser, Page, expect

from simulator.client import Simulator
from tests.browser.test_console import findings
from tests.stack import LocalStack, local_stack

PICTURES = os.environ.get("CONSOLE_PICTURES")  # a folder: look at what the test saw


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    with local_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture
async def facebook(stack: LocalStack) -> AsyncIterator[Simulator]:
    async with aiohttp.ClientSession() as session:
        yield Simulator(session, stack.url("simulator"))


@pytest.fixture
async def page(chromium: Browser) -> AsyncIterator[Page]:
    context = await chromium.new_context(locale="en-GB", reduced_motion="reduce", bypass_csp=True)
    context.set_default_timeout(20_000)
    yield await context.new_page()
    await context.close()


async def look(page: Page, name: str) -> None:
    """Nothing bars anybody from this page."""
    assert await findings(page) == [], name
    if PICTURES:
        await page.screenshot(path=Path(PICTURES) / f"connect-{name}.png", full_page=True)


async def sign_in(page: Page, stack: LocalStack) -> None:
    await page.goto(stack.url("console"))
    await page.get_by_label("E-mail", exact=True).fill(stack.environment["ADMIN_EMAIL"])
    await page.get_by_label("Password", exact=True).fill(stack.environment["ADMIN_PASSWORD"])
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Hello")).to_be_visible()


async def test_from_signing_in_to_the_first_answer(
    page: Page, stack: LocalStack, facebook: Simulator
) -> None:
    shop = await facebook.add_page("Corner Shop", subscribed=False)
    await sign_in(page, stack)
    await page.get_by_role("link", name="Pages", exact=True).first.click()
    await page.get_by_role("link", name="Connect Pages").click()
    await page.get_by_role("button", name="Continue to Facebook").click()
    await page.get_by_role("button", name="Alex Morgan").click()  # the page between led on
    await page.get_by_role("checkbox", name="Corner Shop").check()
    await page.get_by_role("button", name="Continue as Alex").click()
    await expect(page.get_by_role("heading", name="Choose Pages")).to_be_visible()
    await expect(page.get_by_text("Logged in at Facebook as Alex Morgan.")).to_be_visible()
    await look(page, "choose")
    await page.get_by_role("checkbox", name="Corner Shop").check()
    await page.get_by_role("button", name="Connect", exact=True).click()
    await expect(page.get_by_text("“Corner Shop” is connected.")).to_be_visible()
    await look(page, "done")
    await page.get_by_role("link", name="To the Pages").click()
    row = page.get_by_role("row").filter(has_text="Corner Shop")
    await expect(row.get_by_text("Active")).to_be_visible()
    await look(page, "list")

    person = await facebook.add_person(shop["id"], "Ada", "Okoro")
    await facebook.write(shop["id"], person, "When are you open?")
    (answer, *_) = await facebook.wait_for_answers(shop["id"], person, within_s=45)
    assert answer["text"]

    await row.get_by_role("link", name="Corner Shop").click()
    await look(page, "page")
    await page.get_by_role("link", name="Disconnect…").click()
    await page.get_by_role("textbox", name="Type the Page's name").fill("Corner")
    await page.get_by_role("button", name="Disconnect", exact=True).click()
    await expect(page.get_by_text("as it stands here.")).to_be_visible()
    await look(page, "disconnect")
    await page.get_by_role("textbox", name="Type the Page's name").fill("Corner Shop")
    await page.get_by_role("button", name="Disconnect", exact=True).click()
    await expect(page.get_by_text("“Corner Shop” is disconnected.")).to_be_visible()
    names = {each["id"]: each["subscribed_fields"] for each in await facebook.pages()}
    assert names[shop["id"]] == []


async def test_whoever_ticks_no_page_is_told_so_and_whoever_cancels_comes_back(
    page: Page, stack: LocalStack, facebook: Simulator
) -> None:
    await facebook.add_user("Kim Reyes")
    await sign_in(page, stack)
    await page.goto(f"{stack.url('console')}/channels/connect")
    await page.get_by_role("button", name="Continue to Facebook").click()
    await page.get_by_role("button", name="Kim Reyes").click()
    await page.get_by_role("button", name="Continue as Kim").click()
    await expect(page.get_by_role("heading", name="There is no Page to connect")).to_be_visible()
    await look(page, "none")
    await page.get_by_role("button", name="Log in at Facebook again").click()
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.get_by_role("heading", name="Nothing was connected")).to_be_visible()
    await look(page, "cancelled")
