"""Which indexes there are, and that every list has one: no query of a list reads a collection.

What an index is good for is worked out here from its fields, on any server: the development stack's
has none but unique ones. Where a real MongoDB is given (`MONGODB_URI`), it has to explain each of
these queries as well.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from libs.common import mongo
from libs.common.erasures import TombstoneStore
from libs.common.mongo import Database, Document
from libs.common.paging import After
from services.analytics.erasing import PersonEraser as AnalyticsEraser
from services.console.accounts_store import AccountStore
from services.console.audit import AuditLog
from services.console.channels_store import ChannelStore
from services.console.dead_letters_store import DeadLetterStore
from services.console.doctor.system import INDEXES as WANTED
from services.console.erasures_store import ErasureStore
from services.console.logins_store import FacebookLoginStore
from services.console.sessions_store import AttemptStore, SessionStore
from services.console.tokens_store import TokenStore
from services.conversation.contacts_store import AfterContact, ContactStore
from services.conversation.inbox_store import InboxStore, Wanted
from services.conversation.spending import SpendingStore
from services.conversation.store import ConversationStore
from services.sender.kept_store import KeptStore
from services.sender.review_store import ReviewStore
from services.sender.store import DeliveryStore
from services.takeover.messages import KeyStore
from services.takeover.roster import Roster

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
AFTER = After(NOW, "100:200")

STORES: tuple[Callable[[Database], Any], ...] = (
    AccountStore,
    AnalyticsEraser,
    AttemptStore,
    lambda database: AuditLog(database, lambda: NOW),
    ChannelStore,
    ContactStore,
    ConversationStore,
    DeadLetterStore,
    DeliveryStore,
    ErasureStore,
    FacebookLoginStore,
    InboxStore,
    KeptStore,
    KeyStore,
    ReviewStore,
    Roster,
    SessionStore,
    SpendingStore,
    TokenStore,
    TombstoneStore,
)
INDEXES = """
accounts          email
api_tokens        workspace_id
assistants        workspace_id
audit             workspace_id, -at, -_id
channels          news.event_id
channels          workspace_id
contacts          workspace_id, emails
contacts          workspace_id, name_key
contacts          workspace_id, phones
contacts          workspace_id, search
contacts          workspace_id, sort_key, _id
conversations     page_id, -last_activity_at, -_id
conversations     page_id, oldest_at, _id
dead_letters      written_at
deliveries        at
deliveries        conversation, -at, -_id
deliveries        page_id, state, -at, -_id
deliveries        state, at
deliveries        untold
erasures          next_at
erasures          pages, -requested_at
erasures          workspace_id, -requested_at
facebook_logins   expires_at
human_messages    at
human_messages    person
inbox             page_id, done, -last_activity_at, -_id
inbox             page_id, done, is_unread, -last_activity_at, -_id
inbox             page_id, place, -last_activity_at, -_id
inbox             page_id, place, asked_at, _id
inbox             place, page_id, asked_at
inbox             page_id, place, by, -last_activity_at, -_id
inbox             page_id, words
kept              conversation, seq
kept              page_id, conversation
kept              partition, page_id
links             account_id
links             expires_at
messages          conversation, -at, -_id
people            see_to_at
receipts          erased_at
sessions          account_id
sessions          expires_at
sign_in_attempts  expires_at
spending          at
takeovers         check_at
takeovers         mode, auto_resume_at
takeovers         page_id, mode, -since, -_id
tombstones        erased_at
tombstones        written_at
"""


def _declared() -> dict[str, list[list[tuple[str, int]]]]:
    declared: dict[str, list[list[tuple[str, int]]]] = {}
    for line in INDEXES.strip().splitlines():
        collection, fields = line.split(maxsplit=1)
        keys = [
            (each.removeprefix("-"), -1 if each[0] == "-" else 1) for each in fields.split(", ")
        ]
        declared.setdefault(collection, []).append(keys)
    return declared


@pytest.fixture
async def indexed(database: Database) -> Database:
    """A database with all indexes of all services."""
    await database["receipts"].insert_one({"_id": "100:200"})
    for store in STORES:
        await store(database).ensure_indexes()
    return database


def test_no_store_is_missing() -> None:
    files = [*ROOT.glob("services/**/*.py"), *ROOT.glob("libs/**/*.py")]
    written = sum(each.read_text(encoding="utf-8").count("def ensure_indexes") for each in files)
    assert written == len(STORES)


async def test_the_indexes_are_those_that_are_listed(indexed: Database) -> None:
    found: dict[str, list[list[tuple[str, int]]]] = {}
    for name in await indexed.list_collection_names():
        made = await indexed[name].index_information()
        keys = [[(field, int(way)) for field, way in each["key"]] for each in made.values()]
        if others := sorted(each for each in keys if each != [("_id", 1)]):
            found[name] = others
    assert found == {name: sorted(keys) for name, keys in _declared().items()}


def test_the_doctor_misses_none_that_is_not_made() -> None:
    """What it wants has to be declared, or Health fails on a system that is well."""
    made = {
        name: {tuple(f for f, _ in keys) for keys in each} for name, each in _declared().items()
    }
    wanted = {name: {*each} for name, each in WANTED.items()}
    assert {name: each - made.get(name, set()) for name, each in wanted.items()} == {
        key: set() for key in wanted
    }


class Commands:
    """Queries as they went over the wire."""

    def __init__(self) -> None:
        self.seen: list[Mapping[str, Any]] = []

    def started(self, event: Any) -> None:  # noqa: ANN401 - as pymongo's
        if event.command_name in ("find", "aggregate"):
            self.seen.append(dict(event.command))


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Commands:
    """Of every database that is opened later: ask for it first."""
    heard = Commands()
    monkeypatch.setattr(mongo._RoundTrips, "started", lambda _self, event: heard.started(event))
    return heard


Ask = Callable[[Database], Awaitable[object]]
PAGES = ["100", "101"]


def _rows(wanted: Wanted, after: After | None) -> Ask:
    return lambda database: InboxStore(database).listed(wanted, after, 20)


LISTS: dict[str, Ask] = {
    **{
        f"inbox, {tab}, unread: {unread}, from: {after}": _rows(
            Wanted(PAGES, tab, "u1", unread), after
        )
        for tab in ("needs_human", "mine", "assistant", "all", "done")
        for unread in (False, True)
        for after in (None, AFTER)
    },
    "inbox, counts": lambda database: InboxStore(database).counts(PAGES, "u1"),
    "inbox, rows": lambda database: InboxStore(database).rows(["100:200"]),
    "a thread": lambda database: ConversationStore(database).messages("100:200", None, 50),
    "a thread, on": lambda database: ConversationStore(database).messages("100:200", AFTER, 50),
    "a thread, a word": lambda database: ConversationStore(database).messages(
        "100:200", AFTER, 50, "word"
    ),
    "a Page": lambda database: ConversationStore(database).conversations("100", AFTER, 50),
    "a Page, by mode": lambda database: ConversationStore(database).conversations(
        "100", AFTER, 50, "human"
    ),
    "contacts": lambda database: ContactStore(database).contacts("ws", "", None, 50),
    "contacts, on": lambda database: ContactStore(database).contacts(
        "ws", "", AfterContact("a", "b"), 50
    ),
    "takeovers": lambda database: Roster(database).listed("100", AFTER, 50),
    "not sent, of a Page": lambda database: ReviewStore(database).listed(
        {"page_id": "100"}, ["held", "failed"], AFTER, 50
    ),
    "not sent, of a person": lambda database: ReviewStore(database).listed(
        {"conversation": "100:200"}, ["held", "failed"], None, 50
    ),
    "held, all": lambda database: ReviewStore(database).held(),
    "audit": lambda database: AuditLog(database, lambda: NOW).entries("ws", AFTER, 50),
}


async def test_every_list_is_a_stretch_of_an_index(commands: Commands, indexed: Database) -> None:
    declared = _declared()
    for name, ask in LISTS.items():
        commands.seen.clear()
        await ask(indexed)
        assert commands.seen, f"{name}: nothing was asked"
        for command in commands.seen:
            collection, query, order = _asked(command)
            is_served = any(_serves(each, query, order) for each in declared[collection])
            assert is_served or "_id" in query, (name, collection, query, order)
            assert not await _explained(indexed, command) & {"COLLSCAN", "SORT"}, name


def test_what_no_index_serves_is_found_out() -> None:
    keys = [("page_id", 1), ("done", 1), ("at", -1), ("_id", -1)]
    order = [("at", -1), ("_id", -1)]
    assert _serves(keys, {"page_id": {"$in": ["1"]}, "done": False}, order)
    assert not _serves(keys, {"page_id": {"$in": ["1"]}}, order), "done is in between"
    assert not _serves(keys, {"page_id": "1", "done": {"$ne": True}}, order), "a stretch each"
    assert not _serves(keys, {"page_id": "1", "done": False}, [("at", -1), ("_id", 1)])
    assert not _serves(keys, {"done": False}, [])


def _asked(command: Mapping[str, Any]) -> tuple[str, Document, list[tuple[str, int]]]:
    if "find" in command:
        return command["find"], command["filter"], list(dict(command.get("sort") or {}).items())
    [match, *more] = command["pipeline"]
    assert "$sort" not in str(more)
    return command["aggregate"], match["$match"], []


def _serves(keys: list[tuple[str, int]], query: Document, order: list[tuple[str, int]]) -> bool:
    """Whether the answer is a stretch of the index, or some merged, in the order that is wanted:
    fields that are given come first, then those of the order as they are."""
    given = [field for field, value in query.items() if _is_given(value)]
    names = [field for field, _ in keys]
    if names[0] not in given:
        return False
    ahead = next((each for each, name in enumerate(names) if name not in given), len(names))
    return not order or any(keys[start:][: len(order)] == order for start in range(1, ahead + 1))


def _is_given(value: object) -> bool:
    return not isinstance(value, dict) or set(value) == {"$in"}


async def _explained(database: Database, command: Mapping[str, Any]) -> set[str]:
    """The steps that a real MongoDB would take; the development stack's has no plans."""
    if "gitVersion" not in await database.client.admin.command("buildInfo"):
        return set()
    plain = {name: value for name, value in command.items() if name not in ("lsid", "$db")}
    if "aggregate" in plain:
        plain["cursor"] = {}
    answer = await database.command({"explain": plain, "verbosity": "queryPlanner"})
    return set(_stages(answer))


def _stages(plan: object) -> Iterator[str]:
    """Of the plan that was chosen, not of those that were thought of."""
    if isinstance(plan, dict):
        if isinstance(stage := plan.get("stage"), str):
            yield stage
        for name, part in plan.items():
            if name != "rejectedPlans":
                yield from _stages(part)
    elif isinstance(plan, list):
        for part in plan:
            yield from _stages(part)
