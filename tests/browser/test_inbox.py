"""The inbox in a browser: found, opened, read and marked as done, with hands, keys and a phone."""

import os
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, BrowserContext, Locator, Page, Request, Route, expect

from libs.common.mongo import Database
from libs.common.settings import MongoSettings
from services.console.web.access import BACKGROUND
from tests.browser.test_console import SIZES, findings, sign_in, watched
from tests.integration.console import Console, running_console
from tests.integration.inbox_service import PAGE, SECOND, InboxService, row
from tests.integration.test_console_inbox import connect
from tests.unit.simulator.harness import until

PICTURES = os.environ.get("CONSOLE_PICTURES")  # a folder: look at what the test saw
CHANGED = "document.dispatchEvent(new CustomEvent('inbox-changed', {detail: {conversations: []}}))"
HOSTILE = "<img src=x onerror=alert(1)> \u202eevil"
MIA, TOM = f"{PAGE}:2001", f"{PAGE}:2002"


def ago(**length: float) -> str:
    return (datetime.now(UTC) - timedelta(**length)).isoformat()


def inbound(text: str, at: str) -> dict[str, str]:
    return {"direction": "in", "origin": "person", "kind": "text", "text": text, "at": at}


@pytest.fixture
def service() -> InboxService:
    service = InboxService()
    later = (datetime.now(UTC) + timedelta(minutes=28, seconds=30)).isoformat()
    mine = {"mode": "human", "by": "usr_other", "by_name": "Ana Lima", "auto_resume_at": later}
    angry = {"reason": "angry", "summary": "Wants her money back for a cake.\nAngry."}
    service.rows = [
        row("2001", "Mia Kowalska", unread=2, last=inbound("Is the cake ready?", ago(minutes=2))),
        row("2002", "Tom Okafor", asked=angry | {"at": ago(minutes=12)}, unread=1),
        row("2003", HOSTILE, **mine, since=ago(minutes=3)),
        row(
            "2004",
            None,
            failed=1,
            last_user_message_at=ago(hours=22),
            last_activity_at=ago(hours=1),
        ),
        row("2005", "محمد الأحمد", page=SECOND, last_user_message_at=ago(days=2)),
        row("2006", "Zoe " + "Long-Name" * 8, held=1, last_activity_at=ago(days=9)),
        row("2007", "Uwe Done", done=True),
        *(row(str(3000 + n), f"Person {n:03}", last_activity_at=ago(days=10)) for n in range(60)),
    ]
    line = {"kind": "system", "event": "takeover.ended", "by_name": "Ana Lima", "reason": "resumed"}
    service.messages[MIA] = [line | {"id": "s1", "at": ago(days=1)}]
    service.stored["contact"] = {"name": "Mia K.", "emails": ["mia@example.org"], "phones": []}
    return service


@pytest.fixture
async def console(
    database: Database, mongo: MongoSettings, service: InboxService
) -> AsyncIterator[Console]:
    async with TestServer(service.app()) as server:
        url = str(server.make_url("")).rstrip("/")
        async with running_console(database, mongo, services=url) as console:
            await connect(console, PAGE, "Crumb Bakery")
            await connect(console, SECOND, "Crumb Café")
            yield console


async def inbox_page(context: BrowserContext, console: Console, complaints: list[str]) -> Page:
    page = await watched(context, console, complaints)
    await page.goto(console.url)
    await sign_in(page)
    await expect(page.locator("#inbox.is-scripted")).to_be_visible()
    return page


async def test_the_inbox_by_keys_alone(
    context: BrowserContext, console: Console, service: InboxService, complaints: list[str]
) -> None:
    page = await inbox_page(context, console, complaints)
    looks: list[str | None] = []

    def note(request: Request) -> None:
        if request.url.endswith("/seen"):
            looks.append(request.headers.get(BACKGROUND.lower()))

    page.on("request", note)
    title = page.locator("#conversation-title")
    mia = page.get_by_role("link", name="Mia Kowalska, 2 unread, 5 min ago. Is the cake ready?")
    await expect(mia).to_be_visible()
    await page.keyboard.press("/")
    await expect(page.get_by_label("Search names")).to_be_focused()
    await page.keyboard.type("tom")
    await expect(page).to_have_url(f"{console.url}/inbox?q=tom")
    await expect(mia).to_be_hidden()
    await expect(page.locator("#inbox-status")).to_have_text("1 conversation")
    await page.keyboard.press("Escape")
    await expect(mia).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.locator(".inbox-row").first).to_be_focused()

    while "Mia" not in await page.locator(":focus").inner_text():
        await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await expect(title).to_have_text("Mia Kowalska")
    await expect(title).to_be_focused()
    assert page.url == f"{console.url}/inbox/{MIA}"
    await expect(page.locator(f"[data-key='{MIA}'] .inbox-dot")).to_have_count(0)  # seen
    assert [body["at"] for what, body in service.calls if what == "seen"] != []
    assert set(looks) == {"1"}  # a page that is left open keeps nobody signed in

    await page.keyboard.press("e")
    await expect(page.get_by_text("Marked as done.")).to_be_visible()
    await expect(page.locator(f"[data-key='{MIA}']")).to_have_count(0)
    await page.get_by_role("button", name="Undo").click()
    await expect(page.locator(f"[data-key='{MIA}']")).to_have_count(1)
    await expect(page.get_by_role("button", name="Mark done")).to_be_visible()

    await page.locator("#conversation-title").focus()
    await page.keyboard.press("Escape")
    await expect(page).to_have_url(f"{console.url}/inbox")
    await expect(page.locator(f"[data-conversation='{MIA}'].inbox-row")).to_be_focused()
    await page.go_back()
    await expect(title).to_have_text("Mia Kowalska")
    assert complaints == []

    await context.clear_cookies()
    await page.route("**/inbox/list*", lambda route: route.abort())
    await page.keyboard.press("e")
    await expect(page.get_by_role("heading", name="Sign in", level=1)).to_be_visible()


