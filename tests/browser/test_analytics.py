"""Analytics in a real browser, on the analytics service's own API with figures in memory."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from libs.common.mongo import Database
from libs.common.settings import MongoSettings
from tests.browser.test_console import SIZES, findings, sign_in, watched
from tests.integration.console import Console, running_console
from tests.integration.figures_service import FiguresService, figures_service

PICTURES = os.environ.get("CONSOLE_PICTURES")  # a folder: look at what the test saw
SHOPS = {"111": "Crumb & Co", "222": "Corner Bakery"}


@pytest.fixture
async def figures() -> AsyncIterator[FiguresService]:
    async with figures_service() as service:
        service.fill("111", 120)
        service.fill("222", 30, seed=3)
        yield service


@pytest.fixture
async def console(
    database: Database, mongo: MongoSettings, figures: FiguresService
) -> AsyncIterator[Console]:
    async with running_console(database, mongo, services=figures.url) as console:
        admin = await console.first_admin()
        for page_id, name in SHOPS.items():
            channel = {"_id": page_id, "page_name": name, "assistant_id": "a", "token": "t"}
            channel |= {"workspace_id": admin.workspace_id, "status": "active"}
            await console.database["channels"].insert_one(channel)
        yield console


async def opened(page: Page, console: Console) -> None:
    await page.goto(f"{console.url}/analytics")
    await sign_in(page)
    await expect(page.get_by_role("heading", name="Analytics", level=1)).to_be_visible()


async def test_figures_are_read_with_pointer_and_keys(
    context: BrowserContext, console: Console, complaints: list[str]
) -> None:
    page = await watched(context, console, complaints)
    await opened(page, console)
    meaning = page.get_by_text("Outbound messages that Facebook says arrived.")
    await expect(meaning).to_be_hidden()
    about = page.locator("#kpi-delivered summary")
    await about.hover()
    await expect(meaning).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(meaning).to_be_hidden()
    await page.get_by_role("heading", level=1).hover()
    await about.click()  # as a finger does
    await expect(meaning).to_be_visible()
    await about.click()

    chart = page.get_by_role("group", name="Chart: messages per day")
    readout = page.locator("[data-readout]")
    await chart.focus()
    await page.keyboard.press("ArrowRight")
    await expect(readout).to_contain_text("Tue 3 Mar so far:")
    await page.keyboard.press("ArrowLeft")
    await expect(readout).to_contain_text("Mon 2 Mar:")  # it speaks a moment later
    said = await readout.text_content()
    days = chart.locator(".day")
    await days.nth(3).hover()
    await expect(readout).not_to_have_text(said or "")
    await page.keyboard.press("End")
    for _ in range(20):  # the chart moves, and the pointer does not
        await chart.evaluate("chart => { chart.style.paddingLeft = `${Math.random() * 300}px`; }")
        await page.wait_for_timeout(20)
    await expect(readout).to_contain_text("Tue 3 Mar so far:")
    await chart.evaluate("chart => { chart.style.paddingLeft = ''; }")
    await page.get_by_text("View as table").click()
    row = page.locator('tr[data-day="2026-03-02"] td')
    inbound, outbound = await row.nth(0).text_content(), await row.nth(1).text_content()
    assert said == f"Mon 2 Mar: {inbound} inbound, {outbound} outbound"

    await page.get_by_role("link", name="30 days").click()
    await page.wait_for_load_state("load")  # its script sends the form
    await page.get_by_label("Page", exact=True).select_option("Corner Bakery")
    await expect(page).to_have_url(f"{console.url}/analytics?days=30&page=222")
    await expect(page.get_by_role("link", name="30 days")).to_have_attribute("aria-current", "true")

    await page.get_by_role("link", name="Change the time zone").click()
    await page.get_by_label("Time zone").fill("Nowhere")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("Choose one of the list")).to_be_visible()
    await expect(page.get_by_label("Time zone")).to_be_focused()
    await page.get_by_label("Time zone").fill("Asia/Kathmandu")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("Days are now those of Asia/Kathmandu.")).to_be_visible()
    await expect(page.locator(".updated")).to_contain_text("· Asia/Kathmandu")
    assert complaints == []


async def test_analytics_bars_nobody(
    chromium: Browser, console: Console, figures: FiguresService, complaints: list[str]
) -> None:
    context = await chromium.new_context(reduced_motion="reduce", locale="en-GB", bypass_csp=True)
    page = await watched(context, console, complaints)
    await opened(page, console)
    for size, (width, height) in SIZES.items():
        await page.set_viewport_size({"width": width, "height": height})
        await page.goto(f"{console.url}/analytics")
        await page.locator(".as-table summary").click()
        assert await findings(page, in_the_dark=size == "wide") == [], size
        if PICTURES:
            await page.screenshot(path=Path(PICTURES) / f"analytics-{size}.png", full_page=True)
    await page.goto(f"{console.url}/analytics/time-zone")
    assert await findings(page) == []
    figures.is_broken = True
    await page.goto(f"{console.url}/analytics")
    await expect(page.get_by_role("alert")).to_contain_text("gives no answer")
    assert await findings(page) == []
    assert complaints == []
    await context.close()
