"""The login dialog in a browser without a script, from the app's link to the app's callback."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Page, expect
from yarl import URL

from tests.browser.conftest import forgive
from tests.browser.site import Site

SCOPE = "pages_show_list,pages_messaging,pages_manage_metadata,pages_read_engagement"
PICTURES = os.environ.get("DIALOG_PICTURES")  # a folder: look at what the tests saw


class AppServer:
    """The app, on another port as a console is: remembers where its person came back to."""

    def __init__(self) -> None:
        self.url = ""
        self.backs: list[URL] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.backs.append(request.url)
        html = '<link rel="icon" href="data:,"><p>welcome back</p>'
        return web.Response(text=html, content_type="text/html")

    def dialog(self, site: Site, **changes: str) -> str:
        query = {
            "client_id": site.settings.facebook_app_id,
            "redirect_uri": self.url,
            "state": "s1",
            "scope": SCOPE,
            **changes,
        }
        return f"{site.url}/v26.0/dialog/oauth?{urlencode(query)}"


@pytest.fixture
async def app() -> AsyncIterator[AppServer]:
    server, routes = AppServer(), web.Application()
    routes.router.add_get("/callback", server.handle)
    async with TestServer(routes) as running:
        server.url = str(running.make_url("/callback"))
        yield server


@pytest.fixture
def complaints() -> list[str]:
    """What the browser's console says; a test that provokes some takes these out."""
    return []


@pytest.fixture(params=["light wide", "dark narrow"])
async def page(
    chromium: Browser,
    request: pytest.FixtureRequest,
    complaints: list[str],
    site: Site,
    app: AppServer,
) -> AsyncIterator[Page]:
    """A page without scripts; at the end it has had nothing to complain about.

    It asks for both servers so that it is closed before they are: a picture that is still on its
    way when a test ends would be refused.
    """
    is_light = request.param == "light wide"
    context = await chromium.new_context(
        locale="en-GB",
        java_script_enabled=False,
        color_scheme="light" if is_light else "dark",
        viewport={"width": 1280 if is_light else 390, "height": 844},
    )
    context.set_default_timeout(10_000)
    page = await context.new_page()
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    yield page
    await context.close()
    assert complaints == []


async def is_back(page: Page, app: AppServer) -> URL:
    await expect(page.get_by_text("welcome back")).to_be_visible()
    return app.backs[-1]


async def look(page: Page, name: str) -> None:
    if PICTURES and page.viewport_size:
        width = page.viewport_size["width"]
        await page.screenshot(path=Path(PICTURES) / f"{name}-{width}.png", full_page=True)


async def fits(page: Page) -> None:
    """Nothing sticks out at the right."""
    box = await page.locator("main").bounding_box()
    assert box is not None
    assert page.viewport_size is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= page.viewport_size["width"]


async def test_somebody_gives_some_of_it_and_is_led_back(
    page: Page, site: Site, app: AppServer
) -> None:
    flowers = site.simulator.world.add_page("Flower Shop")
    alex = site.simulator.world.logins.users[0]
    site.simulator.world.logins.set_role(alex, flowers.id, "editor")
    await page.goto(app.dialog(site))
    await expect(page.get_by_role("heading", name="Who are you?")).to_be_visible()
    await expect(page.get_by_text("nothing here reaches Facebook")).to_be_visible()
    await fits(page)
    await look(page, "who")
    await page.get_by_role("button", name="Alex Morgan").click()
    await expect(page.get_by_role("heading", name="Log in with Facebook")).to_be_visible()
    await fits(page)
    await look(page, "what")
    await page.get_by_role("checkbox", name="pages_read_engagement").uncheck()
    await page.get_by_role("checkbox", name="Corner Bakery").uncheck()
    await page.get_by_role("button", name="Continue as Alex").click()
    back = await is_back(page, app)
    assert back.query["state"] == "s1"
    assert back.query["code"].startswith("AQ")
    assert alex.permissions["pages_read_engagement"] == "declined"
    assert alex.permissions["pages_messaging"] == "granted"
    assert alex.chosen_pages == [flowers.id]


@pytest.mark.parametrize("step", [1, 2])
async def test_cancel_leads_back_from_each_step(
    page: Page, site: Site, app: AppServer, step: int
) -> None:
    await page.goto(app.dialog(site))
    if step == 2:
        await page.get_by_role("button", name="Sam Rivera").click()
    await page.get_by_role("button", name="Cancel").click()
    back = await is_back(page, app)
    assert (back.query["error"], back.query["state"]) == ("access_denied", "s1")


async def test_who_chose_the_wrong_person_goes_back(page: Page, site: Site, app: AppServer) -> None:
    await page.goto(app.dialog(site))
    await page.get_by_role("button", name="Noor Haddad").click()
    await expect(page.get_by_text("Noor Haddad has no role on any Page.")).to_be_visible()
    await look(page, "none")
    await page.get_by_role("link", name="Not Noor?").click()
    await page.get_by_role("button", name="Alex Morgan").click()
    await page.get_by_role("button", name="Continue as Alex").click()
    assert "code" in (await is_back(page, app)).query


async def test_an_unpublished_page_is_shown_and_cannot_be_ticked(
    page: Page, site: Site, app: AppServer
) -> None:
    bakery = site.simulator.world.pages[0]
    hidden = bakery.behaviour.model_copy(update={"published": False})
    site.simulator.world.set_behaviour(bakery, hidden)
    await page.goto(app.dialog(site))
    await page.get_by_role("button", name="Alex Morgan").click()
    box = page.get_by_role("checkbox", name="Corner Bakery")
    await expect(box).to_be_disabled()
    await expect(page.get_by_text("not published")).to_be_visible()
    await look(page, "unpublished")


async def test_an_address_that_is_not_allowed_is_said_so(
    page: Page, site: Site, app: AppServer, complaints: list[str]
) -> None:
    await page.goto(app.dialog(site, redirect_uri="https://evil.example/"))
    await expect(page.get_by_role("heading", name="URL blocked")).to_be_visible()
    await look(page, "blocked")
    forgive(complaints, "400 (Bad Request)")
