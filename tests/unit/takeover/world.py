"""A takeover service without a database or a broker: what it did can be looked at.

Every effect passes `World.step`, which can crash the process there, or let others go first: what
was done stays done. The two collections behave as the integration tests show the real ones to do.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import SecretStr

from libs.common.channels import Channel, ChannelSettings
from libs.common.errors import TransientError
from libs.common.events import ConversationRecord, Record
from libs.common.paging import After
from libs.common.settings import (
    HttpSettings,
    InternalSettings,
    KafkaSettings,
    MongoSettings,
    RuntimeSettings,
)
from services.takeover.domain.fence import Claim, Delivery
from services.takeover.domain.state import NOBODY, Takeover
from services.takeover.keeper import Keeper
from services.takeover.roster import CHECK_AFTER, LEASE, Due, Lease, Row
from services.takeover.settings import AppSettings, Settings
from services.takeover.store import Found

PAGE, PSID, APP = "100", "200", "4242"
CONVERSATION = f"{PAGE}:{PSID}"
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
MINUTE, SECOND, MS = timedelta(minutes=1), timedelta(seconds=1), timedelta(milliseconds=1)
TOKEN = "service-token-of-the-tests"
CHANNEL = Channel(
    id=PAGE,
    workspace_id="w1",
    assistant_id="a1",
    page_name="Bakery",
    token="sealed",
    settings=ChannelSettings(auto_resume_minutes=30),
)


class Crash(BaseException):
    """The end of the process, at this very point."""


def settings(**own: Any) -> Settings:  # noqa: ANN401
    """Settings that ignore the environment."""
    groups = {
        "http": HttpSettings(port=1),
        "runtime": RuntimeSettings(env="test"),
        "kafka": KafkaSettings(),
        "mongo": MongoSettings(),
        "internal": InternalSettings(service_token=SecretStr(TOKEN)),
        "app": AppSettings(facebook_app_id=APP),
    }
    return Settings.model_validate({**groups, **own})


class World:
    """The conversations, the rows, the log and the clock."""

    def __init__(self) -> None:
        self.now = NOON
        self.conversations: dict[str, Found] = {CONVERSATION: Found(CONVERSATION)}
        self.rows: dict[str, dict[str, Any]] = {}
        self.deliveries: dict[str, Delivery] = {}
        self.log: list[Record] = []
        self.channels: dict[str, Channel] = {PAGE: CHANNEL}
        self.steps: list[str] = []
        self.on_step: Callable[[str], None] = lambda _: None
        self.yields: Callable[[], int] = lambda: 0
        self.kafka_is_away = False
        self._tokens = 0

    def clock(self) -> datetime:
        return self.now

    async def step(self, name: str) -> None:
        """Before each effect."""
        for _ in range(self.yields()):
            await asyncio.sleep(0)
        self.steps.append(name)
        self.on_step(name)

    def keeper(self) -> Keeper:
        """A process."""
        return Keeper(Store(self), Rows(self), Log(self), self.clock)

    def state(self, conversation: str = CONVERSATION) -> Takeover:
        return self.conversations[conversation].state

    def facts(self) -> list[Any]:
        """What is on the log, each fact once."""
        found: dict[str, Record] = {}
        for record in self.log:
            found.setdefault(record.event_id, record)
        return list(found.values())

    def token(self) -> str:
        self._tokens += 1
        return f"t{self._tokens}"

    async def pass_time(self, until: datetime, every: timedelta = SECOND / 2) -> None:
        """Other replicas look after what is due meanwhile."""
        rows = Rows(self)
        while self.now < until:
            self.now = min(self.now + every, until)
            for due in await rows.due(self.now, 100):
                lease = await rows.lease(due, self.now)
                if lease is not None:
                    await self.keeper().look_after(lease)


class Store:
    """As `TakeoverStore`."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def find(self, conversation: str) -> Found | None:
        await self._world.step("find")
        return self._world.conversations.get(conversation)

    async def change(
        self,
        conversation: str,
        before: Takeover,
        after: Takeover,
        fact: ConversationRecord | None,
        *,
        may_create: bool = False,
    ) -> Found | None:
        await self._world.step("change")
        found = self._world.conversations.get(conversation)
        if found is None:
            if not may_create:
                return None
            found = Found(conversation, NOBODY)
        now = found.state
        if (now.epoch, now.revision, now.mode) != (before.epoch, before.revision, before.mode):
            return None
        untold = found.untold if fact is None else (*found.untold, fact)
        written = replace(found, state=after, untold=untold)
        self._world.conversations[conversation] = written
        return written

    async def told(self, conversation: str, event_ids: Sequence[str]) -> None:
        await self._world.step("told")
        found = self._world.conversations[conversation]
        rest = tuple(each for each in found.untold if each.event_id not in event_ids)
        self._world.conversations[conversation] = replace(found, untold=rest)

    async def delivery(self, send_id: str) -> Delivery | None:
        await self._world.step("delivery")
        return self._world.deliveries.get(send_id)


