"""One conversation in the console: who has it, what is written, what is decided about a message."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from libs.common.crypto import KeyRing
from libs.common.events import human_command_id
from libs.common.mongo import Database
from libs.common.settings import KafkaSettings, MongoSettings
from services.console.domain.roles import Role
from services.console.domain.tokens import Scope
from tests.integration.console import KEYS, Answer, Browser, Console, running_console
from tests.integration.thread_services import (
    CONVERSATION,
    PAGE,
    PSID,
    Services,
    ago,
    running_services,
)

HERE = f"/inbox/{CONVERSATION}"
KEY = "a-key-of-one-message"
SCRIPT = {"X-Requested-With": "inbox"}


@pytest.fixture
async def services() -> AsyncIterator[tuple[Services, str]]:
    async with running_services() as running:
        yield running


@pytest.fixture
async def console(
    database: Database, mongo: MongoSettings, services: tuple[Services, str]
) -> AsyncIterator[Console]:
    nobody = KafkaSettings(bootstrap_servers="127.0.0.1:9")
    async with running_console(database, mongo, kafka=nobody, services=services[1]) as console:
        admin = await console.first_admin()
        await database["channels"].insert_one(
            {
                "_id": PAGE,
                "workspace_id": admin.workspace_id,
                "assistant_id": "a",
                "page_name": "Corner Bakery",
                "token": KeyRing.parse(KEYS).encrypt("EAApage", context=PAGE),
                "settings": {"auto_resume_minutes": 30, "max_message_length": 100},
            }
        )
        yield console


@pytest.fixture
def played(services: tuple[Services, str]) -> Services:
    return services[0]


async def scripted(browser: Browser, path: str, **fields: str) -> dict[str, Any]:
    """As the inbox's script asks."""
    answer = await browser.ask("POST", HERE + path, data=fields, headers=SCRIPT)
    return {"status": answer.status, **as_json(answer)}


def as_json(answer: Answer) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(answer.text)
    return read


async def second_admin(console: Console) -> Browser:
    admin = await console.first_admin()
    await console.add("bo@example.org", Role.ADMIN, admin.workspace_id)
    browser = console.browser()
    assert (await browser.sign_in("bo@example.org")).status == 303
    return browser


async def actions(console: Console) -> list[tuple[str, str]]:
    wanted = {"action": {"$regex": "^conversation"}}
    found = await console.database["audit"].find(wanted).sort("at", 1).to_list(None)
    return [(each["action"], each["outcome"]) for each in found]


async def test_two_take_over_and_the_second_one_reads_who_has_it_and_keeps_the_text(
    console: Console, played: Services
) -> None:
    first, second = await console.admin(), await second_admin(console)
    taken = await first.post(f"{HERE}/take-over", {"minutes": "30"})
    assert (taken.status, taken.headers["Location"]) == (303, HERE)
    assert played.takeover["by_name"] == "ada@example.org"
    mine = await first.get(HERE)
    assert "You are replying assistant paused, returns in 29 min" in mine.words
    refused = await second.post(
        f"{HERE}/messages", {"text": "I am late", "key": KEY, "take": "yes"}
    )
    assert refused.status == 409
    assert "ada@example.org has this conversation since" in refused.words
    assert ">I am late</textarea>" in refused.text
    assert "Take over and send" in refused.words
    assert played.commands == {}
    owner = played.takeover["by"]
    sent = await second.post(
        f"{HERE}/messages", {"text": "I am late", "key": KEY, "take": "yes", "take_from": owner}
    )
    assert sent.status == 303
    assert [text for _, text in played.commands.values()] == ["I am late"]
    assert "bo@example.org is replying" in (await first.get(HERE)).words
    assert await actions(console) == [
        ("conversation.taken_over", "done"),
        ("conversation.taken_over", "refused"),
        ("conversation.taken_over", "done"),
        ("conversation.written_in", "done"),
    ]


