"""Every setting of a Page, changed in the browser on the running system, and what follows in chat.

A change is told to the other services after it is saved: each effect is waited for, with new
people, until it is there.
"""

import asyncio
import json
import os
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, BrowserContext, Locator, Page, Route, StorageState, expect
from pydantic import SecretStr

from libs.common.mongo import Database, open_database
from libs.common.settings import MongoSettings
from simulator.client import Simulator, SimulatorError, answers_in
from tests.browser.test_console import SIZES, findings
from tests.stack import LocalStack

PICTURES = os.environ.get("CONSOLE_PICTURES")  # a folder: look at what the test saw
WITHIN_S = 20.0
IMAGE = {"type": "image", "payload": {"url": "https://example.org/cake.jpg"}}
TOLD = "A colleague comes."


@pytest.fixture
async def context(chromium: Browser, session: StorageState) -> AsyncIterator[BrowserContext]:
    context = await chromium.new_context(
        locale="en-GB", reduced_motion="reduce", bypass_csp=True, storage_state=session
    )
    context.set_default_timeout(20_000)
    yield context
    await context.close()


@dataclass
class Walk:
    """An administrator in front of a Page's settings, and the people who write to the Page."""

    stack: LocalStack
    browser: Page
    facebook: Simulator
    internal: aiohttp.ClientSession
    database: Database
    page: str
    hooks: list[tuple[dict[str, Any], str]] = field(default_factory=list)
    hook_url: str = ""

    async def open_settings(self) -> None:
        await self.browser.goto(f"{self.stack.url('console')}/channels/{self.page}/settings")

    def card(self, title: str) -> Locator:
        return self.browser.get_by_role("region", name=title, exact=True)

    async def save(self, title: str) -> None:
        card = self.card(title)
        await expect(card.get_by_text("Not saved yet")).to_be_visible()
        await card.get_by_role("button", name="Save", exact=True).click()
        await expect(card.get_by_role("status").filter(has_text="Saved.")).to_be_visible()
        await expect(card.get_by_text("Not saved yet")).to_be_hidden()
        await expect(card.get_by_role("button", name="Save", exact=True)).to_be_focused()

    async def person(self, first_name: str = "Ann", last_name: str = "Lee") -> str:
        return await self.facebook.add_person(self.page, first_name, last_name)

    async def answers(self, *lines: str, count: int = 1, **more: Any) -> list[str]:  # noqa: ANN401
        """What somebody new is answered who writes this."""
        psid = await self.person()
        for line in lines or (None,):
            await self.facebook.write(self.page, psid, line, **more)
        found = await self.facebook.wait_for_answers(self.page, psid, count, WITHIN_S)
        return [str(each["text"]) for each in found]

    async def is_answered(self, psid: str, count: int = 1) -> bool:
        """Within a moment."""
        try:
            await self.facebook.wait_for_answers(self.page, psid, count, 5)
        except SimulatorError:
            return False
        return True

    async def asked(self) -> list[dict[str, Any]]:
        """The model's last request: instructions, then what was said."""
        return list((await self.facebook.model())["requests"][-1]["messages"])

    async def call(self, service: str, path: str, body: Any = None) -> dict[str, Any]:  # noqa: ANN401
        method, url = ("GET" if body is None else "PUT"), self.stack.url(service)
        async with self.internal.request(method, f"{url}/internal/v1{path}", json=body) as answer:
            assert answer.status == 200, await answer.text()
            return dict(await answer.json())

    async def conversation(self, psid: str, is_so: Callable[[Any], bool]) -> dict[str, Any]:
        """As the list of conversations shows it, once it is so."""
        found: dict[str, Any] = {}

        async def look() -> bool:
            listed = await self.call("conversation", f"/pages/{self.page}/conversations?limit=200")
            for each in listed["conversations"]:
                if each["psid"] == psid:
                    found.update(each)
            return bool(found) and is_so(found)

        await until(look)
        return found


