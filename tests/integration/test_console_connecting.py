"""Connecting Pages on the simulator: the way there, and everything that can go wrong on it."""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from prometheus_client import REGISTRY

from deploy.local.seed import is_the_consoles, seed
from libs.common.crypto import KeyRing, generate_key
from libs.common.events import ChannelTokenRejected, PageDeauthorized
from libs.common.graph import PermissionMissingError
from libs.common.mongo import Database, Document
from libs.common.settings import KafkaSettings, MongoSettings
from services.console.channels_store import ChannelStore
from services.console.connecting import Connecting
from services.console.domain.facebook_login import FIELDS, PERMISSIONS
from services.console.domain.roles import Role
from services.console.domain.tokens import Scope
from services.console.erasures_store import ErasureStore
from services.console.measures import measure
from services.console.web.pages import CHECKS
from simulator.client import Simulator
from tests.browser.site import Site
from tests.integration.console import KEYS, Answer, Browser, Console, running_console

DIALOG = re.compile(r'<meta http-equiv="refresh" content="0; url=([^"]+)">')
CHOICE = re.compile(r"/channels/connect/[0-9a-f]{64}")


@pytest.fixture
async def console(database: Database, mongo: MongoSettings, site: Site) -> AsyncIterator[Console]:
    async with running_console(database, mongo, facebook_url=site.url) as console:
        yield console


@dataclass
class Person:
    """An administrator's browser, and what they do at Facebook."""

    browser: Browser
    facebook: Simulator

    async def dialog(self, **form: str) -> str:
        answer = await self.browser.post("/channels/connect", form)
        assert answer.status == 200
        found = DIALOG.search(answer.text)
        assert found, answer.words
        return unescape(found[1])

    async def come_back(self, **answer: Any) -> Answer:  # noqa: ANN401
        """From the dialog to what the console makes of it."""
        return await self.follow(await self.facebook.answer_dialog(await self.dialog(), **answer))

    async def follow(self, redirect: str) -> Answer:
        address = urlsplit(redirect)
        return await self.browser.get(f"{address.path}?{address.query}")

    async def choice(self, **answer: Any) -> str:  # noqa: ANN401
        back = await self.come_back(**answer)
        assert back.status == 303, back.words
        assert CHOICE.fullmatch(back.headers["Location"])
        return back.headers["Location"]

    async def connect(self, *pages: str, **answer: Any) -> Answer:  # noqa: ANN401
        """All the way to the last page."""
        path = await self.choice(**answer)
        return await self.choose(path, *pages)

    async def choose(self, path: str, *pages: str) -> Answer:
        done = await self.browser.post(path, [("pages", page) for page in pages])
        if done.status != 303:
            return done
        after = f"/channels/{pages[0]}/verify" if len(pages) == 1 else f"{path}/done"
        assert done.headers["Location"] in (after, f"{path}/done")
        return await self.browser.get(done.headers["Location"])


@pytest.fixture
async def person(console: Console, facebook: Simulator) -> Person:
    return Person(await console.admin(), facebook)


async def new_page(facebook: Simulator, name: str = "Corner Shop") -> str:
    return str((await facebook.add_page(name, subscribed=False))["id"])


async def subscribed(facebook: Simulator, page: str) -> set[str]:
    for each in await facebook.pages():
        if each["id"] == page:
            return set(each["subscribed_fields"])
    raise LookupError(page)


async def channel(console: Console, page: str) -> Document | None:
    found: Document | None = await console.database["channels"].find_one({"_id": page})
    return found


async def audit(console: Console) -> list[tuple[str, str]]:
    found = await console.database["audit"].find({}).sort([("at", 1)]).to_list(None)
    return [
        (each["action"], each["outcome"]) for each in found if each["action"].startswith("channel.")
    ]


async def untouched(console: Console, facebook: Simulator, page: str) -> None:
    """Nothing was connected, nothing half-done."""
    assert await channel(console, page) is None
    assert await subscribed(facebook, page) == set()
    assert console.log.records == []


# The way there


