"""Our services, the database, the model, the keys."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
from pydantic import BaseModel, ValidationError

from libs.common.crypto import DecryptionError, KeyRing
from libs.common.mongo import Database, mongo_errors, ping
from services.console.doctor.asking import Asking, line_of, told
from services.console.doctor.domain import system as rules
from services.console.doctor.domain.findings import Found, Line, Verdict, failed, ok, unknown
from services.console.doctor.examining import MODEL_DEADLINE_S, Check, Probe
from services.console.records import ConnectedChannel

WITHIN_S = 5.0
INDEXES: Mapping[str, Sequence[tuple[str, ...]]] = {
    "messages": (("conversation", "at", "_id"),),
    "conversations": (
        ("page_id", "last_activity_at", "_id"),
        ("page_id", "oldest_at", "_id"),
    ),
    "deliveries": (
        ("page_id", "state", "at", "_id"),
        ("conversation", "at", "_id"),
        ("at",),
        ("untold",),
    ),
    "kept": (("conversation", "seq"), ("page_id", "conversation"), ("partition", "page_id")),
    "channels": (("workspace_id",), ("news.event_id",)),
    "audit": (("workspace_id", "at", "_id"),),
    "sessions": (("account_id",), ("expires_at",)),
    "dead_letters": (("written_at",),),
    "inbox": (
        ("page_id", "done", "last_activity_at", "_id"),
        ("page_id", "place", "last_activity_at", "_id"),
        ("page_id", "words"),
    ),
}
"""Without these, what is quick with a hundred conversations is slow with a million."""


class _Ready(BaseModel):
    checks: dict[str, bool]


class ServiceLines:
    """Every service by its address, in their order."""

    def __init__(self, session: aiohttp.ClientSession, addresses: Mapping[str, str]) -> None:
        self._session = session
        self._addresses = addresses

    def checks(self) -> list[Check]:
        return [
            Check(
                Line(line_of(name), "Services", name.capitalize()),
                self._probe(name, address),
                after=(rules.KAFKA, rules.TOPICS, rules.MONGODB),
            )
            for name, address in self._addresses.items()
        ]

    def _probe(self, name: str, address: str) -> Probe:
        async def look(found: Found) -> Verdict:
            alive, ready = await asyncio.gather(
                self._get(f"{address}/healthz"), self._get(f"{address}/readyz")
            )
            return rules.judge_service(name, alive is not None, _checks(ready), found)

        return look

    async def _get(self, url: str) -> str | None:
        """What it answers, as 200 or as 503; None: nothing."""
        try:
            async with self._session.get(
                url, timeout=aiohttp.ClientTimeout(total=WITHIN_S), allow_redirects=False
            ) as response:
                return await response.text() if response.status in (200, 503) else None
        except (aiohttp.ClientError, TimeoutError, UnicodeDecodeError):
            return None


def _checks(ready: str | None) -> dict[str, bool] | None:
    try:
        return _Ready.model_validate_json(ready or "").checks
    except ValidationError:
        return None


class DatabaseLines:
    """MongoDB. `database` None: it did not answer when it was opened."""

    def __init__(self, database: Database | None, *, is_production: bool) -> None:
        self._database = database
        self._is_production = is_production

    def checks(self) -> list[Check]:
        section, ground = "MongoDB", (rules.MONGODB,)
        return [
            Check(Line(rules.MONGODB, section, "Reachable"), self._reachable),
            Check(Line("mongodb.replica_set", section, "Replica set", ground), self._replica_set),
            Check(Line("mongodb.indexes", section, "Indexes", ground), self._indexes),
        ]

    async def _reachable(self, _found: Found) -> Verdict:
        if self._database is not None and await ping(self._database):
            return ok("Answers.")
        return failed(
            "MongoDB does not answer.",
            "Start it, or correct MONGODB_URI. Webhooks are taken meanwhile; replies wait.",
        )

    async def _replica_set(self, _found: Found) -> Verdict:
        if self._database is None:
            return _NO_DATABASE
        with mongo_errors():
            build = await self._database.client.admin.command("buildInfo")
            is_stand_in = "gitVersion" not in build  # which knows no `hello`
            hello = {} if is_stand_in else await self._database.client.admin.command("hello")
        server = rules.DatabaseServer(
            is_stand_in=is_stand_in,
            replica_set=hello.get("setName"),
            has_primary=bool(hello.get("isWritablePrimary") or hello.get("primary")),
        )
        return rules.judge_replica_set(server, is_production=self._is_production)

    async def _indexes(self, _found: Found) -> Verdict:
        """Of collections that are there; others are empty, and get theirs with their service."""
        if self._database is None:
            return _NO_DATABASE
        missing = []
        with mongo_errors():
            names = set(await self._database.list_collection_names())
            for name in INDEXES.keys() & names:
                there = await self._database[name].index_information()
                missing += [
                    f"{name} ({', '.join(fields)})"
                    for fields in INDEXES[name]
                    if fields not in _fields_of(there)
                ]
        return rules.judge_indexes(sorted(missing))


def _fields_of(indexes: Mapping[str, Any]) -> set[tuple[str, ...]]:
    return {tuple(field for field, _ in each["key"]) for each in indexes.values()}


class OwnLines:
    """The model and the keys."""

    def __init__(
        self,
        asking: Asking,
        keys: KeyRing,
        channels: Sequence[ConnectedChannel],
    ) -> None:
        self._asking = asking
        self._keys = keys
        self._channels = channels

    def checks(self) -> list[Check]:
        model = Line(rules.MODEL, "Model", "Answers")
        tokens = Line("keys.tokens", "Encryption", "Stored tokens", (rules.MONGODB,))
        return [
            Check(model, self._model, (line_of("conversation"),), MODEL_DEADLINE_S),
            Check(tokens, self._tokens),
        ]

    async def _model(self, found: Found) -> Verdict:
        return (await told("conversation", found, self._asking.model)).verdict

    async def _tokens(self, _found: Found) -> Verdict:
        unreadable, total = [], 0
        for channel in self._channels:
            if channel.token and channel.status != "disconnected":
                total += 1
                try:
                    self._keys.decrypt(channel.token, context=channel.id)
                except DecryptionError:
                    unreadable.append(channel.id)
        return rules.judge_keys(total, unreadable)


_NO_DATABASE = unknown("There is no database to ask.")