@pytest.fixture
async def walk(stack: LocalStack, context: BrowserContext) -> AsyncIterator[Walk]:
    environment = stack.environment
    mongo = MongoSettings(
        uri=SecretStr(environment["MONGODB_URI"]), database=environment["MONGODB_DATABASE"]
    )
    token = {"Authorization": f"Bearer {environment['SERVICE_TOKEN']}"}
    async with AsyncExitStack() as opened:
        session = await opened.enter_async_context(aiohttp.ClientSession())
        internal = await opened.enter_async_context(aiohttp.ClientSession(headers=token))
        database = await opened.enter_async_context(open_database(mongo, app_name="test"))
        facebook = Simulator(session, stack.url("simulator"))
        page = (await facebook.pages())[0]["id"]
        walk = Walk(stack, await context.new_page(), facebook, internal, database, page)

        async def hear(request: web.Request) -> web.Response:
            signature = request.headers.get("X-Signature-256", "")
            walk.hooks.append((json.loads(await request.read()), signature))
            return web.Response()

        app = web.Application()
        app.router.add_post("/hook", hear)
        server = await opened.enter_async_context(TestServer(app))
        walk.hook_url = f"http://127.0.0.1:{server.port}/hook"
        await walk.open_settings()
        yield walk
        await facebook.set_model()
        await facebook.clear_faults()


async def soon(is_so: Callable[[], Awaitable[bool]], within_s: float = 5.0) -> bool:
    """Whether it becomes so within a moment."""
    try:
        await until(is_so, within_s)
    except AssertionError:
        return False
    return True


async def until(is_so: Callable[[], Awaitable[bool]], within_s: float = WITHIN_S) -> None:
    deadline = time.monotonic() + within_s
    while not await is_so():
        assert time.monotonic() < deadline, f"not so within {within_s:.0f} s"
        await asyncio.sleep(0.05)


async def test_contacts(walk: Walk) -> None:
    card = walk.card("Contacts")
    await card.get_by_label("Match people").check()
    await card.get_by_label("Create a contact").check()
    await walk.save("Contacts")
    channel = await walk.database["channels"].find_one({"_id": walk.page})
    assert channel is not None
    contacts = f"/workspaces/{channel['workspace_id']}/contacts"
    await walk.call("conversation", f"{contacts}/mira", {"name": "Mira Storm"})

    async def has_contact(name: str, by: str) -> bool:
        psid = await walk.person(*name.split())
        await walk.facebook.write(walk.page, psid, "Hello!")

        async def linked() -> bool:
            shown = await walk.conversation(psid, lambda each: True)
            return bool(shown["contact_linked_by"] == by)

        return await soon(linked)

    await until(lambda: has_contact("Odo Quark", "created"), 40)
    await until(lambda: has_contact("Mira Storm", "name"), 40)


async def test_greeting_and_get_started(walk: Walk, context: BrowserContext) -> None:
    card = walk.card("Greeting and Get Started")
    greeting = card.get_by_label("Greeting", exact=False).first
    await greeting.fill("Hello {{user_first_name}}! 🥨")
    await expect(card.get_by_text("29 / 160")).to_be_visible()
    await expect(card.locator(".phone-greeting")).to_have_text("Hello Alex! 🥨")
    payload = card.get_by_label("Get Started payload")
    await payload.fill("")
    await expect(card.get_by_text("Aa", exact=True)).to_be_visible()
    await payload.fill("BEGIN")
    await card.get_by_label("What the assistant is asked when").fill("Say welcome to the bakery.")
    await walk.save("Greeting and Get Started")
    await expect(card.get_by_text("Facebook has what is stored here.")).to_be_visible()
    await expect(card.get_by_text(re.compile("Changed by .*@"))).to_be_visible()
    (profile,) = [
        each["messenger_profile"] for each in await walk.facebook.pages() if each["id"] == walk.page
    ]
    assert profile["get_started"] == {"payload": "BEGIN"}

    async def is_welcomed() -> bool:
        psid = await walk.person()
        await walk.facebook.tap(walk.page, psid, "BEGIN", "Get Started")
        await walk.facebook.wait_for_answers(walk.page, psid, 1, WITHIN_S)
        return "Say welcome to the bakery." in json.dumps(await walk.asked())

    await until(is_welcomed)
    await walk.person("Zoe", "Park")
    chat = await context.new_page()
    await chat.goto(walk.stack.url("simulator"))
    await chat.get_by_role("button", name="Zoe Park").click()
    await expect(chat.locator("#greeting")).to_have_text("Hello Zoe! 🥨")
    await chat.get_by_role("button", name="Get Started").click()
    await expect(chat.locator("#log")).to_contain_text("simulated model", timeout=30_000)
    assert "Say welcome to the bakery." in json.dumps(await walk.asked())
    await chat.close()

    await greeting.fill("")
    await payload.fill("")
    await walk.facebook.add_fault(endpoint="messenger_profile", error={"code": 2, "message": "m"})
    await walk.save("Greeting and Get Started")
    await expect(card.get_by_text("Not yet at Facebook.")).to_be_visible()
    await greeting.fill("Half a thought")
    await card.get_by_role("button", name="Try again").click()
    done = card.locator("#at-facebook .note")
    await expect(done).to_contain_text("Facebook has what is stored here.")
    await expect(done).to_be_focused()
    await expect(greeting).to_have_value("Half a thought")  # and is not saved by this
    await expect(card.get_by_text("Not saved yet")).to_be_visible()
    (profile,) = [
        each["messenger_profile"] for each in await walk.facebook.pages() if each["id"] == walk.page
    ]
    assert profile == {}