async def test_a_page_is_connected(console: Console, facebook: Simulator, person: Person) -> None:
    page = await new_page(facebook)
    done = await person.connect(page)
    assert "“Corner Shop” is connected" in done.words
    assert await subscribed(facebook, page) == set(FIELDS)
    stored = await channel(console, page)
    assert stored is not None
    assert (stored["status"], stored["page_name"]) == ("active", "Corner Shop")
    admin = await console.first_admin()
    assert stored["workspace_id"] == admin.workspace_id
    token = KeyRing.parse(KEYS).decrypt(stored["token"], context=page)
    assert token.startswith("EAA")
    assert stored["connection"]["facebook_user_name"] == "Alex Morgan"
    assert await console.log.wait_for(1) == [("channel.connected", page)]
    assert await audit(console) == [("channel.connected", "done")]
    assert "Corner Shop" in (await person.browser.get("/channels")).words
    shown = await person.browser.get(f"/channels/{page}")
    assert "Active" in shown.words
    assert "Alex Morgan" in shown.words


async def test_a_new_workspaces_page_has_somebody_who_answers(
    console: Console, facebook: Simulator, person: Person
) -> None:
    page = await new_page(facebook)
    await person.connect(page)
    stored = await channel(console, page)
    assert stored is not None
    assistant = await console.database["assistants"].find_one({"_id": stored["assistant_id"]})
    assert assistant is not None
    assert assistant["workspace_id"] == stored["workspace_id"]


async def test_the_token_outlives_the_login(
    console: Console, facebook: Simulator, person: Person, site: Site
) -> None:
    """It was got with a long-lived one, so it never runs out."""
    page = await new_page(facebook)
    await person.connect(page)
    stored = await channel(console, page)
    assert stored is not None
    token = site.simulator.world.logins.find(
        KeyRing.parse(KEYS).decrypt(stored["token"], context=page)
    )
    assert token is not None
    assert token.expires_at is None


async def test_several_pages_at_once(console: Console, facebook: Simulator, person: Person) -> None:
    pages = [await new_page(facebook, f"Shop {number}") for number in range(30)]
    path = await person.choice()
    shown = await person.browser.get(path)
    assert all(f"Shop {number}" in shown.words for number in range(30))
    await person.choose(path, *pages[:3])
    assert len(await console.log.wait_for(3)) == 3
    assert await console.database["channels"].count_documents({}) == 3


# What comes back and is not taken


