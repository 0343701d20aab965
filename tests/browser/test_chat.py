"""What somebody sees who writes to a Page."""

import base64
import re

from playwright.async_api import FilePayload, Locator, Page, expect

from tests.browser.assistant import keep_silent
from tests.browser.conftest import forgive, somebody_is_chosen
from tests.browser.site import Site
from tests.unit.simulator.harness import until

PNG = base64.b64decode(  # one pixel
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
HOSTILE = '<img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>'
SHOW_OR_HIDE = """state => {
    Object.defineProperty(document, "visibilityState", {value: state, configurable: true});
    document.dispatchEvent(new Event("visibilitychange"));
}"""


def bubbles(chat: Page) -> Locator:
    return chat.locator("#log .bubble")


async def write(chat: Page, text: str) -> None:
    await chat.get_by_role("textbox", name="Message", exact=True).fill(text)
    await chat.get_by_role("button", name="Send", exact=True).click()


async def test_an_answer_comes_by_itself(chat: Page) -> None:
    await write(chat, "Do you bake rye?")
    await expect(bubbles(chat)).to_have_text(["Do you bake rye?", "You said: Do you bake rye?"])
    await expect(chat.get_by_role("textbox", name="Message", exact=True)).to_be_empty()


async def test_get_started_is_there_until_the_first_message(chat: Page) -> None:
    button = chat.get_by_role("button", name="Get Started", exact=True)
    await expect(chat.get_by_text("This is the beginning of the conversation")).to_be_visible()
    await button.click()
    await expect(bubbles(chat)).to_have_text(["Get Started", "You said: Get Started"])
    await expect(button).to_be_hidden()


def menu(*items: dict[str, str]) -> list[dict[str, object]]:
    return [{"locale": "default", "call_to_actions": [*items]}]


async def test_the_page_shows_what_its_profile_says_as_soon_as_it_is_written(
    chat: Page, site: Site
) -> None:
    page = site.simulator.world.pages[0]
    button = chat.get_by_role("button", name="Get Started", exact=True)
    await expect(button).to_be_visible()
    site.simulator.page_writes_profile(page, {})
    await expect(button).to_be_hidden()
    greeting = {"locale": "default", "text": f"Hello {{{{user_first_name}}}}! {HOSTILE}"}
    site.simulator.page_writes_profile(
        page, {"greeting": [greeting], "get_started": {"payload": "BEGIN"}}
    )
    await expect(chat.locator("#greeting")).to_have_text(f"Hello Mia! {HOSTILE}")
    await button.click()
    await expect(bubbles(chat)).to_have_text(["Get Started", "You said: Get Started"])
    thread = page.threads[site.psid]
    assert thread.messages[0].postback == "BEGIN"


async def test_ice_breakers_take_the_place_of_get_started(chat: Page, site: Site) -> None:
    page = site.simulator.world.pages[0]
    question = {"question": "When are you open?", "payload": "HOURS"}
    profile = {**page.messenger_profile, "ice_breakers": menu(question)}
    site.simulator.page_writes_profile(page, profile)
    await expect(chat.get_by_role("button", name="Get Started", exact=True)).to_be_hidden()
    await chat.get_by_role("button", name="When are you open?").click()
    await expect(bubbles(chat)).to_have_text(["When are you open?", "You said: When are you open?"])
    await expect(chat.locator("#questions")).to_be_hidden()
    assert page.threads[site.psid].messages[0].postback == "HOURS"


async def test_the_menu_is_there_all_the_time(chat: Page, site: Site) -> None:
    page = site.simulator.world.pages[0]
    await expect(chat.locator("#menu")).to_be_hidden()
    human = {"type": "postback", "title": "A human, please", "payload": "CARE"}
    shop = {"type": "web_url", "title": "Shop", "url": "https://shop.example/"}
    profile = {**page.messenger_profile, "persistent_menu": menu(human, shop)}
    site.simulator.page_writes_profile(page, profile)
    await chat.locator("#menu summary").click()
    await expect(chat.get_by_role("link", name="Shop")).to_have_attribute("rel", re.compile("noop"))
    await chat.get_by_role("button", name="A human, please").click()
    await expect(bubbles(chat)).to_have_text(["A human, please", "You said: A human, please"])
    await expect(chat.locator("#menu summary")).to_be_visible()
    assert page.threads[site.psid].messages[0].postback == "CARE"


async def test_dots_come_and_go(chat: Page, site: Site) -> None:
    site.assistant.on_said = keep_silent
    dots = chat.locator("#typing")
    await write(chat, "hello")
    await expect(bubbles(chat)).to_have_count(1)  # before that, nothing may be sent to them
    await expect(dots).to_be_hidden()
    await site.assistant.does(site.psid, "typing_on")
    await expect(dots).to_be_visible()
    await expect(chat.locator("#page-state")).to_have_text("typing…")
    await site.assistant.does(site.psid, "typing_off")
    await expect(dots).to_be_hidden()
    await site.assistant.does(site.psid, "typing_on")
    await expect(dots).to_be_visible()
    await site.assistant.says(site.psid, "here I am")
    await expect(dots).to_be_hidden()


async def test_ones_last_message_is_sent_then_delivered_then_seen(chat: Page, site: Site) -> None:
    site.assistant.on_said = keep_silent
    await write(chat, "hello")
    status = chat.locator(".status")
    await expect(status).to_have_text("Delivered")
    await site.assistant.does(site.psid, "mark_seen")
    await expect(status).to_have_text("Seen")
    await write(chat, "and more")
    await expect(status).to_have_text("Delivered")


async def test_parts_arrive_in_order(chat: Page, site: Site) -> None:
    site.assistant.on_said = keep_silent
    await write(chat, "tell me everything")
    await expect(bubbles(chat)).to_have_count(1)
    parts = [f"part {number} of 12" for number in range(1, 13)]
    for number, part in enumerate(parts, start=2):
        await site.assistant.says(site.psid, part)
        await expect(bubbles(chat)).to_have_count(number)
    await expect(bubbles(chat)).to_have_text(["tell me everything", *parts])
    await expect(bubbles(chat).last).to_be_in_viewport()
    await expect(chat.locator(".face.small:visible")).to_have_count(2)  # one's own, and the group's


async def test_a_reload_keeps_the_thread_and_who_one_is(chat: Page, site: Site) -> None:
    await chat.get_by_role("button", name="Jonas Weber").click()
    await write(chat, "hello")
    await expect(bubbles(chat)).to_have_count(2)
    await chat.reload()
    await expect(chat.locator("#person-name")).to_have_text("Jonas Weber")
    await expect(bubbles(chat)).to_have_text(["hello", "You said: hello"])


async def test_a_page_that_lost_its_connection_catches_up(
    chat: Page, site: Site, complaints: list[str]
) -> None:
    await write(chat, "before")
    await expect(bubbles(chat)).to_have_count(2)
    psid = site.psid
    await site.stop()
    await expect(chat.get_by_text("Connection lost")).to_be_visible()
    await write(chat, "not yet")
    await expect(chat.get_by_role("alert")).to_contain_text("cannot be reached")
    await site.start()
    await site.assistant.says(psid, "while you were away")
    await expect(bubbles(chat)).to_have_text(
        ["before", "You said: before", "while you were away"], timeout=20_000
    )
    await expect(chat.get_by_text("Connection lost")).to_be_hidden()
    text = chat.get_by_role("textbox", name="Message", exact=True)
    await expect(text).to_have_value("not yet")  # what could not be sent is still there
    await text.press("Enter")
    await expect(bubbles(chat).last).to_have_text("You said: not yet")
    forgive(complaints, "net::ERR_")


async def test_hostile_texts_are_only_texts(chat: Page, site: Site) -> None:
    page = site.simulator.world.pages[0]
    site.simulator.world.add_person(page, HOSTILE[:100], "</b>")
    page.name = HOSTILE
    await chat.reload()
    await somebody_is_chosen(chat)
    await write(chat, HOSTILE)
    await expect(bubbles(chat)).to_have_text([HOSTILE, f"You said: {HOSTILE}"])
    await site.assistant.says(site.psid, "javascript:alert(1) and https://a.b/c?<b>", metadata="x")
    await expect(bubbles(chat)).to_have_count(3)
    await expect(bubbles(chat).last.locator("a")).to_have_attribute("href", "https://a.b/c")
    await expect(chat.locator("#page-name")).to_have_text(HOSTILE)
    await expect(chat.locator("#people")).to_contain_text("<img src=x onerror=")
    assert (
        await chat.locator("#log :is(script, img:not(.face)), #people :is(script, b)").count() == 0
    )
    await expect(chat).not_to_have_title(re.compile("owned"))


async def test_everything_works_from_the_keyboard(chat: Page) -> None:
    focused = chat.locator(":focus")
    await expect(chat.get_by_role("button", name="Get Started", exact=True)).to_be_visible()

    async def tab_to(target: Locator) -> None:
        """Walk there with Tab, as somebody without a mouse does."""
        for _ in range(25):
            await chat.keyboard.press("Tab")
            if await target.evaluate("node => node === document.activeElement"):
                return
        raise AssertionError("cannot be reached with Tab")

    await tab_to(chat.get_by_role("button", name="Add a person"))
    await chat.keyboard.press("Enter")
    await expect(chat.get_by_role("dialog", name="A new person")).to_be_visible()
    await expect(focused).to_have_attribute("name", "first_name")
    await chat.keyboard.type("Zoë")
    await chat.keyboard.press("Tab")
    await chat.keyboard.type("Ng")
    await chat.keyboard.press("Enter")
    await expect(chat.locator("#person-name")).to_have_text("Zoë Ng")
    await expect(focused).to_have_id("text")
    await expect(chat.get_by_role("button", name="Get Started", exact=True)).to_be_visible()
    await chat.keyboard.press("Shift+Tab")
    await chat.keyboard.press("Shift+Tab")
    await expect(focused).to_have_id("get-started")
    await chat.keyboard.press("Space")
    await expect(bubbles(chat)).to_have_count(2)
    await expect(focused).to_have_id("text")
    await chat.keyboard.type("one")
    await chat.keyboard.press("Shift+Enter")
    await chat.keyboard.type("two")
    await chat.keyboard.press("Enter")
    await expect(bubbles(chat)).to_have_count(4)
    await expect(bubbles(chat).nth(2)).to_have_text("one two")  # white space is normalised here
    await tab_to(chat.get_by_role("button", name="Jonas Weber"))
    await chat.keyboard.press("Enter")
    await expect(chat.locator("#person-name")).to_have_text("Jonas Weber")
    await expect(bubbles(chat)).to_have_count(0)


async def test_everything_has_a_name_for_screen_readers(chat: Page) -> None:
    await write(chat, "hello")
    await expect(bubbles(chat)).to_have_count(2)
    log = chat.get_by_role("log", name="Messages")
    await expect(log).to_have_attribute("aria-live", "polite")
    await expect(log).to_contain_text("You: ")
    await expect(log).to_contain_text("Corner Bakery: ")
    for role in ("button", "textbox", "searchbox", "combobox"):
        controls = chat.get_by_role(role)
        for control in await controls.all():
            await expect(control).to_have_accessible_name(re.compile(r"\S"))
    await expect(chat.get_by_role("heading", level=1)).to_have_count(1)


async def test_a_tab_in_the_background_gives_its_connection_back(chat: Page, site: Site) -> None:
    topic = f"{site.page_id}:{site.psid}"
    await write(chat, "hello")
    await expect(bubbles(chat)).to_have_count(2)
    await chat.clock.install()
    await chat.evaluate(SHOW_OR_HIDE, "hidden")
    await chat.clock.run_for(11_000)
    await until(lambda: not site.simulator.hub.has_listeners(topic), deadline_s=30)
    await site.assistant.says(site.psid, "unheard")
    await chat.evaluate(SHOW_OR_HIDE, "visible")
    await expect(bubbles(chat).last).to_have_text("unheard")


async def test_any_page_can_be_written_to(chat: Page, site: Site) -> None:
    world = site.simulator.world
    flowers = world.add_page("Flower Shop")
    world.add_person(flowers, "Ada", "Byron")
    await chat.reload()
    await somebody_is_chosen(chat)
    await chat.get_by_role("combobox", name="Page").select_option("Flower Shop")
    await expect(chat.locator("#page-name")).to_have_text("Flower Shop")
    await expect(chat.locator("#person-name")).to_have_text("Ada Byron")
    await write(chat, "tulips?")
    await expect(bubbles(chat)).to_have_text(["tulips?", "You said: tulips?"])
    (thread,) = flowers.threads.values()
    assert thread.messages[0].text == "tulips?"


async def test_quick_replies_are_tapped_once(chat: Page, site: Site) -> None:
    site.assistant.on_said = keep_silent
    await write(chat, "hello")
    await expect(bubbles(chat)).to_have_count(1)
    replies = [{"content_type": "text", "title": "Opening hours", "payload": "HOURS"}]
    await site.assistant.says(site.psid, "What about?", quick_replies=replies)
    chip = chat.get_by_role("button", name="Opening hours", exact=True)
    await chip.click()
    await expect(bubbles(chat).last).to_have_text("Opening hours")
    await expect(chip).to_be_hidden()
    (thread,) = site.simulator.world.pages[0].threads.values()
    assert thread.messages[-1].quick_reply == "HOURS"


async def test_what_is_looked_at_has_been_read(chat: Page, site: Site) -> None:
    async with chat.expect_response("**/reads") as reading:
        await write(chat, "hello")
    assert (await reading.value).ok


async def test_a_person_of_the_page_is_told_from_its_assistant(chat: Page, site: Site) -> None:
    await write(chat, "hello")
    await expect(bubbles(chat)).to_have_count(2)
    page = site.simulator.world.pages[0]
    site.simulator.inbox_writes(page, site.psid, "Paul here")
    await expect(bubbles(chat).last).to_have_text("Paul here")
    await expect(chat.get_by_text("A person, from the Page's inbox")).to_be_visible()


async def test_on_a_phone_people_and_thread_take_turns(chat: Page) -> None:
    await chat.set_viewport_size({"width": 390, "height": 844})
    people, thread = chat.get_by_role("complementary", name="People"), chat.get_by_role("main")
    await expect(thread).to_be_visible()
    await expect(people).to_be_hidden()
    await chat.get_by_role("button", name="Back to people").click()
    await expect(people).to_be_visible()
    await expect(thread).to_be_hidden()
    await chat.get_by_role("button", name="Jonas Weber").click()
    await expect(thread).to_be_visible()
    await expect(chat.locator("#person-face")).to_be_visible()
    width = "document.documentElement.scrollWidth"
    assert await chat.evaluate(f"() => {width}") <= 390  # nothing sticks out


async def test_an_empty_world_is_waited_for(chat: Page, site: Site, complaints: list[str]) -> None:
    await write(chat, "hello")
    await expect(bubbles(chat)).to_have_count(2)
    await site.simulator.reset()
    await expect(chat.get_by_role("alert")).to_contain_text("no Page", timeout=20_000)
    page = site.simulator.world.add_page("Newcomer")
    site.simulator.world.add_person(page, "Ada", "Byron")
    await expect(chat.locator("#page-name")).to_have_text("Newcomer", timeout=20_000)
    await expect(bubbles(chat)).to_have_count(0)
    forgive(complaints, "404")  # threads and faces of the world that is gone


async def test_who_reads_further_up_is_not_torn_away(chat: Page, site: Site) -> None:
    site.assistant.on_said = keep_silent
    await write(chat, "hello")
    await expect(bubbles(chat)).to_have_count(1)
    for number in range(1, 31):
        await site.assistant.says(site.psid, f"line {number}")
    await expect(bubbles(chat)).to_have_count(31)
    await expect(bubbles(chat).last).to_be_in_viewport()
    await chat.get_by_role("group", name="Messages, scrollable").focus()
    await chat.keyboard.press("Home")
    await expect(bubbles(chat).first).to_be_in_viewport()
    await site.assistant.says(site.psid, "news")
    await expect(bubbles(chat)).to_have_count(32)
    await expect(bubbles(chat).first).to_be_in_viewport()
    await chat.get_by_role("button", name="New messages").click()
    await expect(bubbles(chat).last).to_be_in_viewport()


async def test_a_picture_is_shown_before_and_after_sending(chat: Page, site: Site) -> None:
    site.assistant.on_said = keep_silent
    picture = FilePayload(name="x.png", mimeType="image/png", buffer=PNG)
    await chat.locator("#file").set_input_files(picture)
    await expect(chat.get_by_role("img", name="The picture to send")).to_be_visible()
    await chat.get_by_role("button", name="Send", exact=True).click()
    sent = chat.get_by_role("img", name="Picture", exact=True)
    await expect(sent).to_have_js_property("naturalWidth", 1)
    await expect(chat.get_by_role("img", name="The picture to send")).to_be_hidden()
