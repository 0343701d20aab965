"""Secrets and texts that must turn up nowhere, and a look everywhere at the end of a stack.

A model key and a text of a person's are planted at the start. At the end every service is asked for
its metrics, the console for every page and every answer, including those that are errors, and logs
and database are searched.
"""

import asyncio
import json
import re
import secrets
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from pydantic import SecretStr

from deploy.local.admin import Admin, Api, open_admin
from deploy.local.services import SERVICES
from libs.common.channels import CHANNELS_COLLECTION
from libs.common.crypto import DecryptionError, KeyRing
from libs.common.mongo import Database, open_database
from libs.common.settings import MongoSettings
from services.console.domain.tokens import Scope
from simulator.client import Simulator
from tests.leaks import Canaries, found_in_logs, secrets_of
from tests.stack import LocalStack

DOCUMENT = Path(__file__).parents[1] / "docs" / "openapi-console.json"
MOST_PAGES = 400
ANSWER_WITHIN_S = 45.0

_LINK = re.compile(r'href="(/[^"#]*)')
_PATH_PARAMETER = re.compile(r"{(\w+)}")


@contextmanager
def watched(stack: LocalStack) -> Iterator[LocalStack]:
    """A full stack, in which canaries sit and are looked for at the end.

    Raises:
        AssertionError: at the end; it says what was found where, and not what it was.
    """
    canaries = _run(_plant(stack))
    yield stack
    found = _run(_look_everywhere(stack, canaries))
    assert found == [], "\n".join(found)


def _run(work: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - whatever it gives
    """In a thread of its own: pytest's loop is elsewhere."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


async def _plant(stack: LocalStack) -> Canaries:
    """A model key that is stored, tried and refused; a line of a person's that is answered."""
    canaries = Canaries(secrets_of(stack.environment))
    canaries.secrets["a model key"] = key = f"sk-canary-{secrets.token_hex(16)}"
    canaries.texts["a person's text"] = text = f"canary {secrets.token_hex(8)}"
    async with _database(stack) as database, open_admin(stack.environment) as admin:
        async with admin.api("canaries", *Scope) as api:
            assistant = await api.ask(
                "POST",
                "/assistants",
                {
                    "name": "Zoe",
                    "system_prompt": "Nobody asks her.",
                    "provider": "openai",
                    "model": "canary",
                    "base_url": "http://127.0.0.1:9/v1",
                },
            )
            path = f"/assistants/{assistant['id']}"
            await api.ask("PUT", f"{path}/key", {"api_key": key})
            await api.ask("POST", f"{path}/test", {"question": text})
        stored = await database["assistants"].find_one({"_id": assistant["id"]})
        assert stored is not None
        assert "api_key" in json.dumps(stored, default=str)  # or there is nothing to look for
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        simulator = Simulator(session, stack.url("simulator"))
        page = (await simulator.pages())[0]["id"]
        person = await simulator.add_person(page, "Canary", "Finch")
        await simulator.write(page, person, f"{text}: when are you open?")
        await simulator.wait_for_answers(page, person, within_s=ANSWER_WITHIN_S)
    return canaries


async def _look_everywhere(stack: LocalStack, canaries: Canaries) -> list[str]:
    async with _database(stack) as database:
        canaries.secrets |= await _page_tokens(stack, database)
        found = await _in_database(database, canaries)
    async with aiohttp.ClientSession() as session:
        for spec in SERVICES:
            url = f"{stack.url(spec.name)}/metrics"
            async with session.get(url) as response:
                text = await response.text()
            assert response.status == 200, url
            found += [f"{url}: {what}" for what in canaries.in_text(text, texts_too=True)]
    async with open_admin(stack.environment) as admin:
        found += await _in_pages(admin, canaries)
        async with admin.api("canaries", *Scope) as api:
            found += await _in_answers(api, canaries)
    return found + found_in_logs(stack.folder.path, canaries)


async def _page_tokens(stack: LocalStack, database: Database) -> dict[str, str]:
    """Those that are stored now, as they are in the clear."""
    keys = KeyRing.parse(stack.environment["ENCRYPTION_KEYS"])
    found = {}
    for channel in await database[CHANNELS_COLLECTION].find().to_list(None):
        try:
            token = keys.decrypt(channel["token"], context=channel["_id"])
        except DecryptionError:
            continue  # disconnected, or made up by a test
        found[f"the token of {channel['page_name']}"] = token
    assert found  # else nothing is looked for
    return found


async def _in_database(database: Database, canaries: Canaries) -> list[str]:
    """Secrets are stored encrypted, or as a hash."""
    found = []
    for name in await database.list_collection_names():
        async for document in database[name].find():
            text = json.dumps(document, default=str)
            for what in canaries.in_text(text, texts_too=False):
                found.append(f"collection {name}: {what}")  # noqa: PERF401
    return found


async def _in_pages(admin: Admin, canaries: Canaries) -> list[str]:
    """Every page that links lead to, from the first one on, and some that are errors."""
    waiting = ["/", "/health", "/nothing", "/channels/404", "/channels/connect/callback?state=x"]
    known, found, seen = set(waiting), [], 0
    while waiting and seen < MOST_PAGES:
        path = waiting.pop()
        status, text = await admin.page(path)
        seen += 1
        assert status < 500, (path, status)
        found += [f"page {path}: {what}" for what in canaries.in_text(text, texts_too=False)]
        for link in map(unescape, _LINK.findall(text)):
            if not link.startswith("/static/") and _kind(link) not in known:
                known.add(_kind(link))
                waiting.append(link)
    assert seen >= len(("/", "/channels", "/users", "/api-tokens", "/audit")), seen
    return found


def _kind(link: str) -> str:
    """Of a list's many pages one is enough."""
    return urlsplit(link).path


async def _in_answers(api: Api, canaries: Canaries) -> list[str]:
    """Every operation that changes nothing, about all that there is; and one that is refused."""
    document = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    known: dict[str, list[str]] = {}
    for name, path in (
        ("user", "/users"),
        ("channel", "/channels"),
        ("token", "/tokens"),
        ("assistant", "/assistants"),
    ):
        (entries,) = [
            each for each in (await api.ask("GET", path)).values() if isinstance(each, list)
        ]
        known[name] = [str(each["id"]) for each in entries][:20]
    found = []
    for path, methods in document["paths"].items():
        if "get" not in methods:
            continue
        names = _PATH_PARAMETER.findall(path)
        for number in range(max([len(known.get(name, ())) for name in names], default=0) + 1):
            asked = path
            for name in names:
                given = known.get(name, [])
                asked = asked.replace(f"{{{name}}}", given[number] if number < len(given) else "1")
            status, text = await api.answer("GET", asked.removeprefix("/api/v1"))
            assert status < 500, (asked, status)
            found += [f"GET {asked}: {what}" for what in canaries.in_text(text, texts_too=False)]
    status, text = await api.answer("POST", "/assistants", {"api_key": "sk-canary-refused"})
    assert status == 422
    return found + ["an error quotes what it was sent" for _ in range("sk-canary" in text)]


def _database(stack: LocalStack) -> Any:  # noqa: ANN401 - a context of `Database`
    env = stack.environment
    mongo = MongoSettings(uri=SecretStr(env["MONGODB_URI"]), database=env["MONGODB_DATABASE"])
    return open_database(mongo, app_name="canaries")
