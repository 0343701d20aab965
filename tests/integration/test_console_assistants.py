"""Assistants in the console and through the API: who changes what, and where keys never show."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from libs.common.crypto import KeyRing
from libs.common.mongo import Database
from libs.common.outbound import Inside
from libs.common.settings import MongoSettings
from services.console.assistants import Assistants
from services.console.assistants_store import AssistantStore
from services.console.domain.roles import Role
from services.console.domain.tokens import Scope
from services.console.internal import Internal
from services.console.web.pages import ASSISTANTS, AUDIT
from simulator.completions import SimulatedModel
from tests.integration.console import KEYS, Answer, Browser, Console, running_console
from tests.integration.trials import running_trials

CANARY = "sk-canary-0123456789-of-assistants"
PAGE = "1234567890"


@pytest.fixture
async def console(database: Database, mongo: MongoSettings) -> AsyncIterator[Console]:
    async with (
        running_trials(database) as url,
        running_console(database, mongo, services=url) as console,
    ):
        yield console


@asynccontextmanager
async def model_endpoint(status: int = 200) -> AsyncIterator[tuple[str, list[str]]]:
    """The simulated model's address, and the keys that it was asked with."""
    model, keys = SimulatedModel(), []

    async def handle(request: web.Request) -> web.StreamResponse:
        keys.append(request.headers["Authorization"])
        if status != 200:
            return web.json_response({"error": {"message": CANARY}}, status=status)
        return await model.complete(request)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", handle)
    async with TestServer(app) as server:
        yield f"http://127.0.0.1:{server.port}/v1", keys


class Program:
    """Calls `/api/v1` with every scope."""

    def __init__(self, browser: Browser, token: str) -> None:
        self._browser = browser
        self._token = {"Authorization": f"Bearer {token}"}

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        data = json.dumps(body) if body is not None else None
        answer = await self._browser.ask(method, f"/api/v1{path}", data=data, headers=self._token)
        assert CANARY not in answer.text
        return answer.status, json.loads(answer.text) if answer.text else None


async def program(console: Console) -> Program:
    return Program(console.browser(), str(await console.api_token(*Scope)))


async def make(browser: Browser, name: str = "Crumb") -> str:
    """The id of a new assistant."""
    answer = await browser.post(
        "/assistants/new", {"name": name, "system_prompt": "You are Crumb."}
    )
    assert answer.status == 303, answer.words
    return answer.headers["Location"].rpartition("/")[2]


async def connect(console: Console, assistant_id: str, page_id: str = PAGE) -> None:
    admin = await console.first_admin()
    await console.database["channels"].insert_one(
        {
            "_id": page_id,
            "workspace_id": admin.workspace_id,
            "assistant_id": assistant_id,
            "page_name": "Corner Bakery",
            "token": "t",
        }
    )


async def stored(console: Console, assistant_id: str) -> dict[str, Any]:
    found = await console.database["assistants"].find_one({"_id": assistant_id})
    assert found is not None
    return dict(found)


async def entries(console: Console) -> list[dict[str, Any]]:
    """Of the audit log, those about assistants, the first one first."""
    wanted = {"action": {"$regex": "^assistant"}}
    return list(await console.database["audit"].find(wanted).sort("at", 1).to_list(None))


def seen(page: Answer, card: str) -> str:
    """The fingerprint that a card's form shows."""
    return page.text.split(f'id="{card}"')[1].split('name="seen" value="')[1].split('"')[0]


async def test_one_is_made_changed_and_deleted_and_the_log_tells_it_without_texts(
    console: Console,
) -> None:
    browser = await console.admin()
    made = await make(browser)
    where = f"/assistants/{made}"
    secret_text = "The baker's own recipe"
    await browser.post(f"{where}/knowledge", {"knowledge": secret_text})
    await browser.post(f"{where}/prompt", {"name": "Loaf", "system_prompt": "Be brief."})
    answer = await browser.post(f"{where}/model", {"provider": "openai", "model": "small"})
    assert answer.status == 303
    assert "No API key is stored" in (await browser.get(where)).words
    found = await stored(console, made)
    assert (found["name"], found["knowledge"], found["version"]) == ("Loaf", secret_text, 4)
    assert found["changed"]["by_name"] == "ada@example.org"
    await browser.post(f"{where}/delete")
    assert (await browser.get(where)).status == 404
    told = await entries(console)
    assert [each["action"].partition(".")[2] for each in told] == [
        "created",
        "changed",
        "changed",
        "changed",
        "deleted",
    ]
    assert told[2]["details"]["name"] == "Crumb → Loaf"
    assert told[3]["details"]["provider"] == "none → openai"
    assert secret_text not in str(told)