class Rows:
    """As `Roster`."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def announce(self, conversation: str, now: datetime) -> str:
        await self._world.step("announce")
        new = {"mode": "ai", "check_at": now + CHECK_AFTER}
        row = self._world.rows.setdefault(conversation, new)
        row["token"] = token = self._world.token()
        row["check_at"] = min(row["check_at"], now + CHECK_AFTER)
        row.pop("closed_at", None)
        return token

    async def settle(
        self, conversation: str, token: str, state: Takeover, check_at: datetime, now: datetime
    ) -> bool:
        await self._world.step("settle")
        row = self._world.rows.get(conversation)
        if row is None or row["token"] != token:
            return False
        names = ("mode", "by", "by_name", "reason", "epoch", "since", "auto_resume_at")
        row.update({name: getattr(state, name) for name in names}, check_at=check_at)
        if state.mode == "human":
            row.pop("closed_at", None)
        else:
            row.setdefault("closed_at", now)
        return True

    async def due(self, now: datetime, limit: int) -> list[Due]:
        rows = self._world.rows.items()
        found = [Due(conversation=name, check_at=row["check_at"]) for name, row in rows]
        return [due for due in found if due.check_at <= now][:limit]

    async def lease(self, due: Due, now: datetime) -> Lease | None:
        await self._world.step("lease")
        row = self._world.rows.get(due.conversation)
        if row is None or row["check_at"] != due.check_at:
            return None
        row["token"], row["check_at"] = self._world.token(), now + LEASE
        closed_at = row.get("closed_at")
        return Lease(conversation=due.conversation, token=row["token"], closed_at=closed_at)

    async def remove(self, lease: Lease) -> None:
        await self._world.step("remove")
        row = self._world.rows.get(lease.conversation)
        if row is not None and row["token"] == lease.token:
            del self._world.rows[lease.conversation]

    async def listed(self, page_id: str, after: After | None, limit: int) -> list[Row]:
        found = [
            Row.model_validate({**row, "conversation": name, "page_id": page_id})
            for name, row in self._world.rows.items()
            if row["mode"] == "human"
        ]
        found.sort(key=lambda row: (row.since, row.conversation), reverse=True)
        if after is not None:
            place = (after.at, after.id)
            found = [row for row in found if (row.since, row.conversation) < place]
        return found[:limit]

    async def count(self, **_: Any) -> int:  # noqa: ANN401
        return sum(row["mode"] == "human" for row in self._world.rows.values())


class Log:
    """As a publisher."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def publish(self, *records: Record) -> None:
        await self._world.step("publish")
        if self._world.kafka_is_away:
            raise TransientError("away")
        self._world.log.extend(records)

    def publish_soon(self, record: Record) -> None:
        raise NotImplementedError


class Channels:
    """As `ChannelDirectory`."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def channel(self, page_id: str) -> Channel | None:
        return self._world.channels.get(page_id)


def claim(name: str = "c1", *, until: datetime = NOON + 12 * SECOND, **more: Any) -> Claim:  # noqa: ANN401
    return Claim(claim_id=name, send_id=f"{name}:0", deadline_at=until, **more)
