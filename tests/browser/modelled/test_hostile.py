"""One system full of attempts, in whatever people, administrators, models and Facebook can write.

Every page of the console shows them, and the chat page: as text, and as nothing else.
"""

import asyncio
import json
import os
import re
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
import jinja2
import pytest
from aiokafka import AIOKafkaProducer
from playwright.async_api import Browser, BrowserContext, Page, StorageState, expect

from deploy.local.admin import Api, open_admin
from libs.common.graph import appsecret_proof
from libs.common.topics import EVENTS
from services.console.domain.tokens import Scope
from tests.browser.attempts import ATTEMPTS, BARE, ELSEWHERE, EVALUATED, ODDITIES, SHORT
from tests.browser.modelled.desk import LIVE_MS, SLOW_MS, Shop, open_shop
from tests.stack import LocalStack

PICTURES = os.environ.get("CONSOLE_PICTURES")  # a folder: look at what the test saw
LONG = "\n".join(each.text for each in ATTEMPTS)
LINKS = (  # attachments' addresses
    "javascript:void(top.__pwned=1)",
    "data:text/html,<script>top.__pwned=1</script>",
    f'{ELSEWHERE}/"onmouseover="top.__pwned=1',
    f"{ELSEWHERE}/a.pdf",
    "https://ada@evil.example/",
    "//evil.example/x",
)
ANSWERED = "Do you deliver, by any chance?"


# --- the attempts themselves


async def test_each_attempt_works_where_nobody_escapes_it(chromium: Browser) -> None:
    went: list[str] = []
    idle = []
    for attempt in ATTEMPTS:
        if attempt.works_in is None:
            continue
        page = await chromium.new_page()  # another one may be on its way elsewhere still
        await page.route(f"{ELSEWHERE}/**", lambda route: _note(went, route))
        went.clear()
        await page.set_content(attempt.works_in.replace("{}", attempt.text), wait_until="commit")
        try:
            async with asyncio.timeout(LIVE_MS / 1000):
                while not went and not await _is_pwned(page):
                    await asyncio.sleep(0.02)
        except TimeoutError:
            idle.append(attempt.text)
        await page.close()
    assert idle == []


@pytest.mark.parametrize("text", [LONG, SHORT])
def test_what_a_template_makes_of_it_would_be_seen(text: str) -> None:
    assert EVALUATED not in text
    assert EVALUATED in jinja2.Template(text).render()


async def _note(went: list[str], route: Any) -> None:  # noqa: ANN401
    went.append(route.request.url)
    await route.abort()


async def _is_pwned(page: Page) -> bool:
    try:
        return bool(await page.evaluate("window.__pwned"))
    except Exception:  # it is on its way elsewhere
        return False


# --- one system with all of them


@dataclass
class Room:
    """Somebody who looks at all of it, and what their browser has to say."""

    stack: LocalStack
    shop: Shop
    page: Page
    psid: str
    refused: str = ""  # somebody whom Facebook lets nobody write to
    complaints: list[str] = field(default_factory=list)
    seen: dict[str, str] = field(default_factory=dict)  # what stands on a page, by its path

    @property
    def url(self) -> str:
        return self.stack.url("console")

    @property
    def conversation(self) -> str:
        return f"/inbox/{self.shop.page}:{self.psid}"

    async def look(self, path: str, home: str | None = None) -> list[str]:
        """Visit it; the paths it links to."""
        answer = await self.page.goto((home or self.url) + path, wait_until="domcontentloaded")
        assert answer is not None
        if answer.status >= 500:
            self.complaints.append(f"{path}: {answer.status}")
        await self.inspect(path, home)
        links: list[str] = await self.page.eval_on_selector_all(
            "a[href^='/']", "found => found.map(each => each.getAttribute('href'))"
        )
        return links

    async def inspect(self, path: str, home: str | None = None) -> None:
        ours = [home or self.url, self.stack.url("simulator")]
        self.complaints += [f"{path}: {each}" for each in await self.page.evaluate(ODDITIES, ours)]
        if await self.page.evaluate(_WIDER):
            self.complaints.append(f"{path}: something is wider than its place")
        if await self.page.evaluate("Boolean(window.__pwned)"):
            self.complaints.append(f"{path}: it has worked")
        self.seen[path] = await self.page.evaluate(
            "[document.title, document.body.textContent, ...Array.from("
            "document.querySelectorAll('input, textarea'), each => each.value)].join(' ')"
        )
        if PICTURES:
            name = re.sub(r"[^a-z0-9]+", "-", path.lower())[:60]
            await self.page.screenshot(path=Path(PICTURES) / f"hostile{name}.png")


