"""Health in a browser, on the whole system: good, broken, mended; and what turns ok by itself."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Browser, BrowserContext, Page, ViewportSize, expect
from pydantic import SecretStr

from libs.common.events import MessageReceived, encode, headers_of, key_of
from libs.common.graph import ConnectingClient, open_connecting
from libs.common.kafka import dead_letter, open_publisher
from libs.common.kafka.records import ConsumedRecord
from libs.common.settings import GraphSettings, KafkaSettings
from libs.common.topics import EVENTS
from services.console.domain.facebook_login import FIELDS
from simulator.client import Simulator
from tests.browser.test_console import findings
from tests.browser.test_console import sign_in as enter
from tests.stack import LocalStack, local_stack

PICTURES = os.environ.get("CONSOLE_PICTURES")  # a folder: look at what the test saw
PHONE, DESK = ViewportSize(width=390, height=800), ViewportSize(width=1280, height=800)
SLOW_MS = 30_000  # what passes through all of the system, on a busy machine
ALL_GOOD = "All good: every link from Meta to the reply works."


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    with local_stack(tmp_path_factory.mktemp("health")) as running:
        yield running


@pytest.fixture
async def simulator(stack: LocalStack) -> AsyncIterator[Simulator]:
    async with aiohttp.ClientSession() as session:
        yield Simulator(session, stack.url("simulator"))


@pytest.fixture
async def context(chromium: Browser) -> AsyncIterator[BrowserContext]:
    context = await chromium.new_context(locale="en-GB", reduced_motion="reduce", bypass_csp=True)
    context.set_default_timeout(20_000)
    yield context
    await context.close()


@asynccontextmanager
async def facebook(stack: LocalStack) -> AsyncIterator[ConnectingClient]:
    """Facebook as the app reaches it."""
    env = stack.environment
    graph = GraphSettings(
        graph_api_url=env["GRAPH_API_URL"],
        facebook_app_id=env["FACEBOOK_APP_ID"],
        facebook_app_secret=SecretStr(env["FACEBOOK_APP_SECRET"]),
    )
    async with open_connecting(graph, timeout_s=10) as client:
        yield client


async def sign_in(page: Page, stack: LocalStack) -> None:
    await page.goto(f"{stack.url('console')}/health")
    await enter(page, stack.environment["ADMIN_EMAIL"], stack.environment["ADMIN_PASSWORD"])
    heading = page.get_by_role("heading", name="Health", level=1)
    await expect(heading).to_be_visible(timeout=SLOW_MS)


async def look(page: Page, name: str, *, closely: bool = False) -> None:
    """Nothing bars anybody from this page; `closely`: on a phone and in the dark, too."""
    for size, view in (("desk", DESK), ("phone", PHONE)):
        await page.set_viewport_size(view)
        if closely or size == "desk":
            assert await findings(page, in_the_dark=closely) == [], (name, size)
        if PICTURES:
            for theme in ("light", "dark"):
                await page.emulate_media(color_scheme=theme)
                path = Path(PICTURES) / f"health-{name}-{size}-{theme}.png"
                await page.screenshot(path=path, full_page=True)
    await page.emulate_media(color_scheme="light")
    await page.set_viewport_size(DESK)


async def test_what_is_broken_is_seen_and_mended_and_messages_turn_up_by_themselves(
    context: BrowserContext, stack: LocalStack, simulator: Simulator
) -> None:
    page = await context.new_page()
    await sign_in(page, stack)
    summary, again = page.locator("#summary"), page.get_by_role("button", name="Run again")
    await expect(summary).to_contain_text("Write “hi” to the Page now.")
    await look(page, "waiting")

    shop = str((await simulator.pages())[0]["id"])
    person = await simulator.add_person(shop, "Ada", "Okoro")
    await simulator.write(shop, person, "hi")
    await expect(summary).to_have_text(ALL_GOOD, timeout=SLOW_MS)  # nobody has reloaded anything
    message = page.get_by_role("listitem").filter(has_text="Last message in")
    await expect(message).to_contain_text("Came on")

    async with facebook(stack) as client:
        await client.unsubscribe_app()
        await again.click()
        await expect(summary).to_contain_text("The app has no webhook for Pages", timeout=SLOW_MS)
        await expect(summary.get_by_role("alert")).to_be_visible()
        line = page.get_by_role("listitem").filter(has_text="The app has no webhook for Pages")
        await expect(line).to_contain_text("set the callback URL to")
        behind = page.get_by_role("listitem").filter(has_text="before “Webhook” is ok.")
        await expect(behind).to_have_count(2)  # where it leads, and of what it tells
        await expect(again).to_be_enabled()
        await look(page, "broken", closely=True)
        await page.get_by_role("button", name="Copy report").click()
        await expect(page.get_by_text("Copied").first).to_be_visible()
        report = await page.locator("#report-text").input_value()
        assert "FAILED" in report
        assert stack.environment["FACEBOOK_APP_SECRET"] not in report

        await client.subscribe_app(
            f"{stack.url('gateway')}/webhooks/messenger",
            stack.environment["WEBHOOK_VERIFY_TOKEN"],
            FIELDS,
        )
    await again.press("Enter")
    await expect(summary).to_have_text(ALL_GOOD, timeout=SLOW_MS)
    await expect(again).to_be_focused()  # it was disabled meanwhile
    await look(page, "good")


async def bury(stack: LocalStack, page_id: str, psid: str, text: str) -> None:
    """A person's message that a service could not handle."""
    event = MessageReceived(
        event_id=f"dead:{text}",
        page_id=page_id,
        psid=psid,
        occurred_at=datetime.now(UTC),
        mid=f"m_{text}",
        text=text,
    )
    record = ConsumedRecord(EVENTS, 3, 4, key_of(event), encode(event), dict(headers_of(event)), 0)
    letter = dead_letter(record, KeyError(), 3, service="conversation")
    kafka = KafkaSettings(bootstrap_servers=stack.environment["KAFKA_BOOTSTRAP_SERVERS"])
    async with open_publisher(kafka, client_id="test") as publisher:
        await publisher.publish_messages([letter])