@pytest.mark.parametrize(
    ("card", "form", "words"),
    [
        ("prompt", {"name": "", "system_prompt": "x"}, "Fill this in."),
        ("prompt", {"name": "x" * 81, "system_prompt": "x"}, "Use at most 80 characters."),
        ("knowledge", {"knowledge": "x" * 200_001}, "Use at most 200000 characters."),
        ("model", {"provider": "openai"}, "Name the model, as the provider does."),
        ("model", {"provider": "gpt"}, "Choose one of these."),
        ("model", {"provider": "simulator"}, "which ends with /v1"),
        (
            "model",
            {"provider": "openai", "model": "m", "base_url": "ftp://x"},
            "This is no address.",
        ),
        (
            "model",
            {"provider": "openai", "model": "m", "base_url": "https://a:b@example.org"},
            "Leave name and password out",
        ),
        (
            "model",
            {"provider": "openai", "model": "m", "base_url": "https://example.org/?key=1"},
            "Leave out what follows ?",
        ),
        ("model", {"provider": "openai", "model": "m", "api_key": "two words"}, "no spaces"),
        ("model", {"provider": "offline", "api_key": CANARY}, "This provider takes no key."),
    ],
)
async def test_what_is_wrong_stands_at_its_field_and_nothing_is_changed(
    console: Console, card: str, form: dict[str, str], words: str
) -> None:
    browser = await console.admin()
    made = await make(browser)
    before = await stored(console, made)
    answer = await browser.post(f"/assistants/{made}/{card}", form)
    assert answer.status == 422
    assert words in answer.words
    assert CANARY not in answer.text
    assert await stored(console, made) == before


async def test_two_people_change_different_cards_and_the_second_at_one_card_is_told(
    console: Console,
) -> None:
    ada = await console.admin()
    made = await make(ada)
    where = f"/assistants/{made}"
    page = await ada.get(where)
    prompt, knowledge = seen(page, "prompt"), seen(page, "knowledge")
    first = {"name": "Crumb", "system_prompt": "From Eve.", "seen": prompt}
    assert (await ada.post(f"{where}/prompt", first)).status == 303
    mine = {"knowledge": "From Ada.", "seen": knowledge}
    assert (await ada.post(f"{where}/knowledge", mine)).status == 303
    late = await ada.post(
        f"{where}/prompt", {"name": "Crumb", "system_prompt": "From Ada.", "seen": prompt}
    )
    assert late.status == 422
    assert "ada@example.org changed this" in late.words
    assert "From Ada." in late.text
    found = await stored(console, made)
    assert (found["system_prompt"], found["knowledge"]) == ("From Eve.", "From Ada.")
    again = {"name": "Crumb", "system_prompt": "From Ada.", "seen": seen(late, "prompt")}
    assert (await ada.post(f"{where}/prompt", again)).status == 303
    assert (await stored(console, made))["system_prompt"] == "From Ada."


async def test_changes_at_the_same_moment_are_all_there(console: Console) -> None:
    browser = await console.admin()
    made = await make(browser)
    where = f"/assistants/{made}"
    answers = await asyncio.gather(
        browser.post(f"{where}/knowledge", {"knowledge": "Bread."}),
        browser.post(f"{where}/prompt", {"name": "Loaf", "system_prompt": "Be brief."}),
        browser.post(f"{where}/model", {"provider": "offline"}),
    )
    assert [each.status for each in answers] == [303] * 3
    found = await stored(console, made)
    assert (found["knowledge"], found["name"], found["provider"]) == ("Bread.", "Loaf", "offline")
    assert found["version"] == 4


