"""What the analytics service answers: counts of a period, of its days, and of the period before."""

from datetime import date

from pydantic import BaseModel, ConfigDict, Field


class Figures(BaseModel):
    """Base: what the service adds later is not looked at."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, serialize_by_alias=True
    )


class Period(Figures):
    """Days as people live them in the time zone, the first and the last one included."""

    first: date = Field(alias="from")
    last: date = Field(alias="to")
    days: int
    today_so_far: bool = Field(description="the last day is today, which is not over")


class Messages(Figures):
    """Messages of the period. `delivered` and `read` are of the `outbound` ones."""

    total: int = Field(description="inbound and outbound")
    inbound: int
    outbound: int
    outbound_by: dict[str, int] = Field(description="assistant, human, human_facebook")
    delivered: int
    read: int
    failed: int


class Rates(Figures):
    """Shares of the outbound messages, of 1; null: there were none."""

    delivery: float | None
    read: float | None


class Failure(Figures):
    """Messages that did not go out, by reason; several reasons may have the same cause."""

    reason: str
    count: int
    cause: str
    explanation: str
    advice: str


class FirstAnswer(Figures):
    """How long people waited for the first answer, in seconds; null: nobody was answered."""

    count: int
    median_s: float | None
    p95_s: float | None
    relative_error: float = Field(description="of both quantiles")


class Answered(Figures):
    """First answers, by whom they were given."""

    total: int
    by: dict[str, int] = Field(description="assistant, human, human_facebook")
    assistant_share: float | None = Field(description="of 1; null: nobody was answered")


class HandOvers(Figures):
    """Calls for a human; conversations that people took, and gave back."""

    requested: int
    requested_by_reason: dict[str, int]
    started: int
    started_by_reason: dict[str, int]
    ended: int
    ended_by_reason: dict[str, int]


class Conversations(Figures):
    """Conversations with messages in the period; those whose first message is in it."""

    active: int
    new: int


class ConversationsNow(Conversations):
    """And as they are now, whatever the period."""

    total: int = Field(description="of all time")
    in_takeover: int = Field(description="a human has them now")


class Day(Figures):
    """One day of the period."""

    day: date = Field(alias="date")
    so_far: bool = Field(description="it is today, which is not over")
    inbound: int
    outbound: int
    delivered: int
    read: int
    failed: int
    active_conversations: int
    new_conversations: int
    answered: int
    answered_by_assistant: int
    first_answer_median_s: float | None
    first_answer_p95_s: float | None
    hand_overs_requested: int
    hand_overs_started: int
    hand_overs_ended: int


class PeriodFigures(Figures):
    """What was counted in a period."""

    period: Period
    messages: Messages
    rates: Rates
    failures: list[Failure]
    first_answer: FirstAnswer
    answered: Answered
    hand_overs: HandOvers
    conversations: Conversations

    @property
    def is_empty(self) -> bool:
        """Whether nothing happened at all."""
        counted = (self.messages.total, self.messages.failed, self.hand_overs.requested)
        return not any(counted) and not self.hand_overs.started


class Report(PeriodFigures):
    """The figures of one Page or several, and of the same number of days before."""

    pages: list[str]
    timezone: str = Field(description="in which the days are cut, an IANA name")
    conversations: ConversationsNow
    daily: list[Day]
    inbound_by_hour: list[list[int]] = Field(
        description="inbound messages by weekday, Monday first, and hour of the day"
    )
    previous: PeriodFigures
