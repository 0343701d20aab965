"""The control API, the chat page's parts of it, and the start and end of the simulator."""

import asyncio
import json
import os
import signal

import aiohttp
import pytest

from libs.common.service import serve
from libs.common.settings import HttpSettings, RuntimeSettings
from simulator.app import create_service
from simulator.core import Simulator
from simulator.settings import Settings
from simulator.store import FILE_NAME
from tests.ports import free_port
from tests.unit.simulator.harness import DEADLINE_S, Facebook, FakeApp, until

API = "/simulator/api"
PNG = b"\x89PNG\r\n\x1a\n" + b"picture"


async def test_pages_and_people_can_be_made(facebook: Facebook) -> None:
    page = await facebook.control("POST", "/pages", {"name": "Flower Shop"})
    assert page["id"].isdecimal()
    assert page["access_token"].startswith("EAA")
    pages = (await facebook.control("GET", "/pages"))["pages"]
    assert [each["name"] for each in pages] == ["Corner Bakery", "Flower Shop"]
    name = {"first_name": "Zoë", "last_name": "Ng"}
    person = await facebook.control("POST", f"/pages/{page['id']}/people", name)
    people = (await facebook.control("GET", f"/pages/{page['id']}/people"))["people"]
    assert [each["psid"] for each in people] == [person["psid"]]


async def test_people_who_wrote_last_come_first(facebook: Facebook) -> None:
    path = f"/pages/{facebook.page}/messages"
    await facebook.control("POST", path, {"psid": facebook.other_psid, "text": "me first"})
    people = (await facebook.control("GET", f"/pages/{facebook.page}/people"))["people"]
    assert people[0]["psid"] == facebook.other_psid
    assert people[0]["last_message"]["text"] == "me first"


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/pages", {}, 400, "name"),
        ("/pages", {"name": " "}, 400, "name"),
        ("/pages/1/people", {"first_name": "A"}, 404, "page"),
        ("/pages/PAGE/people", {}, 400, "first_name"),
        ("/pages/PAGE/messages", {"psid": "1", "text": "x"}, 404, "psid"),
        ("/pages/PAGE/messages", {"psid": "PSID"}, 400, "text"),
        ("/pages/PAGE/messages", {"psid": "PSID", "txt": "x"}, 400, "txt"),
        (
            "/pages/PAGE/messages",
            {"psid": "PSID", "text": "x", "timestamp": "now"},
            400,
            "timestamp",
        ),
        ("/pages/PAGE/postbacks", {"psid": "PSID"}, 400, "payload"),
        ("/pages/PAGE/reads", {"psid": "1"}, 404, "psid"),
        ("/pages/PAGE/reactions", {"psid": "PSID", "mid": "m_0"}, 404, "mid"),
        ("/pages/PAGE/inbox-messages", {"psid": "PSID"}, 400, "text"),
        ("/pages/PAGE/thread-owner", {"psid": "PSID", "app": "mine"}, 400, "app"),
        ("/pages/PAGE/thread-owner", {"psid": "1", "app": "inbox"}, 404, "psid"),
        ("/pages/PAGE/thread-requests", {"psid": "PSID", "app": "ours"}, 400, "app"),
        ("/pages/PAGE/thread-requests", {"psid": "1"}, 404, "psid"),
        ("/faults", {"endpoint": "nowhere"}, 400, "endpoint"),
        ("/faults", {"endpoint": "messages", "times": 0}, 400, "times"),
        ("/nonsense", {}, 404, "path"),
        ("/pages", [], 400, "body"),
    ],
)
async def test_mistakes_are_answered_with_the_field(
    facebook: Facebook, path: str, body: object, status: int, words: str
) -> None:
    text = json.dumps([path, body]).replace("PAGE", facebook.page).replace("PSID", facebook.psid)
    path, body = json.loads(text)
    got, answer = await facebook.ask("POST", API + path, body)
    assert got == status
    assert words in answer["error"]


@pytest.mark.parametrize("change", [{"nope": 1}, {"echoes": {"delay_ms": -1}}, {"echoes": 5}])
async def test_wrong_behaviour_changes_nothing(facebook: Facebook, change: object) -> None:
    path = f"{API}/pages/{facebook.page}/behaviour"
    before = await facebook.ask("GET", path)
    status, _ = await facebook.ask("PUT", path, change)
    assert status == 400
    assert await facebook.ask("GET", path) == before


