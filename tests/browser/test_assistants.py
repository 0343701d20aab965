"""Assistants in a real browser: made, taught, tried, with a model and a key; nobody is barred."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, BrowserContext, Page, Route, expect

from libs.common.mongo import Database
from libs.common.settings import MongoSettings
from simulator.completions import SimulatedModel
from tests.browser.test_console import SIZES, findings, sign_in, watched
from tests.integration.console import Console, running_console
from tests.integration.trials import running_trials
from tests.unit.simulator.harness import until

PICTURES = os.environ.get("CONSOLE_PICTURES")  # a folder: look at what the test saw
HOURS = "# Opening hours\n\nWe open at seven on weekdays."
PAGE_ID = "1234567890"
CANARY = "sk-canary-in-the-browser"


class Model:
    """The simulator's model endpoint; one key works."""

    def __init__(self) -> None:
        self.url = ""
        self.simulated = SimulatedModel()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if CANARY in request.headers.get("Authorization", ""):
            return web.json_response({"error": {"message": "bad key"}}, status=401)
        return await self.simulated.complete(request)


@pytest.fixture
async def model() -> AsyncIterator[Model]:
    model = Model()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", model.handle)
    async with TestServer(app) as server:
        model.url = f"http://127.0.0.1:{server.port}/v1"
        yield model


@pytest.fixture
async def console(database: Database, mongo: MongoSettings) -> AsyncIterator[Console]:
    async with (
        running_trials(database) as url,
        running_console(database, mongo, services=url) as console,
    ):
        yield console


async def look(page: Page, name: str) -> None:
    """Nothing bars anybody from this page."""
    if PICTURES:
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            path = Path(PICTURES) / f"assistants-{name}-{scheme}.png"
            await page.screenshot(path=path, full_page=True)
        await page.emulate_media(color_scheme="light")
    assert await findings(page) == [], name


async def ask(page: Page, question: str) -> None:
    await page.get_by_label("Question", exact=True).fill(question)
    await page.get_by_role("button", name="Ask", exact=True).click()


async def taught(console: Console) -> None:
    """An assistant that knows when the bakery opens."""
    admin = await console.first_admin()
    await console.database["assistants"].insert_one(
        {
            "_id": "ast_1",
            "workspace_id": admin.workspace_id,
            "name": "Crumb",
            "system_prompt": "You are Crumb.",
            "knowledge": HOURS,
            "provider": "offline",
        }
    )


async def connect(console: Console, assistant_id: str) -> None:
    """A Page that the assistant answers on."""
    admin = await console.first_admin()
    await console.database["channels"].insert_one(
        {
            "_id": PAGE_ID,
            "workspace_id": admin.workspace_id,
            "assistant_id": assistant_id,
            "page_name": "Corner Bakery",
            "token": "t",
        }
    )


