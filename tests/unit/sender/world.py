"""Everything around the sender, in memory: Meta, the database, the log, and crashes on demand."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from libs.common.channels import Channel
from libs.common.erasures import StaleTombstonesError
from libs.common.errors import TransientError
from libs.common.events import (
    MessageEchoed,
    MessageFailed,
    MessageHeld,
    MessageSent,
    Record,
    SendKept,
    SendText,
)
from libs.common.window import Send
from services.sender.desk import Desk, History, NoHistory
from services.sender.domain.claims import After, Claim, Exactly, Expected, Sending
from services.sender.domain.deliveries import Delivery
from services.sender.domain.evidence import Seen
from services.sender.domain.keeping import Kept, NotNowError, postponed
from services.sender.domain.outcome import MetaError, Outcome, classify
from services.sender.draining import Drain
from services.sender.echoes import Echoes
from services.sender.keeper import Keeper
from services.sender.kept_store import Closing
from services.sender.meta import Answer, ThreadUnreadableError
from services.sender.pages import Pages
from services.sender.part import Source
from services.sender.settings import SendingSettings
from services.sender.store import Fence, Snapshot
from services.sender.wakes import Wakes

PAGE, PSID = "100", "200"
APP_ID = "1517776481860111"
CONVERSATION = f"{PAGE}:{PSID}"
STARTED_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
CHANNEL = Channel(
    id=PAGE, workspace_id="w", assistant_id="a", page_name="Bakery", token="encrypted"
)


class CrashError(BaseException):
    """The process ends here."""


class AwayError(TransientError):
    """Something does not answer."""


def clock() -> datetime:
    """The wall clock, going with the virtual loop's."""
    return STARTED_AT + timedelta(seconds=asyncio.get_running_loop().time() - 1000)


@dataclass
class Points:
    """Counts the moments at which a process can end, and ends it at the wanted ones."""

    crash_at: frozenset[int] = frozenset()
    passed: list[str] = field(default_factory=list)

    async def reach(self, name: str) -> None:
        self.passed.append(name)
        await asyncio.sleep(0)
        if len(self.passed) - 1 in self.crash_at:
            raise CrashError(name)


@dataclass
class Conversation:
    """One document of `conversations`, as far as the sender looks at it."""

    last_user_message_at: datetime | None = STARTED_AT
    mode: Literal["ai", "human"] = "ai"
    epoch: int = 0
    sending: Sending | None = None
    kept: str | None = None
    thread_is_ours: bool = True
    seq: int = 0