async def the_focus_outlives_a_look(context: BrowserContext, stack: LocalStack) -> None:
    """The overview exchanges its parts every 15 s."""
    page = await context.new_page()
    await page.clock.install()
    link = page.locator(".part-link").first
    await page.goto(f"{stack.url('console')}/health")
    async with asyncio.timeout(SLOW_MS / 1000):
        while not await link.count():
            await page.reload()
    await link.evaluate("each => { each.dataset.old = ''; each.focus(); }")
    await page.clock.fast_forward(15_000)
    await expect(page.locator(".part-link:not([data-old])").first).to_be_focused()
    await page.close()


async def test_a_failed_message_and_dead_letters_are_settled_by_hand(
    context: BrowserContext, stack: LocalStack, simulator: Simulator
) -> None:
    shop = str((await simulator.pages())[0]["id"])
    person = await simulator.add_person(shop, "Ben", "Adler")
    refused = {"code": 551, "error_subcode": 1545041, "message": "(#551) Not available."}
    await simulator.add_fault(endpoint="messages", page=shop, times=1, status=400, error=refused)
    await simulator.write(shop, person, "hello")
    page = await context.new_page()
    await sign_in(page, stack)
    await page.get_by_role("link", name="Not sent", exact=True).click()
    failed = page.get_by_role("row").filter(has_text="Facebook's code 551")
    async with asyncio.timeout(SLOW_MS / 1000):
        while not await failed.count():
            await page.reload()
    await look(page, "not-sent", closely=True)
    await failed.get_by_role("button", name="Send again").press("Enter")
    await expect(page.get_by_text("It will be sent again.")).to_be_visible()
    async with asyncio.timeout(SLOW_MS / 1000):
        while await page.get_by_role("row").filter(has_text="551").count():
            await page.reload()
    thread = await simulator.thread(shop, person)
    assert [each["from"] for each in thread["messages"]] == ["person", "page"]

    for text in ("What do you sell?", "Are you open?"):
        await bury(stack, shop, person, text)
    await page.get_by_role("link", name="Dead letters", exact=True).click()
    rows = page.get_by_role("row").filter(has_text="KeyError")
    async with asyncio.timeout(SLOW_MS / 1000):
        while await rows.count() < 2:
            await page.reload()
    await look(page, "dead-letters", closely=True)
    await the_focus_outlives_a_look(context, stack)
    await rows.first.get_by_role("link", name="Look at").click()
    await expect(page.get_by_label("Shape of the record")).to_contain_text("text, 13 characters")
    await look(page, "dead-letter", closely=True)
    await page.locator("summary", has_text="Discard…").press("Enter")
    await page.get_by_role("button", name="Discard it").press("Enter")
    await expect(page.get_by_text("It is discarded.")).to_be_visible()
    await page.get_by_role("button", name="Replay").press("Enter")
    await expect(page.get_by_text("It is back on its topic.")).to_be_visible()
    await expect(page.get_by_text("No dead letter waits.")).to_be_visible()
    await simulator.wait_for_answers(shop, person, 2, SLOW_MS / 1000)  # it is answered now


async def test_without_scripts_it_is_all_there(chromium: Browser, stack: LocalStack) -> None:
    context = await chromium.new_context(java_script_enabled=False)
    page = await context.new_page()
    await sign_in(page, stack)
    looked_at = page.locator(".looked time")
    before = await looked_at.get_attribute("datetime")
    async with asyncio.timeout(20):  # a report of the last seconds is not made anew
        while await looked_at.get_attribute("datetime") == before:
            await page.get_by_role("button", name="Run again").click()
    await page.locator("summary").get_by_text("Kafka", exact=True).click()
    await expect(page.get_by_text("All there, with their partitions.", exact=True)).to_be_visible()
    await context.close()
