"""Names, pictures and contacts on the running system, and answers that never wait for them."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr

from deploy.local.seed import ASSISTANT_ID, insert_once, seeded_assistant
from libs.common.channels import (
    ASSISTANTS_COLLECTION,
    CHANNELS_COLLECTION,
    Channel,
    ChannelSettings,
)
from libs.common.crypto import KeyRing
from libs.common.mongo import open_database
from libs.common.settings import MongoSettings
from simulator.client import Simulator
from tests.stack import LocalStack

QUESTION = "Do you deliver?"
WITHIN_S = 30.0
JSON = dict[str, Any]


@dataclass
class Internal:
    """The conversation service's internal API."""

    session: aiohttp.ClientSession
    url: str

    async def call(self, method: str, path: str, body: JSON | None = None) -> JSON:
        async with self.session.request(method, f"{self.url}{path}", json=body) as response:
            answer: JSON = await response.json()
            assert response.status == 200, answer
            return answer

    async def conversation(
        self, page: str, psid: str, wanted: Callable[[JSON], bool] = bool
    ) -> JSON:
        """As the list shows it, as soon as it is as wanted."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                answer = await self.call("GET", f"/pages/{page}/conversations?limit=200")
                found = [each for each in answer["conversations"] if each["psid"] == psid]
                if found and wanted(found[0]):
                    return dict(found[0])
                await asyncio.sleep(0.1)

    async def messages(self, page: str, psid: str, wanted: Callable[[list[JSON]], bool]) -> Any:  # noqa: ANN401
        """The thread as the archive has it, the newest first."""
        path = f"{self.url}/conversations/{page}:{psid}/messages"
        found: list[JSON] = []
        deadline = time.monotonic() + WITHIN_S
        while not (found and wanted(found)):
            assert time.monotonic() < deadline, f"after {WITHIN_S:.0f} s the archive has {found}"
            await asyncio.sleep(0.1)
            async with self.session.get(path) as response:
                found = (await response.json()).get("messages", [])
        return found


@pytest.fixture
async def internal(stack: LocalStack) -> AsyncIterator[Internal]:
    headers = {"Authorization": f"Bearer {stack.environment['SERVICE_TOKEN']}"}
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        yield Internal(session, f"{stack.url('conversation')}/internal/v1")


@pytest.fixture
async def connect(stack: LocalStack, simulator: Simulator) -> AsyncIterator[Callable[..., Any]]:
    """Connect a new Page of the simulator, with settings of its own."""
    env = stack.environment
    mongo = MongoSettings(uri=SecretStr(env["MONGODB_URI"]), database=env["MONGODB_DATABASE"])
    keys = KeyRing.parse(env["ENCRYPTION_KEYS"])
    async with open_database(mongo, app_name="test") as database:

        async def connected(workspace: str, **settings: bool) -> str:
            page = await simulator.add_page("Another bakery")
            channel = Channel(
                id=page["id"],
                workspace_id=workspace,
                assistant_id=ASSISTANT_ID,
                page_name=page["name"],
                token=keys.encrypt(page["access_token"], context=page["id"]),
                settings=ChannelSettings(**settings),
            )
            assistant = seeded_assistant("demo").to_document()
            await insert_once(database, ASSISTANTS_COLLECTION, assistant)
            await database[CHANNELS_COLLECTION].insert_one(channel.to_document())
            return str(page["id"])

        yield connected


async def asked_for(simulator: Simulator, page: str) -> list[str]:
    """Whose profiles were asked for, whatever came of it."""
    return [call["psid"] for call in await simulator.calls(page) if call["endpoint"] == "profile"]


async def test_a_conversation_shows_name_and_picture(
    simulator: Simulator, internal: Internal, connect: Callable[..., Any]
) -> None:
    page = await connect("w-names")
    psid = await simulator.add_person(page, "Ann", "Lee")
    await simulator.write(page, psid, QUESTION)
    shown = await internal.conversation(page, psid, lambda each: bool(each["name"]))
    assert (shown["name"], shown["first_name"], shown["last_name"]) == ("Ann Lee", "Ann", "Lee")
    assert shown["picture_url"].startswith("http")
    assert shown["picture_fetched_at"]
    assert (shown["contact_id"], shown["contact_suggestion"]) == (None, None)
    await simulator.wait_for_answers(page, psid)
    await simulator.write(page, psid, "How can I pay?")
    await simulator.wait_for_answers(page, psid, 2)
    assert await asked_for(simulator, page) == [psid]


@pytest.mark.parametrize("profile", ["hidden", "none"])
async def test_whom_facebook_does_not_show_is_answered_and_has_no_name(
    simulator: Simulator, internal: Internal, connect: Callable[..., Any], profile: str
) -> None:
    page = await connect("w-hidden")
    psid = await simulator.add_person(page, "Ann", "Lee", profile=profile)
    for count in (1, 2):
        await simulator.write(page, psid, QUESTION)
        await simulator.wait_for_answers(page, psid, count)
    await internal.messages(page, psid, lambda found: len(found) == 4)
    assert (await internal.conversation(page, psid))["name"] is None
    assert await asked_for(simulator, page) == [psid]


async def test_answers_do_not_wait_for_profiles(
    simulator: Simulator, connect: Callable[..., Any]
) -> None:
    """How often a Page asks is limited: tests/integration/test_contacts_store.py."""
    page = await connect("w-budget", auto_create_contacts=True)
    await simulator.add_fault(endpoint="profile", page=page, times=100, delay_ms=20_000)
    try:
        people = [await simulator.add_person(page, "Ann", f"Lee{n}") for n in range(12)]
        await asyncio.gather(*[simulator.write(page, psid, QUESTION) for psid in people])
        await asyncio.gather(*[simulator.wait_for_answers(page, psid) for psid in people])
    finally:
        await simulator.clear_faults()


async def test_people_get_the_contact_that_is_theirs_and_only_that(
    simulator: Simulator, internal: Internal, connect: Callable[..., Any]
) -> None:
    page = await connect("w-contacts", contact_matching=True, auto_create_contacts=True)
    contacts = "/workspaces/w-contacts/contacts"
    await internal.call("PUT", f"{contacts}/ann", {"name": "A. Lee", "emails": ["ann@example.org"]})
    for name in ("kim-1", "kim-2"):
        await internal.call("PUT", f"{contacts}/{name}", {"name": "Kim Park"})
    ann = await simulator.add_person(page, "Ann", "Lee")
    bob = await simulator.add_person(page, "Bob", "Ray")
    kim = await simulator.add_person(page, "Kim", "Park")
    await simulator.write(page, ann, "My order? I am ann@example.org", copies=3)
    await simulator.write(page, bob, QUESTION)
    await simulator.write(page, kim, QUESTION)

    shown = await internal.conversation(page, ann, lambda each: bool(each["contact_id"]))
    assert (shown["contact_id"], shown["contact_linked_by"]) == ("ann", "email")
    shown = await internal.conversation(page, bob, lambda each: bool(each["contact_id"]))
    assert shown["contact_linked_by"] == "created"
    made = await internal.call("GET", f"{contacts}/{shown['contact_id']}")
    assert (made["name"], made["created_automatically"]) == ("Bob Ray", True)
    assert [each["conversation"] for each in made["identities"]] == [f"{page}:{bob}"]

    shown = await internal.conversation(page, kim, lambda each: bool(each["contact_suggestion"]))
    assert shown["contact_id"] is None
    assert shown["contact_suggestion"] == {"by": "name", "contacts": ["kim-1", "kim-2"]}
    decision = f"/conversations/{page}:{kim}/contact-suggestion/accept"
    decided = await internal.call("POST", decision, {"contact_id": "kim-2"})
    assert (decided["contact_id"], decided["contact_suggestion"]) == ("kim-2", None)

    found = await internal.call("GET", f"{contacts}?search=kim")
    assert {each["id"]: len(each["identities"]) for each in found["contacts"]} == {
        "kim-1": 0,
        "kim-2": 1,
    }
    everybody = (await internal.call("GET", contacts))["contacts"]
    assert sorted(len(each["identities"]) for each in everybody) == [0, 1, 1, 1]


async def test_what_is_written_in_metas_inbox_edited_and_liked_is_in_the_history(
    simulator: Simulator, internal: Internal, connect: Callable[..., Any]
) -> None:
    page = await connect("w-inbox")
    psid = await simulator.add_person(page, "Ann", "Lee")
    mid = await simulator.write(page, psid, QUESTION)
    (answer,) = await simulator.wait_for_answers(page, psid)
    await simulator.write_in_inbox(page, psid, "Yes, we do!")
    for change in (
        {"message_edit": {"mid": mid, "text": "Do you deliver today?", "num_edit": 2}},
        {"message_edit": {"mid": mid, "text": "Do you delivr today?", "num_edit": 1}},
        {"reaction": {"mid": answer["mid"], "action": "react", "reaction": "love", "emoji": "❤"}},
        {"reaction": {"mid": mid, "action": "unreact"}},
    ):
        await simulator.webhook(page, event(page, psid, change))

    found = await internal.messages(  # the fourth: that a human has it since then
        page, psid, lambda items: len(items) == 4 and any("reactions" in each for each in items)
    )
    (took_over,) = (each for each in found if each.get("kind") == "system")
    assert (took_over["event"], took_over["reason"]) == ("takeover.started", "facebook_reply")
    by_origin = {each["origin"]: each for each in found if each is not took_over}
    person, human, ours = (by_origin[key] for key in ("person", "human_facebook", "assistant"))
    assert (person["text"], person["edits"]) == ("Do you deliver today?", 2)
    assert (human["text"], human["direction"]) == ("Yes, we do!", "out")
    assert human["app_id"]
    assert [each["emoji"] for each in ours["reactions"]] == ["❤"]
    assert ours["status"] in ("sent", "delivered", "read")


def event(page: str, psid: str, change: JSON) -> bytes:
    now = int(time.time() * 1000)
    element = {"sender": {"id": psid}, "recipient": {"id": page}, "timestamp": now, **change}
    entry = {"id": page, "time": now, "messaging": [element]}
    return json.dumps({"object": "page", "entry": [entry]}).encode()