async def test_looks_that_overtake_each_other_lose_neither_lines_nor_what_is_said(
    context: BrowserContext, console: Console, complaints: list[str]
) -> None:
    page = await inbox_page(context, console, complaints)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    await page.route("**/inbox/list?*limit=40*", hold, times=1)
    await page.evaluate(CHANGED)  # a look begins
    await until(lambda: held != [])
    await page.get_by_role("link", name="Show more").click()
    await expect(page.locator(".inbox-row")).to_have_count(66)
    async with page.expect_response("**/inbox/list?*limit=66*"):
        await held.pop().continue_()
    await expect(page.locator(".inbox-row")).to_have_count(66)

    await page.route("**/inbox/list?*q=tom*", hold, times=1)
    await page.get_by_label("Search names").fill("tom")
    await until(lambda: held != [])
    await page.evaluate(CHANGED)  # and by what this look sees, the other list is there
    await expect(page.locator("#inbox-status")).to_have_text("1 conversation")
    await held.pop().continue_()
    assert complaints == []


async def test_nothing_that_comes_later_takes_the_focus_out_of_a_field(
    context: BrowserContext, console: Console, service: InboxService, complaints: list[str]
) -> None:
    """There the keys would be shortcuts: e is done, t takes the conversation over."""
    page = await inbox_page(context, console, complaints)
    search = page.get_by_label("Search names")
    held: list[Route] = []

    async def begin(pattern: str, link: Locator) -> None:
        await page.route(pattern, lambda route: held.append(route), times=1)
        await link.click()
        await until(lambda: held != [])
        await search.focus()

    mia = page.locator(f"[data-conversation='{MIA}'].inbox-row")
    await begin("**/panes*", mia)
    panes = page.locator("#inbox-panes")
    await expect(panes).to_have_js_property("inert", True)  # nobody writes in the one they leave
    await held.pop().continue_()
    await expect(page.locator("#conversation-title")).to_have_text("Mia Kowalska")
    await expect(panes).to_have_js_property("inert", False)
    await expect(search).to_be_focused()
    await begin("**/inbox/list?*cursor=*", page.get_by_role("link", name="Show more"))
    await held.pop().continue_()
    await expect(page.locator(".inbox-row")).to_have_count(66)
    await expect(search).to_be_focused()
    mine = page.locator("#inbox-tabs").get_by_role("link", name="Mine")
    await begin("**/inbox/list?*tab=mine*", mine)
    await held.pop().continue_()
    await expect(mine).to_have_attribute("aria-current", "page")
    await expect(search).to_be_focused()
    await page.keyboard.type("et")
    await expect(search).to_have_value("et")
    await expect(page).to_have_url(re.compile(r"\?tab=mine&q=et$"))
    await page.locator("#inbox-tabs").get_by_role("link", name="Done").click()
    await expect(page).to_have_url(re.compile(r"\?tab=done&q=et$"))

    # what is chosen for the list while a conversation opens stays
    await search.fill("")
    await page.locator("#inbox-tabs").get_by_role("link", name="All").click()
    await begin("**/panes*", page.locator(f"[data-conversation='{TOM}'].inbox-row"))
    await page.evaluate("document.activeElement.blur()")
    await page.keyboard.press("e")  # of nobody: Mia is left, and Tom not there yet
    await search.fill("o")
    await expect(page).to_have_url(re.compile(r"\?q=o$"))
    await held.pop().continue_()
    await expect(page.locator("#conversation-title")).to_have_text("Tom Okafor")
    await expect(page).to_have_url(re.compile(r"/inbox/.*\?q=o$"))
    assert "done" not in {what for what, _ in service.calls}
    assert complaints == []