async def test_whoever_was_chosen_to_answer_is_deleted_meanwhile(
    console: Console, facebook: Simulator, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, assistants = await new_page(facebook), console.database["assistants"]
    for name in ("crumb", "loaf"):
        await assistants.insert_one(
            {
                "_id": name,
                "workspace_id": (await console.first_admin()).workspace_id,
                "name": name,
                "system_prompt": "Be brief.",
            }
        )
    verify = Connecting._verify

    async def late(connecting: Connecting, page_id: str, token: str) -> None:
        await assistants.delete_one({"_id": "loaf"})
        await verify(connecting, page_id, token)

    monkeypatch.setattr(Connecting, "_verify", late)
    done = await person.browser.post(await person.choice(), {"pages": page, "assistant": "loaf"})
    assert done.status == 303
    stored = await channel(console, page)
    assert stored is not None
    assert stored["assistant_id"] == "crumb"


async def test_what_a_login_brought_is_unreadable_once_the_key_is_gone(
    console: Console, facebook: Simulator, person: Person
) -> None:
    page = await new_page(facebook)
    path = await person.choice()
    other = KeyRing.parse(f"new:{generate_key()}").encrypt("EAA", context="x")
    logins = console.database["facebook_logins"]
    (login,) = await logins.find({}).to_list(None)
    pages = [each | {"token": other} for each in login["pages"]]
    await logins.update_one({"_id": login["_id"]}, {"$set": {"pages": pages}})
    done = await person.choose(path, page)
    assert "can't be read any more. Log in again." in done.words
    await untouched(console, facebook, page)


async def test_the_dialog_asks_for_what_the_installation_wants_as_well(
    database: Database,
    mongo: MongoSettings,
    site: Site,
    facebook: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FACEBOOK_EXTRA_PERMISSIONS", "business_management")
    async with running_console(database, mongo, facebook_url=site.url) as console:
        person = Person(await console.admin(), facebook)
        told = await person.browser.get("/channels/connect/facebook")
        query = parse_qs(urlsplit(await person.dialog()).query)
    assert query["scope"] == [",".join((*PERMISSIONS, "business_management"))]
    assert "Manage your business" in told.words


async def test_cancelled_at_facebook(console: Console, facebook: Simulator, person: Person) -> None:
    page = await new_page(facebook)
    back = await person.come_back(answer="cancel")
    assert (back.status, "Facebook's dialog was cancelled" in back.words) == (200, True)
    await untouched(console, facebook, page)


async def test_an_answer_is_good_once(facebook: Simulator, person: Person) -> None:
    redirect = await facebook.answer_dialog(await person.dialog())
    answers = await asyncio.gather(*(person.follow(redirect) for _ in range(4)))
    assert sorted(answer.status for answer in answers) == [303, 400, 400, 400]
    again = await person.follow(redirect)
    assert (again.status, "This answer was used already" in again.words) == (400, True)


async def test_an_old_answer(console: Console, facebook: Simulator, person: Person) -> None:
    redirect = await facebook.answer_dialog(await person.dialog())
    console.clock.ahead = timedelta(minutes=10, seconds=1)
    back = await person.follow(redirect)
    assert (back.status, "That took too long" in back.words) == (400, True)


async def test_somebody_elses_answer(console: Console, facebook: Simulator, person: Person) -> None:
    """Somebody lets another administrator follow their own answer from Facebook."""
    page = await new_page(facebook)
    redirect = await facebook.answer_dialog(await person.dialog())
    other = Person(await console.admin(), facebook)
    back = await other.follow(redirect)
    assert (back.status, "belongs to another session" in back.words) == (403, True)
    await untouched(console, facebook, page)
    assert (await person.follow(redirect)).status == 303  # it is still good for whose it is


@pytest.mark.parametrize("query", ["", "?state=", "?code=AQabc", "?state=x&code=AQabc", "?error=x"])
async def test_an_answer_that_nobody_asked_for(person: Person, query: str) -> None:
    back = await person.browser.get(f"/channels/connect/callback{query}")
    assert (back.status, "isn't known here" in back.words) == (400, True)


async def test_whoever_is_not_signed_in_leaves_no_code_in_an_address(console: Console) -> None:
    back = await console.browser().get("/channels/connect/callback?code=AQsecret&state=s")
    assert back.headers["Location"] == "/sign-in?next=%2Fchannels"


async def test_what_a_login_brought_is_for_its_session_and_half_an_hour(
    console: Console, facebook: Simulator, person: Person
) -> None:
    page = await new_page(facebook)
    path = await person.choice()
    other = await console.admin()
    assert (await other.get(path)).status == 404
    assert (await other.post(path, {"pages": page})).status == 404
    console.clock.ahead = timedelta(minutes=30, seconds=1)
    assert (await person.browser.get(path)).status == 404
    await untouched(console, facebook, page)


@pytest.mark.parametrize(
    ("endpoint", "fault", "words"),
    [
        ("login", {"status": 500, "body": "no"}, "Facebook's answer didn't arrive"),
        ("login", {"error": {"code": 101, "message": "m"}}, "FACEBOOK_APP_SECRET"),
        ("debug_token", {"drop": "before", "times": 3}, "Facebook's answer didn't arrive"),
        ("permissions", {"error": {"code": 4, "message": "m"}}, "no more calls from this app"),
        ("accounts", {"error": {"code": 190, "message": "m"}}, "has withdrawn the access"),
        ("accounts", {"error": {"code": 2, "message": "m"}}, "had trouble of its own"),
    ],
)
async def test_facebook_fails_on_the_way_back(
    console: Console,
    facebook: Simulator,
    person: Person,
    endpoint: str,
    fault: dict[str, Any],
    words: str,
) -> None:
    page = await new_page(facebook)
    redirect = await facebook.answer_dialog(await person.dialog())
    await facebook.add_fault(endpoint=endpoint, **fault)
    back = await person.follow(redirect)
    assert back.status == 502
    assert words in back.words
    await untouched(console, facebook, page)


# No Pages


async def causes(person: Person, **answer: Any) -> str:  # noqa: ANN401
    path = await person.choice(**answer)
    shown = await person.browser.get(path)
    assert "There is no Page to connect" in shown.words, shown.words
    refused = await person.choose(path, "1")
    assert refused.status == 422
    return shown.words


@pytest.mark.parametrize(
    "permission", ["pages_show_list", "pages_messaging", "pages_manage_metadata"]
)
async def test_a_permission_was_declined(
    console: Console, facebook: Simulator, person: Person, permission: str
) -> None:
    page = await new_page(facebook)
    words = await causes(person, without=[permission])
    assert f"The permission {permission} was not given" in words
    await untouched(console, facebook, page)


async def test_what_was_declined_is_asked_for_again(facebook: Simulator, person: Person) -> None:
    page = await new_page(facebook)
    await causes(person, without=["pages_messaging"])
    again = await facebook.answer_dialog(await person.dialog(again="true"))
    path = (await person.follow(again)).headers["Location"]
    assert "is connected" in (await person.choose(path, page)).words


async def test_whoever_cancels_a_reconnect_or_ticks_nothing_is_still_about_that_page(
    facebook: Simulator, person: Person
) -> None:
    page = await new_page(facebook)
    await person.connect(page)
    kept = f'name="page" value="{page}"'
    cancelled = await facebook.answer_dialog(await person.dialog(page=page), answer="cancel")
    assert kept in (await person.follow(cancelled)).text
    nothing = await facebook.answer_dialog(await person.dialog(page=page), pages=[])
    path = (await person.follow(nothing)).headers["Location"]
    assert kept in (await person.browser.get(path)).text


async def test_no_page_was_ticked(facebook: Simulator, person: Person) -> None:
    await new_page(facebook)
    assert "No Page was ticked" in await causes(person, pages=[])


async def test_whoever_has_no_page(facebook: Simulator, person: Person) -> None:
    noor = next(each["id"] for each in await facebook.users() if each["name"] == "Noor Haddad")
    assert "You have no role on a published Page" in await causes(person, user=noor)


async def test_a_role_that_is_too_small(facebook: Simulator, person: Person) -> None:
    sam = next(each["id"] for each in await facebook.users() if each["name"] == "Sam Rivera")
    words = await causes(person, user=sam)
    assert "None of your Pages can be connected" in words
    assert "doesn't include Messages" in words


async def test_a_page_that_is_not_published_any_more(facebook: Simulator, person: Person) -> None:
    page = await new_page(facebook)
    redirect = await facebook.answer_dialog(await person.dialog(), pages=[page])
    await facebook.behave(page, published=False)
    path = (await person.follow(redirect)).headers["Location"]
    assert f"The Page {page} isn't published" in (await person.browser.get(path)).words


async def test_an_app_without_its_review(facebook: Simulator, person: Person) -> None:
    user = await facebook.add_user("Robin Vale")
    page = await new_page(facebook)
    await facebook.set_role(user, page, "admin")
    await facebook.change_app(reviewed=["pages_show_list", "pages_manage_metadata"])
    words = await causes(person, user=user)
    assert "did not offer the permission pages_messaging" in words
    assert "development mode" in words


# A Page that can't be had


async def test_a_page_of_another_workspace(
    console: Console, facebook: Simulator, person: Person
) -> None:
    page = await new_page(facebook)
    await person.connect(page)
    before = await channel(console, page)
    await console.add("eve@example.org", Role.ADMIN, "elsewhere")
    eve = Person(console.browser(), facebook)
    await eve.browser.sign_in("eve@example.org")
    path = await eve.choice(pages=[page])
    assert "Belongs to another workspace" in (await eve.browser.get(path)).words
    assert (await eve.choose(path, page)).status == 422
    after = await channel(console, page)
    assert after is not None
    assert before is not None
    assert after["workspace_id"] == before["workspace_id"]
    assert await subscribed(facebook, page) == set(FIELDS)


async def test_of_two_workspaces_at_the_same_moment_one_gets_the_page(
    console: Console, facebook: Simulator, person: Person
) -> None:
    page = await new_page(facebook)
    await console.add("eve@example.org", Role.ADMIN, "elsewhere")
    eve = Person(console.browser(), facebook)
    await eve.browser.sign_in("eve@example.org")
    paths = [await person.choice(), await eve.choice()]
    answers = await asyncio.gather(person.choose(paths[0], page), eve.choose(paths[1], page))
    words = [answer.words for answer in answers]
    assert sum("is connected" in each for each in words) == 1, words
    assert sum("another workspace" in each or "any more" in each for each in words) == 1, words
    assert await subscribed(facebook, page) == set(FIELDS)
    assert await console.database["channels"].count_documents({"_id": page}) == 1


async def test_two_administrators_of_one_workspace(
    console: Console, facebook: Simulator, person: Person
) -> None:
    page = await new_page(facebook)
    other = Person(await console.admin(), facebook)
    paths = [await person.choice(), await other.choice()]
    answers = await asyncio.gather(person.choose(paths[0], page), other.choose(paths[1], page))
    assert all("is connected" in answer.words for answer in answers)
    stored = await channel(console, page)
    assert stored is not None
    assert KeyRing.parse(KEYS).decrypt(stored["token"], context=page)


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ([{"error": {"code": 200, "message": "m"}}], "a permission is missing"),
        ([{"drop": "before", "times": 5}], "answer didn't arrive"),
        ([{"drop": "after_accept"}, {"error": {"code": 190, "message": "m"}}], "withdrawn"),
        ([{"status": 200, "body": '{"success": true}'}], "did not subscribe the app"),
    ],
    ids=["refused", "lost", "half-way", "untrue"],
)
async def test_a_subscription_that_fails_leaves_nothing(
    console: Console,
    facebook: Simulator,
    person: Person,
    faults: list[dict[str, Any]],
    words: str,
) -> None:
    page = await new_page(facebook)
    path = await person.choice()
    for fault in faults:
        await facebook.add_fault(endpoint="subscribed_apps", page=page, **fault)
    done = await person.choose(path, page)
    assert "Nothing was connected" in done.words
    assert words in done.words
    await untouched(console, facebook, page)
    assert await audit(console) == [("channel.connected", "refused")]
    await facebook.clear_faults()
    assert "is connected" in (await person.choose(path, page)).words  # and again is enough


