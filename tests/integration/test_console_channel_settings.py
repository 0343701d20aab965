"""A Page's settings in the console: cards, versions, the audit log, and what Facebook is told."""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest

from libs.common.channels import ChannelSettings
from libs.common.crypto import KeyRing
from libs.common.graph import ConnectingClient
from libs.common.mongo import Database, Document
from libs.common.settings import MongoSettings
from services.console.channels_store import ChannelStore
from services.console.domain.roles import Role
from services.console.domain.tokens import Scope
from services.console.records import ConnectedChannel, Connection
from services.console.web.pages import CHECKS
from simulator.client import Simulator
from tests.browser.site import Site
from tests.integration.console import KEYS, Answer, Browser, Console, running_console
from tests.integration.test_console_connecting import Person

VERSION = re.compile(r'name="version" value="(\d+)"')
DEFAULTS = ChannelSettings()
REPLIES = {
    "max_message_length": "2000",
    "text_only_reply": DEFAULTS.text_only_reply,
    "fallback_text": DEFAULTS.fallback_text,
}
GREETING = {
    "greeting": "Hello {{user_first_name}}!",
    "get_started_payload": "GET_STARTED",
    "welcome_prompt": DEFAULTS.welcome_prompt,
}
ASSISTANT = {"enabled": "true", "assistant_id": "crumb", "quiet_window_s": "0.8"}
HANDOVER = {"handover_text": "A colleague comes.", "handover_languages": "en"}
CANARY = "a-canary-secret-of-hooks"


WRONG: list[tuple[str, dict[str, str], str, str]] = [
    ("replies", REPLIES | {"max_message_length": "49"}, "max_message_length", "Enter 50 or"),
    ("replies", REPLIES | {"max_message_length": "2001"}, "max_message_length", "2000 or"),
    ("replies", REPLIES | {"max_message_length": "many"}, "max_message_length", "a whole"),
    ("replies", REPLIES | {"fallback_text": "  "}, "fallback_text", "Fill this in."),
    ("replies", REPLIES | {"fallback_text": "a" * 2001}, "fallback_text", "at most 2000"),
    ("greeting", GREETING | {"greeting": "a" * 161}, "greeting", "at most 160"),
    ("greeting", GREETING | {"greeting": "😀" * 81}, "greeting", "at most 160"),
    ("greeting", GREETING | {"greeting": "Hi {{name}}"}, "greeting", "nothing else"),
    (
        "greeting",
        GREETING | {"get_started_payload": "a" * 1001},
        "get_started_payload",
        "at most 1000",
    ),
    ("greeting", GREETING | {"welcome_prompt": ""}, "welcome_prompt", "Fill this in."),
    ("assistant", ASSISTANT | {"quiet_window_s": "11"}, "quiet_window_s", "10 or less"),
    ("assistant", ASSISTANT | {"quiet_window_s": "nan"}, "quiet_window_s", "Enter a number."),
    ("assistant", ASSISTANT | {"assistant_id": "theirs"}, "assistant_id", "one of the work"),
    ("handover", HANDOVER | {"handover_languages": "xx"}, "handover_languages", "one of these"),
    ("handover", HANDOVER | {"auto_resume_minutes": "4"}, "auto_resume_minutes", "5 or more"),
    (
        "handover",
        HANDOVER | {"handover_phrases": "\n".join("abcd" * 13 + str(n) for n in range(51))},
        "handover_phrases",
        "at most 50 lines; these are 51",
    ),
    (
        "handover",
        HANDOVER | {"handover_phrases": "ok\n" + "a" * 201},
        "handover_phrases",
        "Line 2 is longer",
    ),
    (
        "handover",
        HANDOVER | {"notification_url": "http://hooks.example.org/x"},
        "notification_url",
        "has to begin with https://",
    ),
    (
        "handover",
        HANDOVER | {"notification_url": "https://me:pw@hooks.example.org"},
        "notification_url",
        "without a user name",
    ),
    ("handover", HANDOVER | {"notification_url": "hooks"}, "notification_url", "whole address"),
    ("limits", {"session_idle_hours": "0", "loop_turns": "8"}, "session_idle_hours", "0.1 or"),
]