async def test_who_goes_on_while_a_card_is_saved_and_who_leaves_what_was_not(walk: Walk) -> None:
    page = walk.browser
    held = asyncio.Queue[Route]()
    card = walk.card("Hand-over")
    boxes = card.get_by_role("group", name="Languages").get_by_role("checkbox")
    await page.route("**/settings/handover", lambda route: held.put(route), times=1)
    await card.get_by_role("button", name="Save", exact=True).click()
    answer = await held.get()
    await boxes.first.focus()
    is_checked = await boxes.first.is_checked()
    await page.keyboard.press("Space")
    await answer.continue_()
    await expect(page.locator("#toasts")).to_contain_text("Nothing to change.")
    await expect(boxes.first).to_be_focused()
    await expect(boxes.first).to_be_checked(checked=not is_checked)
    await expect(card.get_by_text("Not saved yet")).to_be_visible()

    signed_out = {"HX-Redirect": "/sign-in"}
    await page.route(
        "**/settings/handover",
        lambda route: route.fulfill(status=401, headers=signed_out),
        times=1,
    )
    await card.get_by_role("button", name="Save", exact=True).click()
    await expect(page.locator("#toasts")).to_contain_text("You are signed out.")
    await expect(boxes.first).to_be_checked(checked=not is_checked)
    await page.route("**/settings/handover", lambda route: route.fulfill(status=500), times=1)
    await card.get_by_role("button", name="Save", exact=True).click()
    await expect(page.locator("#toasts")).to_contain_text("That was refused (500).")
    link = page.get_by_role("link", name="Assistants").first
    async with page.expect_event("dialog") as asked, asyncio.TaskGroup() as leaving:
        leaving.create_task(link.click())  # ends when the question is answered
        dialog = await asked.value
        assert dialog.type == "beforeunload"
        await dialog.dismiss()
    await expect(boxes.first).to_be_checked(checked=not is_checked)


async def test_replies(walk: Walk) -> None:
    card = walk.card("Replies")
    await card.get_by_label("Longest message").fill("50")
    await card.get_by_label("Reply to pictures").fill("Words, please.")
    await card.get_by_label("Reply when the assistant can't").fill("Later, please.")
    await walk.save("Replies")

    async def parts_are_short() -> bool:
        found = await walk.answers("Do you have bread with many seeds for Saturday?", count=1)
        return len(found[0]) <= 50

    await until(parts_are_short)
    parts = await walk.answers("Do you have bread with many seeds for Saturday?", count=3)
    assert all(len(part) <= 50 for part in parts)

    async def pictures_are_answered() -> bool:  # another service's settings than the length
        return await walk.answers(attachments=[IMAGE]) == ["Words, please."]

    await until(pictures_are_answered)
    await walk.facebook.set_model(status=400)
    assert await walk.answers("Are you open?") == ["Later, please."]
    await walk.facebook.set_model()
    await card.get_by_label("Longest message").fill("2000")
    await walk.save("Replies")


