"""A conversation service without a database, a broker or a model: what it did can be looked at.

Every effect passes `World.step`, which can crash the process there: what was done stays done, and
the log hands out again what was not committed.
"""

import asyncio
import base64
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from pydantic import SecretStr

from libs.common.channels import Assistant as AssistantProfile
from libs.common.channels import Channel, ChannelSettings
from libs.common.events import AnyRecord, Record, SendAction, SendText, TakeoverRequested
from libs.common.kafka import ConsumedRecord, KeyBatch
from libs.common.settings import (
    CryptoSettings,
    GraphSettings,
    HttpSettings,
    InternalSettings,
    KafkaSettings,
    MongoSettings,
    RuntimeSettings,
)
from services.conversation.asking import Settle
from services.conversation.assistants.base import Prompt, Reply
from services.conversation.assistants.settings import AssistantSettings
from services.conversation.consumer import MessageHandler
from services.conversation.domain.spending import Spent, is_over
from services.conversation.domain.state import State, Takeover
from services.conversation.settings import AppSettings, Settings
from services.conversation.store import ConversationChangedError, Stored
from tests.unit.conversation import factories as make
from tests.unit.conversation.factories import APP, CONVERSATION, PAGE

TOKEN = "service-token-of-the-tests"
KEYS = "k1:" + base64.b64encode(b"1" * 32).decode()
ASSISTANT = AssistantProfile(
    id="a1", workspace_id="w1", name="Crumb", system_prompt="You are Crumb.", knowledge="Bread."
)
CHANNEL = Channel(
    id=PAGE,
    workspace_id="w1",
    assistant_id="a1",
    page_name="Bakery",
    token="sealed",
    settings=ChannelSettings(quiet_window_s=0),
)

DATABASE_STEPS = frozenset({"load", "save", "sources", "texts"})

OnAsk = Callable[[int], Awaitable[None]]


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
        "graph": GraphSettings(facebook_app_id=APP, facebook_app_secret=SecretStr("app-secret")),
        "crypto": CryptoSettings(encryption_keys=SecretStr(KEYS)),
        "assistant": AssistantSettings(),
    }
    return Settings.model_validate({**groups, "model_attempts": 1, **own})