@pytest.fixture
async def console(database: Database, mongo: MongoSettings, site: Site) -> AsyncIterator[Console]:
    async with running_console(database, mongo, facebook_url=site.url) as console:
        yield console


@dataclass
class Shop:
    """A connected Page, as its administrators have it before them."""

    console: Console
    facebook: Simulator
    browser: Browser
    page: str

    @property
    def path(self) -> str:
        return f"/channels/{self.page}/settings"

    async def save(self, card: str, version: int = 0, /, **typed: str) -> Answer:
        return await self.browser.post(f"{self.path}/{card}", {"version": str(version), **typed})

    async def stored(self) -> Document:
        found = await self.console.database["channels"].find_one({"_id": self.page})
        assert found is not None
        return dict(found)

    async def setting(self, name: str) -> Any:  # noqa: ANN401
        return (await self.stored())["settings"][name]

    async def audit(self) -> list[Document]:
        found = await self.console.database["audit"].find({}).sort([("at", 1)]).to_list(None)
        return [each for each in found if each["action"].startswith("channel.")]

    async def at_facebook(self) -> dict[str, Any]:
        (profile,) = [
            each["messenger_profile"]
            for each in await self.facebook.pages()
            if each["id"] == self.page
        ]
        return dict(profile)


@pytest.fixture
async def shop(console: Console, facebook: Simulator) -> Shop:
    """Connected without the clicks, with two assistants to choose from."""
    page = await facebook.add_page("Corner Shop")
    admin = await console.first_admin()
    for name in ("crumb", "loaf"):
        await console.database["assistants"].insert_one(
            {
                "_id": name,
                "workspace_id": admin.workspace_id,
                "name": name.capitalize(),
                "system_prompt": "Be brief.",
            }
        )
    token = KeyRing.parse(KEYS).encrypt(page["access_token"], context=page["id"])
    connection = Connection(at=datetime.now(UTC), account_id=admin.id, facebook_user_id="1")
    await console.database["channels"].insert_one(
        {
            "_id": page["id"],
            "workspace_id": admin.workspace_id,
            "assistant_id": "crumb",
            "page_name": "Corner Shop",
            "token": token,
            "status": "active",
            "connection": connection.model_dump(),
        }
    )
    return Shop(console, facebook, await console.admin(), page["id"])


# Cards


async def test_a_card_is_saved_told_and_noted(shop: Shop) -> None:
    saved = await shop.save("replies", **REPLIES | {"max_message_length": "300"})
    assert (saved.status, saved.headers["Location"]) == (303, f"{shop.path}#card-replies")
    assert await shop.setting("max_message_length") == 300
    assert await shop.console.log.wait_for(1) == [("channel.updated", shop.page)]
    (entry,) = await shop.audit()
    assert (entry["action"], entry["outcome"]) == ("channel.settings_changed", "done")
    assert entry["details"] == {"max_message_length": "2000 → 300"}
    shown = await shop.browser.get(shop.path)
    assert "Saved." in shown.words
    assert "Changed by ada@example.org" in shown.words
    assert 'value="300"' in shown.text
    assert "2000 → 300" in (await shop.browser.get("/audit")).words


async def test_saving_what_is_so_already_changes_nothing(shop: Shop) -> None:
    before = await shop.stored()
    saved = await shop.save("replies", **REPLIES)
    assert saved.status == 303
    assert "Nothing to change." in (await shop.browser.get(shop.path)).words
    assert await shop.stored() == before
    assert await shop.audit() == []


async def test_what_is_wrong_stands_at_its_field(shop: Shop) -> None:
    before = await shop.stored()
    for card, typed, field, words in WRONG:
        refused = await shop.save(card, **typed)
        assert refused.status == 422, typed
        found = re.search(rf'id="{card}-{field}-error">(.*?)</p>', refused.text, re.DOTALL)
        assert found, (typed, refused.words)
        assert words in unescape(re.sub(r"<[^>]+>", "", found[1])), (typed, found[1])
    assert await shop.stored() == before