async def test_a_subscription_whose_answer_is_lost_counts_if_it_is_there(
    facebook: Simulator, person: Person
) -> None:
    page = await new_page(facebook)
    path = await person.choice()
    await facebook.add_fault(endpoint="subscribed_apps", page=page, drop="after_accept")
    assert "is connected" in (await person.choose(path, page)).words


async def test_of_two_pages_one_fails(
    console: Console, facebook: Simulator, person: Person
) -> None:
    good, bad = await new_page(facebook, "Good"), await new_page(facebook, "Bad")
    path = await person.choice()
    await facebook.add_fault(
        endpoint="subscribed_apps", page=bad, error={"code": 10, "message": "m"}
    )
    done = await person.choose(path, good, bad)
    assert "“Good” is connected" in done.words
    assert "“Bad” was not connected, and nothing was changed" in done.words
    assert await channel(console, bad) is None
    assert await console.log.wait_for(1) == [("channel.connected", good)]


# Again, and no more


async def test_reconnecting_keeps_settings(
    console: Console, facebook: Simulator, person: Person
) -> None:
    page = await new_page(facebook)
    await person.connect(page)
    settings = {"settings": {"max_message_length": 321}, "enabled": False, "mine": 1}
    lost = {"status": "revoked", "cause": "password_changed"}
    await console.database["channels"].update_one({"_id": page}, {"$set": settings | lost})
    before = await channel(console, page)
    assert before is not None
    shown = await person.browser.get(f"/channels/{page}")
    assert "Revoked" in shown.words
    assert "changed their password" in shown.words
    redirect = await facebook.answer_dialog(await person.dialog(page=page))
    path = (await person.follow(redirect)).headers["Location"]
    assert f'value="{page}" checked' in (await person.browser.get(path)).text
    done = await person.choose(path, page)
    assert "Settings and history are as they were" in done.words
    after = await channel(console, page)
    assert after is not None
    assert {name: after[name] for name in settings} == settings
    assert (after["status"], after["cause"]) == ("active", None)
    assert after["token"] != before["token"]
    assert [kind for kind, _ in await console.log.wait_for(2)] == ["channel.connected"] * 2
    assert ("channel.reconnected", "done") in await audit(console)


