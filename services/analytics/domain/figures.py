"""From the stored quarters of an hour to the figures of a period: sums, rates, quantiles. Pure."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from services.analytics.domain.causes import cause_of
from services.analytics.domain.histogram import ERROR, quantile_ms
from services.analytics.domain.periods import Period
from services.analytics.domain.slots import Span, first_slot, local_time

Json = dict[str, Any]
NEW = "new"


@dataclass
class Tally:
    """What was counted in some slots."""

    span: Span
    inbound: int = 0
    delivered: int = 0
    read: int = 0
    active: int = 0
    new: int = 0
    outbound: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    first: Counter[int] = field(default_factory=Counter)
    requested: Counter[str] = field(default_factory=Counter)
    started: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)

    def add(self, slot: int, counters: Mapping[str, Any]) -> None:
        """One slot of the span, as a rollup has it."""
        self.inbound += counters.get("in", 0)
        self.delivered += counters.get("delivered", 0)
        self.read += counters.get("read", 0)
        self.outbound.update(counters.get("out", {}))
        self.failed.update(counters.get("failed", {}))
        self.answered.update(counters.get("answered", {}))
        self.requested.update(counters.get("requested", {}))
        self.started.update(counters.get("started", {}))
        self.ended.update(counters.get("ended", {}))
        for bucket, number in counters.get("first", {}).items():
            self.first[int(bucket)] += number
        for gap, number in counters.get("gap", {}).items():
            if gap == NEW:
                self.new += number
            # who was silent since before the span is met here for the first time in it
            if gap == NEW or slot - int(gap) < self.span.first:
                self.active += number


@dataclass
class Tallies:
    """A period, and each of its days."""

    period: Period
    whole: Tally
    daily: list[tuple[date, Tally]]
    hours: list[list[int]]  # inbound by weekday, Monday first, and hour of the zone's clock


def tally(period: Period, documents: Iterable[Mapping[str, Any]]) -> Tallies:
    """Sum up daily rollups, of one Page or of several; those outside the period do no harm."""
    whole = Tally(period.span)
    daily = [(day, Tally(span)) for day, span in period.each_day()]
    begins = [each.span.first for _, each in daily]
    hours = [[0] * 24 for _ in range(7)]
    for document in documents:
        first = first_slot(date.fromisoformat(document["day"]))
        for number, counters in document.get("slots", {}).items():
            slot = first + int(number)
            if slot not in whole.span:
                continue
            whole.add(slot, counters)
            daily[bisect_right(begins, slot) - 1][1].add(slot, counters)
            if inbound := counters.get("in", 0):
                begin = local_time(slot, period.zone)
                hours[begin.weekday()][begin.hour] += inbound
    return Tallies(period, whole, daily, hours)


def report(
    current: Tallies, previous: Tallies, totals: Iterable[Mapping[str, Any]], today: date
) -> Json:
    """The whole answer; shares are of 1, null where there is nothing to take a share of."""
    ever = list(totals)
    figures = _figures(current.whole)
    figures["conversations"] |= {
        "total": sum(each.get("conversations", 0) for each in ever),
        "in_takeover": sum(each.get("in_takeover", 0) for each in ever),
    }
    return {
        "timezone": current.period.zone.key,
        "period": _period(current.period, today),
        **figures,
        "daily": [_day(day, each, today) for day, each in current.daily],
        "inbound_by_hour": current.hours,
        "previous": {"period": _period(previous.period, today), **_figures(previous.whole)},
    }


def _period(period: Period, today: date) -> Json:
    return {
        "from": period.first.isoformat(),
        "to": period.last.isoformat(),
        "days": period.days,
        "today_so_far": period.last == today,
    }


def _figures(counted: Tally) -> Json:
    outbound = counted.outbound.total()
    return {
        "messages": {
            "total": counted.inbound + outbound,
            "inbound": counted.inbound,
            "outbound": outbound,
            "outbound_by": _plain(counted.outbound),
            "delivered": counted.delivered,
            "read": counted.read,
            "failed": counted.failed.total(),
        },
        "rates": {
            "delivery": _share(counted.delivered, outbound),
            "read": _share(counted.read, outbound),
        },
        "failures": _failures(counted.failed),
        "first_answer": {
            "count": counted.first.total(),
            "median_s": _seconds(quantile_ms(counted.first, 0.5)),
            "p95_s": _seconds(quantile_ms(counted.first, 0.95)),
            "relative_error": ERROR,
        },
        "answered": {
            "total": counted.answered.total(),
            "by": _plain(counted.answered),
            "assistant_share": _share(counted.answered["assistant"], counted.answered.total()),
        },
        "hand_overs": {
            "requested": counted.requested.total(),
            "requested_by_reason": _plain(counted.requested),
            "started": counted.started.total(),
            "started_by_reason": _plain(counted.started),
            "ended": counted.ended.total(),
            "ended_by_reason": _plain(counted.ended),
        },
        "conversations": {"active": counted.active, "new": counted.new},
    }


def _day(day: date, counted: Tally, today: date) -> Json:
    return {
        "date": day.isoformat(),
        "so_far": day == today,
        "inbound": counted.inbound,
        "outbound": counted.outbound.total(),
        "delivered": counted.delivered,
        "read": counted.read,
        "failed": counted.failed.total(),
        "active_conversations": counted.active,
        "new_conversations": counted.new,
        "answered": counted.answered.total(),
        "answered_by_assistant": counted.answered["assistant"],
        "first_answer_median_s": _seconds(quantile_ms(counted.first, 0.5)),
        "first_answer_p95_s": _seconds(quantile_ms(counted.first, 0.95)),
        "hand_overs_requested": counted.requested.total(),
        "hand_overs_started": counted.started.total(),
        "hand_overs_ended": counted.ended.total(),
    }


def _failures(failed: Counter[str]) -> list[Json]:
    """By reason, the most frequent first; several reasons may have the same cause."""
    shown = []
    for reason, number in sorted(_plain(failed).items(), key=lambda each: (-each[1], each[0])):
        cause = cause_of(reason)
        shown.append(
            {
                "reason": reason,
                "count": number,
                "cause": cause.cause,
                "explanation": cause.explanation,
                "advice": cause.advice,
            }
        )
    return shown


def _plain(counted: Counter[str]) -> dict[str, int]:
    return {name: number for name, number in sorted(counted.items()) if number}


def _share(part: int, whole: int) -> float | None:
    """With four digits; only all of them are 1, and only none are 0."""
    if not whole:
        return None
    share = round(part / whole, 4)
    return min(max(share, 0.0001), 0.9999) if 0 < part < whole else share


def _seconds(duration_ms: float | None) -> float | None:
    return None if duration_ms is None else round(duration_ms / 1000, 3)
