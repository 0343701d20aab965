"""The browser that tests and pictures use."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, async_playwright

VARIABLE = "CHROMIUM"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class NoBrowserError(Exception):
    """There is no Chromium to look with."""


def chromium_path() -> str:
    """Where Chromium is: `CHROMIUM` names it, or one of its usual names is on the path.

    Raises:
        NoBrowserError: saying what to do about it.
    """
    if given := os.environ.get(VARIABLE):
        if found := shutil.which(given):
            return found
        raise NoBrowserError(f"{VARIABLE}={given}: there is no such program")
    for name in NAMES:
        if found := shutil.which(name):
            return found
    raise NoBrowserError(
        f"no Chromium found: install one (Debian: apt install chromium), or set {VARIABLE} to the "
        "path of a Chromium or Chrome"
    )


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    path = chromium_path()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            await browser.close()