class FakeStore:
    """The same promises as `DeliveryStore`; tests/integration proves them on a database."""

    def __init__(self, points: Points) -> None:
        self.points = points
        self.conversations = {CONVERSATION: Conversation()}
        self.deliveries: dict[str, Delivery] = {}
        self.round_trips = 0
        self.away = False
        self.claim_delay_s = 0.0
        self.before_claim: Callable[[Claim], None] = lambda _claim: None

    async def claim(
        self, conversation: str, claim: Claim, fence: Fence | None, expected: Expected
    ) -> Snapshot | None:
        await self._arrive("claim")
        await asyncio.sleep(self.claim_delay_s)
        self.before_claim(claim)
        document = self.conversations.get(conversation)
        if document is None or not _passes(document, fence):
            return None
        if not _is_as_expected(document, expected, claim.command_id):
            return None
        recent = document.sending.recent if document.sending else ()
        if claim.command_id not in recent:
            recent = (*recent, claim.command_id)[-50:]
        document.sending = Sending(**claim.model_dump(), recent=recent)
        await self.points.reach("claimed")
        return replace(_snapshot(document), sending=None)

    async def conversation(self, conversation: str) -> Snapshot | None:
        await self._arrive("read conversation")
        document = self.conversations.get(conversation)
        return None if document is None else _snapshot(document)

    async def delivery(self, send_id: str) -> Delivery | None:
        await self._arrive("read delivery")
        return self.deliveries.get(send_id)

    async def finish(self, delivery: Delivery) -> Delivery:
        await self._arrive("finish")
        recorded = self.deliveries.get(delivery.send_id)
        opened = recorded is not None and recorded.state == "again"
        if recorded is None or (opened and recorded.generation == delivery.generation):
            self.deliveries[delivery.send_id] = recorded = delivery
        await self.points.reach("finished")
        return recorded

    async def begin_again(self, send_id: str, generation: int) -> Delivery | None:
        await self._arrive("begin again")
        known = self.deliveries.get(send_id)
        if known is None:
            return None
        if known.state in ("held", "failed") and known.generation == generation - 1:
            change = {"state": "again", "generation": generation}
            known = self.deliveries[send_id] = known.model_copy(update=change)
        await self.points.reach("begun again")
        return known if (known.state, known.generation) == ("again", generation) else None

    async def recorded_mids(self, _conversation: str, mids: Iterable[str]) -> Collection[str]:
        await self._arrive("read mids")
        known = {delivery.mid for delivery in self.deliveries.values()}
        return {mid for mid in mids if mid in known}

    async def mids_in_order(self, _conversation: str, mids: Iterable[str]) -> Collection[str]:
        await self._arrive("read mids")
        sent = [item for item in self.deliveries.values() if item.state == "sent"]
        known = {item.mid for item in sent if item.since is None and not item.generation}
        return {mid for mid in mids if mid in known}

    async def held_texts(self, _conversation: str, since: datetime) -> list[str]:
        await self._arrive("read held")
        held = [item for item in self.deliveries.values() if item.state == "held"]
        return [item.text for item in held if item.at >= since]

    async def _arrive(self, what: str) -> None:
        await self.points.reach(what)
        if self.away:
            raise AwayError("database")
        self.round_trips += 1


def _passes(document: Conversation, fence: Fence | None) -> bool:
    return fence is None or (document.mode != "human" and document.epoch == fence.epoch)


class FakeKept:
    """The same promises as `KeptStore`."""

    def __init__(self, store: FakeStore) -> None:
        self.store = store
        self.kept: dict[str, Kept] = {}

    async def place(self, conversation: str, unused_claim: str | None) -> int:
        await self.store._arrive("place")
        document = self.store.conversations.get(conversation)
        if document is None:
            return 0
        if document.sending is not None and document.sending.claim_id == unused_claim:
            document.sending = document.sending.model_copy(update={"unused": True})
        document.seq += 1
        await self.store.points.reach("placed")
        return document.seq

    async def mark(self, conversation: str, kept_id: str) -> None:
        await self.store._arrive("mark")
        if (document := self.store.conversations.get(conversation)) is not None:
            document.kept = kept_id
        await self.store.points.reach("marked")

    async def add(self, kept: Kept) -> bool:
        await self.store._arrive("keep")
        added = kept.id not in self.kept
        self.kept.setdefault(kept.id, kept)
        await self.store.points.reach("kept")
        return added

    async def marked(self, conversation: str) -> str | None:
        await self.store._arrive("read mark")
        document = self.store.conversations.get(conversation)
        return document.kept if document else None

    async def unmark(self, conversation: str, mark: str) -> None:
        await self.store._arrive("unmark")
        document = self.store.conversations[conversation]
        if document.kept == mark:
            document.kept = None

    async def first(self, conversation: str) -> Kept | None:
        await self.store._arrive("read kept")
        found = [kept for kept in self.kept.values() if kept.conversation == conversation]
        return min(found, key=lambda kept: kept.seq, default=None)

    async def remove(self, kept_id: str) -> None:
        await self.store._arrive("remove kept")
        self.kept.pop(kept_id, None)

    async def postpone(self, kept: Kept, not_now: NotNowError, now: datetime) -> None:
        await self.store._arrive("postpone")
        if kept.id in self.kept:
            self.kept[kept.id] = kept.model_copy(update=postponed(kept, not_now))
        for other in list(self.kept.values()):
            if other.conversation == kept.conversation and other.expires_at is not None:
                later = {"expires_at": max(other.expires_at, now + timedelta(hours=1))}
                if other.expires_at <= now:
                    self.kept[other.id] = other.model_copy(update=later)

    async def pages(self, partitions: Iterable[int]) -> Collection[str]:
        ours = set(partitions)
        return {kept.page_id for kept in self.kept.values() if kept.partition in ours}

    async def closing(self, page_id: str) -> Closing:
        of_page = [kept for kept in self.kept.values() if kept.page_id == page_id]
        limits = [kept.wake_at for kept in of_page if kept.why == "limit" and kept.wake_at]
        return Closing(max(limits, default=None), any(kept.why == "token" for kept in of_page))

    async def due(self, page_id: str, now: datetime, after: str, limit: int) -> list[str]:
        return self._people(
            page_id, lambda kept: kept.wake_at is None or kept.wake_at <= now, after, limit
        )

    async def expired(self, page_id: str, now: datetime, after: str, limit: int) -> list[str]:
        return self._people(
            page_id,
            lambda kept: kept.expires_at is not None and kept.expires_at <= now,
            after,
            limit,
        )

    def _people(
        self, page_id: str, wanted: Callable[[Kept], bool], after: str, limit: int
    ) -> list[str]:
        found = {
            kept.conversation
            for kept in self.kept.values()
            if kept.page_id == page_id and kept.conversation > after and wanted(kept)
        }
        return sorted(found)[:limit]