async def test_reconnecting_without_ticking_the_page(facebook: Simulator, person: Person) -> None:
    page, other = await new_page(facebook), await new_page(facebook, "Other Shop")
    await person.connect(page)
    redirect = await facebook.answer_dialog(await person.dialog(page=page), pages=[other])
    path = (await person.follow(redirect)).headers["Location"]
    assert "wanted to reconnect is not among" in (await person.browser.get(path)).words


async def test_a_disconnected_page_that_fails_to_come_back_stays_unsubscribed(
    console: Console, facebook: Simulator, person: Person
) -> None:
    page = await new_page(facebook)
    await person.connect(page)
    await person.browser.post(f"/channels/{page}/disconnect", {"page_name": "Corner Shop"})
    path = await person.choice()
    await facebook.add_fault(endpoint="subscribed_apps", page=page, drop="after_accept")
    await facebook.add_fault(
        endpoint="subscribed_apps", page=page, error={"code": 190, "message": "m"}
    )
    assert "Nothing was connected" in (await person.choose(path, page)).words
    assert await subscribed(facebook, page) == set()
    assert (await channel(console, page) or {})["status"] == "disconnected"


async def test_disconnecting_asks_for_the_name(
    console: Console, facebook: Simulator, person: Person
) -> None:
    page = await new_page(facebook)
    await person.connect(page)
    refused = await person.browser.post(f"/channels/{page}/disconnect", {"page_name": "Corner"})
    assert refused.status == 422
    assert await subscribed(facebook, page) == set(FIELDS)
    answer = await person.browser.post(
        f"/channels/{page}/disconnect", {"page_name": " Corner Shop "}
    )
    assert answer.status == 303
    stored = await channel(console, page)
    assert stored is not None
    assert (stored["status"], stored["token"]) == ("disconnected", "")
    assert await subscribed(facebook, page) == set()
    kinds = [kind for kind, _ in await console.log.wait_for(2)]
    assert kinds == ["channel.connected", "channel.disconnected"]
    shown = await person.browser.get(f"/channels/{page}")
    assert "Disconnected" in shown.words
    assert "Facebook could not be told" not in shown.words
    assert await audit(console) == [
        ("channel.connected", "done"),
        ("channel.disconnected", "refused"),
        ("channel.disconnected", "done"),
    ]
    await person.connect(page)  # and back
    assert (await channel(console, page) or {})["status"] == "active"


