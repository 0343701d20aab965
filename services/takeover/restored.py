"""`python -m services.takeover.restored --since MOMENT`: who took over since a database's copy.

A database that is restored from a copy does not know who has taken over, or handed back, since. The
assistant would answer where a human is; and as `epoch` would count on from where the copy was,
whoever remembers a higher one, the inbox and the figures, would not believe the next takeovers. The
log knows. To be run before any service starts; repeatable. Timers that ran out meanwhile end their
takeovers when the service starts.

Reads the KAFKA_ and MONGODB_ variables. Ends with 0 if all was done, 1 if not.
"""

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from libs.common.erasures import is_of_erased, known_erased
from libs.common.events import TakeoverEnded, TakeoverExtended, TakeoverStarted
from libs.common.kafka.since import events_since
from libs.common.mongo import Database
from libs.common.restoring import run_restore
from libs.common.settings import KafkaSettings
from libs.common.topics import EVENTS
from services.takeover.domain.state import Takeover, whole_ms
from services.takeover.domain.transitions import Fact
from services.takeover.keeper import ContendedError
from services.takeover.roster import Roster
from services.takeover.store import Found, TakeoverStore

WANTED = {b"takeover.started", b"takeover.extended", b"takeover.ended"}
LEAP = 1000
"""`revision` names extensions, and counts changes as well that no fact tells. So far ahead no name
comes twice."""


def told(state: Takeover, facts: Iterable[Fact]) -> Takeover:
    """The state after these facts, in their order; those that it knows change nothing."""
    after = state
    for fact in facts:
        at = whole_ms(fact.occurred_at)
        match fact:
            case TakeoverStarted() if fact.epoch > after.epoch:
                hands = {"mode": "human", "epoch": fact.epoch, "since": at, "by": fact.by}
                about = {"by_name": fact.by_name, "reason": fact.reason}
                timer = {"auto_resume_at": fact.auto_resume_at}
                after = after.model_copy(update={**hands, **about, **timer})
            case TakeoverExtended() if after.mode == "human" and fact.epoch == after.epoch:
                after = after.model_copy(update={"auto_resume_at": fact.auto_resume_at})
            case TakeoverEnded() if fact.epoch > after.epoch:
                hands = {"mode": "ai", "epoch": fact.epoch, "since": at, "by": fact.by}
                about = {"by_name": fact.by_name, "reason": fact.reason}
                after = after.model_copy(update={**hands, **about, "auto_resume_at": None})
    if after == state:
        return state
    return after.model_copy(update={"revision": state.revision + LEAP})


async def restore(
    database: Database, kafka: KafkaSettings, since: datetime, topic: str = EVENTS
) -> tuple[int, int]:
    """Read the log from then on; of how many conversations it tells, and how many were changed.

    Raises:
        TransientError: Kafka or the database is away, or a service runs. Again will pass.
    """
    facts: dict[str, list[Fact]] = {}
    async with known_erased(database) as erased:
        async for event in events_since(kafka, topic, since, WANTED):
            if isinstance(
                event, TakeoverStarted | TakeoverExtended | TakeoverEnded
            ) and not is_of_erased(erased, event):
                facts.setdefault(event.conversation_id, []).append(event)
    store, rows = TakeoverStore(database), Roster(database)
    changed = 0
    for conversation, each in facts.items():
        before = (await store.find(conversation) or Found(conversation)).state
        after = told(before, each)
        if after == before:
            continue
        # the service looks what came of it, and sets the row right
        await rows.announce(conversation, datetime.now(UTC))
        if await store.change(conversation, before, after, None, may_create=True) is None:
            raise ContendedError("the takeover service runs: stop it first")
        changed += 1
    return len(facts), changed


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    return run_restore(
        "takeover",
        restore,
        description="Take who took over since a copy of the database from the log.",
        done="takeovers in {} conversations since then, {} of them were not known",
        arguments=arguments,
    )


if __name__ == "__main__":
    sys.exit(main())