def _is_as_expected(document: Conversation, expected: Expected, command_id: str) -> bool:
    sending = document.sending
    if isinstance(expected, Exactly):
        return (sending.claim_id if sending else None) == expected.claim_id
    if isinstance(expected, After):
        return sending is not None and sending.send_id == expected.send_id
    if document.kept is not None:
        return False
    return sending is None or (
        sending.partition == expected.partition
        and sending.offset < expected.offset
        and command_id not in sending.recent
    )


def _snapshot(document: Conversation) -> Snapshot:
    return Snapshot(
        document.last_user_message_at,
        document.mode,
        document.epoch,
        document.sending,
        document.kept,
        document.thread_is_ours,
    )


@dataclass(frozen=True)
class Reply:
    """How Meta meets one post: whether it takes it, when, and what the caller gets to see."""

    accepted: bool = True
    after_s: float = 0.05
    error: tuple[int, int | None] | None = None
    message: str = ""
    status: int | None = 200
    retry_after_s: float | None = None
    arrived: bool = True


OK = Reply()
LOST = Reply(accepted=False, status=None)  # never got there, as a timeout
TAKEN_UNSEEN = Reply(status=None)  # taken; the answer got lost
TAKEN_LATE = Reply(after_s=11.0, status=None)  # after the caller's deadline, before the claim's
TAKEN_500 = Reply(status=502)
NOT_TAKEN_500 = Reply(accepted=False, status=502)
UNSURE = Reply(accepted=False, status=500, error=(2, None))
LIMITED = Reply(accepted=False, status=400, error=(613, None), retry_after_s=7.0)
LIMITED_FOR_PERSON = Reply(accepted=False, status=400, error=(613, 2018338))
TOKEN_DEAD = Reply(accepted=False, status=400, error=(190, 460))
BARRED = Reply(accepted=False, status=400, error=(368, None))
BLOCKED = Reply(accepted=False, status=400, error=(551, 1545041))
UNREACHABLE = Reply(accepted=False, status=None, arrived=False)
TOO_LONG = Reply(
    accepted=False,
    status=400,
    error=(100, None),
    message="(#100) La longueur du paramètre message[text] doit être inférieure ou égale à 300",
)


@dataclass(frozen=True)
class Accepted:
    """One message in the person's thread: the truth."""

    mid: str
    send_id: str
    text: str
    at: datetime
    tag: str | None = None
    psid: str = PSID