async def test_a_key_is_stored_encrypted_shown_nowhere_and_sent_to_one_place_only(
    console: Console,
) -> None:
    browser = await console.admin()
    made = await make(browser)
    where = f"/assistants/{made}"
    async with model_endpoint() as (url, keys):
        form = {"provider": "openai", "model": "m", "base_url": url, "api_key": CANARY}
        with capture_logs() as logs:
            assert (await browser.post(f"{where}/model", form)).status == 303
            found = await stored(console, made)
            context = f"assistant:{made} openai {url}"
            assert KeyRing.parse(KEYS).decrypt(found["api_key"], context=context) == CANARY
            page = await browser.get(where)
            assert "A key is stored" in page.words
            tried = await browser.post(f"{where}/test", {"question": "Hello there"})
            assert "Hello there" in tried.words
            assert keys == [f"Bearer {CANARY}"]

            again = {"provider": "openai", "model": "m2", "base_url": url}
            await browser.post(f"{where}/model", again)
            assert (await stored(console, made))["api_key"] == found["api_key"]

            elsewhere = {"provider": "openai", "model": "m", "base_url": f"{url}/other"}
            await browser.post(f"{where}/model", elsewhere)
            told = await browser.get(where)
            assert "for another address, so it is forgotten" in told.words
            assert (await stored(console, made))["api_key"] is None
    shown = [page, tried, told, await browser.get("/audit"), await browser.get("/assistants")]
    assert all(CANARY not in each.text and found["api_key"] not in each.text for each in shown)
    assert CANARY not in str(logs) + str(await entries(console))


async def test_a_stored_key_is_not_tried_elsewhere_either(console: Console) -> None:
    browser = await console.admin()
    made = await make(browser)
    where = f"/assistants/{made}"
    async with model_endpoint() as (url, keys), model_endpoint() as (other, others):
        form = {"provider": "openai", "model": "m", "base_url": url, "api_key": CANARY}
        await browser.post(f"{where}/model", form)
        typed = {"against": "typed", "question": "Hi", "provider": "openai", "model": "m"}
        await browser.post(f"{where}/test", typed | {"base_url": other})
        assert others == ["Bearer none"]
        await browser.post(f"{where}/test", typed | {"base_url": other, "api_key": "sk-typed"})
        assert others[1:] == ["Bearer sk-typed"]
        await browser.post(f"{where}/test", typed | {"base_url": url})
        assert keys == [f"Bearer {CANARY}"]


async def test_a_refused_key_is_told_in_words_and_never_as_the_provider_says_it(
    console: Console,
) -> None:
    browser = await console.admin()
    made = await make(browser)
    async with model_endpoint(401) as (url, _):
        form = {"provider": "openai", "model": "m", "base_url": url, "api_key": CANARY}
        await browser.post(f"/assistants/{made}/model", form)
        with capture_logs() as logs:
            answer = await browser.post(f"/assistants/{made}/test", {"question": "Hi"})
    assert "The provider refuses the API key." in answer.words
    assert CANARY not in answer.text + str(logs)


async def test_pages_that_use_it_are_told_and_keep_it(console: Console) -> None:
    browser = await console.admin()
    made = await make(browser)
    await connect(console, made)
    await browser.post(f"/assistants/{made}/knowledge", {"knowledge": "Bread."})
    assert await console.log.wait_for(1) == [("channel.updated", PAGE)]
    refused = await browser.post(f"/assistants/{made}/delete")
    assert refused.status == 422
    assert "Corner Bakery" in refused.words
    assert (await stored(console, made))["name"] == "Crumb"


