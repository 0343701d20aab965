"""A conversation in a browser: written in, taken over, kept fresh, locked when its time is over."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, Page, Route, expect

from libs.common.mongo import Database
from libs.common.settings import MongoSettings
from tests.browser.test_console import SIZES, findings, sign_in, watched
from tests.integration.console import Console, running_console
from tests.integration.test_console_inbox import connect
from tests.integration.thread_services import (
    CONVERSATION,
    PAGE,
    PSID,
    Services,
    ago,
    running_services,
)
from tests.unit.simulator.harness import until

PICTURES = os.environ.get("CONSOLE_PICTURES")  # a folder: look at what the test saw
CHANGED = (
    "document.dispatchEvent(new CustomEvent('inbox-changed', {detail: {conversations: null}}))"
)
TAKEN = "#thread-bar .bar-mine"


@pytest.fixture
async def played() -> AsyncIterator[tuple[Services, str]]:
    async with running_services() as running:
        yield running


@pytest.fixture
async def console(
    database: Database, mongo: MongoSettings, played: tuple[Services, str]
) -> AsyncIterator[Console]:
    async with running_console(database, mongo, services=played[1]) as console:
        await connect(console, PAGE, "Crumb Bakery")
        yield console


@pytest.fixture
def services(played: tuple[Services, str]) -> Services:
    services = played[0]
    services.hear("Hello, is the cake ready?", "m1")
    services.say("assistant", "Good morning! I'll ask.", {}, command="c1")
    return services


@pytest.fixture
async def page(
    context: BrowserContext, console: Console, services: Services, complaints: list[str]
) -> AsyncIterator[Page]:
    """The conversation is open."""
    page = await watched(context, console, complaints)
    await page.goto(f"{console.url}/inbox/{CONVERSATION}")
    await sign_in(page)
    await expect(page.locator("#inbox.is-scripted #composer-enter")).to_be_visible()
    await page.wait_for_load_state("load")  # the thread's own scripts begin later
    yield page
    assert complaints == []


async def it_is_mine(page: Page, console: Console, services: Services) -> None:
    """Taken over elsewhere by the administrator who looks at the page, and the page shows it."""
    services.hold((await console.first_admin()).id, "ada@example.org")
    await page.evaluate(CHANGED)
    await expect(page.locator(TAKEN)).to_be_visible()


async def answer_later(page: Page, pattern: str) -> tuple[asyncio.Event, asyncio.Event]:
    """The next answer there is held back: it is given by the server, and it may come."""
    done, may_come = asyncio.Event(), asyncio.Event()

    async def hold(route: Route) -> None:
        answer = await route.fetch()
        done.set()
        await may_come.wait()
        await route.fulfill(response=answer)

    await page.route(pattern, hold, times=1)
    return done, may_come


ENTER_AT_ONCE = """() => {
  document.getElementById("take-dialog").close("no"); // its event comes later
  const enter = new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true });
  document.getElementById("composer-text").dispatchEvent(enter);
}"""


async def test_who_thinks_again_at_once_is_asked_again_and_sends_once(
    page: Page, services: Services
) -> None:
    field = page.get_by_label("Message to Ana Petrova")
    await field.fill("Yes, it is.")
    await field.press("Enter")
    dialog = page.get_by_role("dialog", name="Take over and send?")
    await expect(dialog).to_be_visible()
    await page.evaluate(ENTER_AT_ONCE)
    await expect(dialog).to_be_visible()
    await dialog.get_by_role("button", name="Take over and send").click()
    await expect(page.locator(TAKEN)).to_contain_text("You are replying")
    await expect(page.locator(".message.of-human")).to_contain_text("Sent")
    await expect(field).to_have_value("")
    assert [text for _, text in services.commands.values()] == ["Yes, it is."]


async def test_by_keys_alone_somebody_takes_over_by_writing_and_returns_it(
    page: Page, services: Services
) -> None:
    await page.keyboard.press("r")
    field = page.get_by_label("Message to Ana Petrova")
    await expect(field).to_be_focused()
    await page.keyboard.type("Yes,")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("it is.")
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Take over and send?")
    await expect(dialog).to_contain_text("Assistant is replying.")
    await page.keyboard.press("Escape")
    await expect(field).to_have_value("Yes,\nit is.")
    assert services.commands == {}
    await page.keyboard.press("Enter")
    await page.keyboard.press("Enter")  # Take over and send has the focus
    await expect(page.locator(TAKEN)).to_contain_text("You are replying")
    mine = page.locator(".message.of-human")
    await expect(mine).to_have_count(1)
    await expect(mine).to_contain_text("Sent")
    await expect(field).to_have_value("")
    await expect(field).to_be_focused()
    assert [text for _, text in services.commands.values()] == ["Yes,\nit is."]
    await page.locator("#thread-log").focus()
    await page.keyboard.press("t")
    await expect(page.locator("#thread-bar")).to_contain_text("Assistant is replying")
    await expect(page.locator("#thread-log")).to_be_focused()
    await page.get_by_role("button", name="Take over", exact=True).focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Return to assistant")).to_be_focused()


async def test_after_a_lost_answer_the_text_is_sent_once_and_drafts_outlive_a_reload(
    page: Page, console: Console, services: Services
) -> None:
    admin = await console.first_admin()
    await it_is_mine(page, console, services)
    live = page.locator("[data-live-state]").first
    await expect(live).to_have_attribute("data-state", "polling")  # this sends by itself, too
    services.swallow = 1
    await page.route("**/thread?*", lambda route: route.abort())  # nor is it seen to be there
    field = page.locator("#composer-text")
    await field.fill("Only once")
    await page.get_by_role("button", name="Send", exact=True).click()
    await expect(page.get_by_text("No answer yet.")).to_be_visible()
    await field.fill("A draft")
    await page.unroute("**/thread?*")
    await page.reload()
    await expect(field).to_have_value("A draft")
    await expect(page.locator(".message.of-human")).to_have_count(1)  # tried again by itself
    await expect(page.locator(".message.of-human")).to_contain_text("Sent")
    assert len(services.commands) == 1

    beside = await page.context.new_page()
    await beside.goto(f"{console.url}/inbox/{CONVERSATION}")
    await expect(beside.locator("#composer-text")).to_have_value("A draft")
    await field.press("Enter")
    await expect(page.locator(".message.of-human")).to_have_count(2)
    await expect(beside.locator("#composer-text")).to_have_value("")  # nor is it sent from here
    await beside.close()

    old = {"key": "k" * 32, "text": "Of this morning", "at": ago(hours=3)}
    name = f"sent:{admin.id}:{CONVERSATION}"
    await page.evaluate(f"sessionStorage.setItem({name!r}, JSON.stringify([{json.dumps(old)}]))")
    await page.reload()
    await expect(page.locator("[data-pending]")).to_contain_text("No answer yet.")
    await page.evaluate("window.dispatchEvent(new Event('online'))")
    assert len(services.commands) == 2
    await page.get_by_role("button", name="Try again").click()
    await expect(page.locator("[data-pending]")).to_have_count(0)
    assert len(services.commands) == 3

    await page.route("**/messages", lambda route: route.fulfill(status=404, body="<p>Gone"))
    await field.fill("For nobody")
    await field.press("Enter")
    gone = "Not sent: It can't be done any more (404)."
    await expect(page.locator("#thread-problem")).to_contain_text(gone)
    await expect(field).to_have_value("For nobody")
    await page.locator(".rail details.menu summary").click()
    await page.get_by_role("button", name="Sign out", exact=True).click()
    await expect(page.get_by_role("heading", name="Sign in", level=1)).to_be_visible()
    kept = "[...Object.keys(localStorage), ...Object.keys(sessionStorage)].join()"
    assert "draft" not in await page.evaluate(kept)
    assert "sent" not in await page.evaluate(kept)


COUNT_MOST = """() => {
  const list = document.getElementById("messages");
  window.most = 0;
  new MutationObserver(() => {
    window.most = Math.max(window.most, list.querySelectorAll(".of-human").length);
  }).observe(list, { childList: true });
}"""


async def test_a_message_that_is_there_before_its_answer_is_shown_once(
    page: Page, console: Console, services: Services
) -> None:
    await it_is_mine(page, console, services)
    kept = "Object.keys(sessionStorage).filter((each) => each.startsWith('sent:')).length"
    done, may_come = await answer_later(page, "**/messages")
    field, mine = page.locator("#composer-text"), page.locator(".message.of-human")
    await field.fill("Only once")
    await field.press("Enter")
    await expect(mine).to_contain_text("Sending")
    await done.wait()
    await page.evaluate(CHANGED)
    await expect(mine).to_contain_text("Sent")
    assert await mine.count() == 1
    assert await page.evaluate(kept) == 0  # a reload shows it once, too
    async with page.expect_response("**/messages"):
        may_come.set()
    async with page.expect_response("**/thread?*"):
        await page.evaluate(CHANGED)
    await expect(mine).to_have_count(1)
    await expect(field).to_have_value("")
    assert len(services.commands) == 1

    # also in the answer to a look that began before it was sent
    live = page.locator("[data-live-state]").first
    await expect(live).to_have_attribute("data-state", "polling")  # by which it looks once more
    await page.evaluate(COUNT_MOST)
    held: list[Route] = []
    await page.route("**/thread?*", lambda route: route.abort())  # later ones
    await page.route("**/thread?*", lambda route: held.append(route), times=1)
    await page.evaluate(CHANGED)
    await until(lambda: held != [])
    services.swallow = 1
    await field.fill("And this")
    await field.press("Enter")
    await until(lambda: services.swallow == 0)
    async with page.expect_response("**/thread?*"):
        await held.pop().continue_()
    await expect(page.locator("#thread-stale")).to_be_visible()  # it looks again at once
    await expect(mine).to_have_count(2)
    await page.unroute("**/thread?*")
    await page.evaluate(CHANGED)
    await expect(mine.filter(has_text="And this")).to_contain_text("Sent")
    assert await page.evaluate("window.most") == 2
    assert len(services.commands) == 2


async def test_what_is_being_chosen_outlives_news_of_the_same_state(
    page: Page, console: Console, services: Services
) -> None:
    bar = page.locator("#thread-bar")
    minutes = page.locator("#take-minutes")
    await minutes.select_option("own")
    own = page.get_by_label("Minutes until the assistant returns")
    await own.fill("7")
    services.away.add("takeover")
    await page.evaluate(CHANGED)
    await expect(bar).to_contain_text("can't be confirmed")
    await expect(minutes).to_have_value("own")
    await expect(own).to_have_value("7")
    await expect(own).to_be_focused()
    services.away.clear()
    await page.evaluate(CHANGED)
    await expect(bar).not_to_contain_text("can't be confirmed")
    await page.get_by_role("button", name="Take over", exact=True).click()
    await expect(page.locator(TAKEN)).to_contain_text("returns in 6 min")

    extend = page.locator("#extend-minutes")
    await page.get_by_text("Extend", exact=True).click()
    await extend.select_option("60")
    await extend.focus()
    services.hold((await console.first_admin()).id, "ada@example.org", 15)  # in another window
    await page.evaluate(CHANGED)
    await expect(bar).to_contain_text("returns in 14 min")
    await expect(extend).to_be_focused()
    await expect(extend).to_have_value("60")
    done, may_come = await answer_later(page, "**/extend")
    await page.get_by_role("button", name="Set", exact=True).click()
    await done.wait()
    await page.evaluate(CHANGED)
    await expect(bar).to_contain_text("returns in 59 min")
    may_come.set()
    await expect(extend).to_be_hidden()  # also where the news came before the answer
    await expect(page.locator("summary", has_text="Extend")).to_be_focused()

    await page.keyboard.press("Enter")
    await extend.select_option("own")
    await own.press_sequentially("1")
    services.hold("usr_mo", "Mo Berger")
    await page.evaluate(CHANGED)
    await expect(bar).to_contain_text("Mo Berger is replying")
    await expect(page.locator("#thread-log")).to_be_focused()  # and no button of the other bar


TYPE_ON = """() => {
  const type = (key) =>
    document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  type("w");
  document.activeElement.blur(); // the field is taken away
  for (const key of "te") type(key);
}"""


async def test_keys_are_no_shortcuts_where_the_field_is_taken_from_whoever_types(
    page: Page, console: Console, services: Services
) -> None:
    """e is done, t takes over or gives back."""
    field = page.locator("#composer-text")
    await field.fill("Yes")
    await field.press("Enter")
    await expect(page.get_by_role("dialog", name="Take over and send?")).to_be_visible()
    await page.keyboard.type("te")
    await page.keyboard.press("Escape")
    await expect(field).to_be_focused()
    await it_is_mine(page, console, services)
    await page.evaluate(TYPE_ON)

    await field.focus()
    services.row["last_user_message_at"] = ago(days=8)
    await page.evaluate(CHANGED)
    await expect(page.locator("#composer-lock")).to_be_visible()
    await expect(page.locator("#thread-log")).to_be_focused()
    await page.keyboard.press("Tab")  # now they are meant
    await page.keyboard.press("t")
    await expect(page.locator("#thread-bar")).to_contain_text("Assistant is replying")
    done = [path.rpartition("/")[2] for method, path, _ in services.asked if method == "POST"]
    assert done.count("resume") == 1
    assert not {"takeover", "done"} & set(done)


async def test_two_messages_keep_their_order_while_the_first_is_answered(
    page: Page, console: Console, services: Services
) -> None:
    await it_is_mine(page, console, services)
    await page.route("**/thread?*", lambda route: route.abort())  # neither is seen to be there
    held: list[Route] = []
    await page.route("**/messages", lambda route: held.append(route))
    field, mine = page.locator("#composer-text"), page.locator(".message.of-human .text")
    for text in ("First", "Second"):
        await field.fill(text)
        await field.press("Enter")
    await until(lambda: len(held) == 1)
    await held[0].continue_()
    await until(lambda: len(held) == 2)  # sent one after the other
    await expect(page.locator("[data-sent]")).to_have_count(1)
    await expect(mine).to_have_text(["First", "Second"])
    await held[1].continue_()
    await expect(page.locator("[data-sent]")).to_have_count(2)
    await expect(mine).to_have_text(["First", "Second"])


async def test_a_repetition_that_does_not_get_in_says_nothing_of_the_first_time(
    page: Page, console: Console, services: Services
) -> None:
    await it_is_mine(page, console, services)
    live = page.locator("[data-live-state]").first
    await expect(live).to_have_attribute("data-state", "polling")  # this tries again, too
    await page.route("**/thread?*", lambda route: route.abort())
    services.swallow = 1
    field, mine = page.locator("#composer-text"), page.locator(".message.of-human")
    await field.fill("Only once")
    await field.press("Enter")
    await expect(mine).to_contain_text("No answer yet.")
    assert len(services.commands) == 1
    await page.route("**/messages", lambda route: route.fulfill(status=401), times=1)
    await page.get_by_role("button", name="Try again").click()
    await expect(page.locator("#thread-problem")).to_contain_text("You are signed out.")
    await expect(mine).to_contain_text("No answer yet.")
    await expect(field).to_have_value("")
    await page.unroute("**/thread?*")
    await page.get_by_role("button", name="Try again").click()
    await expect(mine).to_contain_text("Sent")
    assert len(services.commands) == 1


async def test_a_name_that_comes_later_is_said_everywhere(page: Page, services: Services) -> None:
    first = page.locator(".message.of-person").first
    await expect(first.locator(".author")).to_have_text("Ana Petrova")
    services.row["name"] = "Ana Lima"
    await page.evaluate(CHANGED)
    await expect(first.locator(".author")).to_have_text("Ana Lima")
    await expect(page.get_by_role("log", name="Messages with Ana Lima")).to_be_visible()
    await expect(page.get_by_role("group", name="Write to Ana Lima")).to_be_visible()
    await expect(page.get_by_label("Message to Ana Lima")).to_be_visible()
    await expect(page.get_by_text("Ana Petrova")).to_have_count(0)


async def test_who_loses_a_race_reads_who_won_and_keeps_the_text(
    page: Page, services: Services
) -> None:
    services.hold("usr_mo", "Mo Berger", 15)
    await page.get_by_role("button", name="Take over", exact=True).click()
    problem = page.locator("#thread-problem")
    await expect(problem).to_contain_text("Mo Berger has this conversation since")
    bar = page.locator("#thread-bar")
    await expect(bar).to_contain_text("Mo Berger is replying")
    await expect(bar).to_contain_text("assistant paused, returns in 14 min")
    field = page.locator("#composer-text")
    await field.fill("Mine")
    await page.keyboard.press("Enter")
    services.hold("usr_bo", "Bo")
    await page.evaluate(CHANGED)
    await expect(bar).to_contain_text("Bo is replying")  # and that is not what was agreed to
    await page.get_by_role("button", name="Take over and send").click()
    await expect(problem).to_contain_text("Not sent: Bo has this conversation since")
    await expect(field).to_have_value("Mine")
    await page.locator("summary", has_text="Take over from Bo").click()
    await page.keyboard.press("Escape")
    await expect(page.locator(".pop[open]")).to_have_count(0)
    await page.locator("summary", has_text="Take over from Bo").click()
    await page.get_by_role("button", name="Take it from Bo").click()
    await expect(page.locator(TAKEN)).to_be_visible()
    await expect(problem).to_have_count(0)


async def test_the_composer_is_locked_when_the_window_closes_while_the_page_is_open(
    page: Page, services: Services
) -> None:
    last = datetime.now(UTC) - timedelta(days=7) + timedelta(seconds=7)
    services.row["last_user_message_at"] = last.isoformat()
    await page.locator("#composer-text").fill("Too late?")
    await page.evaluate(CHANGED)
    await expect(page.locator("#thread-strips")).to_contain_text("HUMAN_AGENT")
    await expect(page.locator("#composer-text")).to_be_disabled()
    await expect(page.locator("#thread-window")).to_have_text("Reply window closed")
    lock = page.locator("#composer-lock")
    await expect(lock).to_contain_text("Nobody can write here any more. Closed since")
    await expect(page.locator("#composer-text")).to_have_value("Too late?")
    services.row["last_user_message_at"] = ago(seconds=1)
    await page.evaluate(CHANGED)
    await expect(page.locator("#composer-text")).to_be_enabled()
    await expect(page.locator("#thread-said")).to_have_text("You can write here again.")


async def test_news_come_in_while_what_somebody_reads_and_has_open_stays_in_its_place(
    page: Page, services: Services
) -> None:
    for number in range(120):
        services.say("assistant", f"number {number}.", {}, command=f"n{number}")
    await page.reload()
    log = page.locator("#thread-log")
    await expect(page.get_by_text("number 119.", exact=True)).to_be_in_viewport()
    await expect(page.get_by_text("number 60.", exact=True)).to_have_count(0)
    await log.evaluate("log => (log.scrollTop = 0)")
    await expect(page.get_by_text("number 60.", exact=True)).to_have_count(1)
    await expect(page.get_by_text("number 72.", exact=True)).to_be_in_viewport()
    why = page.locator(".message", has_text="number 72.").locator(".why")
    await why.locator("summary").click()
    await expect(why.get_by_text("Within 24 hours of the person's last message")).to_be_visible()
    await page.evaluate("document.querySelector('.why[open]').mine = true")
    services.hear("And the bread?", "m2")
    await page.evaluate(CHANGED)
    news = page.get_by_role("button", name="1 new message")
    await expect(news).to_be_visible()
    assert await page.evaluate("document.querySelector('.why[open]').mine")
    await expect(page.get_by_text("number 60.", exact=True)).to_have_count(1)
    await expect(why.locator("dl")).to_be_in_viewport()
    await news.click()
    await expect(page.get_by_text("And the bread?")).to_be_in_viewport()
    await expect(news).to_be_hidden()

    released = asyncio.Event()

    async def hold(route: Route) -> None:
        await released.wait()
        await route.continue_()

    await page.route("**/messages?find=slow*", hold)
    search = page.get_by_label("Search in this conversation")
    await search.fill("slow")
    await search.press("Enter")
    await search.fill("number 7.")
    await search.press("Enter")
    await expect(page.locator("#messages .message")).to_have_count(1)
    await expect(page.locator("mark")).to_have_text("number 7.")
    async with page.expect_response("**/messages?find=slow*") as late:
        released.set()
    await (await late.value).finished()
    await page.evaluate("new Promise(requestAnimationFrame)")
    await expect(page.locator("mark")).to_have_text("number 7.")
    await page.get_by_role("link", name="Back to the latest").click()
    await expect(page.get_by_text("And the bread?")).to_be_in_viewport()


@pytest.mark.parametrize("size", SIZES)
async def test_every_state_is_good_to_look_at_and_bars_nobody(
    page: Page, console: Console, services: Services, size: str
) -> None:
    fill(services)
    width, height = SIZES[size]
    await page.set_viewport_size({"width": width, "height": height})
    admin = await console.first_admin()
    found = {}
    for state in ("assistant", "mine", "other", "late", "closed"):
        services.row["last_user_message_at"] = ago(hours=21)
        if state == "mine":
            services.hold(admin.id, "ada@example.org", 30)
        elif state == "other":
            services.hold("usr_mo", "Mo Berger", 90)
        elif state in ("late", "closed"):
            services.row["last_user_message_at"] = ago(days=3 if state == "late" else 8)
        await page.goto(f"{console.url}/inbox/{CONVERSATION}")
        if state in ("mine", "other"):
            await page.locator(".pop summary").first.click()
        if state == "assistant":
            await (
                page.locator(".message", has_text="Here is your receipt")
                .locator(".why summary")
                .click()
            )
        if PICTURES:
            await page.screenshot(path=Path(PICTURES) / f"thread-{state}-{size}.png")
        found[state] = await findings(page, in_the_dark=state in ("assistant", "closed"))
    assert {state: each for state, each in found.items() if each} == {}


def fill(services: Services) -> None:
    """Something of everything."""
    services.hear("See https://cakes.example/a", "m3", edits=1, reply_to_mid="m1")
    services.hear("Gone", "m4", is_deleted=True)
    pictures = [{"type": "image", "url": "https://cdn.example/a.jpg"}, {"type": "audio"}]
    services.hear("", "m5", attachments=pictures, reactions=[{"emoji": "❤"}])
    line = {"kind": "system", "direction": None, "event": "takeover.requested", "reason": "angry"}
    services.hear("", "m6", **line, summary="Wants the money back.")
    mo = {"by": "usr_mo", "by_name": "Mo Berger"}
    services.say("human", "The next one is free.", mo, command="held")
    services.messages[-1] |= {"status": "held", "explanation": "Facebook gave no clear answer."}
    services.say("human", "Here is your receipt.", mo, command="failed")
    services.messages[-1] |= {
        "status": "failed",
        "rule": "meta_refused",
        "explanation": "The person can't be reached.",
        "advice": "Wait until they write.",
        "error_code": 551,
    }
    services.say("human_facebook", "From the phone", {}, command="fb")
    services.deliveries = [
        {
            "id": f"{state}:0",
            "conversation": CONVERSATION,
            "page_id": PAGE,
            "psid": PSID,
            "state": state,
            "at": ago(minutes=1),
        }
        for state in ("held", "failed")
    ]
