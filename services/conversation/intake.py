"""The events of one conversation as they come, folded into its state.

Most are folded without a question. A copy that the state may have forgotten, or a message that
replies to one it does not have, is looked up in the archive.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import structlog
from prometheus_client import Counter

from libs.common.erasures import Erased, is_of_erased
from libs.common.events import AnyRecord, MessageReceived, TakeoverStarted
from libs.common.kafka import KeyBatch
from libs.common.sparingly import Sparingly
from services.conversation.desk import Store
from services.conversation.domain import archive, receive
from services.conversation.domain.receive import Arrival, Rules
from services.conversation.domain.state import Position, State
from services.conversation.history import arrival_of
from services.conversation.store import ConversationChangedError

MOST_QUOTED = 10
"""Of a batch's replies to earlier messages, the newest so many are looked up."""

CONTRADICTIONS = Counter(
    "assistant_message_contradictions_total",
    "Messages that came again with other content; the first counts.",
)

log = structlog.get_logger(__name__)
_contradictions = Sparingly()


class Intake:
    """The batch of one conversation, as long as more joins it."""

    def __init__(self, store: Store, batch: KeyBatch, conversation: str, erased: Erased) -> None:
        self._store = store
        self._batch = batch
        self._conversation = conversation
        self._erased = erased
        self._taken = 0
        self.listens = True
        """Whether what comes meanwhile joins. Not for ever: one person's offsets have to move."""

    def arrivals(self) -> list[Arrival]:
        """The events of the batch that have not been looked at yet, without those of somebody who
        was erased since."""
        new = [arrival_of(record) for record in self._batch.records[self._taken :]]
        kept = [arrival for arrival in new if not is_of_erased(self._erased, arrival.event)]
        self._taken += len(new)
        return kept

    async def wait_for_more(self, timeout_s: float) -> bool:
        """True as soon as something waits; False after `timeout_s` without."""
        return await self._batch.wait_for_more(timeout_s)

    async def take_more(self, state: State, rules: Rules, epoch: int) -> State:
        """Fold in what has come meanwhile.

        Raises:
            ConversationChangedError: a human has taken over since `epoch`; the next attempt finds
                that stored.
        """
        self._batch.take_more()
        arrivals = self.arrivals()
        for arrival in arrivals:
            event = arrival.event
            if isinstance(event, TakeoverStarted) and event.epoch > epoch:
                raise ConversationChangedError("a human has taken over")
        return await self.receive(state, arrivals, rules)

    async def receive(self, state: State, arrivals: Sequence[Arrival], rules: Rules) -> State:
        """Fold events into the state, without late copies of those it has forgotten.

        What nobody can tell from a copy any more counts as one: to answer twice is worse.
        """
        relevant = [
            arrival
            for arrival in arrivals
            if receive.changes_state(arrival.event, rules.own_app_id)
        ]
        doubtful = {
            arrival.position: kept_as
            for arrival in relevant
            if receive.has_to_be_looked_up(state, arrival)
            and (kept_as := archive.copied_id(arrival.event)) is not None
        }
        if doubtful:
            copies = await self._copies(doubtful)
            relevant = [
                arrival
                for arrival in relevant
                if arrival.position not in copies
                and not (arrival.position in doubtful and receive.comes_too_late(arrival))
            ]
        with_quotes = await self._with_quotes(state, relevant)
        return receive.receive(state, with_quotes, rules, _notice_contradiction)

    async def _with_quotes(self, state: State, arrivals: Sequence[Arrival]) -> Sequence[Arrival]:
        """With the messages that these reply to, where the memory has them not."""
        here = {getattr(arrival.event, "mid", None) for arrival in arrivals}
        mids = {
            arrival.position: arrival.event.reply_to_mid
            for arrival in arrivals
            if isinstance(arrival.event, MessageReceived)
            and arrival.event.reply_to_mid is not None
            and arrival.event.reply_to_mid not in here
            and not receive.is_known(state, arrival.event.event_id)
            and not receive.remembered(state, arrival.event.reply_to_mid)
        }
        if not mids:
            return arrivals
        wanted = list(dict.fromkeys(mids.values()))[-MOST_QUOTED:]
        texts = await self._store.texts(self._conversation, wanted)
        return [
            replace(arrival, quoted=texts.get(mids.get(arrival.position, ""), ""))
            for arrival in arrivals
        ]

    async def _copies(self, doubtful: Mapping[Position, str]) -> set[Position]:
        """The records whose message another record has brought into the archive before them."""
        sources = await self._store.sources(list(set(doubtful.values())))
        return {
            position
            for position, kept_as in doubtful.items()
            if kept_as in sources and sources[kept_as] != archive.source_of(position)
        }


def _notice_contradiction(event: AnyRecord) -> None:
    """Meta does not do that: whoever else has the app's secret may."""
    CONTRADICTIONS.inc()
    if count := _contradictions.count():
        log.warning("message_contradicted", event_id=event.event_id, count=count)