async def test_two_administrators_on_two_cards_both_win(shop: Shop) -> None:
    answers = await asyncio.gather(
        shop.save("replies", **REPLIES | {"max_message_length": "300"}),
        shop.save("contacts", contact_matching="true"),
        shop.save("assistant", **ASSISTANT | {"quiet_window_s": "2"}),
        shop.save("handover", **HANDOVER),
    )
    assert [answer.status for answer in answers] == [303] * 4
    settings = (await shop.stored())["settings"]
    assert settings["max_message_length"] == 300
    assert settings["contact_matching"] is True
    assert settings["quiet_window_s"] == 2
    assert settings["handover_text"] == "A colleague comes."
    assert (await shop.stored())["settings_version"] == 4


async def test_of_two_on_one_card_the_second_sees_what_the_first_has_done(shop: Shop) -> None:
    await shop.save("replies", **REPLIES | {"fallback_text": "Theirs."})
    late = await shop.save("replies", 0, **REPLIES | {"fallback_text": "Mine."})
    assert late.status == 422
    assert "ada@example.org changed this card on" in late.words
    row = re.search(r"Reply when the assistant.*?</tr>", late.text)
    assert row
    assert re.sub(r"<[^>]+>", "|", row[0]).split("|")[1::2][:3] != []
    assert "Theirs." in row[0]
    assert "Mine." in row[0]
    assert ">Mine.</textarea>" in late.text  # what was typed is still there
    assert await shop.setting("fallback_text") == "Theirs."
    assert (await shop.audit())[-1]["reason"] == "changed_meanwhile"
    found = re.search(r'id="form-replies".*?name="version" value="(\d+)"', late.text, re.DOTALL)
    assert found
    again = await shop.save("replies", int(found[1]), **REPLIES | {"fallback_text": "Mine."})
    assert again.status == 303
    assert await shop.setting("fallback_text") == "Mine."


async def test_of_many_at_the_same_moment_one_gets_the_card(shop: Shop) -> None:
    answers = await asyncio.gather(
        *(shop.save("replies", 0, **REPLIES | {"fallback_text": f"{n}"}) for n in range(6))
    )
    assert sorted(answer.status for answer in answers) == [303, *[422] * 5]
    assert (await shop.stored())["settings_version"] == 1


