"""Nothing is stored without a word on how long: the table of docs/operations.md is the code's."""

import ast
import importlib
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from libs.common import erasures
from libs.common.mongo import Database, ensure_expiry
from libs.common.topics import EVENTS_KEPT, LETTERS_KEPT, SEGMENT
from libs.common.window import HUMAN_AGENT_WINDOW
from services.console import dead_letters_store
from services.sender.store import KEEP_DELIVERIES
from services.takeover.messages import KEEP_KEYS
from tests.integration.test_indexes import STORES

ROOT = Path(__file__).parents[2]
OF_GENERATIONS = {"rollups", "receipts"}
ON_THE_LOG = LETTERS_KEPT + SEGMENT + EVENTS_KEPT + SEGMENT
"""The longest that a record comes back: put back from among the dead letters at the very end."""


def _table() -> dict[str, str]:
    """Collection: how long it is kept, as the page says."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = page.partition("\n## What is kept, and for how long\n")[2].partition("\n## ")[0]
    rows: dict[str, str] = {}
    for names, kept in re.findall(r"^\| (`[^|]+) \| ([^|]+) \|", section, re.MULTILINE):
        rows |= dict.fromkeys(re.findall(r"`(\w+)`", names), kept.strip())
    return rows


def _collections() -> set[str]:
    """Those that any code of services asks a database for."""
    found = set(OF_GENERATIONS)
    files = [*ROOT.glob("services/**/*.py"), *ROOT.glob("libs/**/*.py")]
    for path in files:
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if "database[" in text else ():
            if isinstance(node, ast.Subscript) and _is_database(node.value):
                found |= _named(node.slice, path)
    return found


def _is_database(node: ast.expr) -> bool:
    name = getattr(node, "id", None) or getattr(node, "attr", None)
    return name in ("database", "_database")


def _named(node: ast.expr, path: Path) -> set[str]:
    if isinstance(node, ast.Constant):
        return {str(node.value)}
    if isinstance(node, ast.Name) and node.id.isupper():
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        return {str(getattr(importlib.import_module(module), node.id))}
    return set()  # a name that somebody else gives


def test_every_collection_is_in_the_table_and_nothing_else() -> None:
    assert _collections() | {"expiries_sender", "expiries_analytics"} == set(_table())


async def test_the_table_tells_the_times_that_the_database_knows(database: Database) -> None:
    await database["receipts"].insert_one({"_id": "100:200"})
    for store in STORES:
        await store(database).ensure_indexes()
    expiring = {}
    for name in await database.list_collection_names():
        for index in (await database[name].index_information()).values():
            if (seconds := index.get("expireAfterSeconds")) is not None:
                days = timedelta(seconds=int(seconds)).days
                expiring[name] = f"{days} days" if seconds else "until its end"
    assert len(expiring) >= 9
    told = {name: kept for name, kept in _table().items() if name in expiring}
    assert {name: kept for name, kept in told.items() if expiring[name] not in kept} == {}
    timed = {name for name, kept in _table().items() if re.match(r"\d+ days|until its end", kept)}
    assert timed <= set(expiring)


async def test_a_time_that_an_earlier_version_declared_is_changed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection, asked = database["test"], list[dict[str, Any]]()

    async def command(wanted: dict[str, Any]) -> None:
        asked.append(wanted)

    monkeypatch.setattr(type(database), "command", lambda _self, wanted: command(wanted))
    for days in (30, 30, 40):
        await ensure_expiry(collection, "at", timedelta(days=days))
    index = {"keyPattern": {"at": 1}, "expireAfterSeconds": 40 * 86_400}
    assert asked == [{"collMod": "test", "index": index}]


@pytest.mark.parametrize(
    ("kept", "longer_than"),
    [
        (KEEP_DELIVERIES, ON_THE_LOG),  # a command that comes again finds what was sent
        (KEEP_DELIVERIES, HUMAN_AGENT_WINDOW),  # what waits for a Page goes out within it
        (erasures.KEEP, ON_THE_LOG),  # what comes late brings nobody back
        (dead_letters_store.KEEP, LETTERS_KEPT + SEGMENT),  # what became of it is known for longer
    ],
)
def test_what_tells_copies_outlives_them(kept: timedelta, longer_than: timedelta) -> None:
    """For any retention that topics may have: the variables only shorten it."""
    assert kept > longer_than


def test_keys_of_requests_are_kept_for_as_long_as_meta_takes_their_message() -> None:
    assert KEEP_KEYS >= HUMAN_AGENT_WINDOW