@pytest.fixture
async def shop(stack: LocalStack) -> AsyncIterator[Shop]:
    async with open_shop(stack, SHORT, quiet_window_s=0.2) as opened:
        yield opened
        await opened.facebook.clear_model_faults()
        await opened.facebook.clear_faults()


@pytest.fixture
async def context(chromium: Browser, session: StorageState) -> AsyncIterator[BrowserContext]:
    """With the console's own policy: whatever it stops, it says."""
    context = await chromium.new_context(
        locale="en-GB",
        reduced_motion="reduce",
        storage_state=session,
        viewport={"width": 1280, "height": 800},
    )
    context.set_default_timeout(SLOW_MS)
    yield context
    await context.close()


@pytest.fixture
async def room(stack: LocalStack, shop: Shop, context: BrowserContext) -> Room:
    page = await context.new_page()
    psid = await shop.person(SHORT, "Lee")
    room = Room(stack, shop, page, psid)
    homes = (f"{stack.url('console')}/", f"{stack.url('simulator')}/", "data:image/")
    page.on("dialog", lambda dialog: room.complaints.append(f"dialog: {dialog.message}"))
    page.on("pageerror", lambda error: room.complaints.append(f"error: {error}"))
    page.on("console", lambda message: _listen(room, message.text))
    page.on("request", lambda asked: _note_foreign(room, asked.url, homes))
    return room


def _note_foreign(room: Room, url: str, homes: tuple[str, ...]) -> None:
    if not url.startswith(homes):
        room.complaints.append(f"asked elsewhere: {url}")


def _listen(room: Room, text: str) -> None:
    if "Failed to load resource" not in text:  # an answer that refuses
        room.complaints.append(f"{room.page.url}: {text}")


async def test_whatever_anybody_writes_is_text_on_every_page(room: Room) -> None:
    shop = room.shop
    async with AsyncExitStack() as opened:
        admin = await opened.enter_async_context(open_admin(room.stack.environment))
        api = await opened.enter_async_context(admin.api("hostile", *Scope))
        mine = await _administrators_write(api, shop)
        await _everybody_writes(room)
        await _one_writes_here(room)
        await _walk(room, [*mine, *_places(room)])
    assert room.complaints == []
    missing = [
        (path, text)
        for path, texts in _shown(room).items()
        for text in texts
        if text not in room.seen[path]
    ]
    assert missing == []
    assert not [path for path, text in room.seen.items() if EVALUATED in text]


async def _administrators_write(api: Api, shop: Shop) -> list[str]:
    """Settings, an assistant, a user, a token; the pages about them."""
    await api.ask(
        "PATCH",
        f"/channels/{shop.page}/settings",
        {
            "prompt_addition": LONG,
            "greeting": BARE,  # Facebook has a use for braces
            "get_started_payload": SHORT,
            "welcome_prompt": LONG,
            "text_only_reply": SHORT,
            "fallback_text": SHORT,
            "handover_text": SHORT,
            "handover_phrases": [SHORT],
            "notification_url": f"{ELSEWHERE}/{SHORT[4:]}",
        },
    )
    assistant = await api.ask(
        "POST",
        "/assistants",
        {
            "name": SHORT,
            "system_prompt": LONG,
            "knowledge": LONG,
            "provider": "openai",
            "model": SHORT,
            "base_url": "http://127.0.0.1:9/<img-src=x-onerror=top.__pwned=1>",
        },
    )
    user = await api.ask(
        "POST",
        "/users",
        {"email": f"eve{time.time_ns()}@example.org", "name": SHORT, "role": "member"},
    )
    token = await api.ask("POST", "/tokens", {"name": SHORT, "scopes": ["users:read"]})
    return [
        f"/assistants/{assistant['id']}",
        f"/assistants/{assistant['id']}/delete",
        f"/users/{user['user']['id']}",
        f"/users/{user['user']['id']}/disable",
        f"/api-tokens/{token['details']['id']}/revoke",
    ]