async def test_disconnecting_without_facebook(
    console: Console, facebook: Simulator, person: Person
) -> None:
    page = await new_page(facebook)
    await person.connect(page)
    await facebook.add_fault(endpoint="subscribed_apps", page=page, drop="before", times=5)
    await person.browser.post(f"/channels/{page}/disconnect", {"page_name": "Corner Shop"})
    assert (await channel(console, page) or {})["status"] == "disconnected"
    assert "Facebook could not be told" in (await person.browser.get(f"/channels/{page}")).words


async def test_what_a_crash_left_untold_is_told_at_the_next_start(
    console: Console,
    facebook: Simulator,
    person: Person,
    database: Database,
    mongo: MongoSettings,
) -> None:
    page = await new_page(facebook)
    console.log.is_away = True
    assert "is connected" in (await person.connect(page)).words
    assert (await channel(console, page) or {})["news"]["type"] == "channel.connected"
    async with running_console(database, mongo) as later:
        assert await later.log.wait_for(1) == [("channel.connected", page)]
        async with asyncio.timeout(20):
            while (await channel(later, page) or {})["news"] is not None:
                await asyncio.sleep(0.02)


async def test_the_local_stacks_seed_leaves_it_alone(
    console: Console,
    facebook: Simulator,
    person: Person,
    mongo: MongoSettings,
    kafka: KafkaSettings,
) -> None:
    connected, untouched_page = await new_page(facebook), await new_page(facebook, "Other Shop")
    gone = await new_page(facebook, "Gone Shop")
    await person.connect(connected, gone)
    await person.browser.post(f"/channels/{gone}/disconnect", {"page_name": "Gone Shop"})
    await console.log.wait_for(3)
    before = [await channel(console, page) for page in (connected, gone)]
    said = await seed(
        {
            "GRAPH_API_URL": facebook.url,
            "MONGODB_URI": mongo.uri.get_secret_value(),
            "MONGODB_DATABASE": mongo.database,
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "ENCRYPTION_KEYS": KEYS,
        }
    )
    assert "Other Shop" in said
    after = [await channel(console, page) for page in (connected, gone)]
    for one, other in zip(before, after, strict=True):
        assert one is not None
        assert other is not None
        assert is_the_consoles(other)
        assert (one["token"], one["status"]) == (other["token"], other["status"])
    assert (await channel(console, untouched_page) or {})["status"] == "active"