async def test_an_assistant_that_is_deleted_meanwhile_is_not_chosen(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = ChannelStore.change_settings

    async def late(store: ChannelStore, before: ConnectedChannel, changes: dict[str, Any]) -> bool:
        deleted = await shop.browser.post("/assistants/loaf/delete")  # no Page has it yet
        assert deleted.status in (303, 404)
        return await write(store, before, changes)

    monkeypatch.setattr(ChannelStore, "change_settings", late)
    typed = ASSISTANT | {"assistant_id": "loaf", "quiet_window_s": "2"}
    refused = await shop.save("assistant", **typed)
    assert (refused.status, "Choose one of the" in refused.words) == (422, True)
    stored = await shop.stored()
    assert (stored["assistant_id"], stored["settings"]["quiet_window_s"]) == ("crumb", 0.8)
    assert [each["outcome"] for each in await shop.audit()] == ["refused"]


async def test_pausing_and_resuming(shop: Shop) -> None:
    paused = await shop.browser.post(f"/channels/{shop.page}/pause")
    assert paused.headers["Location"] == f"/channels/{shop.page}"
    assert (await shop.stored())["enabled"] is False
    shown = (await shop.browser.get(f"/channels/{shop.page}")).words
    assert "The assistant is paused." in shown
    assert "switched off for this Page by ada@example.org" in shown
    assert "Resume the assistant" in shown
    # a form from before the pause doesn't undo it by accident
    stale = await shop.save("assistant", 0, **ASSISTANT)
    assert stale.status == 422
    await shop.browser.post(f"/channels/{shop.page}/resume")
    assert (await shop.stored())["enabled"] is True
    done = [each["action"] for each in await shop.audit() if each["outcome"] == "done"]
    assert done == ["channel.paused", "channel.resumed"]
    assert len(await shop.console.log.wait_for(2)) == 2


async def test_every_setting_can_be_changed(shop: Shop) -> None:
    await shop.save("assistant", assistant_id="loaf", prompt_addition="Rhyme.", quiet_window_s="3")
    await shop.save("greeting", 1, greeting="Hi", get_started_payload="GO", welcome_prompt="Greet.")
    await shop.save(
        "replies", 2, max_message_length="50", text_only_reply="Text only.", fallback_text="Later."
    )
    await shop.browser.post(
        f"{shop.path}/handover",
        [
            ("version", "3"),
            ("handover_text", "Soon."),
            ("handover_languages", "de"),
            ("handover_languages", "th"),
            ("handover_phrases", "Chef bitte\r\n\r\nOberkellner\r\nChef bitte"),
            ("notification_url", "https://hooks.example.org/services/T0"),
            ("notification_secret", CANARY),
            ("auto_resume_minutes", "30"),
        ],
    )
    await shop.save("contacts", 4, contact_matching="true", auto_create_contacts="true")
    await shop.save(
        "limits",
        5,
        daily_model_calls="10",
        daily_model_tokens="1000",
        session_idle_hours="1,5",
        loop_turns="0",
        loop_pause_minutes="2",
    )
    stored = await shop.stored()
    secret = stored["settings"].pop("notification_secret")
    assert KeyRing.parse(KEYS).decrypt(secret, context=shop.page) == CANARY
    assert (stored["enabled"], stored["assistant_id"]) == (False, "loaf")
    assert stored["settings"] == {
        "prompt_addition": "Rhyme.",
        "quiet_window_s": 3.0,
        "greeting": "Hi",
        "get_started_payload": "GO",
        "welcome_prompt": "Greet.",
        "max_message_length": 50,
        "text_only_reply": "Text only.",
        "fallback_text": "Later.",
        "handover_text": "Soon.",
        "handover_languages": ["de", "th"],
        "handover_phrases": ["Chef bitte", "Oberkellner"],
        "notification_url": "https://hooks.example.org/services/T0",
        "pause_on_facebook_reply": False,
        "auto_resume_minutes": 30,
        "contact_matching": True,
        "auto_create_contacts": True,
        "daily_model_calls": 10,
        "daily_model_tokens": 1000,
        "session_idle_s": 5400.0,
        "loop_turns": 0,
        "loop_pause_s": 120.0,
    }
    names = set(stored["settings"]) | {"notification_secret"}
    assert names == set(ChannelSettings.model_fields), "a setting that no card has"
    assert stored["settings_version"] == 6


async def test_a_member_reads_and_cannot_change(shop: Shop) -> None:
    await shop.save(
        "handover",
        **HANDOVER
        | {"notification_url": "https://hooks.example.org/T0/xyz", "notification_secret": CANARY},
    )
    member = await shop.console.member()
    shown = await member.get(shop.path)
    assert shown.status == 200
    assert "Changing them needs the role Admin" in shown.words
    assert DEFAULTS.fallback_text in shown.words
    assert "hooks.example.org" in shown.words
    assert "T0/xyz" not in shown.text
    assert "<form" not in shown.text.partition("<main")[2].partition("</main>")[0]
    overview = await member.get(f"/channels/{shop.page}")
    assert "Pause" not in overview.words
    before = await shop.stored()
    assert (await member.post(f"{shop.path}/replies", REPLIES)).status == 403
    assert (await member.post(f"/channels/{shop.page}/pause")).status == 403
    assert await shop.stored() == before


async def test_another_workspaces_page_is_not_there(shop: Shop) -> None:
    await shop.console.add("eve@example.org", Role.ADMIN, "elsewhere")
    eve = shop.console.browser()
    await eve.sign_in("eve@example.org")
    before = await shop.stored()
    assert (await eve.get(shop.path)).status == 404
    for path in ("settings/replies", "settings/profile", "pause", "resume"):
        assert (await eve.post(f"/channels/{shop.page}/{path}", REPLIES)).status == 404
    assert await shop.stored() == before


async def test_a_secret_is_replaced_and_removed_and_never_shown(
    shop: Shop, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.INFO, "pymongo")  # shows its commands, which is never switched on
    typed = HANDOVER | {"notification_url": "https://hooks.example.org/T0/xyz"}
    shown = [(await shop.save("handover", **typed, notification_secret=CANARY)).text]
    kept = await shop.setting("notification_secret")
    shown.append((await shop.save("handover", 1, **typed | {"handover_text": "Now."})).text)
    assert await shop.setting("notification_secret") == kept  # an empty field leaves it
    refused = await shop.save("handover", 0, **typed, notification_secret=CANARY)
    assert refused.status == 422
    shown += [refused.text, (await shop.browser.get(shop.path)).text]
    assert "One is stored." in shown[-1]
    await shop.save("handover", 2, **typed, forget_secret="true")
    assert await shop.setting("notification_secret") == ""
    shown += [(await shop.browser.get(each)).text for each in (shop.path, "/audit", "/metrics")]
    told = [each["details"].get("notification_secret") for each in await shop.audit()]
    assert told == ["stored", None, "replaced", "removed"]
    names = await shop.console.database.list_collection_names()
    stored = str([await shop.console.database[name].find({}).to_list(None) for name in names])
    printed = "".join(capfd.readouterr()) + caplog.text
    assert CANARY not in "".join(shown) + stored + printed
    assert kept not in "".join(shown)
    assert "T0/xyz" not in printed + str(await shop.audit())


# Greeting and Get Started


async def test_greeting_and_button_are_written_to_facebook_and_removed_there(shop: Shop) -> None:
    await shop.save("greeting", **GREETING)
    assert await shop.at_facebook() == {
        "get_started": {"payload": "GET_STARTED"},
        "greeting": [{"locale": "default", "text": "Hello {{user_first_name}}!"}],
    }
    shown = (await shop.browser.get(shop.path)).words
    assert "Facebook has what is stored here. It may take minutes" in shown
    assert "Hello Alex!" in shown
    bare = GREETING | {"greeting": "", "get_started_payload": ""}
    await shop.save("greeting", 1, **bare)
    assert await shop.at_facebook() == {}
    assert "Greeting there none Get Started there none" in (await shop.browser.get(shop.path)).words


async def test_what_facebook_has_already_is_not_written_again(shop: Shop) -> None:
    """A Page has ten such calls in ten minutes; and other languages' greetings stay."""
    await shop.save("greeting", **GREETING)
    calls = len(await shop.facebook.calls(shop.page))
    await shop.save("greeting", 1, **GREETING | {"welcome_prompt": "Say hello."})
    assert len(await shop.facebook.calls(shop.page)) == calls
    await shop.save("greeting", 2, **GREETING | {"get_started_payload": "GO"})
    assert len(await shop.facebook.calls(shop.page)) == calls + 1
    assert (await shop.at_facebook())["get_started"] == {"payload": "GO"}


@pytest.mark.parametrize(
    ("faults", "words", "code"),
    [
        (
            [{"error": {"code": 100, "message": "secret words"}}],
            "Not yet at Facebook. Facebook refused it (code 100, trace ",
            "code 100",
        ),
        ([{"error": {"code": 613, "error_subcode": 2534040, "message": "m"}}], "ten min", "613/"),
        ([{"error": {"code": 190, "error_subcode": 460, "message": "m"}}], "Reconnect", "190/460"),
        ([{"error": {"code": 200, "message": "m"}}], "a permission is missing", "code 200"),
        ([{"drop": "before", "times": 1}], "Not yet at Facebook", ""),
        ([{"drop": "before", "times": 9}], "not known whether Facebook has it", ""),
        ([{"drop": "after_accept"}, {"status": 500, "body": "no"}], "not known whether", ""),
    ],
    ids=["refused", "limited", "token", "permission", "lost", "silent", "unknown"],
)
async def test_what_facebook_does_not_take_is_kept_and_tried_again(
    shop: Shop, faults: list[dict[str, Any]], words: str, code: str
) -> None:
    for fault in faults:
        await shop.facebook.add_fault(endpoint="messenger_profile", page=shop.page, **fault)
    assert (await shop.save("greeting", **GREETING)).status == 303
    shown = await shop.browser.get(shop.path)
    assert words in shown.words
    assert code in shown.words
    assert "secret words" not in shown.text
    assert "Try again" in shown.words
    assert await shop.setting("greeting") == GREETING["greeting"]
    await shop.facebook.clear_faults()
    again = await shop.browser.post(f"{shop.path}/profile")
    assert again.headers["Location"] == f"{shop.path}#card-greeting"
    assert (await shop.at_facebook())["greeting"][0]["text"] == GREETING["greeting"]
    shown = await shop.browser.get(shop.path)
    assert "Facebook has what is stored here" in shown.words
    assert "Try again" not in shown.words
    assert (await shop.audit())[-1]["action"] == "channel.profile_written"


async def test_an_answer_that_got_lost_is_found_out(shop: Shop) -> None:
    await shop.facebook.add_fault(endpoint="messenger_profile", drop="after_accept")
    await shop.save("greeting", **GREETING)
    assert "Facebook has what is stored here" in (await shop.browser.get(shop.path)).words


async def test_a_menu_at_facebook_keeps_get_started(shop: Shop, site: Site) -> None:
    await shop.save("greeting", **GREETING)
    page = site.simulator.world.page(shop.page)
    items = [{"type": "postback", "title": "Help", "payload": "HELP"}]
    page.messenger_profile = {
        **page.messenger_profile,
        "persistent_menu": [{"locale": "default", "call_to_actions": items}],
    }
    await shop.save("greeting", 1, **GREETING | {"greeting": "Hi", "get_started_payload": ""})
    shown = (await shop.browser.get(shop.path)).words
    assert "persistent menu at Facebook, and that needs Get Started" in shown
    assert "Greeting there Hi Get Started there GET_STARTED" in shown


async def test_a_lost_page_keeps_the_wish_until_it_is_connected_again(shop: Shop) -> None:
    await shop.console.database["channels"].update_one(
        {"_id": shop.page}, {"$set": {"status": "disconnected", "token": ""}}
    )
    await shop.save("greeting", **GREETING)
    shown = (await shop.browser.get(shop.path)).words
    assert "Not yet at Facebook. The Page is not connected." in shown
    assert await shop.at_facebook() == {}


async def look(console: Console) -> None:
    console.clock.ahead += timedelta(minutes=15, seconds=1)
    await console.app[CHECKS].get().check_due()


async def test_the_regular_look_writes_what_was_refused(shop: Shop) -> None:
    await shop.facebook.add_fault(
        endpoint="messenger_profile", error={"code": 2, "message": "m"}, times=9
    )
    await shop.save("greeting", **GREETING)
    await shop.facebook.clear_faults()
    assert await shop.at_facebook() == {}
    await look(shop.console)
    assert (await shop.at_facebook())["greeting"][0]["text"] == GREETING["greeting"]
    assert (await shop.stored())["profile"]["outcome"] == "written"


async def test_a_page_brings_its_greeting_along(shop: Shop, site: Site) -> None:
    page = site.simulator.world.page(shop.page)
    page.messenger_profile = {
        "greeting": [{"locale": "default", "text": "Welcome!"}],
        "get_started": {"payload": "START"},
    }
    before = dict(page.messenger_profile)
    await look(shop.console)
    assert await shop.setting("greeting") == "Welcome!"
    assert await shop.setting("get_started_payload") == "START"
    assert await shop.at_facebook() == before
    assert await shop.console.log.wait_for(1) == [("channel.updated", shop.page)]
    assert "Taken from Facebook" in (await shop.browser.get(shop.path)).words


async def test_a_page_without_one_gets_get_started(shop: Shop) -> None:
    await look(shop.console)
    assert await shop.at_facebook() == {"get_started": {"payload": "GET_STARTED"}}
    assert shop.console.log.records == []  # no setting has changed


async def test_whoever_was_late_at_facebook_writes_what_is_wanted_now(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first write is held up; meanwhile somebody saves another greeting, which is written."""
    gate, calls = asyncio.Event(), 0
    write = ConnectingClient.set_messenger_profile

    async def held_up(client: ConnectingClient, *args: Any) -> None:  # noqa: ANN401
        nonlocal calls
        calls += 1
        if calls == 1:
            await gate.wait()
        await write(client, *args)

    monkeypatch.setattr(ConnectingClient, "set_messenger_profile", held_up)
    first = asyncio.create_task(shop.save("greeting", **GREETING))
    async with asyncio.timeout(10):
        while not calls:
            await asyncio.sleep(0.01)
    await shop.save("greeting", 1, **GREETING | {"greeting": "Second"})
    assert (await shop.at_facebook())["greeting"][0]["text"] == "Second"
    gate.set()
    await first
    assert (await shop.at_facebook())["greeting"][0]["text"] == "Second"
    stored = await shop.stored()
    assert (stored["settings"]["greeting"], stored["profile"]["greeting"]) == ("Second", "Second")
    assert calls == 3


# Programs


class Program:
    """Somebody's program, with a token that may do all."""

    def __init__(self, shop: Shop, token: str) -> None:
        self._shop, self._browser = shop, shop.console.browser()
        self._headers = {"Authorization": f"Bearer {token}"}

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        answer = await self._browser.ask(
            method,
            f"/api/v1/channels/{self._shop.page}/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers=self._headers,
        )
        assert CANARY not in answer.text
        return answer.status, json.loads(answer.text)


@pytest.fixture
async def program(shop: Shop) -> Program:
    return Program(shop, str(await shop.console.api_token(*Scope, name="nightly")))


async def test_programs_read_and_change_settings(shop: Shop, program: Program) -> None:
    status, before = await program.ask("GET", "settings")
    assert (status, before["version"], before["enabled"]) == (200, 0, True)
    assert before["messenger_profile"]["state"] == "unknown"
    change = {
        "version": 0,
        "max_message_length": 300,
        "greeting": "Hi",
        "auto_resume_minutes": 30,
        "handover_phrases": ["Chef bitte"],
        "notification_url": "https://hooks.example.org/T0/xyz",
        "notification_secret": CANARY,
    }
    status, after = await program.ask("PATCH", "settings", change)
    assert status == 200
    assert after["notification_host"] == "hooks.example.org"
    assert after["has_notification_secret"] is True
    assert set(after["changed"]) == {"greeting", "replies", "handover"}
    assert after["messenger_profile"]["state"] == "written"
    unchanged = set(before) - {
        *change,
        "notification_host",
        "has_notification_secret",
        "changed",
        "messenger_profile",
    }
    assert {name: after[name] for name in unchanged} == {name: before[name] for name in unchanged}
    assert (await shop.at_facebook())["greeting"][0]["text"] == "Hi"
    status, cleared = await program.ask("PATCH", "settings", {"auto_resume_minutes": None})
    assert (status, cleared["auto_resume_minutes"], cleared["version"]) == (200, None, 2)
    (entry, _) = await shop.audit()
    assert (entry["via"], entry["details"]["auto_resume_minutes"]) == ("nightly", "none → 30")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"greeting": "a" * 161}, "greeting"),
        ({"greeting": "Hi {{name}}"}, "greeting"),
        ({"greeting": "\ud800"}, "greeting"),
        ({"greeting": None}, "greeting"),
        ({"get_started_payload": "a" * 1001}, "get_started_payload"),
        ({"max_message_length": 49}, "max_message_length"),
        ({"max_message_length": "300"}, "max_message_length"),
        ({"text_only_reply": "  "}, "text_only_reply"),
        ({"quiet_window_s": 10.5}, "quiet_window_s"),
        ({"pause_on_facebook_reply": 1}, "pause_on_facebook_reply"),
        ({"auto_resume_minutes": 10_081}, "auto_resume_minutes"),
        ({"daily_model_calls": 10**30}, "daily_model_calls"),
        ({"handover_languages": ["xx"]}, "handover_languages.0"),
        ({"handover_phrases": ["a"] * 51}, "handover_phrases"),
        ({"handover_phrases": ["ok", "a" * 201]}, "handover_phrases.1"),
        ({"notification_url": "hooks"}, "notification_url"),
        ({"assistant_id": "theirs"}, "assistant_id"),
        ({"enabled": False}, "enabled"),
        ({"version": -1}, "version"),
    ],
)
async def test_a_refusal_names_the_field(
    shop: Shop, program: Program, change: dict[str, Any], field: str
) -> None:
    before = await shop.stored()
    status, answer = await program.ask("PATCH", "settings", change)
    assert (status, answer["error"]["field"]) == (422, field)
    assert await shop.stored() == before


