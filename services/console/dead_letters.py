"""Dead letters for people: whose they are, what is in them without its words, and an end for each.

Putting one back is a claim, the record on its topic, and a note that it is there. A crash between
them leaves a claim that another attempt takes over after a minute; the record may then be on the
topic twice, which harms nobody: every reader tells a copy by its event id.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from prometheus_client import Counter

from libs.common.erasures import TombstoneStore
from libs.common.errors import PermanentError
from libs.common.kafka import UnpublishableError
from libs.common.kafka.records import ConsumedRecord
from libs.common.metrics import from_zero
from services.console.audit import Actor, AuditLog
from services.console.channels_store import ChannelStore
from services.console.dead_letters_store import DeadLetterStore, Settled
from services.console.domain.dead_letters import (
    OBSTACLES,
    Letter,
    Obstacle,
    Place,
    State,
    letter_of,
)
from services.console.domain.masking import masked
from services.console.domain.roles import Role
from services.console.letters_log import Found, LetterLog

MOST = 500  # of a partition: a page that lists more helps nobody
FRESH = timedelta(seconds=5)
OPERATOR = "whoever runs the console"

REPLAYS = from_zero(
    Counter(
        "assistant_dead_letters_total",
        "Dead letters that people did something about, by what became of them.",
        ["outcome"],
    ),
    ["replayed", "discarded", "refused"],
)

log = structlog.get_logger(__name__)


class UnknownLetterError(PermanentError):
    """There is none with this id, or it is of no Page of the workspace."""

    code = "not_found"


class LetterRefusedError(PermanentError):
    """It can't be put back, or discarded, as it is."""

    code = "letter_refused"


@dataclass(frozen=True)
class ShownLetter:
    """A letter, and what was done about it.

    Args:
        page_name: empty where the Page is not connected (any more).
        settled: None: nothing so far.
    """

    letter: Letter
    page_name: str
    settled: Settled | None
    obstacle: Obstacle | None

    @property
    def state(self) -> State:
        return self.settled.state if self.settled else "open"

    @property
    def is_open(self) -> bool:
        return self.state in ("open", "replaying")

    @property
    def why_not(self) -> str:
        """Why it can't be put back; empty: it can."""
        return OBSTACLES[self.obstacle] if self.obstacle else ""


@dataclass(frozen=True)
class Letters:
    """A list, the latest first. `is_cut`: older ones were not looked at."""

    letters: tuple[ShownLetter, ...]
    is_cut: bool


