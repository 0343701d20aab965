"""Two administrators at their desks, and the people who write to a Page of theirs."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
from playwright.async_api import Browser, BrowserContext, Locator, Page, StorageState, expect

from libs.common.channels import CHANNELS_COLLECTION, Channel, ChannelSettings
from libs.common.crypto import KeyRing
from libs.common.mongo import Database
from simulator.client import Simulator
from tests.e2e.console import Console, database_of, open_console
from tests.stack import LocalStack

PASSWORD = "correct horse battery"
LIVE_MS = 15_000  # within which everything is to be seen by itself, on a busy machine as well
SLOW_MS = 30_000  # what passes through the whole system
NOTE_ARRIVALS = """
window.arrived = {};
new MutationObserver(() => {
  for (const each of document.querySelectorAll("#messages .text, #inbox-rows .inbox-preview")) {
    window.arrived[each.textContent.trim()] ??= Date.now();
  }
}).observe(document, { subtree: true, childList: true, characterData: true });
"""


@dataclass
class Shop:
    """A Page of theirs, from outside."""

    stack: LocalStack
    facebook: Simulator
    database: Database
    takeovers: Console
    page: str

    async def person(self, first_name: str, last_name: str = "Lee") -> str:
        return await self.facebook.add_person(self.page, first_name, last_name)

    async def people(self) -> list[dict[str, Any]]:
        return await self.facebook.people(self.page)

    async def write(self, psid: str, text: str, *, age: timedelta = timedelta()) -> None:
        """`age`: how long ago Facebook says it was."""
        at = datetime.now(UTC) - age
        more = {"timestamp": int(at.timestamp() * 1000)} if age else {}
        await self.facebook.write(self.page, psid, text, **more)

    async def known(self, psid: str) -> None:
        """Return when the conversation is there for the console."""
        async with aiohttp.ClientSession(headers=self._token) as session:
            url = f"{self.stack.url('conversation')}/internal/v1/inbox/rows"
            until = time.monotonic() + SLOW_MS / 1000
            while time.monotonic() < until:
                body = {"conversations": [self.id(psid)]}
                async with session.post(url, json=body) as answer:
                    if (await answer.json())["conversations"]:
                        return
        raise AssertionError("the conversation does not come")

    async def until_quiet(self, psid: str) -> None:
        """Return when the Page has answered for the first time: nothing of it is on its way."""
        await self.facebook.wait_for_answers(self.page, psid, 1, SLOW_MS / 1000)

    async def got(self, psid: str) -> list[str]:
        """What the person has from the Page, in order."""
        thread = await self.facebook.thread(self.page, psid)
        return [each["text"] for each in thread["messages"] if each["from"] == "page"]

    async def is_a_humans(self, psid: str) -> None:
        """A colleague, who is not at a desk here, has it: the assistant keeps quiet."""
        await self.known(psid)
        await self.takeovers.take(self.id(psid), by="user:cy", by_name="Cy")

    async def human_writes(self, psid: str, text: str) -> None:
        """The same colleague takes over and writes."""
        await self.is_a_humans(psid)
        status, answer = await self.takeovers.call(
            "POST",
            f"/conversations/{self.id(psid)}/messages",
            {"by": "user:cy", "by_name": "Cy", "text": text},
            {"Idempotency-Key": f"{psid} {text}"},
        )
        assert status == 202, answer

    async def is_due(self, psid: str) -> None:
        """As if it had been taken over long ago: the assistant is to return now."""
        at = datetime.now(UTC)
        one = {"_id": self.id(psid)}
        await self.database["conversations"].update_one(
            one, {"$set": {"takeover.auto_resume_at": at}}
        )
        change = {"$set": {"auto_resume_at": at, "check_at": at}}
        await self.database["takeovers"].update_one(one, change)

    def id(self, psid: str) -> str:
        return f"{self.page}:{psid}"

    @property
    def _token(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.stack.environment['SERVICE_TOKEN']}"}


@asynccontextmanager
async def open_shop(stack: LocalStack, name: str, **settings: Any) -> AsyncIterator[Shop]:  # noqa: ANN401
    """A new Page of the workspace whose first Page was connected when the stack began."""
    keys = KeyRing.parse(stack.environment["ENCRYPTION_KEYS"])
    timeout = aiohttp.ClientTimeout(total=30)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        database_of(stack) as database,
        open_console(stack) as takeovers,
    ):
        facebook = Simulator(session, stack.url("simulator"))
        channels = database[CHANNELS_COLLECTION]
        first = await channels.find_one({"_id": (await facebook.pages())[0]["id"]})
        assert first is not None
        page = await facebook.add_page(name)
        channel = Channel(
            id=page["id"],
            workspace_id=first["workspace_id"],
            assistant_id=first["assistant_id"],
            page_name=name,
            token=keys.encrypt(page["access_token"], context=page["id"]),
            settings=ChannelSettings.model_validate(settings),
        )
        await channels.insert_one(channel.to_document())
        yield Shop(stack, facebook, database, takeovers, page["id"])


@dataclass
class Desk:
    """Somebody at a browser with the inbox open."""

    name: str
    url: str
    page: Page
    context: BrowserContext

    async def open(self, conversation: str = "", query: str = "") -> None:
        await self.page.goto(f"{self.url}/inbox/{conversation}{query}".removesuffix("/"))
        if conversation:
            await expect(self.page.locator("#thread-foot")).to_be_visible()

    async def is_live(self) -> None:
        await self.shows_state("live")

    async def shows_state(self, state: str) -> None:
        """`live`, `polling` or `offline`, in the frame."""
        mark = self.page.locator(f"[data-live-state][data-state={state}]:visible").first
        await expect(mark).to_be_visible(timeout=SLOW_MS)

    def row(self, name: str) -> Locator:
        return self.page.locator("#inbox-rows").get_by_role("link", name=name)

    def message(self, text: str) -> Locator:
        return self.log.locator("li.message").filter(has_text=text)

    @property
    def log(self) -> Locator:
        return self.page.get_by_role("log")

    @property
    def bar(self) -> Locator:
        return self.page.locator("#thread-bar")

    @property
    def field(self) -> Locator:
        return self.page.locator("#composer-text")

    async def says(self, text: str) -> None:
        await self.field.fill(text)
        await self.field.press("Enter")

    async def takes_over(self) -> None:
        await self.bar.get_by_role("button", name="Take over", exact=True).click()
        await self.replies("You")

    async def replies(self, who: str) -> None:
        """The bar says so by itself."""
        verb = "are" if who == "You" else "is"
        await expect(self.bar).to_contain_text(f"{who} {verb} replying", timeout=LIVE_MS)

    async def arrived_after_ms(self, text: str, since_ms: float) -> float:
        """How long it took until the page showed it, by its own record."""
        at = await self.page.evaluate("text => window.arrived[text]", text)
        return float(at) - since_ms


@asynccontextmanager
async def at_a_desk(
    chromium: Browser, stack: LocalStack, name: str, session: StorageState
) -> AsyncIterator[Desk]:
    context = await chromium.new_context(
        locale="en-GB",
        reduced_motion="reduce",
        bypass_csp=True,  # axe is put into the page
        storage_state=session,
        viewport={"width": 1280, "height": 800},
    )
    context.set_default_timeout(20_000)
    await context.add_init_script(NOTE_ARRIVALS)
    yield Desk(name, stack.url("console"), await context.new_page(), context)
    await context.close()


async def invite(ada: Page, url: str, chromium: Browser, name: str) -> StorageState:
    """Another administrator, by an invitation made in the console; signed in."""
    await ada.goto(f"{url}/users/invite")
    await ada.get_by_label("E-mail").fill(f"{name.lower()}@example.org")
    await ada.get_by_label("Name").fill(name)
    await ada.get_by_role("radio", name="Admin").check()
    await ada.get_by_role("button", name="Make an invitation").click()
    link = await ada.get_by_label("Invitation").input_value()
    context = await chromium.new_context(locale="en-GB")
    page = await context.new_page()
    await page.goto(link)
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.get_by_role("button", name="Set password and sign in").click()
    await expect(page.get_by_text("Your password is set.")).to_be_visible(timeout=SLOW_MS)
    state = await context.storage_state()
    await context.close()
    return state