@pytest.mark.parametrize("size", SIZES)
async def test_one_is_made_taught_tried_and_given_a_model(
    chromium: Browser, console: Console, model: Model, complaints: list[str], size: str
) -> None:
    width, height = SIZES[size]
    context = await chromium.new_context(
        viewport={"width": width, "height": height},
        reduced_motion="reduce",
        locale="en-GB",
        bypass_csp=True,  # axe is put into the page
    )
    context.set_default_timeout(20_000)
    page = await watched(context, console, complaints)
    await page.goto(console.url)
    await sign_in(page)
    await expect(page.get_by_role("heading", name="Hello")).to_be_visible()

    await page.get_by_role("link", name="Assistants").locator("visible=true").first.click()
    await expect(page.get_by_text("There is no assistant yet.")).to_be_visible()
    await look(page, f"{size}-empty")
    await page.get_by_role("main").get_by_role("link", name="New assistant").first.click()
    await page.get_by_role("button", name="Make the assistant").click()
    await expect(page.get_by_text("Fill this in.")).to_have_count(2)
    await look(page, f"{size}-new")
    await page.get_by_label("Name").fill("Crumb")
    await page.get_by_label("System prompt").fill("You are Crumb, the assistant of a bakery.")
    await page.get_by_role("button", name="Make the assistant").click()
    await expect(page.get_by_text("“Crumb” is made.")).to_be_visible()

    await connect(console, page.url.rpartition("/")[2])
    await page.reload()
    await expect(page.get_by_label("As on the Page")).to_have_value(PAGE_ID)

    # what is typed can be tried before it is saved, and is not lost when another card is
    await page.get_by_label("Knowledge text").fill(HOURS)
    await page.get_by_label("Provider").select_option("offline")
    await page.get_by_role("button", name="Save model").click()
    await expect(page.get_by_role("status").filter(has_text="Saved.")).to_be_focused()
    await expect(page.get_by_label("Knowledge text")).to_have_value(HOURS)
    await ask(page, "When do you open?")
    latest = page.locator("#trial-latest")
    await expect(latest).to_contain_text("I don't know")
    await page.get_by_label("Ask", exact=True).select_option("typed")
    await ask(page, "When do you open?")
    await expect(latest).to_contain_text("We open at seven on weekdays.")
    await expect(latest).to_contain_text("offline demo model")
    await expect(page.get_by_label("Question", exact=True)).to_be_focused()
    await page.get_by_role("button", name="Save knowledge").click()
    await expect(page.locator("#knowledge").get_by_role("status")).to_have_text("Saved.")
    await expect(page.locator("#about")).to_contain_text("Changed by ada@example.org")
    await ask(page, "I want to talk to a human")
    await expect(page.get_by_text("A human would be called")).to_be_visible()
    await look(page, f"{size}-tried")
    await page.get_by_role("button", name="Start over").click()
    await expect(latest).to_have_count(0)

    # a model: what is wrong stands at its field
    await expect(page.get_by_label("Base URL")).to_be_hidden()
    await page.get_by_label("Provider").select_option("simulator")
    await page.get_by_role("button", name="Save model").click()
    await expect(page.get_by_text("Enter the simulator's address")).to_be_visible()
    await expect(page.get_by_label("Base URL")).to_be_focused()
    await page.get_by_label("Base URL").fill(model.url)
    await page.get_by_role("button", name="Save model").click()
    await expect(page.locator("#model").get_by_role("status")).to_have_text("Saved.")
    await ask(page, "Do you have rye bread?")
    await expect(latest).to_contain_text("You wrote: “Do you have rye bread?”")
    await expect(latest).to_contain_text("tokens in")

    # a key: never shown again, refused in words, forgotten with its address
    await page.get_by_label("Provider").select_option("openai")
    await page.get_by_role("textbox", name="Model optional").fill("small")
    await page.get_by_label("API key", exact=True).fill(CANARY)
    await page.get_by_role("button", name="Save model").click()
    await expect(page.get_by_text("A key is stored")).to_be_visible()
    assert CANARY not in await page.content()
    await ask(page, "Do you have rye bread?")
    await expect(page.get_by_text("The provider refuses the API key.")).to_be_visible()
    await look(page, f"{size}-refused")
    await page.get_by_label("Base URL").fill("")
    await page.get_by_role("button", name="Save model").click()
    await expect(page.get_by_text("so it is forgotten")).to_be_visible()
    await expect(page.get_by_text("No API key is stored")).to_be_visible()

    await page.get_by_role("link", name="Assistants").locator("visible=true").first.click()
    row = page.get_by_role("row").filter(has_text="Crumb")
    await expect(row).to_contain_text("small")
    await expect(row.get_by_role("link", name="Corner Bakery")).to_be_visible()
    await look(page, f"{size}-list")
    if size == "phone":
        await page.get_by_text("More", exact=True).click()
        await expect(page.get_by_role("link", name="Audit log")).to_be_visible()
        await look(page, f"{size}-more")
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("link", name="Audit log")).to_be_hidden()
    await page.get_by_role("link", name="Crumb").click()
    await page.get_by_role("link", name="Delete…").click()
    await expect(page.get_by_role("link", name="Corner Bakery")).to_be_visible()
    await look(page, f"{size}-delete")
    await console.database["channels"].delete_one({"_id": PAGE_ID})
    await page.reload()
    await page.get_by_role("button", name="Delete “Crumb”").click()
    await expect(page.get_by_text("“Crumb” is deleted.")).to_be_visible()
    assert complaints == []
    await context.close()