async def test_news_change_what_is_new_and_the_old_stays_when_nobody_answers(
    context: BrowserContext, console: Console, service: InboxService, complaints: list[str]
) -> None:
    page = await inbox_page(context, console, complaints)
    tom = page.locator(f"[data-conversation='{TOM}'].inbox-row")
    await tom.focus()
    await page.locator(".inbox-row").evaluate_all("rows => rows.forEach(each => each.mine = true)")
    service.row(MIA)["last"] = inbound("And the bread?", ago(seconds=1))
    await page.evaluate(CHANGED)
    await expect(page.get_by_text("And the bread?")).to_be_visible()
    await expect(tom).to_be_focused()
    kept = await page.locator(".inbox-row").evaluate_all("rows => rows.filter(r => r.mine).length")
    assert kept == 39  # of forty

    await page.get_by_role("link", name="Show more").click()
    await expect(page.locator(".inbox-row")).to_have_count(66)
    service.is_away = True
    await page.evaluate(CHANGED)
    await expect(page.get_by_text("this list may be out of date")).to_be_visible()
    await expect(page.locator(".inbox-row")).to_have_count(66)
    service.is_away = False
    await page.evaluate("document.querySelector('[data-retry]')?.click()")  # or it looked by itself
    await expect(page.get_by_text("this list may be out of date")).to_be_hidden()
    await expect(page.locator(".inbox-row")).to_have_count(66)

    await page.goto(f"{console.url}/inbox/{quote(MIA, safe='')}")  # as a notification leads there
    await page.locator("#inbox.is-scripted #conversation-title").focus()
    await page.keyboard.press("Escape")
    await expect(page).to_have_url(f"{console.url}/inbox")
    assert complaints == []


@pytest.mark.parametrize("size", SIZES)
async def test_the_inbox_bars_nobody(
    chromium: Browser,
    console: Console,
    service: InboxService,
    complaints: list[str],
    size: str,
) -> None:
    width, height = SIZES[size]
    context = await chromium.new_context(
        viewport={"width": width, "height": height},
        reduced_motion="reduce",
        locale="en-GB",
        bypass_csp=True,  # axe is put into the page
    )
    page = await inbox_page(context, console, complaints)
    found: dict[str, list[str]] = {}

    async def look(name: str) -> None:
        await expect(page.locator("h1")).to_have_count(1)
        found[name] = await findings(page)
        for scheme in ("light", "dark") if PICTURES else ():
            await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            path = Path(PICTURES or "") / f"inbox-{name}-{size}-{scheme}.png"
            await page.screenshot(path=path)
        await page.emulate_media(color_scheme="light")

    await look("list")
    tabs = page.get_by_role("navigation", name="Kinds of conversations")
    await tabs.get_by_role("link", name="Needs human").click()
    await expect(page.get_by_text("Wants her money back for a cake.")).to_be_visible()
    await look("needs-human")
    await tabs.get_by_role("link", name="Mine").click()
    await expect(page.get_by_text("You have no conversation.")).to_be_visible()
    await look("mine")
    await tabs.get_by_role("link", name="All").click()
    await page.get_by_role("link", name="Mia Kowalska").click()
    await expect(page.locator("#conversation-title")).to_be_visible()
    await look("open")
    if size == "phone":
        await page.get_by_role("button", name="Details").click()
        await expect(page.get_by_text("Messenger id")).to_be_visible()
        await look("details")
        await page.keyboard.press("Escape")
        await page.get_by_role("link", name="Back to the list").click()
        await expect(page.get_by_role("heading", name="Inbox", level=1)).to_be_visible()
    await page.keyboard.press("?")
    await look("keys")
    await page.keyboard.press("Escape")
    service.is_away = True
    await page.evaluate(CHANGED)
    await expect(page.get_by_text("this list may be out of date")).to_be_visible()
    await look("stale")
    await page.goto(f"{console.url}/inbox")
    await expect(page.get_by_text("The list can't be read at the moment")).to_be_visible()
    await look("away")
    assert {name: each for name, each in found.items() if each} == {}
    assert complaints == []
    await context.close()


async def test_without_scripts_everything_is_a_page_of_its_own(
    chromium: Browser, console: Console
) -> None:
    context = await chromium.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(console.url)
    await sign_in(page)
    await page.get_by_role("link", name="Show more").click()
    await page.get_by_role("link", name="Back to the first ones").click()
    await page.get_by_label("Search names").fill("mia")
    await page.get_by_role("button", name="Show").click()
    await page.get_by_role("link", name="Mia Kowalska").click()
    await expect(page.get_by_role("heading", name="Mia Kowalska", level=2)).to_be_visible()
    await page.get_by_role("button", name="Mark read").click()
    await expect(page.get_by_role("button", name="Mark read")).to_have_count(0)
    await page.get_by_role("button", name="Mark done").click()
    await expect(page.get_by_role("button", name="Open again")).to_be_visible()
    await context.close()
