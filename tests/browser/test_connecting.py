"""From signing in to the first answered message, and back after the access was taken away: a Page
connected by hand, in the whole system. And every screen on which it can end instead."""

import os
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Browser, Page, Route, ViewportSize, expect

from deploy.local.admin import open_admin
from libs.common.channels import CHANNELS_COLLECTION
from simulator.client import Simulator
from tests.browser.console_pictures import SHOTS, SIGN_IN, Whereabouts, take
from tests.browser.test_console import findings
from tests.browser.test_console import sign_in as enter
from tests.canaries import watched
from tests.e2e.console import database_of
from tests.stack import LocalStack, local_stack

PICTURES = os.environ.get("CONSOLE_PICTURES")  # a folder: look at what the test saw
PHONE, DESK = ViewportSize(width=390, height=800), ViewportSize(width=1280, height=800)
SUNDAY, DELIVERY = "When are you open on Sunday?", "Do you deliver?"
SLOW_MS = 30_000  # what passes through all of the system, on a busy machine
PICTURED = ("conversation", "verify")  # the others need no more than a visit
EXPIRED = {
    "message": "This authorization code has expired.",
    "type": "OAuthException",
    "code": 100,
    "error_subcode": 36007,
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    with local_stack(tmp_path_factory.mktemp("stack")) as running, watched(running):
        yield running


@pytest.fixture
async def facebook(stack: LocalStack) -> AsyncIterator[Simulator]:
    async with aiohttp.ClientSession() as session:
        yield Simulator(session, stack.url("simulator"))


@pytest.fixture
async def page(chromium: Browser) -> AsyncIterator[Page]:
    context = await chromium.new_context(locale="en-GB", reduced_motion="reduce", bypass_csp=True)
    context.set_default_timeout(20_000)
    yield await context.new_page()
    await context.close()


async def look(page: Page, name: str) -> None:
    """Nothing bars anybody from this page, on a desk and on a phone, in both themes."""
    for size, view in (("desk", DESK), ("phone", PHONE)):
        await page.set_viewport_size(view)
        assert await findings(page, in_the_dark=size == "desk") == [], (name, size)
        if PICTURES:
            for theme in ("light", "dark"):
                await page.emulate_media(color_scheme=theme)
                path = Path(PICTURES) / f"connect-{name}-{size}-{theme}.png"
                await page.screenshot(path=path, full_page=True)
            await page.emulate_media(color_scheme="light")
    await page.set_viewport_size(DESK)


async def sign_in(page: Page, stack: LocalStack) -> None:
    await page.goto(stack.url("console"))
    await enter(page, stack.environment["ADMIN_EMAIL"], stack.environment["ADMIN_PASSWORD"])
    heading = page.get_by_role("heading", name="Inbox", level=1)
    await expect(heading).to_be_visible(timeout=SLOW_MS)


async def has_heading(page: Page, words: str) -> None:
    await expect(page.get_by_role("heading", name=words, level=1)).to_be_visible()


async def write(chat: Page, text: str) -> None:
    await chat.get_by_role("textbox", name="Message", exact=True).fill(text)
    await chat.keyboard.press("Enter")


async def log_in_at_facebook(page: Page, shop: str) -> None:
    """Through the dialog, as Alex, who has full control of every Page."""
    await page.get_by_role("button", name="Alex Morgan").click()  # the page between led on
    await page.get_by_role("checkbox", name=shop).check()
    await page.get_by_role("button", name="Continue as Alex").click()
    await has_heading(page, "Choose Pages")


async def kept(stack: LocalStack, page_id: str) -> dict[str, Any]:
    """What is to outlive a reconnect."""
    async with database_of(stack) as database:
        found = await database[CHANNELS_COLLECTION].find_one({"_id": page_id})
    assert found is not None
    return {name: found[name] for name in ("settings", "enabled", "assistant_id", "workspace_id")}


async def test_from_signing_in_to_the_first_answer_and_back_after_a_revocation(
    page: Page, stack: LocalStack, facebook: Simulator
) -> None:
    shop = (await facebook.add_page("Corner Shop", subscribed=False))["id"]
    person = await facebook.add_person(shop, "Ada", "Okoro")
    await sign_in(page, stack)
    await page.get_by_role("link", name="Pages", exact=True).first.click()
    await page.get_by_role("link", name="Connect Pages").click()
    await has_heading(page, "Connect Pages")
    webhook = f"{stack.url('gateway')}/webhooks/messenger"
    await expect(page.get_by_label("Callback URL").first).to_have_value(webhook)
    assert stack.environment["WEBHOOK_VERIFY_TOKEN"] not in await page.content()
    await look(page, "app")
    await page.get_by_role("link", name="Continue").click()
    await has_heading(page, "Log in at Facebook")
    await look(page, "authorise")
    await page.get_by_role("button", name="Continue to Facebook").click()
    await log_in_at_facebook(page, "Corner Shop")
    await expect(page.get_by_text("Logged in at Facebook as Alex Morgan.")).to_be_visible()
    await look(page, "choose")
    await page.get_by_role("checkbox", name="Corner Shop").check()
    await page.get_by_label("Who answers").select_option(label="Crumb")
    await page.get_by_role("button", name="Connect", exact=True).click()
    await has_heading(page, "Does “Corner Shop” work?")
    await expect(page.get_by_text("“Corner Shop” is connected.")).to_be_visible()
    await expect(page.get_by_text("Write “hi” to the Page now.")).to_be_visible()
    await look(page, "verify")

    async with page.context.expect_page() as opened:
        await page.get_by_role("link", name="Open the simulator's chat").click()
    chat = await opened.value
    await expect(chat).to_have_url(re.compile(f"page={shop}&person={person}"))
    await write(chat, SUNDAY)
    answers = chat.locator("#log .theirs .bubble")
    await expect(answers).to_have_count(1, timeout=SLOW_MS)
    await expect(answers.first).to_contain_text("on Sunday from 8:00 to 13:00")
    await expect(page.get_by_text("All of it works.")).to_be_visible(timeout=SLOW_MS)
    await look(page, "verified")
    await page.get_by_role("link", name="To the Page", exact=True).click()
    await look(page, "page")

    before = await kept(stack, shop)
    await facebook.set_token(shop, "revoked")
    await write(chat, DELIVERY)
    await is_shown(page, "Revoked")
    await expect(page.get_by_text("removed the app at Facebook").first).to_be_visible()
    await look(page, "revoked")
    await page.goto(f"{page.url}/verify")
    await expect(page.get_by_text("Connect the Page again.")).to_be_visible()
    await look(page, "verify-revoked")
    await page.get_by_role("link", name="Connect it again").click()
    await page.get_by_role("button", name="Reconnect").click()
    await log_in_at_facebook(page, "Corner Shop")
    await expect(page.get_by_role("checkbox", name="Corner Shop")).to_be_checked()
    await page.get_by_role("button", name="Connect", exact=True).click()
    await expect(page.get_by_text("Settings and history are as they were")).to_be_visible()
    # what was written in the meantime is answered, behind what was said before
    await expect(answers).to_have_count(2, timeout=SLOW_MS)
    await expect(answers.last).to_contain_text("We deliver within")
    thread = await facebook.thread(shop, person)
    assert [each["from"] for each in thread["messages"]] == ["person", "page", "person", "page"]
    await page.goto(f"{stack.url('console')}/channels/{shop}")
    await is_shown(page, "Active")
    assert await kept(stack, shop) == before

    await page.get_by_role("link", name="Disconnect…").click()
    await page.get_by_role("textbox", name="Type the Page's name").fill("Corner")
    await page.get_by_role("button", name="Disconnect", exact=True).click()
    await expect(page.get_by_text("as it stands here.")).to_be_visible()
    await look(page, "disconnect")
    await page.get_by_role("textbox", name="Type the Page's name").fill("Corner Shop")
    await page.get_by_role("button", name="Disconnect", exact=True).click()
    await expect(page.get_by_text("“Corner Shop” is disconnected.")).to_be_visible()
    names = {each["id"]: each["subscribed_fields"] for each in await facebook.pages()}
    assert names[shop] == []


async def is_shown(page: Page, status: str) -> None:
    """The Page's status in the console, as soon as it is so."""
    pill = page.locator(".pill", has_text=status)
    for _ in range(SLOW_MS // 500):
        await page.reload()
        if await pill.count():
            return
        await page.wait_for_timeout(500)
    await expect(pill).to_be_visible()


@dataclass(frozen=True)
class End:
    """One way in which connecting ends without a Page: what is answered, and what is said then."""

    name: str
    heading: str
    words: str
    answer: Mapping[str, Any] = field(default_factory=dict)
    fault: Mapping[str, Any] | None = None


NO_PAGE = "There is no Page to connect"
ENDS = (
    End("cancelled", "Nothing was connected", "was cancelled", {"answer": "cancel"}),
    End(
        "code-expired",
        "Facebook's answer can't be used",
        "Log in again.",
        fault={"endpoint": "login", "error": EXPIRED, "status": 400},
    ),
    End("declined", NO_PAGE, "pages_messaging was not given", {"without": ["pages_messaging"]}),
    End("none-ticked", NO_PAGE, "No Page was ticked", {"pages": []}),
    End("no-role", NO_PAGE, "You have no role on a published Page", {"user": "Noor Haddad"}),
    End("small-role", NO_PAGE, "None of your Pages can be connected", {"user": "Sam Rivera"}),
    End(
        "not-shown",
        NO_PAGE,
        "Facebook doesn't show the Page",
        fault={"endpoint": "accounts", "status": 200, "body": '{"data": []}'},
    ),
    End("no-review", NO_PAGE, "did not offer the permission", {"user": "Robin Vale"}),
)


async def somebody(facebook: Simulator, name: str, *pages: str) -> str:
    """With full control of these Pages; what they decline costs nobody else a permission."""
    user = await facebook.add_user(name)
    for page in pages:
        await facebook.set_role(user, page, "admin")
    return user


async def test_every_way_in_which_it_ends_without_a_page_has_its_screen(
    page: Page, stack: LocalStack, facebook: Simulator
) -> None:
    shop = (await facebook.add_page("Somebody's Shop", subscribed=False))["id"]
    kim = await somebody(facebook, "Kim Reyes", shop)
    await somebody(facebook, "Robin Vale", shop)
    users = {each["name"]: each["id"] for each in await facebook.users()}
    await sign_in(page, stack)
    for end in ENDS:
        if end.name == "no-review":
            await facebook.change_app(reviewed=["pages_show_list", "pages_manage_metadata"])
        answer = {**end.answer, "user": users[end.answer["user"]] if "user" in end.answer else kim}
        redirect = await facebook.answer_dialog(await to_the_dialog(page, stack), **answer)
        if end.fault is not None:
            await facebook.add_fault(**end.fault)
        await page.goto(redirect)
        await has_heading(page, end.heading)
        await expect(page.get_by_text(end.words).first).to_be_visible()
        await look(page, end.name)
        await facebook.clear_faults()
    await facebook.change_app(reviewed=list(REVIEWED))
    assert (
        next(each for each in await facebook.pages() if each["id"] == shop)["subscribed_fields"]
        == []
    )


REVIEWED = (
    "pages_show_list",
    "pages_messaging",
    "pages_manage_metadata",
    "pages_read_engagement",
)


async def to_the_dialog(page: Page, stack: LocalStack) -> str:
    """Facebook's dialog, which somebody else is going to answer: its address."""
    await page.goto(f"{stack.url('console')}/channels/connect/facebook")
    await page.get_by_role("button", name="Continue to Facebook").click()
    await expect(page.get_by_role("heading", name="Who are you?")).to_be_visible()
    return page.url


async def test_answers_that_are_old_or_somebody_elses_and_pages_that_cannot_be_had(
    page: Page, stack: LocalStack, facebook: Simulator, chromium: Browser
) -> None:
    taken = (await facebook.add_page("Taken Shop", subscribed=False))["id"]
    hidden = (await facebook.add_page("Hidden Shop", subscribed=False))["id"]
    failing = (await facebook.add_page("Failing Shop", subscribed=False))["id"]
    good = (await facebook.add_page("Good Shop", subscribed=False))["id"]
    lee = await somebody(facebook, "Lee Sandoval", taken, hidden, failing, good)
    async with database_of(stack) as database:
        await database[CHANNELS_COLLECTION].insert_one(
            {
                "_id": taken,
                "workspace_id": "somebody-elses",
                "assistant_id": "a",
                "page_name": "Taken Shop",
                "token": "t",
            }
        )
    await sign_in(page, stack)

    # a foreign state: begun here, followed in another browser
    redirect = await facebook.answer_dialog(
        await to_the_dialog(page, stack), user=lee, pages=[hidden]
    )
    context = await chromium.new_context(locale="en-GB", reduced_motion="reduce", bypass_csp=True)
    other = await context.new_page()
    await sign_in(other, stack)
    await other.goto(redirect)
    await has_heading(other, "This answer belongs to another session")
    await look(other, "foreign")
    await context.close()

    # the only Page that was ticked is unpublished in the meantime; then the state is used up
    await facebook.behave(hidden, published=False)
    await page.goto(redirect)
    await has_heading(page, NO_PAGE)
    await expect(page.get_by_text(f"The Page {hidden} isn't published")).to_be_visible()
    await look(page, "unpublished")
    await page.goto(redirect)
    await has_heading(page, "This answer was used already")
    await look(page, "used")

    # one belongs to another workspace, one fails half-way, and a permission is missing
    without = ["pages_read_engagement"]
    redirect = await facebook.answer_dialog(
        await to_the_dialog(page, stack), user=lee, without=without
    )
    await page.goto(redirect)
    await has_heading(page, "Choose Pages")
    await expect(page.get_by_text("Belongs to another workspace")).to_be_visible()
    missing = page.get_by_text("The permission pages_read_engagement was not given.")
    await expect(missing).to_be_visible()
    await look(page, "choose-some")
    await facebook.add_fault(
        endpoint="subscribed_apps", page=failing, times=2, error={"code": 10, "message": "m"}
    )
    await page.get_by_role("checkbox", name="Failing Shop").check()
    await page.get_by_role("button", name="Connect", exact=True).click()
    await has_heading(page, "Nothing was connected")
    await expect(page.get_by_text("“Failing Shop” was not connected")).to_be_visible()
    await look(page, "half-way")
    await facebook.clear_faults()
    assert not next(each for each in await facebook.pages() if each["id"] == failing)[
        "subscribed_fields"
    ]
    await page.get_by_role("link", name="Try again").click()
    await page.get_by_role("checkbox", name="Failing Shop").check()
    await page.get_by_role("checkbox", name="Good Shop").check()
    await page.get_by_role("button", name="Connect", exact=True).click()
    await has_heading(page, "Connected")
    await look(page, "connected")


async def test_in_development_mode_the_dialog_itself_refuses_and_nothing_is_left(
    page: Page, stack: LocalStack, facebook: Simulator
) -> None:
    await facebook.add_user("Sol Ibarra")
    await facebook.change_app(mode="development")
    try:
        await sign_in(page, stack)
        await to_the_dialog(page, stack)
        await page.get_by_role("button", name="Sol Ibarra").click()
        await expect(page.get_by_role("heading", name="App not active")).to_be_visible()
    finally:
        await facebook.change_app(mode="live")


async def test_the_last_step_waits_out_a_console_that_is_away(
    page: Page, stack: LocalStack, facebook: Simulator
) -> None:
    """Nobody is told every two seconds that nothing can be reached, and it goes on by itself."""
    shop = (await facebook.add_page("Patient Shop", subscribed=False))["id"]
    person = await facebook.add_person(shop, "Ben", "Adler")
    crumb = (await kept(stack, (await facebook.pages())[0]["id"]))["assistant_id"]
    async with open_admin(stack.environment) as admin:
        await admin.connect([shop], assistant=crumb)
    await sign_in(page, stack)
    asked: list[str] = []

    async def drop(route: Route) -> None:
        asked.append(route.request.url)
        await route.abort()

    await page.route("**/verify/lines*", drop)
    await page.goto(f"{stack.url('console')}/channels/{shop}/verify")
    await has_heading(page, "Does “Patient Shop” work?")
    for _ in range(60):
        if len(asked) >= 2:
            break
        await page.wait_for_timeout(200)
    assert len(asked) >= 2
    await expect(page.locator("#toasts")).to_be_empty()
    await page.unroute("**/verify/lines*")
    await facebook.write(shop, person, SUNDAY)
    await expect(page.get_by_text("All of it works.")).to_be_visible(timeout=SLOW_MS)


async def test_pictures_for_the_docs_show_a_page_that_has_answered(
    stack: LocalStack, facebook: Simulator, chromium: Browser, tmp_path: Path
) -> None:
    bakery = (await facebook.pages())[0]["id"]
    person = await facebook.add_person(bakery, "Lena", "Moreau")
    await facebook.write(bakery, person, SUNDAY)
    await facebook.wait_for_answers(bakery, person, within_s=SLOW_MS / 1000)
    env, assistant = stack.environment, (await kept(stack, bakery))["assistant_id"]
    human = await facebook.add_person(bakery, "Noor", "Adel")
    await facebook.write(bakery, human, "human please")
    await facebook.wait_for_answers(bakery, human, within_s=SLOW_MS / 1000)
    where = Whereabouts(
        stack.url("console"),
        env["ADMIN_EMAIL"],
        env["ADMIN_PASSWORD"],
        page=bakery,
        assistant=assistant,
        conversation=f"{bakery}:{person}",
        human=f"{bakery}:{human}",
    )
    shots = [SIGN_IN, *(shot for shot in SHOTS if shot.name in PICTURED)]
    taken = await take(chromium, where, tmp_path, shots)
    names = {f"console-{shot.name}-{theme}" for shot in shots for theme in ("light", "dark")}
    assert {each.stem for each in taken} == names
    assert all(each.read_bytes().startswith(b"\x89PNG") for each in taken)