async def test_the_audit_log_names_neither_the_person_nor_what_was_written(
    console: Console,
) -> None:
    admin = await console.admin()
    await scripted(admin, "/take-over", minutes="none")
    await scripted(admin, "/messages", text="the secret recipe", key=KEY)
    await scripted(admin, "/resume")
    found = str(await console.database["audit"].find({}).to_list(None))
    assert "Corner Bakery" in found
    for secret in (PSID, "Petrova", "recipe"):
        assert secret not in found


async def test_an_answer_that_got_lost_is_asked_for_again_and_the_message_is_sent_once(
    console: Console, played: Services
) -> None:
    admin = await console.admin()
    await scripted(admin, "/take-over", minutes="5")
    played.swallow = 1
    lost = await scripted(admin, "/messages", text="Hello", key=KEY)
    assert (lost["status"], lost["code"]) == (503, "service_away")
    again = await scripted(admin, "/messages", text="Hello", key=KEY)
    assert (again["status"], again["command_id"]) == (200, human_command_id(CONVERSATION, KEY))
    other = await scripted(admin, "/messages", text="Hello you", key=KEY)
    assert (other["status"], other["code"]) == (409, "idempotency_key_reused")
    assert len(played.messages) == 1


async def test_what_took_over_and_is_asked_for_again_takes_nothing_over_a_second_time(
    console: Console, played: Services
) -> None:
    admin = await console.admin()
    asked = {"text": "Hello", "key": KEY, "take": "yes", "minutes": "none"}
    played.swallow = 1
    assert (await scripted(admin, "/messages", **asked))["code"] == "service_away"
    played.hold("usr_mo", "Mo Berger")
    again = await scripted(admin, "/messages", **asked, again="yes")
    assert (again["status"], again["command_id"]) == (200, human_command_id(CONVERSATION, KEY))
    assert played.takeover["by_name"] == "Mo Berger"
    await scripted(admin, "/resume")
    assert (await scripted(admin, "/messages", **asked, again="yes"))["status"] == 200
    assert played.takeover["mode"] == "ai"
    unsent = await scripted(admin, "/messages", **asked | {"key": f"{KEY}-2"}, again="yes")
    assert (unsent["status"], played.takeover["mode"]) == (200, "human")
    assert len(played.commands) == 2


async def test_a_message_needs_the_conversation_and_no_text_is_lost_without_scripts(
    console: Console, played: Services
) -> None:
    admin = await console.admin()
    assert (await scripted(admin, "/messages", text="Hi", key=KEY))["code"] == "not_taken_over"
    page = await admin.post(f"{HERE}/messages", {"text": "Hi", "key": KEY})
    assert page.status == 409
    assert "The assistant has this conversation." in page.words
    assert ">Hi</textarea>" in page.text
    assert f'name="key" value="{KEY}"' in page.text
    played.away.add("/takeover")
    away = await admin.post(f"{HERE}/messages", {"text": "Hi", "key": KEY, "take": "yes"})
    assert away.status == 503
    assert ">Hi</textarea>" in away.text


@pytest.mark.parametrize(
    ("minutes", "own", "taken"),
    [
        ("none", "", None),
        ("30", "", 30),
        ("own", "45", 45),
        ("own", "10080", 10080),
        ("own", "4", "refused"),
        ("own", "10081", "refused"),
        ("own", "", "refused"),
        ("4", "", "refused"),
        ("soon", "", "refused"),
    ],
)
async def test_timers_are_from_five_minutes_to_seven_days(
    console: Console, played: Services, minutes: str, own: str, taken: object
) -> None:
    admin = await console.admin()
    answer = await scripted(admin, "/take-over", minutes=minutes, own=own)
    if taken == "refused":
        assert answer["status"] == 422
        assert "5 to 10,080" in answer["words"]
        assert played.takeover["mode"] == "ai"
    else:
        assert answer["ok"], answer
        bodies = [body for _, path, body in played.asked if path.endswith("/takeover") and body]
        assert bodies[-1].get("auto_resume_minutes") == taken