async def test_who_types_while_an_answer_is_on_its_way_keeps_it_and_the_focus(
    context: BrowserContext, console: Console, complaints: list[str]
) -> None:
    await taught(console)
    held: list[Route] = []
    page = await watched(context, console, complaints)
    await page.goto(f"{console.url}/assistants/new")
    await sign_in(page)
    prompt = page.get_by_label("System prompt")
    await expect(prompt).to_be_visible()
    await page.route("**/assistants/new", lambda route: held.append(route), times=1)
    await page.get_by_role("button", name="Make the assistant").click()
    await until(lambda: held != [])
    await prompt.press_sequentially("You are")
    await held.pop().continue_()
    # at both fields, and in the corner to whoever is elsewhere
    await expect(page.get_by_text("Fill this in.")).to_have_count(3)
    await page.keyboard.type(" Crumb.")
    await expect(prompt).to_have_value("You are Crumb.")
    await page.get_by_role("button", name="Make the assistant").click()
    await expect(page.get_by_label("Name")).to_be_focused()

    await page.goto(f"{console.url}/assistants/ast_1")
    question = page.get_by_label("Question", exact=True)
    knowledge = page.get_by_label("Knowledge text")
    unsaved = page.locator("#knowledge [data-unsaved]")

    async def begin(part: str, button: str) -> None:
        await page.route(f"**/assistants/ast_1/{part}", lambda route: held.append(route), times=1)
        await page.get_by_role("button", name=button, exact=True).click()
        await until(lambda: held != [])

    # in another card
    await question.fill("When do you open?")
    await begin("test", "Ask")
    await knowledge.fill(HOURS)
    await knowledge.press_sequentially(" On Sundays at ")
    await held.pop().continue_()
    await expect(page.locator("#trial-latest")).to_contain_text("We open at seven")
    await expect(knowledge).to_be_focused()
    await page.keyboard.type("eight.")
    await expect(knowledge).to_have_value(f"{HOURS} On Sundays at eight.")
    await expect(question).to_have_value("")

    # in the card that is saved: it is kept, said to be unsaved, and saved with the next Save
    await begin("knowledge", "Save knowledge")
    await knowledge.press("Control+Home")
    await page.keyboard.type("Our hou")
    await held.pop().continue_()
    await expect(page.locator("#knowledge .saved")).to_have_text("Saved.")
    await expect(knowledge).to_be_focused()
    await page.keyboard.type("rs:")
    typed = f"Our hours:{HOURS} On Sundays at eight."
    await expect(knowledge).to_have_value(typed)
    await expect(page.locator("#knowledge .counter")).to_contain_text(str(len(typed)))
    await expect(unsaved).to_be_visible()
    await page.get_by_role("button", name="Save knowledge").click()
    await expect(unsaved).to_be_hidden()
    await expect(page.locator("#knowledge").get_by_role("status")).to_be_focused()
    stored = await console.database["assistants"].find_one({"_id": "ast_1"})
    assert stored is not None
    assert stored["knowledge"] == typed

    # far down in a long text, where they are
    await knowledge.fill("A line.\n" * 300)
    await begin("knowledge", "Save knowledge")
    await knowledge.press("Control+End")
    await page.keyboard.type("The end.")
    top = await knowledge.evaluate("field => field.scrollTop")
    assert top > 1000
    await page.locator("#knowledge").evaluate("form => { form.dataset.old = ''; }")
    await held.pop().continue_()
    await expect(page.locator("#knowledge:not([data-old])")).to_be_visible()
    assert await knowledge.evaluate("field => field.scrollTop") == pytest.approx(top, abs=2)
    await page.get_by_role("button", name="Save knowledge").click()
    await expect(unsaved).to_be_hidden()

    # the next question, and a choice that shows other fields
    await question.fill("When do you open?")
    await begin("test", "Ask")
    await question.fill("On Sundays?")
    await held.pop().continue_()
    await expect(page.locator(".trial-asked")).to_have_count(2)
    await expect(question).to_have_value("On Sundays?")
    await begin("model", "Save model")
    await page.get_by_label("Provider").select_option("anthropic")
    await held.pop().continue_()
    await expect(page.locator("#model .saved")).to_have_text("Saved.")
    await expect(page.get_by_label("Provider")).to_have_value("anthropic")
    await expect(page.get_by_label("API key", exact=True)).to_be_visible()
    assert complaints == []


async def test_without_scripts_all_of_it_works(
    chromium: Browser, console: Console, complaints: list[str]
) -> None:
    context = await chromium.new_context(java_script_enabled=False, locale="en-GB")
    page = await watched(context, console, complaints)
    await page.goto(f"{console.url}/assistants/new")
    await sign_in(page)
    await page.get_by_label("Name").fill("Crumb")
    await page.get_by_label("System prompt").fill("You are Crumb.")
    await page.get_by_role("button", name="Make the assistant").click()
    await page.get_by_label("Knowledge text").fill(HOURS)
    await page.get_by_role("button", name="Save knowledge").click()
    await expect(page.get_by_text("Saved.")).to_be_visible()
    await page.get_by_label("Provider").select_option("offline")
    await page.get_by_role("button", name="Save model").click()
    await expect(page.get_by_text("Saved.")).to_be_visible()
    await ask(page, "When do you open?")
    await expect(page.locator("#trial-latest")).to_contain_text("We open at seven")
    await ask(page, "Thank you!")
    await expect(page.locator(".trial-asked")).to_have_count(2)
    assert complaints == []
    await context.close()


async def test_a_member_reads_it(
    chromium: Browser, context: BrowserContext, console: Console, complaints: list[str]
) -> None:
    await taught(console)
    await console.member()
    own = await chromium.new_context(locale="en-GB", bypass_csp=True)
    page = await watched(own, console, complaints)
    await page.goto(f"{console.url}/assistants/ast_1")
    await sign_in(page, "mo@example.org")
    await expect(page.get_by_text("We open at seven on weekdays.")).to_be_visible()
    await expect(page.get_by_role("button", name="Save")).to_have_count(0)
    await look(page, "member")
    assert complaints == []
    await own.close()
