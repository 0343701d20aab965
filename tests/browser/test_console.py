"""The console in a real browser: with a person's hands, in both themes, wide and on a phone."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from axe_playwright_python.base import AXE_FILE_PATH
from playwright.async_api import Browser, BrowserContext, Page, expect

from libs.common.mongo import Database
from libs.common.settings import MongoSettings
from services.console.domain.roles import Role
from tests.integration.console import ADMIN, PASSWORD, Console, running_console

NEW_PASSWORD = "a rather new password"
SIZES = {"wide": (1280, 800), "phone": (390, 800)}
AXE = Path(AXE_FILE_PATH).read_text(encoding="utf-8")
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
COLOURS = {"type": "rule", "values": ["color-contrast"]}


@pytest.fixture
async def console(database: Database, mongo: MongoSettings) -> AsyncIterator[Console]:
    async with running_console(database, mongo) as console:
        yield console


@pytest.fixture
async def page(
    context: BrowserContext, console: Console, complaints: list[str]
) -> AsyncIterator[Page]:
    """The first page; at the end it has loaded nothing from elsewhere and not complained."""
    page = await watched(context, console, complaints)
    await page.goto(console.url)
    yield page
    assert complaints == []


HARMLESS = (
    "Failed to load resource",  # an answer that refuses: the test looks at it
    "Autofocus processing was blocked",  # a test that was quicker with its first field
)


async def watched(context: BrowserContext, console: Console, complaints: list[str]) -> Page:
    page = await context.new_page()

    def note_request(url: str) -> None:
        if not url.startswith((f"{console.url}/", "data:")):
            complaints.append(f"asked elsewhere: {url}")

    def note_message(text: str) -> None:
        if not text.startswith(HARMLESS):
            complaints.append(text)

    page.on("console", lambda message: note_message(message.text))
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    page.on("request", lambda request: note_request(request.url))
    return page


async def sign_in(page: Page, email: str = ADMIN, password: str = PASSWORD) -> None:
    await page.get_by_label("E-mail", exact=True).fill(email)
    await page.get_by_label("Password", exact=True).fill(password)
    await page.keyboard.press("Enter")


async def test_signing_in_and_out(page: Page, console: Console) -> None:
    await page.goto(f"{console.url}/audit")
    await expect(page.get_by_role("heading", name="Sign in", level=1)).to_be_visible()
    await expect(page.get_by_label("E-mail", exact=True)).to_be_focused()
    await sign_in(page)
    await expect(page).to_have_url(f"{console.url}/audit")
    await expect(page.get_by_role("cell", name="Signed in")).to_be_visible()
    await page.locator("details.menu:visible summary").click()
    await page.get_by_role("button", name="Sign out", exact=True).click()
    await expect(page).to_have_url(f"{console.url}/sign-in")
    await page.go_back()
    await expect(page.get_by_role("heading", name="Sign in", level=1)).to_be_visible()


async def test_a_wrong_password_is_told_above_the_form_and_has_the_focus(page: Page) -> None:
    await sign_in(page, password="not the password")
    alert = page.get_by_role("alert")
    await expect(alert).to_have_text("E-mail or password is wrong.")
    await expect(alert).to_be_focused()
    await expect(page.get_by_label("E-mail", exact=True)).to_have_value(ADMIN)
    await expect(page.get_by_label("Password", exact=True)).to_have_value("")
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Hello")).to_be_visible()


async def test_what_is_typed_can_be_shown(page: Page) -> None:
    field = page.get_by_label("Password", exact=True)
    await field.fill("abc")
    await page.get_by_role("button", name="Show what is typed: Password").click()
    await expect(field).to_have_attribute("type", "text")
    await expect(field).to_be_focused()


async def test_somebody_is_invited_comes_and_is_disabled(
    page: Page, console: Console, chromium: Browser, complaints: list[str]
) -> None:
    await sign_in(page)
    await page.get_by_role("link", name="Users").first.click()
    await page.get_by_role("link", name="Invite a user").click()
    await page.get_by_role("button", name="Make an invitation").click()
    await expect(page.get_by_text("Fill this in.")).to_be_visible()
    await expect(page.get_by_label("E-mail")).to_be_focused()
    await page.get_by_label("E-mail").fill("lena@example.org")
    await page.get_by_label("Name").fill("Lena")
    await expect(page.get_by_text("4 / 80")).to_be_visible()
    await page.get_by_role("button", name="Make an invitation").click()
    link = await page.get_by_label("Invitation").input_value()

    theirs = await chromium.new_context(locale="en-GB", reduced_motion="reduce")
    guest = await watched(theirs, console, complaints)
    await guest.goto(link)
    await guest.get_by_label("Password", exact=True).fill(NEW_PASSWORD)
    await guest.get_by_role("button", name="Set password and sign in").click()
    await expect(guest.get_by_text("Your password is set.")).to_be_visible()
    await expect(guest.get_by_text("Your role is Member.")).to_be_visible()
    await guest.goto(f"{console.url}/users")
    await expect(guest.get_by_role("heading", name="This needs the role Admin")).to_be_visible()

    await page.get_by_role("link", name="Done").click()
    await page.get_by_role("link", name="Disable…").click()
    await page.get_by_role("button", name="Disable Lena").click()
    await expect(page.get_by_text("Lena is disabled and signed out everywhere.")).to_be_visible()
    await guest.goto(console.url)
    await expect(guest.get_by_role("heading", name="Sign in", level=1)).to_be_visible()
    await sign_in(guest, "lena@example.org", NEW_PASSWORD)
    await expect(guest.get_by_role("alert")).to_have_text("E-mail or password is wrong.")
    await theirs.close()


async def test_an_api_token_is_made_shown_once_and_revoked(page: Page, console: Console) -> None:
    await sign_in(page)
    await page.get_by_role("link", name="API tokens").first.click()
    await page.get_by_role("button", name="Make the token").click()
    await expect(page.get_by_text("Choose at least one.")).to_be_visible()
    await page.get_by_label("Name").fill("Report")
    await page.get_by_label("users:read").check()
    await page.get_by_role("button", name="Make the token").click()
    token = await page.get_by_label("API token").input_value()
    headers = {"Authorization": f"Bearer {token}"}
    program = console.browser()
    assert (await program.get("/api/v1/users", **headers)).status == 200
    await page.get_by_role("link", name="Done").click()
    await expect(page.get_by_role("cell", name="Report").first).to_be_visible()
    assert token not in await page.content()
    await page.get_by_role("link", name="Revoke… Report").click()
    await page.get_by_role("button", name="Revoke “Report”").click()
    await expect(page.get_by_text("“Report” is revoked.")).to_be_visible()
    assert (await program.get("/api/v1/users", **headers)).status == 401


async def test_a_password_is_changed(page: Page, console: Console) -> None:
    await sign_in(page)
    await expect(page.get_by_role("heading", name="Hello")).to_be_visible()
    await page.goto(f"{console.url}/profile")
    await page.get_by_label("Current password", exact=True).fill(PASSWORD)
    await page.get_by_label("New password", exact=True).fill("short")
    await page.get_by_role("button", name="Change password").click()
    await expect(page.locator("#password-new-error")).to_have_text("Use at least 12 characters.")
    await expect(page.get_by_label("New password", exact=True)).to_be_focused()
    await page.get_by_label("Current password", exact=True).fill(PASSWORD)
    await page.get_by_label("New password", exact=True).fill(NEW_PASSWORD)
    await page.get_by_role("button", name="Change password").click()
    await expect(page.get_by_text("Your password is changed.")).to_be_visible()


async def test_without_scripts_all_of_it_works(
    chromium: Browser, console: Console, complaints: list[str]
) -> None:
    context = await chromium.new_context(java_script_enabled=False, locale="en-GB")
    page = await watched(context, console, complaints)
    await page.goto(console.url)
    await sign_in(page, password="not the password")
    await expect(page.get_by_role("alert")).to_have_text("E-mail or password is wrong.")
    await sign_in(page)
    await expect(page.get_by_role("heading", name="Hello")).to_be_visible()
    await page.goto(f"{console.url}/profile")
    await page.get_by_role("textbox", name="Name").fill("Ada")
    await page.get_by_role("button", name="Save name").click()
    await expect(page.get_by_text("Your name is saved.")).to_be_visible()
    await page.locator("details.menu:visible summary").click()
    await page.get_by_role("button", name="Sign out", exact=True).click()
    await expect(page.get_by_role("heading", name="Sign in", level=1)).to_be_visible()
    assert complaints == []
    await context.close()


async def test_keys_lead_around_and_are_off_while_one_types(page: Page, console: Console) -> None:
    await sign_in(page)
    await expect(page.get_by_role("heading", name="Hello")).to_be_visible()
    await page.wait_for_load_state("load")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    at_once = "new KeyboardEvent('keydown', {key: 'u', bubbles: true})"  # with no g before it
    await page.add_init_script(
        f"addEventListener('load', () => document.body.dispatchEvent({at_once}))"
    )
    await page.keyboard.type("gt")
    await expect(page).to_have_url(f"{console.url}/api-tokens")
    await page.get_by_label("Name").fill("")
    await page.get_by_label("Name").press_sequentially("gu?")
    await expect(page).to_have_url(f"{console.url}/api-tokens")
    await page.get_by_role("heading", level=1).click()
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    await page.get_by_label("Use these keys").uncheck()
    await page.keyboard.press("Escape")
    await page.keyboard.type("gu")
    await expect(page).to_have_url(f"{console.url}/api-tokens")


async def test_a_theme_is_kept_and_there_before_the_first_paint(page: Page) -> None:
    root = page.locator("html")
    await sign_in(page)
    await expect(page.get_by_role("heading", name="Hello")).to_be_visible()
    await expect(root).to_have_attribute("data-bs-theme", "light")
    await page.locator("details.menu:visible summary").click()
    await page.get_by_role("button", name="Dark theme").click()
    await expect(root).to_have_attribute("data-bs-theme", "dark")
    first = "document.documentElement.dataset.bsTheme"
    await page.add_init_script(
        f"addEventListener('DOMContentLoaded', () => {{ window.first = {first} }})"
    )
    await page.reload()
    assert await page.evaluate("window.first") == "dark"


@pytest.mark.parametrize("size", SIZES)
async def test_no_page_bars_anybody(
    chromium: Browser, console: Console, complaints: list[str], size: str
) -> None:
    """axe finds nothing, on any page, in both themes, and nothing is wider than the screen."""
    width, height = SIZES[size]
    context = await chromium.new_context(
        viewport={"width": width, "height": height},
        reduced_motion="reduce",
        locale="en-GB",
        bypass_csp=True,  # axe is put into the page
    )
    admin = await console.first_admin()
    mo = await console.add("mo@example.org", Role.MEMBER, admin.workspace_id)
    await console.database["channels"].insert_one(
        {
            "_id": "1234567890",
            "workspace_id": admin.workspace_id,
            "assistant_id": "a",
            "page_name": "Crumb & Co, a bakery with a long name",
            "token": "t",
            "status": "revoked",
        }
    )
    page = await watched(context, console, complaints)
    found: dict[str, list[str]] = {}

    async def look(name: str) -> None:
        await expect(page.locator("h1")).to_have_count(1)
        found[name] = await findings(
            page, in_the_dark=size == "wide"
        )  # a phone has the same colours

    async def look_at(path: str) -> None:
        await page.goto(console.url + path)
        await look(path)

    await look_at("/sign-in")
    await sign_in(page, password="not the password")
    await expect(page.get_by_role("alert")).to_be_visible()
    await look("sign-in, refused")
    await look_at("/welcome/nothing")
    await page.goto(console.url)
    await sign_in(page)
    await expect(page.get_by_role("heading", name="Inbox", level=1)).to_be_visible()
    for path in ("/", "/users", "/users/invite", "/audit", "/profile", "/api-tokens", "/nothing"):
        await look_at(path)
    for path in ("", "/connect", "/connect/callback", "/1234567890", "/1234567890/disconnect"):
        await look_at(f"/channels{path}")
    await look_at("/channels/1234567890/settings")
    for path in (f"/users/{mo.id}", f"/users/{admin.id}", f"/users/{mo.id}/disable"):
        await look_at(path)
    await page.locator("details.menu:visible summary").click()
    await look("menu")
    await page.keyboard.press("Escape")
    await page.keyboard.press("?")
    await look("keys")
    await page.goto(f"{console.url}/users/invite")
    await page.get_by_role("button", name="Make an invitation").click()
    await expect(page.get_by_text("Fill this in.")).to_be_visible()
    await look("invite, refused")
    await page.get_by_label("E-mail").fill("lena@example.org")
    await page.get_by_role("button", name="Make an invitation").click()
    await expect(page.get_by_label("Invitation")).to_be_visible()
    await look("link")
    await page.goto(await page.get_by_label("Invitation").input_value())
    await look("welcome")
    await page.goto(f"{console.url}/api-tokens")
    await page.get_by_label("Name").fill("Report")
    await page.get_by_label("users:read").check()
    await page.get_by_role("button", name="Make the token").click()
    await expect(page.get_by_label("API token")).to_be_visible()
    await look("new token")
    await page.get_by_role("link", name="Done").click()
    await look("tokens")
    await page.get_by_role("link", name="Revoke… Report").click()
    await look("revoke")
    await context.clear_cookies()
    await page.goto(console.url)
    await sign_in(page, mo.email)
    await expect(page.get_by_text("Your role is Member.")).to_be_visible()
    await look("member's home")
    await look_at("/users")
    await look_at("/channels/1234567890")
    await look_at("/channels/1234567890/settings")
    assert {name: each for name, each in found.items() if each} == {}
    assert complaints == []
    await context.close()


async def test_the_first_run_bars_nobody_either(
    database: Database,
    mongo: MongoSettings,
    chromium: Browser,
    complaints: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with running_console(database, mongo, email="", password="") as console:
        printed = capsys.readouterr().err
        code = next(line.strip() for line in printed.splitlines() if len(line.strip()) == 43)
        context = await chromium.new_context(
            bypass_csp=True, locale="en-GB", reduced_motion="reduce"
        )
        page = await watched(context, console, complaints)
        await page.goto(console.url)
        assert await findings(page) == []
        await page.get_by_label("One-time code").fill(code)
        await page.get_by_label("E-mail").fill(ADMIN)
        await page.get_by_label("Password", exact=True).fill(PASSWORD)
        await page.get_by_role("button", name="Create").click()
        await expect(page.get_by_text("You are the administrator.")).to_be_visible()
        assert complaints == []
        await context.close()


async def findings(page: Page, *, in_the_dark: bool = True) -> list[str]:
    """What axe finds, and whether the page is wider than the screen. Dark, only colours differ."""
    await page.evaluate(AXE)
    found = []
    looks = [("light", {"type": "tag", "values": TAGS}), ("dark", COLOURS)]
    for scheme, rules in looks if in_the_dark else looks[:1]:
        await page.emulate_media(
            color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce",  # a button that fades from one scheme to the other has neither
        )
        await expect(page.locator("html")).to_have_attribute("data-bs-theme", scheme)
        result = await page.evaluate(
            """rules => axe.run(document, { runOnly: rules, resultTypes: ["violations"] })""", rules
        )
        found += [
            f"{scheme}: {each['impact']} {each['id']}: {each['help']}: "
            + " | ".join(node["html"][:120] for node in each["nodes"][:3])
            for each in result["violations"]
        ]
    await page.emulate_media(color_scheme="light")
    wide = await page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return [*found, *([f"{wide} px wider than the screen"] if wide > 0 else [])]