async def test_a_program_is_told_that_a_card_was_changed_meanwhile(
    shop: Shop, program: Program
) -> None:
    await shop.save("replies", **REPLIES | {"fallback_text": "Theirs."})
    status, answer = await program.ask("PATCH", "settings", {"version": 0, "text_only_reply": "T"})
    assert (status, answer["error"]["code"]) == (409, "changed_meanwhile")
    assert "changed by ada@example.org at" in answer["error"]["message"]
    status, _ = await program.ask("PATCH", "settings", {"version": 0, "loop_turns": 3})
    assert status == 200
    status, _ = await program.ask("PATCH", "settings", {"text_only_reply": "T"})
    assert status == 200


async def test_programs_pause_resume_and_write_the_profile(shop: Shop, program: Program) -> None:
    status, paused = await program.ask("POST", "pause")
    assert (status, paused["enabled"]) == (200, False)
    assert (await program.ask("POST", "pause"))[1]["version"] == paused["version"]
    assert (await program.ask("POST", "resume"))[1]["enabled"] is True
    refusal = {"code": 100, "error_subcode": 33, "message": "secret words"}
    await shop.facebook.add_fault(endpoint="messenger_profile", error=refusal)
    status, written = await program.ask("POST", "messenger-profile")
    profile = written["messenger_profile"]
    assert (status, profile["state"], profile["code"]) == (200, "missing", "100/33")
    assert "secret words" not in str(written)
    _, written = await program.ask("POST", "messenger-profile")
    assert written["messenger_profile"]["get_started_payload"] == "GET_STARTED"