# Whether it still is


async def look(console: Console) -> None:
    """The regular look, a quarter of an hour later."""
    console.clock.ahead += timedelta(minutes=15, seconds=1)
    await console.app[CHECKS].get().check_due()


async def state(console: Console, page: str) -> tuple[str, str | None]:
    found = await channel(console, page) or {}
    return found["status"], found["cause"]


async def until(console: Console, page: str, wanted: tuple[str, str | None]) -> None:
    async with asyncio.timeout(20):
        while await state(console, page) != wanted:
            await asyncio.sleep(0.02)


async def test_a_look_finds_nothing_to_change(
    console: Console, facebook: Simulator, person: Person
) -> None:
    page = await new_page(facebook)
    await person.connect(page)
    await console.log.wait_for(1)
    async with asyncio.timeout(20):
        while not ((await channel(console, page) or {})["profile"] or {}).get("get_started"):
            await asyncio.sleep(0.02)
    before = await channel(console, page)
    await look(console)
    after = await channel(console, page)
    assert before is not None
    assert after is not None
    assert after["checked_at"] > before["status_since"]
    assert {**after, "checked_at": None, "news": None} == {**before, "news": None}
    assert len(console.log.records) == 1


async def test_a_changed_password_revokes_and_reconnecting_mends(
    console: Console, facebook: Simulator, person: Person
) -> None:
    page = await new_page(facebook)
    await person.connect(page)
    await console.log.wait_for(1)
    alex = (await facebook.users())[0]["id"]
    await facebook.change_password(alex)
    await look(console)
    assert await state(console, page) == ("revoked", "password_changed")
    assert (await console.log.wait_for(2))[1] == ("channel.updated", page)
    assert "changed their password" in (await person.browser.get("/channels")).words
    await look(console)  # nothing new: nobody is told again
    assert len(console.log.records) == 2
    assert "is connected again" in (await person.connect(page)).words
    assert await state(console, page) == ("active", None)


async def test_a_token_that_has_run_out(
    console: Console, facebook: Simulator, person: Person
) -> None:
    page = await new_page(facebook)
    await person.connect(page)
    await facebook.set_token(page, "expired")
    await look(console)
    assert await state(console, page) == ("expired", "expired")
    await facebook.set_token(page, "valid")
    await look(console)
    assert await state(console, page) == ("active", None)


async def test_a_subscription_that_was_dropped_is_restored(
    console: Console, facebook: Simulator, person: Person, site: Site
) -> None:
    page = await new_page(facebook)
    await person.connect(page)
    world = site.simulator.world
    world.subscribe(world.page(page), ())
    await look(console)
    assert await subscribed(facebook, page) == set(FIELDS)
    assert await state(console, page) == ("active", None)