class World:
    """The log, the database, the model and the commands of one conversation."""

    def __init__(self, **own: Any) -> None:  # noqa: ANN401
        self.settings = settings(**own)
        self.steps: list[str] = []
        self.at_step: Callable[[int], None] = lambda number: None
        self.log: list[ConsumedRecord] = []
        self.committed = 0
        self.stored = Stored(CONVERSATION)
        self.archived: dict[str, str] = {}
        self.archived_texts: dict[str, str] = {}
        self.spent = Spent()
        self.time = make.at(1000)
        self.page: Channel | None = CHANNEL
        self.profile: AssistantProfile | None = ASSISTANT
        self.prompts: list[Prompt] = []
        self.answers: list[Reply | Exception] = []
        self.on_ask: OnAsk | None = None
        self.published: list[Record] = []
        self.produces = 0
        self.shown: list[str] = []
        self.away_s: list[float] = []
        """What each turn was with the model, or waited for the person."""
        self._source: _Rest | None = None

    # --- what tests do

    def write(self, *events: AnyRecord) -> None:
        """Put events on the log; a handler at work on the conversation sees that they wait."""
        for event in events:
            self.log.append(make.record(event, offset=len(self.log)))
        if self._source is not None:
            self._source.arrived.set()

    async def handle(self, at_first: int | None = None) -> None:
        """Hand out what is not committed, `at_first` records of it before the rest joins."""
        end = len(self.log) if at_first is None else self.committed + at_first
        records = self.log[self.committed : end]
        self._source = _Rest(self, end)
        batch = KeyBatch(CONVERSATION.encode(), records, self._source)
        handler = MessageHandler(
            self, self, self, self, self.settings, clock=self.now, spending=self
        )
        try:
            async with asyncio.timeout(10):
                await handler.handle(batch)
        finally:
            batch.close()
            self._source = None
        self.committed += len(batch.records)

    async def handle_all(self) -> None:
        while self.committed < len(self.log):
            await self.handle()

    def take_over(
        self,
        epoch: int = 1,
        mode: Any = "human",  # noqa: ANN401
        since: datetime | None = None,
    ) -> None:
        """As the takeover service does."""
        takeover = Takeover(mode=mode, epoch=epoch, since=since)
        self.stored = replace(self.stored, takeover=takeover)

    # --- what tests look at

    @property
    def state(self) -> State:
        return self.stored.state

    @property
    def commands(self) -> list[SendText]:
        return [record for record in self.published if isinstance(record, SendText)]

    @property
    def facts(self) -> list[str]:
        return [record.type for record in self.published if not isinstance(record, SendText)]

    @property
    def round_trips(self) -> Counter[str]:
        return Counter(step for step in self.steps if step in DATABASE_STEPS)

    def step(self, name: str) -> None:
        self.steps.append(name)
        self.at_step(len(self.steps))

    def now(self) -> datetime:
        return self.time

    @property
    def requested(self) -> list[TakeoverRequested]:
        """The calls for a human: each once, though it may have been published again."""
        found = [record for record in self.published if isinstance(record, TakeoverRequested)]
        return list({record.event_id: record for record in found}.values())

    # --- Store

    async def load(self, conversation: str) -> Stored:
        assert conversation == CONVERSATION
        self.step("load")
        await asyncio.sleep(0)
        return replace(self.stored, state=_through_the_database(self.stored.state))

    async def save(self, stored: Stored, state: State) -> Stored:
        self.step("save")
        await asyncio.sleep(0)
        if (stored.version, stored.takeover) != (self.stored.version, self.stored.takeover):
            raise ConversationChangedError
        self.stored = replace(stored, version=stored.version + 1, state=state)
        self.step("saved")
        return self.stored

    async def sources(self, message_ids: Sequence[str]) -> dict[str, str]:
        self.step("sources")
        await asyncio.sleep(0)
        return {name: self.archived[name] for name in message_ids if name in self.archived}

    async def texts(self, conversation: str, mids: Sequence[str]) -> dict[str, str]:
        self.step("texts")
        await asyncio.sleep(0)
        return {mid: self.archived_texts[mid] for mid in mids if mid in self.archived_texts}

    # --- Spending

    async def begin(self, page_id: str, limits: ChannelSettings, expected: Spent) -> Settle | None:
        assert page_id == PAGE
        self.step("begin")
        if is_over(limits, self.spent):
            return None
        self.spent += expected

        def settle(spent: Spent) -> None:
            self.spent += spent - expected

        return settle

    # --- Channels

    async def channel(self, page_id: str) -> Channel | None:
        assert page_id == PAGE
        return self.page

    async def assistant(self, assistant_id: str) -> AssistantProfile | None:
        assert assistant_id == "a1"
        return self.profile

    # --- Assistant

    async def reply(self, prompt: Prompt) -> Reply:
        self.prompts.append(prompt)
        self.step("ask")
        if self.on_ask is not None:
            await self.on_ask(len(self.prompts))
        await asyncio.sleep(0)
        answer = self.answers.pop(0) if self.answers else None
        self.step("answered")
        if isinstance(answer, Exception):
            raise answer
        return answer or Reply(f"Answer {len(self.prompts)}", "small", 0.1, 3, 2)

    # --- Publisher

    async def publish(self, *records: Record) -> None:
        self.produces += 1
        self.step("publish")
        await asyncio.sleep(0)
        self.published.extend(records)
        self.step("published")

    def publish_soon(self, record: Record) -> None:
        assert isinstance(record, SendAction)
        self.shown.extend(record.actions)


class _Rest:
    """The part of the log that waits behind a batch."""

    def __init__(self, world: World, next_offset: int) -> None:
        self._world = world
        self._next = next_offset
        self.arrived = asyncio.Event()

    def has_more(self) -> bool:
        return self._next < len(self._world.log)

    def take(self, limit: int) -> list[ConsumedRecord]:
        taken = self._world.log[self._next : self._next + limit]
        self._next += len(taken)
        return taken

    async def wait_for_more(self, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                while not self.has_more():
                    self.arrived.clear()
                    await self.arrived.wait()
        except TimeoutError:
            pass
        return self.has_more()

    def note_away(self, seconds: float) -> None:
        self._world.away_s.append(seconds)


def _through_the_database(state: State) -> State:
    return State.model_validate(state.model_dump())
