"""`/api/v1` does what its document says, whatever it is asked: no 5xx, no other kind of answer."""

import io
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from libs.common.channels import ASSISTANTS_COLLECTION, CHANNELS_COLLECTION
from libs.common.crypto import KeyRing
from libs.common.mongo import Database
from libs.common.settings import MongoSettings
from services.console.domain.roles import Role
from services.console.domain.tokens import ApiToken, Scope, hashed
from services.console.records import StoredToken
from services.console.tokens_store import TokenStore
from services.console.web.errors import SERVICE_AWAY
from tests.integration.console import KEYS, Console, running_console
from tests.integration.contract import Contract, Operation, Request

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi-console.json"
SEED = 20261125
REQUESTS = 40
FEW = {"/api/v1/doctor": 4}  # looks at everything, which is away here
AWAY = ('"code": "service_away"', SERVICE_AWAY.words)
"""Another service would have to answer, and none is there: then the document has 503."""


@pytest.fixture
async def console(database: Database, mongo: MongoSettings) -> AsyncIterator[Console]:
    async with running_console(database, mongo) as console:
        yield console


async def add_token(console: Console, scopes: tuple[Scope, ...]) -> ApiToken:
    admin = await console.first_admin()
    token = ApiToken.new()
    stored = StoredToken(
        id=token.id,
        workspace_id=admin.workspace_id,
        account_id=admin.id,
        name="all",
        scopes=scopes,
        secret_hash=hashed(token.secret),
        created_at=datetime.now(UTC),
    )
    await TokenStore(console.database).add(stored)
    return token


async def some_of_everything(console: Console) -> dict[str, list[str]]:
    """Ids that may be asked for, changed and deleted; `404` names nothing."""
    admin = await console.first_admin()
    users = [
        (await console.add(f"user{number}@example.org", Role.MEMBER, admin.workspace_id)).id
        for number in range(3)
    ]
    tokens = [(await add_token(console, (Scope.AUDIT_READ,))).id for _ in range(2)]
    keys = KeyRing.parse(KEYS)
    assistants = [f"ast_{number}" for number in range(3)]
    for each in assistants:
        await console.database[ASSISTANTS_COLLECTION].insert_one(
            {
                "_id": each,
                "workspace_id": admin.workspace_id,
                "name": each,
                "system_prompt": "Be brief.",
            }
        )
    pages = ["1000000000000001", "1000000000000002"]
    for page in pages:
        await console.database[CHANNELS_COLLECTION].insert_one(
            {
                "_id": page,
                "workspace_id": admin.workspace_id,
                "assistant_id": assistants[0],
                "page_name": f"Shop {page[-1]}",
                "token": keys.encrypt("EAAtoken", context=page),
            }
        )
    found = {"user": users, "token": tokens, "assistant": assistants, "channel": pages}
    return {name: [*each, "404"] for name, each in found.items()}


async def test_no_answer_that_the_document_does_not_know(console: Console) -> None:
    document = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    contract = Contract(document, random.Random(SEED))
    token, known = await add_token(console, tuple(Scope)), await some_of_everything(console)
    found: list[str] = []
    seen: Counter[int] = Counter()
    async with aiohttp.ClientSession() as session:
        for operation in contract.operations():
            parameters = operation.parameters("path")
            ids = {each["name"]: known.get(each["name"], ["404"]) for each in parameters}
            for asked in contract.requests(operation, ids, FEW.get(operation.path, REQUESTS)):
                status, text = await ask(session, console, token, asked)
                seen[status] += 1
                found += complaints(contract, operation, asked, status, text)
    assert found == [], "\n".join(found[:20])
    for status in (200, 201, 204, 400, 401, 404, 409, 413, 422):
        assert seen[status] > 0, (status, seen)  # else this shows little


def test_an_answer_that_leaves_its_schema_is_found() -> None:
    thing = {
        "type": "object",
        "required": ["id"],
        "additionalProperties": False,
        "properties": {
            "id": {"type": "string"},
            "at": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]},
            "kind": {"enum": ["a", "b"]},
        },
    }
    document = {"paths": {}, "components": {"schemas": {"Thing": thing}}}
    contract = Contract(document, random.Random(SEED))
    things = {"type": "array", "items": {"$ref": "#/components/schemas/Thing"}}
    assert contract.faults(things, [{"id": "1", "at": None, "kind": "a"}]) == []
    for wrong in ({}, {"id": 1}, {"id": "1", "at": "noon"}, {"id": "1", "kind": "c"}, {"x": 1}, 7):
        assert contract.faults(things, [wrong]) != [], wrong
    for _ in range(50):  # what is made up is what the schema allows
        assert contract.faults(things, contract.make(things)) == []


async def test_a_token_without_the_scope_is_told_so_everywhere(console: Console) -> None:
    document = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    contract = Contract(document, random.Random(SEED))
    token = await add_token(console, ())
    async with aiohttp.ClientSession() as session:
        for operation in contract.operations():
            if "403" not in operation.answers:
                continue  # any token will do
            ids = {each["name"]: ["404"] for each in operation.parameters("path")}
            _, asked = contract.requests(operation, ids, 1)
            status, text = await ask(session, console, token, asked)
            assert status == 403, (operation.name, status, text)
            assert complaints(contract, operation, asked, status, text) == []


async def ask(
    session: aiohttp.ClientSession, console: Console, token: ApiToken, asked: Request
) -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {token}"} if asked.with_token else {}
    if asked.body is not None:
        headers["Content-Type"] = "application/json"
    url = URL(console.url + asked.path, encoded=True)
    async with session.request(
        asked.method,
        url,
        data=io.BytesIO(asked.body or b""),
        headers=headers,
        allow_redirects=False,
    ) as response:
        return response.status, await response.text()


def complaints(
    contract: Contract, operation: Operation, asked: Request, status: int, text: str
) -> list[str]:
    """What the document doesn't say of this answer."""
    where = f"{asked.method} {asked.path[:120]} {(asked.body or b'')[:160]!r} → {status}"
    if status >= 500 and not (status == 503 and any(words in text for words in AWAY)):
        return [f"{where}: {text[:200]}"]
    described = operation.answers.get(str(status))
    if described is None:
        return [f"{where}: not in the document: {text[:200]}"]
    if "content" not in described:
        return [f"{where}: a body where none is described"] if text else []
    try:
        answer: Any = json.loads(text)
    except ValueError:
        return [f"{where}: no JSON: {text[:80]}"]
    schema = described["content"]["application/json"]["schema"]
    return [f"{where}: {fault}" for fault in contract.faults(schema, answer)]