async def test_held_and_failed_messages_are_decided_about_by_the_generation_that_was_shown(
    console: Console, played: Services
) -> None:
    admin = await console.admin()
    played.hold("somebody", "Somebody")
    played.say("human", "Was it there?", {"by": "x", "by_name": "Mo"}, command="c1")
    played.messages[-1] |= {"status": "held", "explanation": "Facebook gave no clear answer."}
    played.deliveries = [delivery("c1:0", "held", generation=2)]
    page = await admin.get(HERE)
    assert "Facebook gave no clear answer." in page.words
    assert "It may have arrived: then Ana Petrova gets it twice." in page.words
    stale = await scripted(admin, "/deliveries/c1:0/send-again", generation="1")
    assert (stale["status"], stale["code"]) == (409, "changed")
    assert "Somebody decided about it meanwhile." in stale["words"]
    done = await scripted(admin, "/deliveries/c1:0/send-again", generation="2")
    assert done["ok"]
    assert "Being sent again" in (await admin.get(HERE)).words
    gone = await scripted(admin, "/deliveries/c2:0/discard", generation="0")
    assert (gone["status"], gone["code"]) == (409, "not_found")


def delivery(send_id: str, state: str, *, generation: int = 0) -> dict[str, Any]:
    return {
        "id": send_id,
        "conversation": CONVERSATION,
        "page_id": PAGE,
        "psid": PSID,
        "state": state,
        "generation": generation,
        "at": ago(hours=1),
    }


async def test_a_service_that_is_away_takes_only_its_own_part_along(
    console: Console, played: Services
) -> None:
    admin = await console.admin()
    played.say("assistant", "Good morning", {}, command="c1")
    played.messages[-1] |= {"status": "failed", "explanation": "It was refused."}
    played.away |= {"/deliveries", "/takeover"}
    page = await admin.get(HERE)
    assert page.status == 200
    assert "Good morning" in page.words
    assert "Who has it can't be confirmed at the moment." in page.words
    assert "The sender gives no answer" in page.words
    played.away = {"/messages"}
    page = await admin.get(HERE)
    assert page.status == 200
    assert "The messages can't be read at the moment. Nothing is lost." in page.words
    assert "Take over" in page.words


async def test_fifty_messages_at_once_and_earlier_ones_by_cursor(
    console: Console, played: Services
) -> None:
    admin = await console.admin()
    for number in range(120):
        played.say("assistant", f"number {number}.", {}, command=f"c{number}")
    latest = await admin.get(f"{HERE}/thread")
    assert latest.text.count("data-command=") == 50
    assert "number 119." in latest.text
    assert 'data-earlier="c50"' in latest.text
    earliest = await admin.get(f"{HERE}/messages?before=c100")
    assert earliest.text.count("data-command=") == 20
    assert "data-earlier=" not in earliest.text
    found = await admin.get(f"{HERE}/messages?find=NUMBER+7.")
    assert found.text.count("data-command=") == 1
    assert "<mark>number 7.</mark>" in found.text


async def test_what_is_hostile_is_text_and_links_lead_nowhere_by_themselves(
    console: Console, played: Services
) -> None:
    admin = await console.admin()
    nasty = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
    played.row["name"] = nasty
    played.messages = [
        {
            "id": f"{PAGE}:m1",
            "at": ago(minutes=5),
            "direction": "in",
            "origin": "person",
            "text": f"{nasty} javascript:alert(3) https://good.example/a?b=1&c=2",
            "attachments": [
                {"type": "file", "url": "javascript:alert(4)", "title": nasty},
                {"type": "image", "url": "https://cdn.example/p.jpg"},
            ],
            "reactions": [{"emoji": nasty}],
        }
    ]
    page = await admin.get(HERE)
    assert page.status == 200
    assert "<script>alert" not in page.text
    assert "<img" not in page.text
    assert 'href="javascript' not in page.text
    assert 'href="https://good.example/a?b=1&amp;c=2" target="_blank" rel="noopener' in page.text
    assert 'href="https://cdn.example/p.jpg"' in page.text