class FakeMeta:
    """Takes messages as scripted, and shows the thread as it is."""

    def __init__(self, points: Points) -> None:
        self.points = points
        self.script: list[Reply] = []
        self.otherwise = OK
        self.posts: list[tuple[str, datetime]] = []
        self.written: list[Seen] = []  # by the person; then the thread has nothing older
        self.accepted: list[Accepted] = []
        self.readable = True
        self.read_outcome: Outcome | None = None
        self.shows_nothing = False
        self.message_readable = True
        self.message_reads = 0
        self.echo: Callable[[MessageEchoed], None] = lambda _echo: None
        self.echo_delay_s = 0.0
        self.shows_after_s = 0.0
        self.reads = 0
        self.read_at: list[datetime] = []
        self.actions: list[str] = []
        self.thread_error: Exception | None = None
        self.act_error: Exception | None = None
        self.max_length = 10_000
        self.date: Callable[[datetime], None] = lambda _date: None

    async def send(
        self, channel: Channel, psid: str, text: str, send_id: str, decision: Send
    ) -> Answer:
        await self.points.reach("post")
        self.posts.append((send_id, clock()))
        reply = self.script.pop(0) if self.script else self.otherwise
        if len(text) > self.max_length:
            reply = TOO_LONG
        mid = f"m_{len(self.posts)}"
        if reply.accepted and reply.status is None:
            loop = asyncio.get_running_loop()
            loop.call_later(reply.after_s, self._accept, mid, send_id, text, decision.tag, psid)
            await asyncio.sleep(10)
        else:
            await asyncio.sleep(reply.after_s)
            if reply.accepted:
                self._accept(mid, send_id, text, decision.tag, psid)
        await self.points.reach("answered")
        taken = reply.accepted and reply.status == 200
        if taken or reply.error:
            self.date(clock().replace(microsecond=0))
        return Answer(
            classify(
                status=reply.status,
                mid=mid if taken else None,
                error=MetaError(*reply.error, reply.message) if reply.error else None,
                retry_after_s=reply.retry_after_s,
                may_have_arrived=reply.arrived,
            ),
            "trace" if reply.error else None,
        )

    def _accept(self, mid: str, send_id: str, text: str, tag: str | None, psid: str) -> None:
        self.accepted.append(Accepted(mid, send_id, text, clock(), tag, psid))
        echo = MessageEchoed(
            event_id=f"echo {mid}",
            page_id=PAGE,
            psid=psid,
            occurred_at=clock(),
            mid=mid,
            app_id=APP_ID,
            send_id=send_id,
        )
        asyncio.get_running_loop().call_later(self.echo_delay_s, lambda: self.echo(echo))

    async def thread(self, channel: Channel, psid: str) -> Sequence[Seen]:
        await self.points.reach("read thread")
        self.reads += 1
        self.read_at.append(clock())
        if self.thread_error is not None:
            raise self.thread_error
        if not self.readable:
            raise ThreadUnreadableError("no", self.read_outcome)
        self.date(clock().replace(microsecond=0))
        shown = timedelta(seconds=self.shows_after_s)
        if self.shows_nothing:
            return []
        theirs = Seen("m_theirs", False, "hello?", STARTED_AT - timedelta(hours=1))
        ours = [
            Seen(item.mid, True, item.text, item.at.replace(microsecond=0))
            for item in self.accepted[-19:]
            if item.psid == psid and item.at + shown <= clock()
        ]
        if self.written:
            return sorted([*self.written, *ours], key=lambda seen: seen.created_at)[-20:]
        return [theirs, *ours]

    async def message(self, channel: Channel, mid: str) -> Seen:
        await self.points.reach("read message")
        self.message_reads += 1
        found = [item for item in self.accepted if item.mid == mid]
        if not found or not self.message_readable:
            raise ThreadUnreadableError("no")
        return Seen(mid, True, found[0].text, found[0].at.replace(microsecond=0))

    async def act(self, channel: Channel, psid: str, action: str) -> None:
        if self.act_error is not None:
            raise self.act_error
        self.actions.append(action)