# Connecting


async def connected(console: Console, facebook: Simulator, page: str) -> Shop:
    person = Person(await console.admin(), facebook)
    assert "is connected" in (await person.connect(page)).words
    return Shop(console, facebook, person.browser, page)


async def settled(shop: Shop) -> None:
    """First its profile is taken over as it is, then Get Started is written."""
    async with asyncio.timeout(20):
        while not ((await shop.stored())["profile"] or {}).get("get_started"):
            await asyncio.sleep(0.02)


async def test_a_page_that_is_connected_gets_its_button(
    console: Console, facebook: Simulator
) -> None:
    page = await facebook.add_page("New Shop", subscribed=False)
    shop = await connected(console, facebook, page["id"])
    await settled(shop)
    assert await shop.at_facebook() == {"get_started": {"payload": "GET_STARTED"}}


async def test_a_page_is_connected_whatever_becomes_of_its_greeting(
    console: Console, facebook: Simulator
) -> None:
    page = await facebook.add_page("New Shop", subscribed=False)
    await facebook.add_fault(endpoint="messenger_profile", drop="before", times=30)
    shop = await connected(console, facebook, page["id"])
    async with asyncio.timeout(20):
        while not any(
            call["endpoint"] == "messenger_profile" for call in await facebook.calls(shop.page)
        ):
            await asyncio.sleep(0.02)
    await facebook.clear_faults()
    assert (await shop.stored())["status"] == "active"
    await look(console)
    assert await shop.at_facebook() == {"get_started": {"payload": "GET_STARTED"}}
