"""Pictures of the console for the docs: signed in, once a Page is connected and has answered."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.async_api import Browser, BrowserContext, Page, ViewportSize, expect

DESK, PHONE = ViewportSize(width=1180, height=720), ViewportSize(width=390, height=760)
SHARPNESS = 1.5  # pixels a point: as sharp as a page shows it, and still a small file
WITHIN_MS = 60_000

Scheme = Literal["light", "dark"]


@dataclass(frozen=True)
class Shot:
    """One picture. `{page}` and `{assistant}` in the path become ids; `shows`: a heading there."""

    name: str
    path: str
    shows: str
    scheme: Scheme = "light"
    on_phone: bool = False


SIGN_IN = Shot("console-sign-in", "/sign-in", "Sign in")
SHOTS = (
    Shot("console-pages", "/channels", "Pages", "dark"),
    Shot("console-verify-light", "/channels/{page}/verify", "work?"),
    Shot("console-verify-dark", "/channels/{page}/verify", "work?", "dark"),
    Shot("console-phone", "/channels/{page}/verify", "work?", on_phone=True),
    Shot("console-analytics", "/analytics", "Analytics"),
    Shot("console-settings", "/channels/{page}/settings", ""),
    Shot("console-assistant", "/assistants/{assistant}", ""),
    Shot("console-health", "/health", "", "dark"),
)


@dataclass(frozen=True)
class Whereabouts:
    """The console, who signs in there, and what is shown."""

    url: str
    email: str
    password: str
    page: str
    assistant: str


async def take(browser: Browser, where: Whereabouts, images: Path) -> list[Path]:
    """Raises: AssertionError: a page does not show what its picture is about."""
    taken = []
    for scheme in ("light", "dark"):
        context = await browser.new_context(
            viewport=DESK,
            color_scheme="dark" if scheme == "dark" else "light",
            device_scale_factor=SHARPNESS,
            locale="en-GB",
            reduced_motion="reduce",
        )
        try:
            taken += await _in_one_theme(context, where, images, scheme)
        finally:
            await context.close()
    return taken


async def _in_one_theme(
    context: BrowserContext, where: Whereabouts, images: Path, scheme: str
) -> list[Path]:
    page = await context.new_page()
    await page.goto(f"{where.url}{SIGN_IN.path}")
    taken = [await _shot(page, images, SIGN_IN)] if scheme == SIGN_IN.scheme else []
    await page.get_by_label("E-mail", exact=True).fill(where.email)
    await page.get_by_label("Password", exact=True).fill(where.password)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Inbox", level=1)).to_be_visible(
        timeout=WITHIN_MS
    )
    for shot in (each for each in SHOTS if each.scheme == scheme):
        await page.set_viewport_size(PHONE if shot.on_phone else DESK)
        path = shot.path.format(page=where.page, assistant=where.assistant)
        response = await page.goto(where.url + path)
        assert response is not None
        assert response.status == 200, (path, response.status)
        if shot.path.endswith("/verify"):
            await expect(page.get_by_text("All of it works.")).to_be_visible(timeout=WITHIN_MS)
        taken.append(await _shot(page, images, shot))
    return taken


async def _shot(page: Page, images: Path, shot: Shot) -> Path:
    heading = page.get_by_role("heading", level=1)
    await expect(heading).to_contain_text(shot.shows)
    path = images / f"{shot.name}.png"
    await page.screenshot(path=path)
    return path
