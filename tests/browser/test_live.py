"""Pages stay current: one stream for all tabs, looking where there is none, and who is told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp.test_utils import TestServer
from playwright.async_api import BrowserContext, Page, Route, expect

from libs.common.kafka import ConsumedRecord
from libs.common.mongo import Database
from libs.common.settings import MongoSettings
from services.console.web import live
from tests.browser.test_console import sign_in, watched
from tests.integration.console import Console, running_console
from tests.integration.inbox_service import PAGE, InboxService, row

MIA = f"{PAGE}:2001"
LISTEN = """
window.told = [];
document.addEventListener("inbox-changed", (event) => told.push(event.detail.conversations));
window.notes = [];
window.Notification = class { constructor(title, how) { notes.push([title, how.body]); } };
window.Notification.permission = "granted";
window.Notification.requestPermission = async () => "granted";
window.graces = new Set(); // how long nobody is told that live updates are gone
const [wait, stop] = [setTimeout, clearTimeout];
window.setTimeout = (call, ms, ...more) => {
  const id = wait(call, ms, ...more);
  if (ms === 3000) graces.add(id);
  return id;
};
window.clearTimeout = (id) => { graces.delete(id); stop(id); };
"""


class Log:
    """The events topic."""

    is_heard = True

    def __init__(self) -> None:
        self._heard: Callable[[ConsumedRecord], None] | None = None

    @asynccontextmanager
    async def open(self, heard: Callable[[ConsumedRecord], None]) -> AsyncIterator["Log"]:
        self._heard = heard
        yield self

    def say(self, kind: bytes = b"message.received") -> None:
        """Something of Mia's that her row has already."""
        assert self._heard is not None
        self._heard(ConsumedRecord("e", 0, 1, MIA.encode(), b"", {"type": kind}, 0))


@pytest.fixture
def service() -> InboxService:
    service = InboxService()
    service.rows = [row("2001", "Mia Kowalska")]
    return service


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
async def console(
    database: Database, mongo: MongoSettings, service: InboxService, log: Log
) -> AsyncIterator[Console]:
    async with (
        TestServer(service.app()) as server,
        running_console(
            database, mongo, services=str(server.make_url("")).rstrip("/"), feed=log.open
        ) as console,
    ):
        ours = (await console.first_admin()).workspace_id
        facts = {"workspace_id": ours, "assistant_id": "a", "page_name": "Crumb", "token": "t"}
        await console.database["channels"].insert_one({"_id": PAGE, **facts})
        yield console


@pytest.fixture
async def page(
    context: BrowserContext, console: Console, complaints: list[str]
) -> AsyncIterator[Page]:
    """The inbox; at the end it has loaded nothing from elsewhere and not complained."""
    await context.add_init_script(LISTEN)
    page = await watched(context, console, complaints)
    await page.goto(f"{console.url}/inbox")
    await sign_in(page)
    await says(page, "Live")
    yield page
    assert complaints == []


async def says(page: Page, words: str) -> None:
    await expect(page.locator(".strip [data-live-state]")).to_contain_text(
        words, use_inner_text=True
    )


async def until(page: Page, condition: str) -> None:
    """Playwright's own way needs `eval`, which the page's policy refuses."""
    async with asyncio.timeout(10):
        while not await page.evaluate(condition):
            await asyncio.sleep(0.02)


async def test_all_tabs_share_a_stream_and_who_asks_for_a_human_is_told_once(
    page: Page, context: BrowserContext, console: Console, service: InboxService, log: Log
) -> None:
    await page.get_by_text("Notify me").click()
    notify = page.get_by_role("checkbox", name="Notification")
    await expect(page.get_by_role("checkbox", name="Sound")).not_to_be_checked()
    await notify.check()
    await page.keyboard.press("Escape")
    await expect(notify).to_be_hidden()
    other = await context.new_page()
    await other.goto(f"{console.url}/audit")
    await says(other, "Live")
    assert len(console.app[live.STREAMS]) == 1
    await until(page, "told.some((each) => each === null)")  # the first look, whatever was missed
    for each in (page, other):
        await each.evaluate("told.length = 0")
    service.rows[0]["unread"] = 2
    service.rows[0]["asked"] = {"reason": "angry", "summary": "sour", "at": "2026-11-25T10:00:00Z"}
    log.say(b"takeover.requested")
    log.say()
    for each in (page, other):
        await until(each, f"told.some((each) => each?.includes('{MIA}'))")
        await expect(
            each.locator(".rail").get_by_role("link", name="Inbox 1 unread")
        ).to_be_visible()
        await until(each, "document.title.startsWith('(1) ')")
    await until(page, "notes.length > 0")
    assert await page.evaluate("notes") == [["Someone asks for a human", "Open the conversation"]]
    assert await other.evaluate("notes") == []

    # long after anybody has looked: the console was out of sight
    forgotten = "localStorage.setItem('live-known', JSON.stringify({ at: 0, keys: [] }))"
    await page.evaluate(forgotten)
    service.rows[0]["asked"]["at"] = "2026-11-25T11:00:00Z"
    log.say(b"takeover.requested")
    await until(page, "notes.length > 1")

    await page.close()  # it had the stream: the other tab opens one of its own
    await other.evaluate("told.length = 0")
    await until(other, "told.length > 0")
    await says(other, "Live")
    assert await other.evaluate("notes") == []  # told already


async def test_offline_and_back_keeps_what_is_typed_and_catches_up(
    page: Page, context: BrowserContext
) -> None:
    await page.get_by_label("Search names").fill("Mi")
    await context.set_offline(offline=True)
    await says(page, "Offline: your text is kept")
    await expect(page.get_by_text("The console can't be reached.")).to_be_visible()
    await page.evaluate("told.length = 0")
    await context.set_offline(offline=False)
    await says(page, "Live")
    await expect(page.get_by_text("The console can't be reached.")).to_be_hidden()
    await until(page, "told.includes(null)")
    await expect(page.get_by_label("Search names")).to_have_value("Mi")


async def test_an_answer_that_is_cut_off_is_none_and_live_updates_come_back(
    page: Page, context: BrowserContext
) -> None:
    async def cut_off(route: Route) -> None:
        await route.fulfill(content_type="application/json", body='{"unread": 1, "need')

    await context.set_offline(offline=True)
    await says(page, "Offline: your text is kept")
    await page.route("**/live/news", cut_off, times=1)
    await context.set_offline(offline=False)
    await says(page, "Live")


async def test_a_stream_that_is_back_at_once_is_live_still(page: Page, log: Log) -> None:
    await until(page, "graces.size === 0")
    log.is_heard = False
    await until(page, "graces.size > 0")
    log.is_heard = True
    await until(page, "graces.size === 0")
    await says(page, "Live")


async def test_where_no_stream_comes_through_pages_look_by_themselves_until_signed_out(
    page: Page, context: BrowserContext, console: Console, service: InboxService
) -> None:
    await context.route("**/live", lambda route: route.abort())
    service.rows[0]["unread"] = 4
    await page.reload()
    await says(page, "Updates every 10 s")
    await until(page, "told.includes(null)")
    await expect(page.locator(".rail [data-unread]")).to_contain_text("1")
    await expect(page.get_by_text("Live updates are interrupted")).to_be_hidden()  # it never was
    await page.goto(f"{console.url}/audit")
    await says(page, "Updates every 10 s")
    await console.database["sessions"].delete_many({})
    await page.evaluate("dispatchEvent(new Event('online'))")  # looks at once
    await says(page, "Signed out")
    await page.get_by_role("link", name="Load this page again").click()
    await expect(page.get_by_role("heading", name="Sign in", level=1)).to_be_visible()
