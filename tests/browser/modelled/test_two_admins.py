"""Two administrators and the people of a Page at once, on the running system, in real browsers."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from playwright.async_api import Browser, StorageState, expect

from tests.browser.modelled.desk import (
    LIVE_MS,
    SLOW_MS,
    Desk,
    Shop,
    at_a_desk,
    invite,
    open_shop,
)
from tests.browser.test_console import SIZES, findings
from tests.stack import LocalStack

DAY, WEEK = timedelta(hours=24), timedelta(days=7)
SOON = timedelta(seconds=25)  # then a window closes, while the page is open
GONE = {"code": 551, "message": "This person isn't available right now."}
DOUBTFUL = ("Again", "Gone")
PROMISED_MS = 5_000  # until all who look at it see it, by the page's own clock
SENT = re.compile("Sent|Delivered|Read")
HOSTILE = "<img src=x onerror='window.owned = 1'>"
LINES = [f"Line {number} of a human." for number in range(1, 6)]


@pytest.fixture(scope="module")
async def shop(stack: LocalStack) -> AsyncIterator[Shop]:
    async with open_shop(stack, "Bakery of two", quiet_window_s=0.2) as opened:
        await opened.facebook.set_model(reply="We are glad that you ask.")
        yield opened
        await opened.facebook.set_model()


@pytest.fixture(scope="module", autouse=True)
async def doubtful(stack: LocalStack) -> AsyncIterator[Shop]:
    """Another Page, where two people may have got a message or not. It is the first that is asked
    for: for a message to be held, the sender needs its time."""
    async with open_shop(stack, "Bakery in doubt", quiet_window_s=0.2) as shop:
        hidden = {"enabled": False}
        await shop.facebook.behave(shop.page, echoes=hidden, delivery_receipts=hidden)
        where = {"endpoint": "conversations", "page": shop.page, "times": 1000}
        error = {"code": 2, "message": "try again"}
        await shop.facebook.add_fault(**where, status=500, error=error)
        for name in DOUBTFUL:
            psid = await shop.person(name)
            await shop.write(psid, "human please")
            await shop.known(psid)
            await shop.until_quiet(psid)
            await shop.facebook.add_fault(
                endpoint="messages", page=shop.page, psid=psid, drop="after_accept"
            )
            await shop.human_writes(psid, f"{name}, this is in doubt.")
        yield shop


@pytest.fixture(scope="module")
async def bos_session(stack: LocalStack, chromium: Browser, session: StorageState) -> StorageState:
    async with at_a_desk(chromium, stack, "Ada", session) as ada:
        return await invite(ada.page, ada.url, chromium, "Bo")


@pytest.fixture
async def ada(chromium: Browser, stack: LocalStack, session: StorageState) -> AsyncIterator[Desk]:
    async with at_a_desk(chromium, stack, "Ada", session) as desk:
        yield desk


@pytest.fixture
async def bo(
    chromium: Browser, stack: LocalStack, bos_session: StorageState
) -> AsyncIterator[Desk]:
    async with at_a_desk(chromium, stack, "Bo", bos_session) as desk:
        yield desk


async def test_what_a_person_writes_is_there_by_itself_for_everybody_who_looks(
    shop: Shop, ada: Desk, bo: Desk
) -> None:
    mia = await shop.person("Mia")
    await shop.write(mia, "human please")
    await shop.is_a_humans(mia)
    await asyncio.gather(ada.open(shop.id(mia)), bo.open())
    await asyncio.gather(ada.is_live(), bo.is_live())
    for number in range(1, 4):
        text = f"Is anybody there? {number}"
        await shop.write(mia, text)
        await expect(ada.message(text)).to_be_visible(timeout=LIVE_MS)
        await expect(bo.row("Mia Lee")).to_contain_text(text, timeout=LIVE_MS)
        thread = await shop.facebook.thread(shop.page, mia)
        at = next(each["at"] for each in thread["messages"] if each["text"] == text)
        took = [await desk.arrived_after_ms(text, at) for desk in (ada, bo)]
        print(f"seen after {took[0]:.0f} ms in the thread, {took[1]:.0f} ms in the list")
        assert max(took) <= PROMISED_MS


async def test_a_human_takes_over_writes_extends_and_the_assistant_returns(
    shop: Shop, ada: Desk, bo: Desk
) -> None:
    noa = await shop.person("Noa")
    await shop.write(noa, "Do you deliver?")
    await shop.facebook.wait_for_answers(shop.page, noa, 1, 30)
    await shop.known(noa)
    await asyncio.gather(ada.open(shop.id(noa)), bo.open(shop.id(noa)))
    await asyncio.gather(ada.is_live(), bo.is_live())
    await ada.replies("Assistant")
    await ada.bar.locator("#take-minutes").select_option("15")
    await ada.takes_over()
    await expect(ada.bar).to_contain_text("returns in 1")  # 15 min, or 14 by now
    await expect(bo.bar.get_by_text("Take over from")).to_be_visible(timeout=LIVE_MS)

    before = len(await shop.got(noa))
    for line in LINES:
        await ada.says(line)
    await expect(bo.message(LINES[-1])).to_contain_text(SENT, timeout=SLOW_MS)
    assert (await shop.got(noa))[before:] == LINES  # each once, in order
    await expect(ada.log.locator("li.of-human")).to_have_count(len(LINES))
    await shop.write(noa, "Thank you, human")
    await expect(ada.message("Thank you, human")).to_be_visible(timeout=LIVE_MS)

    await ada.bar.get_by_text("Extend", exact=True).click()
    await ada.bar.locator("#extend-minutes").select_option("240")
    await ada.bar.get_by_role("button", name="Set", exact=True).click()
    await expect(ada.bar).to_contain_text(re.compile(r"returns in (4 h|3 h 5\d min)"))
    await expect(bo.bar).to_contain_text(re.compile(r"returns in (4 h|3 h 5\d min)"))

    await shop.is_due(noa)
    await ada.replies("Assistant")
    await bo.replies("Assistant")
    assert (await shop.got(noa))[before:] == LINES  # the assistant kept quiet meanwhile
    await shop.write(noa, "And on Sunday?")
    await shop.facebook.wait_for_answers(shop.page, noa, before + len(LINES) + 1, 30)


async def test_of_two_who_take_over_at_once_one_has_it_and_the_other_reads_who(
    shop: Shop, ada: Desk, bo: Desk
) -> None:
    kim = await shop.person("Kim")
    await shop.write(kim, "Hello?")
    await shop.known(kim)
    await asyncio.gather(ada.open(shop.id(kim)), bo.open(shop.id(kim)))
    await asyncio.gather(ada.is_live(), bo.is_live())
    for desk in (ada, bo):
        await desk.field.fill(f"typed by {desk.name}")
    press = "document.querySelector('#take-form [type=submit]').click()"
    await asyncio.gather(ada.page.evaluate(press), bo.page.evaluate(press))
    mine = re.compile("You are replying|Take over from")
    for desk in (ada, bo):
        await expect(desk.bar).to_contain_text(mine, timeout=LIVE_MS)
    has = [desk for desk in (ada, bo) if "You are replying" in await desk.bar.inner_text()]
    assert len(has) == 1
    winner, loser = has[0], bo if has[0] is ada else ada
    name = (await winner.page.locator("#thread-foot").get_attribute("data-writer")) or ""
    await expect(loser.page.locator("#thread-problem")).to_contain_text(name)
    await loser.replies(name)
    assert await loser.field.input_value() == f"typed by {loser.name}"

    await loser.bar.get_by_text(f"Take over from {name}").click()
    await loser.bar.get_by_role("button", name=f"Take it from {name}").click()
    await loser.replies("You")
    await expect(winner.bar.get_by_text("Take over from")).to_be_visible(timeout=LIVE_MS)
    assert await winner.field.input_value() == f"typed by {winner.name}"


async def test_a_window_that_closes_while_the_page_is_open_changes_what_one_may_write(
    shop: Shop, ada: Desk, bo: Desk
) -> None:
    day, week = await shop.person("Day"), await shop.person("Week")
    await shop.write(day, "human please", age=DAY - SOON)
    await shop.write(week, "human please", age=WEEK - SOON)
    await asyncio.gather(shop.known(day), shop.known(week))
    await asyncio.gather(ada.open(shop.id(day)), bo.open(shop.id(week)))
    await expect(ada.page.locator("#thread-window")).to_contain_text(
        "Reply window: less than 1 min"
    )
    await bo.field.fill("half typed")
    window = ada.page.locator("#thread-window")
    await expect(window).to_contain_text("Human reply only: 5 d 23 h left", timeout=2 * SLOW_MS)
    await expect(ada.page.locator("#thread-strips")).to_contain_text("HUMAN_AGENT")
    await expect(ada.page.locator("#thread-said")).to_have_text("The 24 hours are over.")

    await expect(bo.page.locator("#thread-window")).to_contain_text("closed", timeout=SLOW_MS)
    await expect(bo.page.locator("#composer-lock")).to_contain_text("Closed since", timeout=SLOW_MS)
    await expect(bo.field).to_be_disabled()
    assert await bo.field.input_value() == "half typed"

    await ada.takes_over()
    await ada.says("Still here for you.")
    sent = ada.message("Still here for you.")
    await expect(sent).to_contain_text(SENT, timeout=SLOW_MS)
    await sent.get_by_text("Why").click()
    await expect(sent.locator(".why dl")).to_contain_text("HUMAN_AGENT")
    calls = await shop.facebook.calls(shop.page, day)
    tags = [call["body"].get("tag") for call in calls if call["endpoint"] == "messages"]
    assert tags[-1] == "HUMAN_AGENT"


async def test_what_was_not_sent_is_sent_again(shop: Shop, ada: Desk) -> None:
    eve = await shop.person("Eve")
    await shop.write(eve, "human please")
    await shop.known(eve)
    await ada.open(shop.id(eve))
    await ada.takes_over()
    before = len(await shop.got(eve))
    await shop.facebook.add_fault(
        endpoint="messages", page=shop.page, psid=eve, status=400, error=GONE
    )
    await ada.says("Can you read this?")
    failed = ada.message("Can you read this?")
    await expect(failed.locator(".trouble")).to_be_visible(timeout=SLOW_MS)
    await failed.get_by_text("Why").click()
    await expect(failed.locator(".why dl")).to_contain_text("551")
    await failed.get_by_role("button", name="Send again").click()
    await expect(failed).to_contain_text(SENT, timeout=SLOW_MS)
    assert (await shop.got(eve))[before:] == ["Can you read this?"]


async def test_what_is_in_doubt_is_sent_again_or_discarded(
    doubtful: Shop, ada: Desk, bo: Desk
) -> None:
    people = {str(each["first_name"]): str(each["psid"]) for each in await doubtful.people()}
    again, gone = (people[name] for name in DOUBTFUL)
    await asyncio.gather(ada.open(doubtful.id(again)), bo.open(doubtful.id(gone)))
    await asyncio.gather(ada.is_live(), bo.is_live())
    text = "Again, this is in doubt."
    one, other = ada.message(text), bo.message("Gone, this is in doubt.")
    for message in (one, other):
        await expect(message.locator(".status")).to_have_text("Not certain", timeout=SLOW_MS)
    await doubtful.facebook.clear_faults()
    await doubtful.facebook.behave(doubtful.page, echoes={"enabled": True})
    await one.get_by_text("Send again…").click()
    await expect(one).to_contain_text("then Again Lee gets it twice")
    await one.get_by_role("button", name="Send it again all the same").click()
    await other.get_by_role("button", name="Discard").click()
    await expect(other.locator(".status")).to_have_text("Discarded", timeout=SLOW_MS)
    await expect(one.locator(".status")).to_have_text(SENT, timeout=SLOW_MS)
    # it had arrived: before it was sent again, the sender looked once more
    assert (await doubtful.got(again)).count(text) == 1


async def test_by_keys_alone(shop: Shop, ada: Desk) -> None:
    lou, zoe = await shop.person("Lou", "Keys"), await shop.person("Zoe", "Keys")
    for psid in (lou, zoe):
        await shop.write(psid, "human please")
        await shop.known(psid)
        await shop.until_quiet(psid)  # what comes later moves a line up
    await ada.open()
    await ada.is_live()
    keyboard, page = ada.page.keyboard, ada.page
    await keyboard.press("/")
    await expect(page.get_by_label("Search names")).to_be_focused()
    await keyboard.type("keys")
    await expect(page.locator("#inbox-rows > li")).to_have_count(2)
    await keyboard.press("Escape")  # nothing is searched for any more
    await expect(page).not_to_have_url(re.compile("q="))
    await keyboard.press("Escape")
    rows = page.locator("#inbox-rows a").filter(has_text="Keys")
    await expect(rows.first).to_be_focused()
    await keyboard.press("j")
    await expect(rows.nth(1)).to_be_focused()
    await keyboard.press("k")
    await expect(rows.first).to_be_focused()
    await keyboard.press("Enter")
    title = page.locator("#conversation-title")
    await expect(title).to_be_focused()
    name = await title.inner_text()
    await keyboard.press("t")
    await ada.replies("You")
    await keyboard.press("r")
    await expect(ada.field).to_be_focused()
    await keyboard.type("First line")
    await keyboard.press("Shift+Enter")
    await keyboard.type("second, with gi and ? in it")
    await keyboard.press("Enter")
    sent = "First line\nsecond, with gi and ? in it"
    await expect(ada.message("second, with gi")).to_contain_text(SENT, timeout=SLOW_MS)
    assert (await shop.got(lou if name.startswith("Lou") else zoe))[-1] == sent
    await page.get_by_role("log").focus()
    await keyboard.press("e")
    await expect(page.get_by_role("button", name="Open again")).to_be_visible()
    await keyboard.press("t")
    await ada.replies("Assistant")
    await keyboard.press("Escape")
    await expect(page).to_have_url(re.compile(r"/inbox(\?|$)"))
    await keyboard.type("ga")
    await expect(page).to_have_url(re.compile("/analytics"))
    await page.wait_for_load_state("load")  # its scripts hear keys from then on
    await keyboard.type("gi")
    await expect(page.get_by_role("heading", name="Inbox", level=1)).to_be_attached()


async def test_who_hears_the_page_hears_what_is_there(shop: Shop, ada: Desk) -> None:
    ola = await shop.person("Ola", "Heard")
    await shop.write(ola, "human please")
    await shop.known(ola)
    await ada.open(shop.id(ola))
    page = ada.page
    row = page.get_by_role("list", name="All").get_by_role("link", name=re.compile("^Ola Heard"))
    await expect(row).to_have_attribute("aria-current", "true")
    await expect(row).to_have_accessible_name(re.compile("Wants a human"))
    await expect(page.get_by_role("log", name="Messages with Ola Heard")).to_be_visible()
    await expect(page.get_by_role("textbox", name="Message to Ola Heard")).to_be_enabled()
    await expect(page.get_by_role("navigation", name="Kinds of conversations")).to_be_visible()
    await expect(page.get_by_role("search", name="Conversations")).to_be_visible()
    await expect(page.get_by_role("region", name="Ola Heard")).to_be_visible()
    await expect(page.get_by_role("heading", name="Inbox", level=1)).to_have_count(1)
    await expect(page.get_by_role("button", name="Take over", exact=True)).to_be_visible()
    await ada.takes_over()
    await expect(page.get_by_role("button", name="Return to assistant")).to_be_visible()


async def test_what_came_while_offline_is_there_afterwards_and_what_was_typed_still_is(
    shop: Shop, ada: Desk
) -> None:
    ida = await shop.person("Ida")
    await shop.write(ida, "human please")
    await shop.is_a_humans(ida)
    await ada.open(shop.id(ida))
    await ada.is_live()
    await ada.field.fill("a draft")
    await ada.context.set_offline(True)
    await ada.shows_state("offline")
    await shop.write(ida, "Written meanwhile")
    await ada.field.press("End")
    await ada.field.type(" goes on")
    await ada.context.set_offline(False)
    await expect(ada.message("Written meanwhile")).to_be_visible(timeout=SLOW_MS)
    await ada.is_live()
    await expect(ada.row("Ida Lee")).to_contain_text("Written meanwhile", timeout=LIVE_MS)
    await ada.page.reload()
    await expect(ada.field).to_have_value("a draft goes on")


async def test_where_no_stream_comes_through_the_page_looks_by_itself(
    shop: Shop, ada: Desk
) -> None:
    uma = await shop.person("Uma")
    await shop.write(uma, "human please")
    await shop.is_a_humans(uma)
    await ada.page.route("**/live", lambda route: route.abort())
    await ada.open(shop.id(uma))
    await ada.shows_state("polling")
    await shop.write(uma, "Seen by looking")
    await expect(ada.message("Seen by looking")).to_be_visible(timeout=SLOW_MS)
    await ada.page.unroute("**/live")
    await ada.is_live()


async def test_what_people_call_themselves_and_write_is_only_text(shop: Shop, ada: Desk) -> None:
    psid = await shop.person(HOSTILE, "</title><script>document.title = 'owned'</script>")
    await shop.write(psid, "human please")
    await shop.known(psid)
    await ada.open()
    await ada.is_live()
    await shop.write(psid, f"{HOSTILE} {{{{ 7 * 7 }}}} javascript:alert(1)")
    line = ada.page.locator(f"#inbox-rows a[data-conversation='{shop.id(psid)}']")
    await expect(line).to_contain_text(HOSTILE, timeout=LIVE_MS)
    await line.click()
    await expect(ada.message("{{ 7 * 7 }}")).to_contain_text(HOSTILE)
    await shop.write(psid, f"again {HOSTILE}")
    await expect(ada.message("again")).to_contain_text(HOSTILE, timeout=LIVE_MS)
    await ada.takes_over()
    await ada.says(HOSTILE)
    await expect(ada.log.locator("li.of-human")).to_contain_text(HOSTILE)
    await expect(line).to_contain_text(f"You: {HOSTILE}"[:40], timeout=LIVE_MS)
    assert await ada.page.evaluate("[window.owned, document.title.includes('owned')]") == [
        None,
        True,  # as words
    ]
    assert await ada.page.locator("img[src='x'], #thread script").count() == 0
    assert await ada.page.locator("#messages a[href^='javascript']").count() == 0


@pytest.fixture(scope="module")
async def three(shop: Shop) -> dict[str, str]:
    """A conversation of a human's, one that is closed, and one with a message that was not sent."""
    people = {name: await shop.person(name) for name in ("Pia", "Closed", "Failed")}
    for name, psid in people.items():
        age = WEEK if name == "Closed" else timedelta()
        await shop.write(psid, "human please, https://example.org", age=age)
        await shop.known(psid)
    await shop.human_writes(people["Pia"], "Here I am.")
    await shop.until_quiet(people["Failed"])
    await shop.facebook.add_fault(  # for nobody else: the others' answers may still be on their way
        endpoint="messages", page=shop.page, psid=people["Failed"], status=400, error=GONE
    )
    await shop.human_writes(people["Failed"], "This fails.")
    return {name: shop.id(psid) for name, psid in people.items()}


async def test_no_page_bars_anybody(three: dict[str, str], ada: Desk) -> None:
    """axe finds nothing on what is really there, in both themes; phones have test_inbox."""
    width, height = SIZES["wide"]
    await ada.page.set_viewport_size({"width": width, "height": height})
    shown = {
        "/inbox?tab=needs_human": ada.page.locator("#inbox-rows"),
        f"/inbox/{three['Pia']}": ada.page.locator("li.of-human"),
        f"/inbox/{three['Closed']}": ada.page.locator("#composer-lock"),
        f"/inbox/{three['Failed']}": ada.page.locator(".trouble"),
        "/analytics": ada.page.get_by_role("heading", name="Analytics", level=1),
        "/health": ada.page.get_by_role("heading", name="Health", level=1),
    }
    found: dict[str, list[str]] = {}
    for path, part in shown.items():
        await ada.page.goto(ada.url + path)
        await expect(part.first).to_be_visible(timeout=SLOW_MS)
        found[path] = await findings(ada.page)
    assert {name: each for name, each in found.items() if each} == {}