async def test_nobody_else_sees_or_does_anything(console: Console, played: Services) -> None:
    await console.add("eve@example.org", Role.ADMIN, "wsp_theirs")
    eve, member = console.browser(), await console.member()
    await eve.sign_in("eve@example.org")
    posts = ("take-over", "extend", "resume", "messages", "parts", "deliveries/c1:0/discard")
    given = {"text": "x", "key": KEY, "minutes": "30"}
    for path in ("", "/thread", "/messages"):
        assert (await eve.get(HERE + path)).status == 404, path
        assert (await member.get(HERE + path)).status == 403, path
    for path in posts:
        assert (await eve.post(f"{HERE}/{path}", given)).status == 404, path
        assert (await member.post(f"{HERE}/{path}", given)).status == 403, path
    assert not [path for _, path, _ in played.asked if "takeover" in path or "deliver" in path]


async def test_how_many_messages_a_text_takes(console: Console) -> None:
    admin = await console.admin()
    assert (await scripted(admin, "/parts", text="Hello"))["parts"] == 1
    assert (await scripted(admin, "/parts", text="A sentence of some length. " * 9))["parts"] == 3
    assert (await scripted(admin, "/parts", text="x" * 20_001))["status"] == 422


async def test_programs_take_over_write_once_and_return(console: Console, played: Services) -> None:
    token = await console.api_token(Scope.CONVERSATIONS_READ, Scope.CONVERSATIONS_WRITE)
    program = Program(console, {"Authorization": f"Bearer {token}"})
    path = f"/api/v1/conversations/{CONVERSATION}"
    assert await program.ask("POST", f"{path}/messages", {"text": "Hi"}) == (422, "invalid_header")
    keyed = {"Idempotency-Key": "k 1"}
    assert await program.ask("POST", f"{path}/messages", {"text": "Hi"}, **keyed) == (
        409,
        "not_taken_over",
    )
    assert await program.ask("POST", f"{path}/takeover", {"auto_resume_minutes": 4}) == (
        422,
        "invalid",
    )
    status, taken = await program.ask("POST", f"{path}/takeover", {"auto_resume_minutes": 5})
    assert (status, taken["mode"], taken["by_name"]) == (200, "human", "ada@example.org")
    for _ in range(2):
        status, sent = await program.ask("POST", f"{path}/messages", {"text": " Hi"}, **keyed)
        [(command, _)] = played.commands.values()
        assert (status, sent["command_id"]) == (202, command)
    assert [each["text"] for each in played.messages] == [" Hi"]
    status, resumed = await program.ask("POST", f"{path}/takeover/resume", {})
    assert (status, resumed["mode"]) == (200, "ai")
    played.hold("usr_other", "Mo")
    assert await program.ask("POST", f"{path}/takeover", {}) == (409, "already_taken")
    played.deliveries = [delivery("c1:0", "held")]
    status, listed = await program.ask("GET", f"{path}/deliveries", None)
    assert [each["id"] for each in listed["deliveries"]] == ["c1:0"]
    wrong = await program.ask("POST", f"{path}/deliveries/c1:0/discard", {"generation": 3})
    assert wrong == (409, "changed")
    assert await program.ask("POST", f"{path}/deliveries/c9:0/discard", {}) == (409, "not_listed")
    assert await program.ask("GET", "/api/v1/conversations/99:1/takeover", None) == (
        404,
        "not_found",
    )


class Program:
    """Asks `/api/v1` with a token."""

    def __init__(self, console: Console, token: dict[str, str]) -> None:
        self._token = token
        self._browser = console.browser()

    async def ask(self, method: str, path: str, body: object, **headers: str) -> tuple[int, Any]:
        """The status with the answer, or with the error's code."""
        data = None if body is None else json.dumps(body).encode()
        answer = await self._browser.ask(method, path, data=data, headers=self._token | headers)
        read = json.loads(answer.text)
        return answer.status, read["error"]["code"] if "error" in read else read