async def test_a_subscription_that_can_not_be_restored_is_counted_apart(
    console: Console,
    facebook: Simulator,
    person: Person,
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = await new_page(facebook)
    await person.connect(page)
    world = site.simulator.world
    world.subscribe(world.page(page), ())

    async def refused(*_: object) -> None:
        raise PermissionMissingError(10, message="m")

    def counted() -> float:
        name = "assistant_console_channel_checks_total"
        return REGISTRY.get_sample_value(name, {"outcome": "not_subscribed"}) or 0.0

    before = counted()
    with monkeypatch.context() as patch:
        patch.setattr(console.app[CHECKS].get()._meta, "subscribe_page", refused)
        await look(console)
    assert await subscribed(facebook, page) == set()
    assert await state(console, page) == ("active", None)
    assert counted() == before + 1
    await look(console)
    assert await subscribed(facebook, page) == set(FIELDS)
    assert counted() == before + 1


async def test_pages_are_counted_by_status(
    console: Console, facebook: Simulator, person: Person
) -> None:
    for _ in range(2):
        await person.connect(await new_page(facebook))
    lost = await new_page(facebook)
    await person.connect(lost)
    await facebook.set_token(lost, "revoked")
    await look(console)
    await measure(ChannelStore(console.database), ErasureStore(console.database), console.clock)
    statuses = ("active", "expired", "revoked", "disconnected")
    found = [REGISTRY.get_sample_value("assistant_channels", {"status": s}) for s in statuses]
    assert found == [2, 0, 1, 0]
    assert REGISTRY.get_sample_value("assistant_erasures_open") == 0


async def test_a_facebook_that_does_not_answer_changes_nothing(
    console: Console, facebook: Simulator, person: Person
) -> None:
    page = await new_page(facebook)
    await person.connect(page)
    await facebook.add_fault(endpoint="*", status=500, body="no", times=20)
    await look(console)
    assert await state(console, page) == ("active", None)


async def test_what_the_sender_meets_is_looked_at_at_once(
    console: Console, facebook: Simulator, person: Person
) -> None:
    page, other = await new_page(facebook), await new_page(facebook, "Other Shop")
    await person.connect(page, other)
    await facebook.set_token(page, "revoked")
    for number, each in enumerate((other, page)):
        console.log.say(
            ChannelTokenRejected(
                event_id=str(number),
                page_id=each,
                occurred_at=datetime.now(UTC),
                cause="password_changed",
            )
        )
    async with asyncio.timeout(20):
        while (await state(console, page))[0] == "active":
            await asyncio.sleep(0.02)
    # what is told of a token that is good was about an earlier one
    assert await state(console, other) == ("active", None)


async def test_whoever_removes_the_app_revokes_their_pages(
    console: Console, facebook: Simulator, person: Person
) -> None:
    page = await new_page(facebook)
    await person.connect(page)
    alex = (await facebook.users())[0]["id"]
    await facebook.remove_app(alex)
    console.log.say(
        PageDeauthorized(
            event_id="1", page_id="*", occurred_at=datetime.now(UTC), user_id=str(alex)
        )
    )
    await until(console, page, ("revoked", "app_removed"))


# Programs


async def api_token(console: Console) -> dict[str, str]:
    return {"Authorization": f"Bearer {await console.api_token(*Scope)}"}


async def test_programs_see_and_disconnect_pages(
    console: Console, facebook: Simulator, person: Person
) -> None:
    page = await new_page(facebook)
    await person.connect(page)
    headers, browser = await api_token(console), console.browser()
    listed = json.loads((await browser.get("/api/v1/channels", **headers)).text)
    assert [(each["id"], each["status"]) for each in listed["channels"]] == [(page, "active")]
    path = f"/api/v1/channels/{page}"
    shown = await browser.get(path, **headers)
    assert json.loads(shown.text)["page_name"] == "Corner Shop"
    assert "EAA" not in shown.text
    wrong = await browser.post(f"{path}/disconnect", b'{"page_name": "Corner"}', **headers)
    assert (wrong.status, json.loads(wrong.text)["error"]["code"]) == (409, "wrong_name")
    done = await browser.post(f"{path}/disconnect", b'{"page_name": "Corner Shop"}', **headers)
    assert (done.status, json.loads(done.text)["status"]) == (200, "disconnected")
    assert await subscribed(facebook, page) == set()
    assert (await browser.get("/api/v1/channels/404", **headers)).status == 404


# What never gets out


async def test_no_token_is_shown_or_logged(
    console: Console,
    facebook: Simulator,
    person: Person,
    site: Site,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    page = await new_page(facebook)
    shown: list[str] = []
    path = await person.choice()
    shown.append((await person.browser.get(path)).text)
    await facebook.add_fault(
        endpoint="subscribed_apps", error={"code": 190, "message": "Token EAAB is no good"}
    )
    shown.append((await person.choose(path, page)).text)
    shown.append((await person.choose(path, page)).text)
    shown += [
        (await person.browser.get(each)).text
        for each in ("/channels", f"/channels/{page}", "/audit", "/metrics")
    ]
    everything = await everything_stored(console)
    printed = "".join(capfd.readouterr()) + caplog.text
    tokens = list(site.simulator.world.logins._state.tokens)
    assert len(tokens) >= 3
    for token in tokens:
        assert all(token not in text for text in shown)
        assert token not in everything
        assert token not in printed
    assert "Token EAAB" not in "".join(shown) + printed


async def everything_stored(console: Console) -> str:
    names = await console.database.list_collection_names()
    return str([await console.database[name].find({}).to_list(None) for name in names])
