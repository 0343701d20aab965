"""Pictures of the console for the docs: every page, in both themes, of a Page that has answered."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from playwright.async_api import Browser, Page, ViewportSize, expect

DESK, PHONE = ViewportSize(width=1180, height=720), ViewportSize(width=390, height=760)
WITHIN_MS = 60_000
NAME = "Ada Okoro"  # of who signs in, if they have none
GREETING = "Hello, this is Ada from the bakery. I am looking after your cake myself: one moment."

Theme = Literal["light", "dark"]
THEMES: tuple[Theme, ...] = ("light", "dark")


@dataclass(frozen=True)
class Shot:
    """One page, `console-<name>-<theme>.png`. What is in braces in the path becomes an id, and has
    the name of a field of `Whereabouts`. `shows`: words that are there before it is taken."""

    name: str
    path: str
    shows: str = ""
    size: ViewportSize = field(default_factory=lambda: DESK)


SIGN_IN = Shot("sign-in", "/sign-in", "Sign in")
SHOTS = (
    Shot("inbox", "/inbox/{human}", "You are replying"),
    Shot("conversation", "/inbox/{conversation}", "Assistant is replying"),
    Shot("inbox-phone", "/inbox", "Inbox", PHONE),
    Shot("conversation-phone", "/inbox/{human}", "You are replying", PHONE),
    Shot("analytics", "/analytics", "Analytics"),
    Shot("pages", "/channels", "Pages"),
    Shot("connect", "/channels/connect", "Connect"),
    Shot("verify", "/channels/{page}/verify", "All of it works."),
    Shot("page", "/channels/{page}", "Connection"),
    Shot("settings", "/channels/{page}/settings", "Settings"),
    Shot("privacy", "/channels/{page}/privacy", "Privacy"),
    Shot("assistants", "/assistants", "Assistants"),
    Shot("assistant", "/assistants/{assistant}", "Prompt"),
    Shot("health", "/health", "All good"),
    Shot("not-sent", "/health/messages", ""),
    Shot("dead-letters", "/health/dead-letters", ""),
    Shot("users", "/users", "Users"),
    Shot("api-tokens", "/api-tokens", "API tokens"),
    Shot("audit", "/audit", "Audit log"),
    Shot("profile", "/profile", "Your profile"),
)


@dataclass(frozen=True)
class Whereabouts:
    """The console, who signs in there, and what is shown. `human`: a conversation that asked for a
    human; somebody is going to take it over."""

    url: str
    email: str
    password: str
    page: str
    assistant: str
    conversation: str
    human: str

    def of(self, shot: Shot) -> str:
        return self.url + shot.path.format_map(vars(self))


async def take(
    browser: Browser, where: Whereabouts, images: Path, shots: Sequence[Shot] = (SIGN_IN, *SHOTS)
) -> list[Path]:
    """Raises: AssertionError: a page does not show what its picture is about."""
    context = await browser.new_context(viewport=DESK, locale="en-GB", reduced_motion="reduce")
    try:
        page = await context.new_page()
        taken = await _both(page, where, images, SIGN_IN) if SIGN_IN in shots else []
        await _sign_in(page, where)
        await _name(page, where)
        await _take_over(page, where)
        for shot in shots:
            if shot is not SIGN_IN:
                taken += await _both(page, where, images, shot)
        return taken
    finally:
        await context.close()


async def _sign_in(page: Page, where: Whereabouts) -> None:
    await page.goto(where.of(SIGN_IN))
    await page.get_by_label("E-mail", exact=True).fill(where.email)
    await page.get_by_label("Password", exact=True).fill(where.password)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("navigation", name="Main").first).to_be_visible(timeout=WITHIN_MS)


async def _name(page: Page, where: Whereabouts) -> None:
    await page.goto(f"{where.url}/profile")
    field = page.get_by_role("textbox", name="Name")
    if not await field.input_value():
        await field.fill(NAME)
        await page.get_by_role("button", name="Save name").click()
        await expect(page.get_by_text("Your name is saved.")).to_be_visible()


async def _take_over(page: Page, where: Whereabouts) -> None:
    """Unless it has been done for pictures before."""
    await page.goto(f"{where.url}/inbox/{where.human}")
    bar = page.locator("#thread-bar")
    await expect(bar).to_be_visible(timeout=WITHIN_MS)
    if "You are replying" in await bar.inner_text():
        return
    await bar.locator("#take-minutes").select_option("60")
    await bar.get_by_role("button", name="Take over", exact=True).click()
    await expect(bar).to_contain_text("You are replying")
    await page.locator("#composer-text").fill(GREETING)
    await page.keyboard.press("Enter")
    mine = page.locator("li.of-human").last
    await expect(mine).to_contain_text(re.compile("Sent|Delivered|Read"), timeout=WITHIN_MS)


async def _both(page: Page, where: Whereabouts, images: Path, shot: Shot) -> list[Path]:
    await page.set_viewport_size(shot.size)
    taken = []
    for theme in THEMES:
        await page.emulate_media(color_scheme=theme)
        response = await page.goto(where.of(shot))
        assert response is not None
        assert response.status == 200, (shot.path, response.status)
        words = page.locator("main").get_by_text(shot.shows).first
        if shot.shows:
            await expect(words).to_be_attached(timeout=WITHIN_MS)
        if shot is not SIGN_IN:
            live = page.locator("[data-live-state][data-state=live]:visible")
            await expect(live.first).to_be_visible(timeout=WITHIN_MS)
        path = images / f"console-{shot.name}-{theme}.png"
        await page.screenshot(path=path)
        taken.append(path)
    return taken