async def test_it_is_tried_as_on_a_page_and_counts_there(console: Console) -> None:
    browser = await console.admin()
    made = await make(browser)
    where = f"/assistants/{made}"
    await connect(console, made)
    knowledge = {"knowledge": "# Opening hours\n\nWe open at seven."}
    await browser.post(f"{where}/knowledge", knowledge)
    await browser.post(f"{where}/model", {"provider": "offline"})
    answer = await browser.post(f"{where}/test", {"question": "When do you open?", "page": PAGE})
    assert "We open at seven." in answer.words
    assert "offline demo model" in answer.words
    typed = {
        "question": "When do you open?",
        "against": "typed",
        "provider": "offline",
        "system_prompt": "x",
        "knowledge": "# Opening hours\n\nWe open at nine.",
    }
    assert "We open at nine." in (await browser.post(f"{where}/test", typed)).words
    human = await browser.post(f"{where}/test", {"question": "I want a human", "page": PAGE})
    assert "A human would be called: the person asks for one." in human.words
    wrong = await browser.post(f"{where}/test", {"question": "Hi", "page": "999"})
    assert (wrong.status, "Choose one of these." in wrong.words) == (422, True)
    none = await browser.post(f"{where}/test", {"question": ""})
    assert (none.status, "Fill this in." in none.words) == (422, True)


async def test_without_the_conversation_service_the_panel_says_so(
    database: Database, mongo: MongoSettings
) -> None:
    async with running_console(database, mongo) as console:
        browser = await console.admin()
        made = await make(browser)
        answer = await browser.post(f"/assistants/{made}/test", {"question": "Hi"})
        assert answer.status == 422
        assert "The conversation service gives no answer." in answer.words
        caller = await program(console)
        status, _ = await caller.ask("POST", f"/assistants/{made}/test", {"question": "Hi"})
        assert status == 503


async def test_a_member_reads_and_changes_nothing_and_sees_no_key(console: Console) -> None:
    admin = await console.admin()
    made = await make(admin)
    form = {"provider": "anthropic", "model": "m", "api_key": CANARY}
    await admin.post(f"/assistants/{made}/model", form)
    member = await console.member()
    page = await member.get(f"/assistants/{made}")
    assert "You are Crumb." in page.words
    assert "key" not in page.text.split("<main")[1].split("</main")[0].lower()
    for path in ("prompt", "knowledge", "model", "test", "key/remove", "delete"):
        assert (await member.post(f"/assistants/{made}/{path}")).status == 403
    assert (await member.get("/assistants/new")).status == 403


async def test_the_whole_of_it_through_the_api(console: Console) -> None:
    caller = await program(console)
    wanted = {"name": "Crumb", "system_prompt": "You are Crumb."}
    status, made = await caller.ask("POST", "/assistants", wanted)
    assert (status, made["version"], made["key_missing"]) == (201, 1, False)
    path = f"/assistants/{made['id']}"
    status, error = await caller.ask("PATCH", path, {"provider": "openai"})
    assert (status, error["error"]["code"], error["error"]["field"]) == (
        422,
        "wrong_setting",
        "model",
    )
    async with model_endpoint() as (url, keys):
        change = {"provider": "openai", "model": "m", "base_url": url, "version": 1}
        status, changed = await caller.ask("PATCH", path, change)
        assert (status, changed["version"], changed["base_url"]) == (200, 2, url)
        assert (await caller.ask("PATCH", path, change))[0] == 409
        status, keyed = await caller.ask("PUT", f"{path}/key", {"api_key": CANARY})
        assert status == 200
        assert keyed["key_stored_at"]
        question = {"question": "Hello there", "history": [{"role": "person", "text": "Hi"}]}
        status, tried = await caller.ask("POST", f"{path}/test", question)
        assert (status, tried["kind"], tried["failure"]) == (200, "answer", None)
        assert keys == [f"Bearer {CANARY}"]
    status, gone = await caller.ask("PATCH", path, {"base_url": None})
    assert (status, gone["key_stored_at"], gone["key_missing"]) == (200, None, True)
    status, tried = await caller.ask("POST", f"{path}/test", {"question": "Hi"})
    assert (tried["kind"], tried["failure"]) == ("fallback", "key_missing")
    assert (await caller.ask("PATCH", path, {"provider": "offline"}))[1]["model"] is None
    status, error = await caller.ask("PUT", f"{path}/key", {"api_key": CANARY})
    assert (status, error["error"]["code"]) == (409, "no_key_taken")
    assert (await caller.ask("DELETE", f"{path}/key"))[0] == 200
    status, error = await caller.ask("PUT", f"{path}/key", {"api_key": "two words"})
    assert (status, error["error"]["field"]) == (422, "api_key")
    await connect(console, made["id"])
    status, listed = await caller.ask("GET", "/assistants")
    assert [each["channels"] for each in listed["assistants"]] == [[PAGE]]
    status, error = await caller.ask("DELETE", path)
    assert (status, error["error"]["code"]) == (409, "in_use")
    assert "Corner Bakery" in error["error"]["message"]
    await console.database["channels"].delete_one({"_id": PAGE})
    assert await caller.ask("DELETE", path) == (204, None)
    assert (await caller.ask("GET", path))[0] == 404