class DeadLetters:
    """Where they are looked at and settled."""

    def __init__(
        self,
        topic: LetterLog,
        store: DeadLetterStore,
        tombstones: TombstoneStore,
        channels: ChannelStore,
        audit: AuditLog,
        clock: Callable[[], datetime],
    ) -> None:
        self._topic = topic
        self._store = store
        self._tombstones = tombstones
        self._channels = channels
        self._audit = audit
        self._clock = clock
        self._known: tuple[datetime, Found] | None = None
        self._looking = asyncio.Lock()

    # Looking

    async def of_workspace(self, workspace_id: str) -> Letters:
        """Those of its Pages, settled ones included.

        Raises: KafkaUnavailableError.
        """
        pages = {
            each.channel.id: each.channel.page_name
            for each in await self._channels.of_workspace(workspace_id)
        }
        found = await self._latest() if pages else Found(())
        ours = [each for each in found.letters if each.page_id in pages]
        return Letters(tuple(await self._shown(ours, pages)), found.is_cut)

    async def everything(self) -> list[ShownLetter]:
        """Of all workspaces and of none, the latest first: for whoever runs the console.

        Raises: KafkaUnavailableError.
        """
        found = await self._topic.latest(None)
        names = {each.id: each.page_name for each in await self._channels.all()}
        return await self._shown(found.letters, names)

    async def letter(self, workspace_id: str, letter_id: str) -> tuple[ShownLetter, str]:
        """One, and its record without a word of it. Empty: its person was erased.

        Raises:
            UnknownLetterError
            KafkaUnavailableError
        """
        record, letter, name = await self._ours(workspace_id, letter_id)
        (shown,) = await self._shown([letter], {letter.page_id or "": name})
        return shown, "" if shown.obstacle == "erased" else masked(record.value)

    # Settling

    async def replay(self, actor: Actor, letter_id: str) -> Settled:
        """Put it back on its topic: once, however often it is asked for.

        Raises:
            UnknownLetterError
            LetterRefusedError: it can't be put back, was discarded, or somebody is just at it.
            KafkaUnavailableError, PublishError: it may be there or not; asking again is harmless.
        """
        record, letter, name = await self._ours(actor.workspace_id, letter_id)
        (shown,) = await self._shown([letter], {letter.page_id or "": name})
        if shown.state == "replayed" and shown.settled:
            return shown.settled
        async with self._audit.doing(
            actor, "dead_letter.replayed", target=name, target_id=letter.id
        ):
            return await self._put_back(record, shown, actor.shown_name)

    async def discard(self, actor: Actor, letter_id: str) -> Settled:
        """Take it off the list for good; the topic keeps it until its time is over.

        Raises:
            UnknownLetterError
            LetterRefusedError: it was put back, or somebody is just at it.
            KafkaUnavailableError
        """
        _, letter, name = await self._ours(actor.workspace_id, letter_id)
        (shown,) = await self._shown([letter], {letter.page_id or "": name})
        if shown.state == "discarded" and shown.settled:
            return shown.settled
        async with self._audit.doing(
            actor, "dead_letter.discarded", target=name, target_id=letter.id
        ):
            return await self._give_up(shown, actor.shown_name)

    async def replay_as_operator(self, shown: ShownLetter) -> Settled:
        """As `replay`, for any letter of `everything`."""
        record = await self._topic.record(shown.letter.place)
        if record is None:
            raise UnknownLetterError("it is not on the topic any more")
        async with self._as_operator("dead_letter.replayed", shown):
            return await self._put_back(record, shown, OPERATOR)

    async def discard_as_operator(self, shown: ShownLetter) -> Settled:
        """As `discard`, for any letter of `everything`."""
        async with self._as_operator("dead_letter.discarded", shown):
            return await self._give_up(shown, OPERATOR)

    @asynccontextmanager
    async def _as_operator(self, action: str, shown: ShownLetter) -> AsyncIterator[None]:
        """In the audit log of the workspace that it belongs to, if it belongs to one."""
        page_id = shown.letter.page_id
        channel = await self._channels.channel(page_id) if page_id else None
        if channel is None:
            yield
            return
        actor = Actor("", OPERATOR, channel.workspace_id, Role.ADMIN)
        target = channel.page_name
        async with self._audit.doing(actor, action, target=target, target_id=shown.letter.id):
            yield

    async def _put_back(self, record: ConsumedRecord, shown: ShownLetter, by: str) -> Settled:
        letter = shown.letter
        if shown.obstacle:
            REPLAYS.labels("refused").inc()
            raise LetterRefusedError(OBSTACLES[shown.obstacle])
        before = await self._store.claim(letter, "replaying", by, self._clock())
        if before is not None:
            return _already(before, "replayed")
        try:
            await self._topic.put_back(record)
        except UnpublishableError:
            await self._store.release(letter)
            REPLAYS.labels("refused").inc()
            raise LetterRefusedError("Kafka does not take it: it is too large.") from None
        except Exception:
            await self._store.release(letter)
            raise
        await self._store.finish(letter, self._clock())
        REPLAYS.labels("replayed").inc()
        log.info("dead_letter_replayed", topic=letter.topic, name=letter.id)
        return await self._settled(letter)

    async def _give_up(self, shown: ShownLetter, by: str) -> Settled:
        before = await self._store.claim(shown.letter, "discarded", by, self._clock())
        if before is not None:
            return _already(before, "discarded")
        REPLAYS.labels("discarded").inc()
        log.info("dead_letter_discarded", name=shown.letter.id)
        return await self._settled(shown.letter)

    async def _settled(self, letter: Letter) -> Settled:
        return (await self._store.settled([letter.id]))[letter.id]

    # Whose they are

    async def _ours(self, workspace_id: str, letter_id: str) -> tuple[ConsumedRecord, Letter, str]:
        place = Place.parse(letter_id)
        record = await self._topic.record(place) if place else None
        if place is None or record is None:
            raise UnknownLetterError("there is no such dead letter in the workspace")
        letter = letter_of(place, record.key, record.value, record.headers)
        channel = await self._channels.channel(letter.page_id) if letter.page_id else None
        if channel is None or channel.workspace_id != workspace_id:
            raise UnknownLetterError("there is no such dead letter in the workspace")
        return record, letter, channel.page_name

    async def _shown(self, letters: Sequence[Letter], names: dict[str, str]) -> list[ShownLetter]:
        settled = await self._store.settled([each.id for each in letters])
        people = {each.conversation for each in letters if each.conversation}
        erased = await self._tombstones.erased_at(people)
        return [
            ShownLetter(
                each,
                names.get(each.page_id or "", ""),
                settled.get(each.id),
                each.obstacle(erased.get(each.conversation or "")),
            )
            for each in letters
        ]

    async def _latest(self) -> Found:
        """As it was seconds ago: whoever settles one letter after the other waits for nothing."""
        async with self._looking:
            now = self._clock()
            if self._known is None or now - self._known[0] >= FRESH:
                self._known = (now, await self._topic.latest(MOST))
            return self._known[1]


def _already(before: Settled, wanted: State) -> Settled:
    """Raises: LetterRefusedError: somebody has decided otherwise, or is just at it."""
    if before.state == wanted:
        return before
    if before.state == "replaying":
        raise LetterRefusedError("Somebody is putting it back at this moment. Look again.")
    done = {"replayed": "put back on its topic", "discarded": "discarded"}[before.state]
    raise LetterRefusedError(f"It was {done} by {before.by} already.")