async def test_assistant(walk: Walk) -> None:
    channel = await walk.database["channels"].find_one({"_id": walk.page})
    assert channel is not None
    await walk.database["assistants"].update_one(
        {"_id": "loaf"},
        {
            "$set": {
                "workspace_id": channel["workspace_id"],
                "name": "Loaf",
                "system_prompt": "You are Loaf.",
            }
        },
        upsert=True,
    )
    await walk.open_settings()
    card = walk.card("Assistant")
    await card.get_by_label("Who answers").select_option("Loaf")
    await card.get_by_label("Added to the instructions").fill("Rhyme, if you can.")
    await card.get_by_label("Quiet window").fill("1.5")
    await walk.save("Assistant")

    async def loaf_answers() -> bool:
        await walk.answers("Who are you?")
        instructions = (await walk.asked())[0]["content"]
        return "You are Loaf." in instructions and "Rhyme, if you can." in instructions

    await until(loaf_answers)
    (answer,) = await walk.answers("First line", "Second line")
    assert "Second line" in answer
    said = [each["content"] for each in await walk.asked() if each["role"] == "user"]
    assert "First line" in " ".join(said)

    await walk.browser.get_by_role("link", name="Overview").click()
    await walk.browser.get_by_role("button", name="Pause the assistant").click()
    await expect(walk.browser.get_by_text("The assistant is switched off")).to_be_visible()
    await expect(walk.browser.get_by_text("Paused", exact=True)).to_be_visible()
    psid = ""

    async def is_silent() -> bool:
        nonlocal psid
        psid = await walk.person()
        await walk.facebook.write(walk.page, psid, "Is anybody there?")
        await walk.conversation(psid, lambda found: found["inbound_count"] == 1)
        return not await walk.is_answered(psid)

    await until(is_silent, 40)
    await walk.browser.get_by_role("link", name="Settings", exact=True).click()
    await walk.browser.wait_for_load_state("load")  # its script tells that something is not saved
    card = walk.card("Assistant")
    await expect(card.get_by_label("The assistant answers")).not_to_be_checked()
    await card.get_by_label("The assistant answers").check()
    await walk.save("Assistant")

    async def answers_again() -> bool:
        somebody = await walk.person()
        await walk.facebook.write(walk.page, somebody, "Hello?")
        return await walk.is_answered(somebody)

    await until(answers_again, 40)
    await walk.facebook.write(walk.page, psid, "Now?")
    answers = await walk.facebook.wait_for_answers(walk.page, psid, 1, WITHIN_S)
    assert len(answers) == 1
    assert "Now?" in answers[0]["text"]


async def test_hand_over(walk: Walk) -> None:
    card = walk.card("Hand-over")
    await card.get_by_label("What the person is told").fill(TOLD)
    await card.get_by_label("German").uncheck()
    await card.get_by_label("More sentences").fill("Oberkellner bitte\nla cuenta")
    await card.get_by_label("Notification address").fill(walk.hook_url)
    await card.get_by_label("Secret that signs notifications", exact=True).fill("our-secret")
    await card.get_by_label("Resume after").fill("30")
    await walk.save("Hand-over")
    await expect(card.get_by_text("One is stored.")).to_be_visible()
    await expect(card.get_by_label("Secret that signs notifications", exact=True)).to_have_value("")

    async def heard() -> bool:
        return await walk.answers("Oberkellner bitte") == [TOLD]

    await until(heard)
    assert await walk.answers("I want to talk to a human") == [TOLD]
    assert "Mensch" in (await walk.answers("Ich möchte mit einem Menschen sprechen"))[0]

    async def notified() -> bool:
        return any(signature.startswith("sha256=") for _, signature in walk.hooks)

    await until(notified)

    psid = await walk.person()
    await walk.facebook.write(walk.page, psid, "Are you open?")
    await walk.facebook.wait_for_answers(walk.page, psid, 1, WITHIN_S)
    await walk.facebook.write_in_inbox(walk.page, psid, "Yes, we are!")
    found = await walk.conversation(psid, lambda each: bool(each["mode"] == "human"))
    takeover = found["takeover"]
    since, until_ = (datetime.fromisoformat(takeover[each]) for each in ("since", "auto_resume_at"))
    assert timedelta(minutes=29) < until_ - since < timedelta(minutes=31)

    await card.get_by_label("Pause when somebody answers").uncheck()
    await card.get_by_label("Resume after").fill("")
    await card.get_by_label("Remove the stored secret").check()
    await walk.save("Hand-over")
    await expect(card.get_by_text("None is stored.")).to_be_visible()

    async def goes_on() -> bool:
        psid = await walk.person()
        await walk.facebook.write(walk.page, psid, "Are you open?")
        await walk.facebook.wait_for_answers(walk.page, psid, 1, WITHIN_S)
        await walk.facebook.write_in_inbox(walk.page, psid, "Yes, we are!")
        await walk.facebook.write(walk.page, psid, "And tomorrow?")
        await walk.conversation(psid, lambda each: each["inbound_count"] == 2)
        return await walk.is_answered(psid, 3)

    await until(goes_on, 40)


