"""What Analytics shows of a report: cards with their definitions, causes and reasons. Pure."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from services.console.domain.analytics_words import (
    NONE,
    Better,
    Change,
    change_of_count,
    change_of_duration,
    change_of_share,
    duration,
    number,
    percent,
)
from services.console.domain.charts import sparkline
from services.console.domain.figures import Day, PeriodFigures, Report

RANGES = (7, 30, 90)  # days


@dataclass(frozen=True)
class Card:
    """One figure. `lines`: points of its days' line; `note`: what a share is of."""

    id: str
    label: str
    value: str
    definition: str
    note: str = ""
    change: Change | None = None
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trouble:
    """Failed messages with the same explanation."""

    cause: str
    explanation: str
    advice: str
    count: int
    share: str


@dataclass(frozen=True)
class Reason:
    """How often something happened for one reason."""

    label: str
    count: int
    share: str


def period_before(report: Report) -> str:
    return f"the {report.period.days} days before"


def card_groups(report: Report) -> list[tuple[str, list[Card]]]:
    """The cards in their order, under their headings."""
    made = _Cards(report)
    return [
        ("Messages", made.messages()),
        ("Conversations", made.conversations()),
        ("Answers and hand-overs", made.answers()),
    ]


class _Cards:
    """Makes the cards of one report."""

    def __init__(self, report: Report) -> None:
        self._now, self._before = report, report.previous
        self._period = period_before(report)
        self._has_before = not report.previous.is_empty

    def messages(self) -> list[Card]:
        return [
            self._count(
                "total", lambda it: it.messages.total, lambda day: day.inbound + day.outbound
            ),
            self._count("inbound", lambda it: it.messages.inbound, lambda day: day.inbound),
            self._count("outbound", lambda it: it.messages.outbound, lambda day: day.outbound),
            self._count("delivered", lambda it: it.messages.delivered, lambda day: day.delivered),
            self._count("read", lambda it: it.messages.read, lambda day: day.read),
            self._count("failed", lambda it: it.messages.failed, lambda day: day.failed, "less"),
            self._share(
                "delivery_rate",
                lambda it: (it.messages.delivered, it.messages.outbound),
                lambda day: (day.delivered, day.outbound),
                "outbound",
                "more",
            ),
            self._share(
                "read_rate",
                lambda it: (it.messages.read, it.messages.outbound),
                lambda day: (day.read, day.outbound),
                "outbound",
                "more",
            ),
        ]

    def conversations(self) -> list[Card]:
        known = self._now.conversations
        return [
            _card("conversations", number(known.total)),
            self._count(
                "active", lambda it: it.conversations.active, lambda day: day.active_conversations
            ),
            self._count("new", lambda it: it.conversations.new, lambda day: day.new_conversations),
            _card("in_takeover", number(known.in_takeover)),
        ]

    def answers(self) -> list[Card]:
        return [
            self._share(
                "by_assistant",
                lambda it: (it.answered.by.get("assistant", 0), it.answered.total),
                lambda day: (day.answered_by_assistant, day.answered),
                "first answers",
                None,
            ),
            self._count(
                "requested",
                lambda it: it.hand_overs.requested,
                lambda day: day.hand_overs_requested,
            ),
            self._count(
                "started", lambda it: it.hand_overs.started, lambda day: day.hand_overs_started
            ),
            self._first_answer(),
        ]

    def _count(
        self,
        name: str,
        of: Callable[[PeriodFigures], int],
        of_day: Callable[[Day], int],
        better: Better | None = None,
    ) -> Card:
        now, before = of(self._now), of(self._before)
        change = change_of_count(now, before, self._period, better)
        return self._with_days(_card(name, number(now)), change, of_day)

    def _share(
        self,
        name: str,
        of: Callable[[PeriodFigures], tuple[int, int]],
        of_day: Callable[[Day], tuple[int, int]],
        whole: str,
        better: Better | None,
    ) -> Card:
        now, before = of(self._now), of(self._before)
        change = change_of_share(now, before, self._period, better)
        note = f"{number(now[0])} of {number(now[1])} {whole}" if now[1] else f"no {whole}"

        def share_of(day: Day) -> float | None:
            part, all_of_it = of_day(day)
            return part / all_of_it if all_of_it else None

        return self._with_days(_card(name, percent(*now), note), change, share_of)

    def _first_answer(self) -> Card:
        now, before = self._now.first_answer, self._before.first_answer
        note = f"95 of 100 within {duration(now.p95_s)}" if now.count else "nobody was answered"
        card = _card("first_answer", duration(now.median_s), note)
        change = change_of_duration(now.median_s, before.median_s, self._period, "less")
        return self._with_days(card, change, lambda day: day.first_answer_median_s)

    def _with_days(self, card: Card, change: Change, of_day: Callable[[Day], float | None]) -> Card:
        lines = sparkline([of_day(day) for day in self._now.daily])
        shown = change if self._has_before else Change("unknown", "no earlier data")
        return Card(card.id, card.label, card.value, card.definition, card.note, shown, lines)