async def _everybody_writes(room: Room) -> None:
    """People, the model, Facebook: said, tapped, sent along, refused, and not understood."""
    shop, page, psid = room.shop, room.shop.page, room.psid
    await _profile(shop)
    await room.look(room.conversation.rpartition("/")[0])  # live from here on
    await shop.facebook.add_model_fault(about=ANSWERED, reply=LONG.replace("*", ""))
    await shop.write(psid, f"{ANSWERED}\n{LONG}"[:1900])
    await shop.until_quiet(psid)
    await shop.known(psid)
    await room.look(room.conversation)
    await shop.facebook.webhook(page, _odd_events(page, psid))
    await shop.facebook.tap(page, psid, SHORT, SHORT)
    await shop.facebook.write_in_inbox(page, psid, f"facebook {SHORT}")
    await expect(room.page.locator("#messages")).to_contain_text(
        f"facebook {SHORT}", timeout=SLOW_MS
    )
    await room.inspect(room.conversation)

    refused = room.refused = await shop.person(SHORT, "Refused")
    error = {"message": LONG[:900], "type": SHORT, "code": 100, "fbtrace_id": SHORT}
    fault = {"endpoint": "messages", "page": page, "psid": refused}
    await shop.facebook.add_fault(**fault, error=error, status=400)
    await shop.write(refused, "Hi")
    asking = await shop.person(SHORT, "Asking")
    await shop.write(asking, LONG[:1500])
    await shop.until_quiet(asking)
    await shop.write(asking, "human please")
    await shop.facebook.wait_for_answers(page, asking, 2, SLOW_MS / 1000)
    await shop.known(refused)
    await _dead_letter(room.stack, page, psid)


async def _profile(shop: Shop) -> None:
    """What Facebook shows before anybody has written: with the Page's token, as any app may."""
    (mine,) = [each for each in await shop.facebook.pages() if each["id"] == shop.page]
    token, env = mine["access_token"], shop.stack.environment
    questions = [{"question": SHORT, "payload": SHORT}]
    items = [{"type": "postback", "title": "<img src=x onerror=a>", "payload": SHORT}]
    body = {
        "appsecret_proof": appsecret_proof(token, env["FACEBOOK_APP_SECRET"]),
        "ice_breakers": [{"call_to_actions": questions, "locale": "default"}],
        "persistent_menu": [
            {"locale": "default", "composer_input_disabled": False, "call_to_actions": items}
        ],
    }
    url = f"{shop.stack.url('simulator')}/v26.0/me/messenger_profile"
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
        session.post(url, json=body) as answer,
    ):
        assert answer.status == 200, await answer.text()


def _odd_events(page: str, psid: str) -> bytes:
    """As Facebook sends them, and as it does not."""
    now = int(time.time() * 1000)
    attachments = [
        {"type": kind, "payload": {"url": url, "title": SHORT, "name": SHORT}}
        for url, kind in zip(LINKS, ("image", "file", "video", "file", "audio", SHORT), strict=True)
    ]
    place = {"coordinates": {"lat": SHORT, "long": SHORT}, "title": SHORT, "url": LINKS[0]}
    ad = {"ad_title": SHORT, "photo_url": LINKS[0], "video_url": LINKS[1], "post_id": SHORT}
    referral = {"ref": SHORT, "source": SHORT, "type": SHORT, "ads_context_data": ad}
    events: Iterable[dict[str, Any]] = (
        {"message": {"mid": "m_h1", "text": LONG[:1900], "attachments": attachments}},
        {"message": {"mid": "m_h2", "attachments": [{"type": "location", "payload": place}]}},
        {"message": {"mid": "m_h3", "text": SHORT, "quick_reply": {"payload": SHORT}}},
        {"message": {"mid": "m_h4", "text": SHORT, "referral": referral}},
        {"reaction": {"mid": "m_h3", "action": "react", "reaction": SHORT, "emoji": SHORT}},
        {"message_edit": {"mid": "m_h3", "text": f"edited {SHORT}", "num_edit": 1}},
        {"referral": referral},
        {"optin": {"ref": SHORT, "user_ref": SHORT}},
        {SHORT: {SHORT: LONG}},
    )
    sender = {"sender": {"id": psid}, "recipient": {"id": page}}
    entry = [
        {"id": page, "time": now, "messaging": [{**sender, "timestamp": now + number, **event}]}
        for number, event in enumerate(events)
    ]
    return json.dumps({"object": "page", "entry": entry}).encode()


async def _dead_letter(stack: LocalStack, page: str, psid: str) -> None:
    """A record that breaks whoever reads it."""
    producer = AIOKafkaProducer(bootstrap_servers=stack.environment["KAFKA_BOOTSTRAP_SERVERS"])
    await producer.start()
    try:
        record = {
            "type": "message.received",
            "version": "1.0",
            "event_id": SHORT,
            "page_id": page,
            "psid": psid,
            "occurred_at": SHORT,
            SHORT: {SHORT: [SHORT]},
        }
        headers = [("type", b"message.received"), ("version", b"1.0"), ("event_id", SHORT.encode())]
        key = f"{page}:{psid}".encode()
        await producer.send_and_wait(EVENTS, json.dumps(record).encode(), key=key, headers=headers)
    finally:
        await producer.stop()