async def test_limits(walk: Walk) -> None:
    card = walk.card("Limits")
    await card.get_by_label("Model calls a day").fill("0")
    await walk.save("Limits")

    async def is_limited() -> bool:
        return "simulated model" not in (await walk.answers("Are you open?"))[0]

    async def is_free() -> bool:
        return not await is_limited()

    await until(is_limited)
    await card.get_by_label("Model calls a day").fill("")
    await walk.save("Limits")
    await until(is_free)
    await card.get_by_label("Model tokens a day").fill("1")
    await walk.save("Limits")
    await until(is_limited)
    await card.get_by_label("Model tokens a day").fill("")
    await card.get_by_label("A new session begins").fill("0.1")
    await card.get_by_label("Turns in a row").fill("0")
    await card.get_by_label("Silence after that").fill("2")
    await walk.save("Limits")
    stored = await walk.database["channels"].find_one({"_id": walk.page})
    assert stored is not None
    assert stored["settings"]["session_idle_s"] == 360  # its effect takes longer than a test
    await card.get_by_label("Turns in a row").fill("2")
    await walk.save("Limits")

    async def looks_like_a_machine() -> bool:
        psid = await walk.person()
        for number in range(3):
            await walk.facebook.write(walk.page, psid, "I am a machine, too")
            await walk.facebook.wait_for_answers(walk.page, psid, number + 1, WITHIN_S)
        last = answers_in(await walk.facebook.thread(walk.page, psid))[-1]["text"]
        return "machine" not in last  # the last word is not the model's, and a human is called

    await until(looks_like_a_machine, 40)


@pytest.mark.parametrize("size", SIZES)
async def test_the_pages_bar_nobody(walk: Walk, size: str) -> None:
    """axe finds nothing, in both themes, where a card was refused and where two have changed it."""
    width, height = SIZES[size]
    browser = walk.browser
    await browser.set_viewport_size({"width": width, "height": height})

    async def look(name: str) -> None:
        assert await findings(browser) == [], name
        if PICTURES:
            folder = Path(PICTURES)
            await browser.screenshot(path=folder / f"settings-{name}-{size}.png", full_page=True)
            await browser.emulate_media(color_scheme="dark")
            await browser.screenshot(
                path=folder / f"settings-{name}-{size}-dark.png", full_page=True
            )
            await browser.emulate_media(color_scheme="light")

    replies = walk.card("Replies")
    await replies.get_by_label("Longest message").fill("20")
    await replies.get_by_role("button", name="Save", exact=True).click()
    await expect(replies.get_by_text("Enter 50 or more.")).to_be_visible()
    await expect(replies.get_by_label("Longest message")).to_be_focused()
    await look("refused")
    await walk.open_settings()
    other = await browser.context.new_page()
    await other.goto(browser.url)
    region = other.get_by_role("region", name="Replies", exact=True)
    await region.get_by_label("Reply to pictures").fill(f"Theirs, {size}.")
    await region.get_by_role("button", name="Save", exact=True).click()
    await expect(region.get_by_text("Saved.")).to_be_visible()
    await other.close()
    await replies.get_by_label("Reply to pictures").fill("Mine.")
    await replies.get_by_role("button", name="Save", exact=True).click()
    await expect(replies.get_by_role("alert")).to_contain_text("changed this card on")
    await expect(replies.get_by_role("cell", name=f"Theirs, {size}.")).to_be_visible()
    await expect(replies.get_by_label("Reply to pictures")).to_have_value("Mine.")
    await look("conflict")
    await replies.get_by_role("button", name="Save", exact=True).click()
    await expect(replies.get_by_text("Saved.")).to_be_visible()


async def test_without_scripts_a_card_is_saved(
    chromium: Browser, session: StorageState, walk: Walk
) -> None:
    context = await chromium.new_context(
        java_script_enabled=False, locale="en-GB", storage_state=session
    )
    page = await context.new_page()
    await page.goto(walk.browser.url)
    card = page.get_by_role("region", name="Greeting and Get Started", exact=True)
    await card.get_by_label("Greeting", exact=False).first.fill("Hi {{user_full_name}}")
    await card.get_by_role("button", name="Save", exact=True).click()
    said = page.locator("main").get_by_role("status").filter(has_text="Saved.")
    await expect(said.first).to_be_visible()
    await expect(card.locator(".phone-greeting")).to_have_text("Hi Alex Morgan")
    await context.close()