async def test_behaviour_changes_only_what_is_given(facebook: Facebook) -> None:
    await facebook.behave(echoes={"delay_ms": 5})
    await facebook.behave(echoes=False, rate_limit_per_s=7)
    behaviour = await facebook.control("GET", f"/pages/{facebook.page}/behaviour")
    assert behaviour["echoes"] == {"enabled": False, "delay_ms": 5}
    assert behaviour["rate_limit_per_s"] == 7
    assert behaviour["delivery_receipts"] == {"enabled": True, "delay_ms": 30}


async def test_everything_a_person_does(facebook: Facebook, fake_app: FakeApp) -> None:
    page = f"/pages/{facebook.page}"
    tap = {"psid": facebook.psid, "payload": "GET_STARTED"}
    await facebook.control("POST", f"{page}/postbacks", tap)
    picture = [{"type": "image", "payload": {"url": "http://x/y.png"}}]
    mid = await facebook.says(
        "look", attachments=picture, quick_reply={"payload": "Q"}, timestamp=5
    )
    react = {"psid": facebook.psid, "mid": mid, "reaction": "wow", "emoji": "😲"}
    await facebook.control("POST", f"{page}/reactions", react)
    await facebook.control("POST", f"{page}/reads", {"psid": facebook.psid})
    await facebook.until_quiet()
    events = [json.loads(each.body)["entry"][0]["messaging"][0] for each in fake_app.received]
    postback, message, reaction, read = events
    assert postback["postback"]["payload"] == "GET_STARTED"
    assert message["timestamp"] == 5
    assert message["message"]["attachments"] == picture
    assert message["message"]["quick_reply"] == {"payload": "Q"}
    assert reaction["reaction"] == {
        "reaction": "wow",
        "action": "react",
        "emoji": "😲",
        "mid": mid,
    }
    assert read["read"]["watermark"] > 0
    tapped, said = (await facebook.thread())["messages"]
    assert tapped["postback"] == "GET_STARTED"
    assert said["reaction"] == "😲"


async def test_short_forms_of_taps_and_answers_are_understood(facebook: Facebook) -> None:
    mid = await facebook.says("one")
    await facebook.says("two", quick_reply="Q", reply_to=mid)
    said = (await facebook.thread())["messages"][-1]
    assert (said["quick_reply"], said["reply_to"]) == ("Q", mid)


async def test_calls_can_be_chosen(facebook: Facebook) -> None:
    await facebook.says("hello")
    for text in ("one", "two", "three"):
        await facebook.send(text)
    calls = await facebook.calls()
    assert [call["n"] for call in calls] == [1, 2, 3]
    later = await facebook.control("GET", f"/calls?psid={facebook.psid}&since=2")
    assert [call["body"]["message"]["text"] for call in later["calls"]] == ["three"]
    assert (await facebook.control("GET", "/calls?page=1"))["calls"] == []
    status, answer = await facebook.ask("GET", f"{API}/calls?since=x")
    assert (status, "since" in answer["error"]) == (400, True)


async def test_reset_leaves_an_empty_world(facebook: Facebook) -> None:
    await facebook.says("hello")
    await facebook.send("hi")
    await facebook.control("POST", "/reset")
    assert await facebook.control("GET", "/pages") == {"pages": []}
    assert (await facebook.control("GET", "/calls"))["calls"] == []
    assert (await facebook.send("hi"))[1]["error"]["code"] == 190


async def test_other_sites_pages_may_not_call(facebook: Facebook) -> None:
    for origin, status in (("https://evil.example", 403), (None, 200)):
        headers = {"Origin": origin} if origin else {}
        async with facebook.client.get(f"{API}/pages", headers=headers) as response:
            assert response.status == status


async def test_an_unreachable_app_is_said_so(facebook: Facebook) -> None:
    facebook.simulator.webhooks.url = "http://127.0.0.1:9/"
    status, answer = await facebook.ask("POST", f"{API}/pages/{facebook.page}/webhooks", {})
    assert status == 502
    assert "webhook" in answer["error"]


# The chat page


async def test_the_chat_page_needs_nothing_from_elsewhere(facebook: Facebook) -> None:
    async with facebook.client.get("/") as response:
        page = await response.text()
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "not Facebook" in page
    assert "http://" not in page
    assert "https://" not in page
    for name in ("app.js", "api.js", "dom.js", "people.js", "thread.js", "style.css", "icon.svg"):
        async with facebook.client.get(f"/static/{name}") as response:
            assert response.status == 200
            assert "innerHTML" not in await response.text()