async def _one_writes_here(room: Room) -> None:
    """The administrator: a name for themselves, and an answer."""
    page = room.page
    await page.goto(f"{room.url}/profile")
    await page.get_by_role("textbox", name="Name").fill(SHORT)
    await page.get_by_role("button", name="Save name").click()
    await expect(page.get_by_text("Your name is saved.")).to_be_visible(timeout=SLOW_MS)
    await page.goto(room.url + room.conversation)
    bar = page.locator("#thread-bar")
    if not await bar.get_by_text("You are replying").count():
        await bar.get_by_role("button", name=re.compile("^Take over")).first.click()
        await expect(bar).to_contain_text("You are replying", timeout=SLOW_MS)
    await page.locator("#composer-text").fill(f"mine {SHORT}")
    await page.keyboard.press("Control+Enter")
    mine = page.locator("li.of-human[data-command]").filter(has_text=f"mine {SHORT}")
    await expect(mine).to_contain_text(re.compile("Sent|Delivered|Read"), timeout=SLOW_MS)
    await room.inspect(room.conversation)


def _places(room: Room) -> list[str]:
    """Pages about this Page, and addresses with attempts in them."""
    channel = f"/channels/{room.shop.page}"
    names = (
        "tab search find page days cursor before open limit seen until next state code error "
        "error_description error_reason psid by unread q"
    )
    attempt = urlencode(dict.fromkeys(names.split(), SHORT))
    asked = (
        "/inbox",
        room.conversation,
        "/analytics",
        "/audit",
        "/health/messages",
        "/health/dead-letters",
        "/channels/connect",
        "/channels/connect/callback",
        f"{channel}/privacy",
        "/sign-in",
    )
    return [
        "/inbox",
        "/inbox?tab=needs_human",
        f"/inbox/{room.shop.id(room.refused)}",
        "/health/messages",
        "/health/dead-letters",
        *(f"{channel}{part}" for part in ("", "/settings", "/privacy", "/verify", "/disconnect")),
        f"{channel}/privacy/erase?psid={room.psid}",
        "/inbox/list",
        f"{room.conversation}/panes",
        f"{room.conversation}/details",
        "/health/parts",
        "/audit",
        *(f"{path}?{attempt}" for path in asked),
        f"/{urlencode({'x': SHORT})}",
        f"/inbox/{urlencode({'x': SHORT})[2:]}",
        f"/welcome/{urlencode({'x': SHORT})[2:]}",
        f"/data-deletion/{urlencode({'x': SHORT})[2:]}",
        "/sign-in?next=javascript:top.__pwned=1",
        "/sign-in?next=//evil.example/",
    ]


async def _walk(room: Room, first: list[str]) -> None:
    """These, and a page of each other kind that a link leads to."""
    waiting, known = list(reversed(first)), set(map(_kind, first))
    while waiting:
        for link in await room.look(waiting.pop()):
            if _kind(link) not in known and not _FILE.search(link):
                known.add(_kind(link))
                waiting.insert(0, link)
    home = room.stack.url("simulator")
    await room.page.goto("about:blank")
    await room.look(f"/#page={room.shop.page}&person={room.psid}", home)
    await expect(room.page.locator("#log")).to_contain_text(f"mine {SHORT}", timeout=SLOW_MS)
    await room.inspect("chat", home)


_FILE = re.compile(r"^/static/|\.csv|/export")  # nothing to look at


_WIDER = "Array.from(document.querySelectorAll('html, .inbox-list, .inbox-top'))"
_WIDER += ".some(each => each.scrollWidth > each.clientWidth)"


def _kind(link: str) -> str:
    path = urlsplit(unescape(link)).path
    return re.sub(r"[^/]*\d[^/]*", "*", path)


def _shown(room: Room) -> dict[str, list[str]]:
    """What stands where, to the letter: or nothing would have been shown."""
    channel = f"/channels/{room.shop.page}"
    return {
        "/inbox": [SHORT],
        room.conversation: [*LONG.split("\n")[:9], SHORT, f"facebook {SHORT}", f"mine {SHORT}"],
        f"/inbox/{room.shop.id(room.refused)}": [ATTEMPTS[0].text],  # as Facebook says it
        channel: [SHORT],
        f"{channel}/settings": [SHORT, ATTEMPTS[0].text, ATTEMPTS[5].text],
        "/audit": [SHORT],
        "/health/messages": [SHORT],
        "/health/dead-letters": [SHORT],
        "chat": [SHORT, ATTEMPTS[0].text, f"mine {SHORT}"],
    }