def _card(name: str, value: str, note: str = "") -> Card:
    label, definition = DEFINITIONS[name]
    return Card(name, label, value, definition, note)


DEFINITIONS: Mapping[str, tuple[str, str]] = {
    "total": ("Messages", "Inbound and outbound messages together."),
    "inbound": (
        "Inbound",
        "What people wrote, and the buttons they tapped. Edits and reactions don't count.",
    ),
    "outbound": (
        "Outbound",
        "What people got from the Page: from the assistant, from your team here, and from "
        "Facebook's own inbox. A long answer counts once for each message it was split into.",
    ),
    "delivered": (
        "Delivered",
        "Outbound messages that Facebook says arrived. They count on the day they were sent.",
    ),
    "read": (
        "Read",
        "Outbound messages that Facebook says were seen. They count on the day they were sent.",
    ),
    "failed": (
        "Failed",
        "Messages that were not sent in the end. One that is sent again later is no failure, and a "
        "held one is not counted before it is decided.",
    ),
    "delivery_rate": ("Delivery rate", "Delivered messages as a share of the outbound ones."),
    "read_rate": ("Read rate", "Read messages as a share of the outbound ones."),
    "conversations": (
        "Conversations in total",
        "People who have ever exchanged a message with the Page, whatever the period.",
    ),
    "active": ("Active", "Conversations with at least one message in these days."),
    "new": ("New", "Conversations whose first message lies in these days."),
    "in_takeover": (
        "With a human now",
        "Conversations that somebody has taken over at this moment, whatever the period.",
    ),
    "by_assistant": (
        "Answered by assistant",
        "Of the first answers to what people wrote, those that the assistant gave.",
    ),
    "requested": (
        "Human wanted",
        "How often the assistant or the person asked for a human.",
    ),
    "started": (
        "Hand-overs",
        "How often somebody took a conversation over, here or by answering in Facebook's inbox.",
    ),
    "first_answer": (
        "First answer",
        "Half of the people waited less than this for the first answer to what they wrote: the "
        "median. It is right to within 2 %.",
    ),
}

CAUSES: Mapping[str, str] = {
    "window": "Messaging window",
    "token": "Connection",
    "permission": "Permission",
    "blocked": "Not reachable",
    "outage": "Outage",
    "takeover": "Taken over",
    "content": "Content",
    "discarded": "Discarded",
    "channel": "Switched off",
    "other": "Other",
}

REASONS: Mapping[str, str] = {
    "asked": "Asked for a human",
    "angry": "The person was upset",
    "cannot_answer": "The assistant could not answer",
    "policy": "The assistant's instructions want a human",
    "model_failed": "The model gave no answer",
    "limit_reached": "A daily limit was reached",
    "loop_suspected": "Looked like two machines talking",
    "taken": "Taken over in the console",
    "facebook_reply": "Answered in Facebook's inbox",
    "resumed": "Given back by somebody",
    "auto_resume": "Given back by the timer",
    "assistant": "Assistant",
    "human": "Your team, here",
    "human_facebook": "From Facebook's inbox",
}


def troubles(report: Report) -> list[Trouble]:
    """Failed messages by what is to be said of them, the most frequent first."""
    counts: defaultdict[tuple[str, str, str], int] = defaultdict(int)
    for each in report.failures:
        counts[each.cause, each.explanation, each.advice] += each.count
    whole = sum(counts.values())
    return [
        Trouble(CAUSES.get(cause, _spelt(cause)), explanation, advice, count, percent(count, whole))
        for (cause, explanation, advice), count in sorted(
            counts.items(), key=lambda each: (-each[1], each[0])
        )
    ]


def reasons(counts: Mapping[str, int]) -> list[Reason]:
    """The most frequent first."""
    whole = sum(counts.values())
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    return [
        Reason(REASONS.get(name, _spelt(name)), count, percent(count, whole))
        for name, count in ordered
        if count
    ]


def _spelt(name: str) -> str:
    return name.replace("_", " ").capitalize() or NONE


def hand_over_tables(report: Report) -> Sequence[tuple[str, list[Reason]]]:
    told = report.hand_overs
    return (
        ("A human was wanted", reasons(told.requested_by_reason)),
        ("Taken over", reasons(told.started_by_reason)),
        ("Given back", reasons(told.ended_by_reason)),
    )


def who_tables(report: Report) -> Sequence[tuple[str, list[Reason]]]:
    return (
        ("First answers", reasons(report.answered.by)),
        ("Outbound messages", reasons(report.messages.outbound_by)),
    )