async def test_a_thread_is_streamed_live(facebook: Facebook) -> None:
    path = f"{API}/pages/{facebook.page}/threads/{facebook.psid}/events"
    events: list[str] = []

    async def until_event(stream: aiohttp.ClientResponse, name: str) -> str:
        """The data of the next event of that name."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                line = (await stream.content.readline()).decode().strip()
                if line.startswith("event: "):
                    events.append(line.removeprefix("event: "))
                elif line.startswith("data: ") and events[-1] == name:
                    return line.removeprefix("data: ")

    async with facebook.client.get(path) as stream:
        assert json.loads(await until_event(stream, "thread"))["messages"] == []
        mid = await facebook.says("hello")
        assert json.loads(await until_event(stream, "message"))["mid"] == mid
        assert json.loads(await until_event(stream, "reported")) == {"mid": mid}
        typing = {"recipient": {"id": facebook.psid}, "sender_action": "typing_on"}
        await facebook.graph("POST", f"/{facebook.page}/messages", typing)
        fades = json.loads(await until_event(stream, "state"))["typing_fades_in_ms"]
        assert 0 < fades <= 20_000
        await facebook.send("hi")
        assert json.loads(await until_event(stream, "message"))["text"] == "hi"
        assert json.loads(await until_event(stream, "state"))["typing_fades_in_ms"] == 0
        facebook.simulator.hub.close()
        async with asyncio.timeout(DEADLINE_S):
            await stream.content.read()  # the stream ends
    topic = f"{facebook.page}:{facebook.psid}"
    await until(lambda: not facebook.simulator.hub.has_listeners(topic))


async def test_pictures_come_back_as_they_were_sent(facebook: Facebook) -> None:
    async with facebook.client.post(f"{API}/uploads", data=PNG) as response:
        url = (await response.json())["url"]
    name = url.rsplit("/", 1)[1]
    async with facebook.client.get(f"/media/{name}") as response:
        assert await response.read() == PNG
        assert response.content_type == "image/png"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    async with facebook.client.post(f"{API}/uploads", data=b"<script>") as response:
        assert response.status == 415


async def test_everybody_has_a_face(facebook: Facebook) -> None:
    for path in (f"/avatars/{facebook.page}.svg", f"/avatars/{facebook.page}/{facebook.psid}.svg"):
        async with facebook.client.get(path) as response:
            assert response.content_type == "image/svg+xml"
    path = f"/pages/{facebook.page}/people"
    hostile = await facebook.control("POST", path, {"first_name": "<b>", "last_name": "&x"})
    async with facebook.client.get(f"/avatars/{facebook.page}/{hostile['psid']}.svg") as response:
        assert "&lt;&amp;</text>" in await response.text()
    async with facebook.client.get(f"/avatars/{facebook.page}/1.svg") as response:
        assert response.status == 404


# Start and end


async def test_a_second_start_finds_the_same_world(settings: Settings) -> None:
    first = Simulator(settings)
    async with first.running():
        page = first.world.pages[0]
        first.inbox_writes(page, next(iter(page.people)), "hello")
    second = Simulator(settings)
    assert second.world.pages == first.world.pages
    state = settings.state_dir / FILE_NAME
    assert state.stat().st_mode & 0o777 == 0o600


async def test_the_service_starts_is_ready_and_stops_on_sigterm(settings: Settings) -> None:
    http = HttpSettings(port=free_port())
    runtime = RuntimeSettings(env="test", drain_timeout_s=1)
    serving = asyncio.create_task(serve(create_service(settings), http, runtime))
    base = f"http://127.0.0.1:{http.port}"
    async with aiohttp.ClientSession() as session:
        async with asyncio.timeout(DEADLINE_S):
            while not await is_ready(session, base):
                await asyncio.sleep(0.02)
        page = next(iter(json.loads(await text(session, f"{base}{API}/pages"))["pages"]))
        people = json.loads(await text(session, f"{base}{API}/pages/{page['id']}/people"))
        psid = people["people"][0]["psid"]
        path = f"{base}{API}/pages/{page['id']}/threads/{psid}/events"
        async with session.get(path):  # an open chat page does not hold up the end
            os.kill(os.getpid(), signal.SIGTERM)
            assert await asyncio.wait_for(serving, DEADLINE_S / 2) == 0
    assert (settings.state_dir / FILE_NAME).exists()


async def is_ready(session: aiohttp.ClientSession, base: str) -> bool:
    try:
        async with session.get(f"{base}/readyz") as response:
            return response.status == 200
    except aiohttp.ClientConnectionError:
        return False


async def text(session: aiohttp.ClientSession, url: str) -> str:
    async with session.get(url) as response:
        return await response.text()
