"""`make screenshots`: pictures of the chat page and the console, from the running system.

Somebody new writes to the first Page and whoever answers there answers: the pictures show what the
system really says.
"""

import asyncio
import json
import os
import re
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, expect
from playwright.async_api import Error as BrowserError

from deploy.local.admin import open_admin
from deploy.local.demo.running import environment_of
from deploy.local.state import StateFolder
from tests.browser.chromium import NoBrowserError, open_browser
from tests.browser.console_pictures import Whereabouts, take

IMAGES = Path(__file__).parents[2] / "docs" / "images"
ANSWER_WITHIN_MS = 60_000
ANOTHER_PART_WITHIN_MS = 1500
SIMULATOR_PORT = 8090
DESK = {"width": 1120, "height": 660}
PHONE = {"width": 390, "height": 760}
SHARPNESS = 1  # pixels a point: still sharper than a page shows it, and a small file
NAMES = (("Lena", "Moreau"), ("Tariq", "Haddad"), ("Ines", "Silva"), ("Oskar", "Lind"))
TALK = (  # what is written in one go is answered once
    ("Hi! Are you open on Sunday?",),
    (
        "And I need a birthday cake for ten people 🎂",
        "How early do I have to order it?",
    ),
    ("Thank you!",),
)
FROM_OTHERS = ("Can I pay by card?", "Do you have anything vegan?")
WANT_A_HUMAN = {
    ("Rosa", "Vega"): "Our wedding cake came without its top. A human, please!",
    ("Noor", "Adel"): "The cake that I got says Bob. Can I talk to a human, please?",
}


def simulator_url() -> str:
    return f"http://127.0.0.1:{SIMULATOR_PORT + int(os.environ.get('PORT_OFFSET') or 0)}"


async def take_pictures(url: str, images: Path) -> list[Path]:
    """Write a short conversation through the page, then show it as it looks at last."""
    async with open_browser() as browser:
        address = await _converse(browser, url)
        images.mkdir(parents=True, exist_ok=True)
        return [
            await _picture(browser, address, DESK, "light", images / "chat-light.png"),
            await _picture(browser, address, DESK, "dark", images / "chat-dark.png"),
            await _picture(browser, address, PHONE, "light", images / "chat-phone.png"),
        ]


async def _converse(browser: Browser, url: str) -> str:
    """The address of a conversation in which every question has been answered."""
    page_id = (await asyncio.to_thread(_call, f"{url}/simulator/api/pages"))["pages"][0]["id"]
    people_url = f"{url}/simulator/api/pages/{page_id}/people"
    there = (await asyncio.to_thread(_call, people_url))["people"]
    made = await asyncio.to_thread(_call, people_url, _somebody_new(there))
    silent = [person["psid"] for person in there if "last_message" not in person]
    for psid, question in zip(silent, FROM_OTHERS, strict=False):
        await _talk(browser, f"{url}/#page={page_id}&person={psid}", ((question,),))
    address = f"{url}/#page={page_id}&person={made['psid']}"
    await _talk(browser, address, TALK)
    return address


async def _talk(browser: Browser, address: str, talk: Sequence[Sequence[str]]) -> None:
    """Write as the person at the address; each of the groups of lines is answered."""
    chat = await browser.new_page()
    await chat.goto(address)
    await expect(chat.locator("#as")).to_be_visible()  # before, there is nobody to write as
    for lines in talk:
        for line in lines:
            await chat.get_by_role("textbox", name="Message", exact=True).fill(line)
            await chat.keyboard.press("Enter")
            await expect(chat.locator(".mine .bubble").last).to_have_text(line)
        await _answered(chat)
    await chat.close()


def _somebody_new(there: list[dict[str, Any]]) -> dict[str, str]:
    """A name that is not in the list yet: twice the same person would look odd."""
    taken = {person["first_name"] for person in there}
    first, last = next((name for name in NAMES if name[0] not in taken), NAMES[0])
    return {"first_name": first, "last_name": last}