async def test_what_was_stored_before_there_were_versions_can_be_changed(console: Console) -> None:
    admin = await console.first_admin()
    await console.database["assistants"].insert_one(
        {
            "_id": "old",
            "workspace_id": admin.workspace_id,
            "name": "Crumb",
            "system_prompt": "x",
            "knowledge": "",
            "model": "large",
        }
    )
    browser = await console.admin()
    page = await browser.get("/assistants/old")
    assert "large" in page.text
    assert (await browser.post("/assistants/old/knowledge", {"knowledge": "y"})).status == 303
    assert (await stored(console, "old"))["version"] == 1


async def test_another_workspaces_page_is_not_tried_on(console: Console) -> None:
    browser = await console.admin()
    made = await make(browser)
    await console.add("eve@example.org", Role.ADMIN, "elsewhere")
    await console.database["channels"].insert_one(
        {
            "_id": "42",
            "workspace_id": "elsewhere",
            "assistant_id": "a",
            "page_name": "Theirs",
            "token": "t",
        }
    )
    caller = await program(console)
    asked = {"question": "Hi", "channel": "42"}
    status, error = await caller.ask("POST", f"/assistants/{made}/test", asked)
    assert (status, error["error"]["code"]) == (404, "page_not_found")


async def test_an_address_that_was_closed_since_holds_no_other_change_back(
    console: Console,
) -> None:
    browser, caller = await console.admin(), await program(console)
    made = await make(browser)
    where = f"/assistants/{made}"
    inside = {"provider": "openai", "model": "m", "base_url": "http://ollama:11434/v1"}
    assert (await browser.post(f"{where}/model", inside | {"api_key": CANARY})).status == 303
    closed = Assistants(
        AssistantStore(console.database),
        KeyRing.parse(KEYS),
        Inside(),  # as in production, with nothing opened
        console.app[AUDIT].get(),
        console.clock,
        lambda: None,
    )
    console.app[ASSISTANTS].set(closed)
    typed = {"name": "Loaf", "system_prompt": "Be brief."}
    assert (await browser.post(f"{where}/prompt", typed)).status == 303
    refused = await browser.post(f"{where}/model", inside)
    assert (refused.status, "Use https." in refused.words) == (422, True)
    assert (await caller.ask("PUT", f"{where}/key", {"api_key": CANARY + "2"}))[0] == 200
    assert (await caller.ask("DELETE", f"{where}/key"))[0] == 200
    assert (await browser.post(f"{where}/key/remove")).status == 303
    assert (await stored(console, made))["api_key"] is None


async def test_one_that_is_deleted_while_it_is_tried_is_not_there(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, caller = await console.admin(), await program(console)
    call = Internal.call

    async def late(internal: Internal, *args: Any, **values: Any) -> Any:  # noqa: ANN401
        await console.database["assistants"].delete_many({})
        return await call(internal, *args, **values)

    monkeypatch.setattr(Internal, "call", late)
    made = await make(browser)
    assert (await browser.post(f"/assistants/{made}/test", {"question": "Hi"})).status == 404
    made = await make(browser)
    status, error = await caller.ask("POST", f"/assistants/{made}/test", {"question": "Hi"})
    assert (status, error["error"]["code"]) == (404, "not_found")