class FakePublisher:
    """The log."""

    def __init__(self, points: Points) -> None:
        self.points = points
        self.records: list[Record] = []
        self.away = False

    async def publish(self, *records: Record) -> None:
        await self.points.reach("publish")
        if self.away:
            raise AwayError("kafka")
        self.records.extend(records)
        await self.points.reach("published")

    def outcomes(self) -> list[MessageSent | MessageFailed | MessageHeld]:
        """Each outcome once, in the order first told: readers drop copies by event id."""
        kinds = (MessageSent, MessageFailed, MessageHeld)
        told = {record.event_id: record for record in self.records if isinstance(record, kinds)}
        return list(told.values())


class FakeChannels:
    """The directory."""

    def __init__(self) -> None:
        self.known: dict[str, Channel] = {PAGE: CHANNEL}

    async def channel(self, page_id: str) -> Channel | None:
        return self.known.get(page_id)


class Erased:
    """Up to when the person was erased, once they are."""

    until: datetime | None = None
    is_known = True

    def erased_at(self, _conversation: str) -> datetime | None:
        if not self.is_known:
            raise StaleTombstonesError("not known")
        return self.until


class World:
    """What outlives a process, and a process (`desk`) that can be started anew."""

    def __init__(self) -> None:
        self.points = Points()
        self.store = FakeStore(self.points)
        self.kept = FakeKept(self.store)
        self.meta = FakeMeta(self.points)
        self.publisher = FakePublisher(self.points)
        self.channels = FakeChannels()
        self.history: History = NoHistory()
        self.erased = Erased()
        self.start()

    def start(self, crash_at: Iterable[int] = (), *, fast_s: float = 0.0) -> None:
        """A new process: nothing in memory. It ends at the given moments.

        Args:
            fast_s: how much its host's clock is ahead of Meta's.
        """
        self.points.crash_at, self.points.passed = frozenset(crash_at), []
        self.drain = Drain()
        self.pages = Pages(300, self.drain)
        self.echoes = Echoes(APP_ID)
        self.desk = Desk(
            self.store,
            self.kept,
            self.channels,
            self.meta,
            self.publisher,
            self.pages,
            self.drain,
            SendingSettings(),
            lambda: clock() + timedelta(seconds=fast_s),
            echoes=self.echoes,
            history=self.history,
            erased=self.erased,
        )
        self.meta.date = self.desk.meta_clock.heard
        self.keeper = Keeper(self.desk)
        self.wakes = Wakes(self.desk, lambda: [0])

    @property
    def conversation(self) -> Conversation:
        return self.store.conversations[CONVERSATION]

    async def deliver(self, command: SendText, offset: int = 1, partition: int = 0) -> None:
        await self.keeper.carry_out(command, Source(partition, offset))

    def reconnect(self) -> None:
        """The channel was changed, and everybody hears of it."""
        self.pages.reconsider(PAGE)
        self.wakes.kick(PAGE)

    async def until_nothing_is_kept(self, within_s: float = 1e6, step_s: float = 1) -> None:
        """Wakes go out and are carried out, as the log and the consumer do it."""
        async with asyncio.timeout(within_s):
            while self.kept.kept:
                await self.wake()
                await asyncio.sleep(step_s)

    async def wake(self) -> None:
        """One look at what is put away, and everything that it leads to."""
        await self.wakes.look()
        wakes = [record for record in self.publisher.records if isinstance(record, SendKept)]
        self.publisher.records = [each for each in self.publisher.records if each not in wakes]
        await asyncio.gather(*[self.keeper.take_up(each.conversation_id) for each in wakes])

    def accepted(self) -> list[str]:
        return [item.send_id for item in self.meta.accepted]

    def outcomes(self) -> list[tuple[str, str]]:
        """(send_id, type) of each outcome told."""
        return [(event.send_id, event.type) for event in self.publisher.outcomes()]


def send_text(text: str = "hello", command_id: str = "c1", **fields: object) -> SendText:
    values: dict[str, Any] = {
        "event_id": command_id,
        "page_id": PAGE,
        "psid": PSID,
        "occurred_at": STARTED_AT,
        "origin": "assistant",
        "epoch": 0,
        **fields,
    }
    return SendText(text=text, **values)


def in_parts(*texts: str) -> str:
    """A text that a channel with a limit of 60 sends in these parts."""
    return "\n\n".join(texts)
