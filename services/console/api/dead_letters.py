"""Dead letters for programs: a list without their words, and an end for each."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from libs.common.errors import PermanentError
from libs.common.kafka import KafkaUnavailableError, PublishError
from services.console.api.operations import NOT_FOUND, Call, Operation, Refusal, Shown
from services.console.dead_letters import DeadLetters, ShownLetter
from services.console.dead_letters_store import Settled
from services.console.domain.dead_letters import Obstacle, State
from services.console.domain.tokens import Scope
from services.console.web.pages import DEAD_LETTERS

KAFKA_AWAY = Refusal(503, "kafka_away", "Kafka gives no answer; asking again does no harm.")
REFUSED = Refusal(409, "letter_refused", "It can't be done, and the message says why.")


class KafkaAwayError(PermanentError):
    """Kafka gives no answer."""

    code = "kafka_away"


class LettersWanted(BaseModel):
    """Which are asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    show: Literal["waiting", "settled", "all"] = Field(
        "waiting", description="settled: replayed or discarded"
    )


class SettledShown(Shown):
    """What was done about a letter, by whom."""

    id: str
    state: State
    by: str
    at: datetime

    @classmethod
    def of(cls, settled: Settled) -> "SettledShown":
        return cls(id=settled.id, state=settled.state, by=settled.by, at=settled.at)


class LetterShown(Shown):
    """What is known of a record that a service could not handle; null: it does not say."""

    id: str
    state: State
    page_id: str
    written_at: datetime = Field(description="when it became a dead letter")
    occurred_at: datetime | None
    service: str | None
    error: str | None
    attempts: int | None
    type: str | None
    topic: str | None = Field(description="where it came from")
    partition: int | None
    offset: int | None
    size_bytes: int
    obstacle: Obstacle | None = Field(description="why it can't be replayed")
    settled: SettledShown | None

    @classmethod
    def of(cls, shown: ShownLetter) -> "LetterShown":
        letter = shown.letter
        partition, offset = letter.source or (None, None)
        return cls(
            id=letter.id,
            state=shown.state,
            page_id=letter.page_id or "",
            written_at=letter.written_at,
            occurred_at=letter.occurred_at,
            service=letter.service,
            error=letter.error,
            attempts=letter.attempts,
            type=letter.type,
            topic=letter.topic,
            partition=partition,
            offset=offset,
            size_bytes=letter.size_bytes,
            obstacle=shown.obstacle,
            settled=SettledShown.of(shown.settled) if shown.settled else None,
        )


class LettersShown(Shown):
    """Those of the workspace's Pages, the latest first."""

    dead_letters: list[LetterShown]
    is_cut: bool = Field(description="there are older ones, which only make replay looks at")


async def list_letters(call: Call) -> LettersShown:
    wanted: LettersWanted = call.query
    try:
        found = await _office(call).of_workspace(call.workspace_id)
    except KafkaUnavailableError:
        raise KafkaAwayError("Kafka gives no answer: try again") from None
    chosen = [
        each
        for each in found.letters
        if wanted.show == "all" or each.is_open is (wanted.show == "waiting")
    ]
    return LettersShown(dead_letters=[LetterShown.of(each) for each in chosen], is_cut=found.is_cut)


async def replay_letter(call: Call) -> SettledShown:
    try:
        settled = await _office(call).replay(call.caller.actor, call.path["letter"])
    except (KafkaUnavailableError, PublishError):
        raise KafkaAwayError("Kafka gave no answer: replaying it again does no harm") from None
    return SettledShown.of(settled)


async def discard_letter(call: Call) -> SettledShown:
    try:
        settled = await _office(call).discard(call.caller.actor, call.path["letter"])
    except KafkaUnavailableError:
        raise KafkaAwayError("Kafka gives no answer: try again") from None
    return SettledShown.of(settled)


def _office(call: Call) -> DeadLetters:
    return call.request.app[DEAD_LETTERS].get()


DEAD_LETTER_OPERATIONS = (
    Operation(
        "GET",
        "/dead-letters",
        "listDeadLetters",
        "List records of the workspace's Pages that a service could not handle",
        "Health",
        Scope.HEALTH_READ,
        list_letters,
        LettersShown,
        query=LettersWanted,
        refusals=(KAFKA_AWAY,),
    ),
    Operation(
        "POST",
        "/dead-letters/{letter}/replay",
        "replayDeadLetter",
        "Put a dead letter back on its topic: once, however often it is asked for",
        "Health",
        Scope.HEALTH_WRITE,
        replay_letter,
        SettledShown,
        refusals=(NOT_FOUND, REFUSED, KAFKA_AWAY),
    ),
    Operation(
        "POST",
        "/dead-letters/{letter}/discard",
        "discardDeadLetter",
        "Give a dead letter up",
        "Health",
        Scope.HEALTH_WRITE,
        discard_letter,
        SettledShown,
        refusals=(NOT_FOUND, REFUSED, KAFKA_AWAY),
    ),
)
