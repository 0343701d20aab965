"""A human's message: may it be sent, and the command that sends it, once for each key."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import structlog
from prometheus_client import Counter

from libs.common.channels import Channel
from libs.common.erasures import name_of
from libs.common.events import SendText, human_command_id
from libs.common.kafka import Publisher
from libs.common.metrics import from_zero
from libs.common.mongo import Database, DuplicateKeyError, ensure_expiry, mongo_errors
from libs.common.window import Decision, Refuse, Send, Wait, decide
from services.takeover.domain.state import whole_ms
from services.takeover.human_agent import TagRefusal
from services.takeover.store import Found

KEEP_KEYS = timedelta(days=7)
"""Nobody repeats a request for so long, and Meta takes no message that is older."""

MESSAGES = from_zero(
    Counter(
        "assistant_human_messages_total",
        "What people wrote through us, by what became of it.",
        ["outcome"],  # outcome: accepted, repeated, or the code of the refusal
    ),
    ["accepted", "repeated"],
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Written:
    """What somebody wants to send."""

    key: str
    by: str
    by_name: str | None
    text: str

    @property
    def digest(self) -> str:
        """Tells another message under the same key; the text itself is not kept."""
        return hashlib.sha256(f"{self.by}\x1f{self.text}".encode()).hexdigest()


@dataclass(frozen=True)
class Accepted:
    """The command is on the log. `waits_for`: why it does not leave yet, as channel_expired."""

    command_id: str
    window: dict[str, Any]
    waits_for: str | None = None


@dataclass(frozen=True)
class Denied:
    """It can't be sent. `facts` go into the answer beside the code and the words."""

    code: str
    message: str
    facts: dict[str, Any]


class KeyReusedError(Exception):
    """The same key came with another message."""


class Finder(Protocol):
    """What is needed of `Keeper`."""

    async def find(self, conversation: str) -> Found: ...


class Channels(Protocol):
    """What is needed of `ChannelDirectory`."""

    async def channel(self, page_id: str) -> Channel | None: ...