async def _answered(chat: Page) -> None:
    last = chat.locator("#log .row").last
    await expect(last).to_have_class(re.compile(r"\btheirs\b"), timeout=ANSWER_WITHIN_MS)
    rows = chat.locator("#log .row")
    while True:  # an answer may have several parts: until none has come for a while
        count = await rows.count()
        try:
            await expect(rows).not_to_have_count(count, timeout=ANOTHER_PART_WITHIN_MS)
        except AssertionError:
            break
    await expect(chat.locator("#typing")).to_be_hidden(timeout=ANSWER_WITHIN_MS)


async def _picture(
    browser: Browser, address: str, size: dict[str, int], scheme: str, path: Path
) -> Path:
    context = await browser.new_context(
        viewport={"width": size["width"], "height": size["height"]},
        color_scheme="dark" if scheme == "dark" else "light",
        device_scale_factor=SHARPNESS,
        locale="en-GB",
        reduced_motion="reduce",
    )
    chat = await context.new_page()
    await chat.goto(address)
    await expect(chat.locator("#log .row").last).to_be_in_viewport()
    await chat.screenshot(path=path)
    await context.close()
    return path


def _call(url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """The simulator's control API."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - 127.0.0.1
        answer: dict[str, Any] = json.load(response)
    return answer


async def take_all(url: str, environment: Mapping[str, str]) -> list[Path]:
    """The chat page first: then the console shows a Page that has answered."""
    taken = await take_pictures(url, IMAGES)
    page = (await asyncio.to_thread(_call, f"{url}/simulator/api/pages"))["pages"][0]["id"]
    people = await _people(url, page)
    psid = await _who_wants_a_human(url, page, people)
    async with open_admin(environment) as admin, admin.api("pictures", "channels:read") as api:
        assistant = (await api.channel(page))["assistant_id"]
    where = Whereabouts(
        environment["CONSOLE_URL"],
        environment["ADMIN_EMAIL"],
        environment["ADMIN_PASSWORD"],
        page=page,
        assistant=assistant,
        conversation=f"{page}:{_talker(people)}",
        human=f"{page}:{psid}",
    )
    async with open_browser() as browser:
        return [*taken, *await take(browser, where, IMAGES)]


async def _people(url: str, page: str) -> list[dict[str, Any]]:
    found = await asyncio.to_thread(_call, f"{url}/simulator/api/pages/{page}/people")
    return list(found["people"])


def _talker(people: Sequence[Mapping[str, Any]]) -> str:
    """Who had the conversation of the pictures, the last time."""
    names = {first for first, _ in NAMES}
    talked = [each for each in people if each["first_name"] in names]
    return str(max(talked, key=lambda each: each["last_message"]["at"])["psid"])


async def _who_wants_a_human(url: str, page: str, people: Sequence[Mapping[str, Any]]) -> str:
    """Somebody who is going to get one; somebody else goes on waiting."""
    there = {each["first_name"]: str(each["psid"]) for each in people}
    for (first, last), words in WANT_A_HUMAN.items():
        if first not in there:
            new = {"first_name": first, "last_name": last}
            made = await asyncio.to_thread(_call, f"{url}/simulator/api/pages/{page}/people", new)
            there[first] = str(made["psid"])
            async with open_browser() as browser:
                await _talk(browser, f"{url}/#page={page}&person={made['psid']}", ((words,),))
    return there["Noor"]


def main() -> None:
    url = simulator_url()
    try:
        folder = StateFolder.from_environment(os.environ)
        environment = environment_of(folder, os.environ)
        for path in asyncio.run(take_all(url, environment)):
            print(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
    except OSError as error:
        sys.exit(f"{url}: {error} (is the system running? make up)")
    except (NoBrowserError, BrowserError, AssertionError) as error:
        sys.exit(f"no pictures: {error}")


if __name__ == "__main__":
    main()
