"""A real browser on a running simulator; every test ends with a look at what went wrong in it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect
from pydantic import SecretStr

from deploy.local.environment import MONGO
from libs.common.mongo import Database, open_database
from libs.common.settings import MongoSettings
from tests.browser.chromium import NoBrowserError, chromium_path, open_browser
from tests.browser.site import Site, running_site
from tests.stack import local_stack

expect.set_options(timeout=10_000)


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    if missing := _missing():
        pytest.fail(missing, pytrace=False)
    async with open_browser() as browser:
        yield browser


def _missing() -> str | None:
    try:
        chromium_path()
    except NoBrowserError as error:
        return str(error)
    return None


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with running_site(tmp_path) as site:
        yield site


@pytest.fixture(scope="session")
def mongodb_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database server; Kafka the console doesn't need."""
    with local_stack(tmp_path_factory.mktemp("mongo"), only="mongo") as stack:
        yield stack.environment[MONGO]


@pytest.fixture
async def mongo(mongodb_uri: str) -> MongoSettings:
    return MongoSettings(uri=SecretStr(mongodb_uri), database=f"test-{uuid4().hex}", timeout_s=20)


@pytest.fixture
async def database(mongo: MongoSettings) -> AsyncIterator[Database]:
    async with open_database(mongo, app_name="test") as opened:
        yield opened
        await opened.client.drop_database(mongo.database)


@pytest.fixture
async def context(chromium: Browser) -> AsyncIterator[BrowserContext]:
    context = await chromium.new_context(locale="en-GB", reduced_motion="reduce")
    context.set_default_timeout(10_000)
    yield context
    await context.close()


@pytest.fixture
def complaints() -> list[str]:
    """What the browser's console says; a test that provokes some takes these out."""
    return []


@pytest.fixture
async def chat(context: BrowserContext, site: Site, complaints: list[str]) -> AsyncIterator[Page]:
    """The chat page, open; at the end it has loaded nothing from elsewhere and not complained."""
    elsewhere: list[str] = []
    page = await context.new_page()
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    page.on("request", lambda request: _note_foreign(request.url, site.url, elsewhere))
    await page.goto(site.url)
    await somebody_is_chosen(page)
    yield page
    assert complaints == []
    assert elsewhere == []


async def somebody_is_chosen(chat: Page) -> None:
    """Before, there is nobody to write as."""
    await expect(chat.locator("#as")).to_be_visible()


def forgive(complaints: list[str], provoked: str) -> None:
    """Take out what a test has provoked on purpose."""
    complaints[:] = [each for each in complaints if provoked not in each]


def _note_foreign(url: str, home: str, elsewhere: list[str]) -> None:
    if not url.startswith((f"{home}/", "data:")):
        elsewhere.append(url)