class Keys(Protocol):
    """What is needed of `KeyStore`."""

    async def claim(
        self, command_id: str, person: str, digest: str, now: datetime
    ) -> "KnownKey | None": ...

    async def known(self, command_id: str) -> "KnownKey | None": ...

    async def done(self, command_id: str, answer: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class KnownKey:
    """A key that was seen before. `answer`: what was answered once the command was on the log."""

    digest: str
    answer: dict[str, Any] | None


class KeyStore:
    """`human_messages`: one document a key, `_id` = command id; a week.

    `person` is a hash, by which those of one person can be erased.
    """

    def __init__(self, database: Database) -> None:
        self._keys = database["human_messages"]

    async def ensure_indexes(self) -> None:
        with mongo_errors():
            await self._keys.create_index("person")
        await ensure_expiry(self._keys, "at", KEEP_KEYS)

    async def known(self, command_id: str) -> KnownKey | None:
        with mongo_errors():
            document = await self._keys.find_one({"_id": command_id})
        if document is None:
            return None
        return KnownKey(document["digest"], document.get("answer"))

    async def claim(
        self, command_id: str, person: str, digest: str, now: datetime
    ) -> KnownKey | None:
        """Take the key; what is known of it where somebody has it already."""
        try:
            with mongo_errors():
                await self._keys.insert_one(
                    {"_id": command_id, "person": person, "digest": digest, "at": now}
                )
        except DuplicateKeyError:
            return await self.known(command_id)
        return None

    async def done(self, command_id: str, answer: dict[str, Any]) -> None:
        with mongo_errors():
            await self._keys.update_one({"_id": command_id}, {"$set": {"answer": answer}})


class Writer:
    """Sends what humans write."""

    def __init__(
        self,
        finder: Finder,
        channels: Channels,
        keys: Keys,
        publisher: Publisher,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._finder = finder
        self._channels = channels
        self._keys = keys
        self._publisher = publisher
        self._clock = clock

    async def write(self, conversation: str, written: Written) -> Accepted | Denied:
        """Publish the command, once for each key: asked for again, the answer is the same.

        Raises:
            UnknownConversationError: nobody has ever written in it.
            KeyReusedError: the key belongs to another message.
            TransientError: it may or may not be sent; the same again, with the same key, tells.
        """
        command_id = human_command_id(conversation, written.key)
        known = await self._keys.known(command_id)
        if (answered := _answered(known, written, command_id)) is not None:
            return answered
        decided = await self._decide(conversation, written)
        if isinstance(decided, Denied):
            if known is not None:  # its command may be on the log, and then it is sent
                decided = Denied("may_be_sent", f"it may have been sent; now {decided.message}", {})
            MESSAGES.labels(decided.code).inc()
            log.info("human_message_denied", conversation=conversation, reason=decided.code)
            return decided
        known = await self._keys.claim(
            command_id, name_of(conversation), written.digest, whole_ms(self._clock())
        )
        if (answered := _answered(known, written, command_id)) is not None:
            return answered
        await self._publisher.publish(_command(conversation, written, command_id, self._clock()))
        accepted = Accepted(command_id, **decided)
        await self._keys.done(command_id, decided)
        MESSAGES.labels("accepted").inc()
        log.info("human_message_accepted", conversation=conversation, command_id=command_id)
        return accepted

    async def _decide(self, conversation: str, written: Written) -> dict[str, Any] | Denied:
        """The window, or why not. The sender decides again when its turn comes."""
        found = await self._finder.find(conversation)
        state = found.state
        if state.mode != "human":
            return Denied("not_taken_over", "take the conversation over before you write", {})
        if state.by != written.by:
            facts = {"by": state.by, "by_name": state.by_name, "since": state.since}
            return Denied("taken_by_other", "somebody else has the conversation", facts)
        return self._window(found, await self._channels.channel(conversation.partition(":")[0]))

    def _window(self, found: Found, channel: Channel | None) -> dict[str, Any] | Denied:
        now = self._clock()
        decision = _decision(found, channel, now, with_status=True)
        waits_for = None
        if isinstance(decision, Wait):
            waits_for = decision.rule
            decision = _decision(found, channel, now, with_status=False)
        if isinstance(decision, Refuse):
            facts = {"advice": decision.advice, **_facts(decision, found)}
            return Denied(decision.code, decision.explanation, facts)
        if not isinstance(decision, Send):
            raise TypeError("an active channel lets nobody wait")
        window = {
            "rule": decision.rule,
            "messaging_type": decision.messaging_type,
            "tag": decision.tag,
            "expires_at": decision.window_expires_at,
        }
        return {"window": window, "waits_for": waits_for}


def _decision(
    found: Found, channel: Channel | None, now: datetime, *, with_status: bool
) -> Decision:
    status = channel.status if channel else None
    return decide(
        origin="human",
        channel_enabled=channel is not None and channel.enabled,
        channel_status=status if with_status else status and "active",
        mode_now=found.state.mode,
        mode_epoch_now=found.state.epoch,
        command_epoch=None,
        last_user_message_at=found.last_user_message_at,
        now=now,
        thread_is_ours=found.state.is_ours,
    )


def _facts(refuse: Refuse, found: Found) -> dict[str, Any]:
    if refuse.code == "thread_owned_by_other_app":
        thread = found.state.thread
        return {"owner_app_id": thread.owner_app_id if thread else None}
    closed_at = refuse.window_expired_at
    return {} if closed_at is None else {"closed_at": closed_at}


def _answered(known: KnownKey | None, written: Written, command_id: str) -> Accepted | None:
    """The answer of before. None: the key is new, or its command may not be on the log."""
    if known is None:
        return None
    if known.digest != written.digest:
        MESSAGES.labels("idempotency_key_reused").inc()
        raise KeyReusedError
    if known.answer is None:
        return None
    MESSAGES.labels("repeated").inc()
    return Accepted(command_id, **known.answer)


def _command(conversation: str, written: Written, command_id: str, now: datetime) -> SendText:
    page_id, _, psid = conversation.partition(":")
    return SendText(
        event_id=command_id,
        page_id=page_id,
        psid=psid,
        occurred_at=now,
        origin="human",
        text=written.text,
        by=written.by,
        by_name=written.by_name,
    )


def needs_tag(accepted: Accepted) -> bool:
    """Whether Meta's permission matters for it."""
    return accepted.window.get("tag") is not None


def shown(refusal: TagRefusal | None) -> dict[str, Any] | None:
    return None if refusal is None else refusal.model_dump(mode="json")
