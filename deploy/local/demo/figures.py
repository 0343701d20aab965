"""What the story has added to the Page's figures, compared with Facebook's record and the log."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from deploy.local.demo.counters import QUIET_S
from deploy.local.demo.stage import Stage
from deploy.local.demo.transcript import Table
from libs.common.events import (
    MessageFailed,
    MessageSent,
    TakeoverEnded,
    TakeoverRequested,
    TakeoverStarted,
)

DAYS = 30  # some lines of the story are said to be of days ago
POLL_S = 0.2
INBOX_APP_ID = "263902037430900"
BY = {
    "assistant": "by the assistant",
    "human": "by humans",
    "human_facebook": "at Facebook",
}

Figures = Counter[str]


class Before(NamedTuple):
    """What was counted before the story, and when that was, in milliseconds since 1970."""

    figures: Figures
    at_ms: int


async def counted(stage: Stage) -> Before:
    """What analytics has counted, once it stands still: after a start, it has a log to catch up."""
    found, since_s = flat(await _report(stage)), time.monotonic()
    async with asyncio.timeout(stage.patience_s):
        while time.monotonic() - since_s < QUIET_S:
            await asyncio.sleep(POLL_S)
            if (now := flat(await _report(stage))) != found:
                found, since_s = now, time.monotonic()
    return Before(found, time.time_ns() // 1_000_000)


async def figures(stage: Stage, before: Before) -> None:
    """What was added since `before`, as soon as it is as it has to be, or patience ends.

    Whoever else writes meanwhile is in Facebook's record, too.
    """
    stage.transcript.scene("The figures of the day")
    wanted, report = await _recorded(stage, before.at_ms), await _report(stage)
    with suppress(TimeoutError):
        async with asyncio.timeout(stage.patience_s):
            while since(report, before.figures) != wanted:
                await asyncio.sleep(POLL_S)
                wanted, report = await _recorded(stage, before.at_ms), await _report(stage)
    added = since(report, before.figures)
    stage.transcript.table(_table(added, report))
    _check(stage, wanted, added)


def flat(report: dict[str, Any]) -> Figures:
    """The numbers of a report that can be added and compared, by name."""
    messages, hands = report["messages"], report["hand_overs"]
    found = Figures(
        {
            "in": messages["inbound"],
            "delivered": messages["delivered"],
            "in_takeover": report["conversations"]["in_takeover"],
        }
    )
    for prefix, counts in (
        ("out", messages["outbound_by"]),
        ("failed", {each["reason"]: each["count"] for each in report["failures"]}),
        ("requested", hands["requested_by_reason"]),
        ("started", hands["started_by_reason"]),
        ("ended", hands["ended_by_reason"]),
    ):
        found.update({f"{prefix}.{name}": count for name, count in counts.items()})
    return found


def since(report: dict[str, Any], before: Figures) -> Figures:
    """What was added; zeros are left out."""
    added = flat(report)
    added.subtract(before)
    return Figures({name: count for name, count in added.items() if count})


async def _recorded(stage: Stage, since_ms: int) -> Figures:
    """What has to be added: by Facebook's record of the threads, and by the log."""
    found = Figures()
    ours = {person.psid for person in stage.people}
    others = {
        each["psid"]
        for each in await stage.simulator.people(stage.page)
        if each.get("last_message", {}).get("at", 0) >= since_ms
    }
    for psid in ours | others:
        thread = await stage.simulator.thread(stage.page, psid)
        # a story's people are new; what they wrote may be said to be of days ago
        messages = [each for each in thread["messages"] if psid in ours or each["at"] >= since_ms]
        origins = {event.mid: event.origin for event in stage.log.of(psid, MessageSent)}
        for message in messages:
            found["in" if message["from"] == "person" else _written(message, origins)] += 1
        arrived = [each for each in messages if each["at"] <= thread["delivered_watermark"]]
        found["delivered"] += sum(message["from"] == "page" for message in arrived)
        found.update(_told(stage, psid))
    return Figures({name: count for name, count in found.items() if count})


def _written(message: dict[str, Any], origins: Mapping[str, str]) -> str:
    if message.get("app_id") == INBOX_APP_ID:
        return "out.human_facebook"
    return f"out.{origins.get(message['mid'], 'assistant')}"


def _told(stage: Stage, psid: str) -> Iterator[str]:
    """What the log says of a person, each fact once."""
    sent = {event.send_id for event in stage.log.of(psid, MessageSent)}
    failed = {event.send_id: event.reason for event in stage.log.of(psid, MessageFailed)}
    yield from (f"failed.{reason}" for name, reason in failed.items() if name not in sent)
    for event in {each.event_id: each for each in stage.log.of(psid, TakeoverRequested)}.values():
        yield f"requested.{event.reason}"
    started = {each.epoch: each.reason for each in stage.log.of(psid, TakeoverStarted)}
    ended = {each.epoch: each.reason for each in stage.log.of(psid, TakeoverEnded)}
    yield from (f"started.{reason}" for reason in started.values())
    yield from (f"ended.{reason}" for reason in ended.values())
    if max(started, default=0) > max(ended, default=0):
        yield "in_takeover"


def _table(added: Figures, report: dict[str, Any]) -> Table:
    today = report["daily"][-1]

    def row(name: str, story: int, of_today: int, meaning: str) -> tuple[str, tuple[int, int], str]:
        return name, (story, of_today), meaning

    outbound = _sum(added, "out.")
    return Table(
        ("story", "today"),
        (
            row("messages from people", added["in"], today["inbound"], "some are of days ago"),
            row("messages to people", outbound, today["outbound"], _by_whom(added)),
            row("delivered", added["delivered"], today["delivered"], "in the slot of the sending"),
            row("not sent", _sum(added, "failed."), today["failed"], "too late, by Meta's rules"),
            row(
                "calls for a human",
                _sum(added, "requested."),
                today["hand_overs_requested"],
                "by people, or by the assistant",
            ),
            row("takeovers", _sum(added, "started."), today["hand_overs_started"], "by humans"),
            row("given back", _sum(added, "ended."), today["hand_overs_ended"], "to the assistant"),
        ),
    )


def _by_whom(added: Figures) -> str:
    return ", ".join(f"{added[f'out.{who}']} {words}" for who, words in BY.items())


def _check(stage: Stage, wanted: Figures, added: Figures) -> None:
    for name, kinds in (
        (f"{wanted['in']} messages from people, as Facebook's record has them", ("in",)),
        ("to people, as the record has them: " + _by_whom(wanted), ("out.",)),
        (f"{wanted['delivered']} of them are delivered", ("delivered",)),
        (
            f"{_sum(wanted, 'failed.')} answers were not sent, each with its cause",
            ("failed.",),
        ),
        (
            "calls for a human, takeovers and their ends are those of the log",
            ("requested.", "started.", "ended."),
        ),
        ("conversations in takeover are counted exactly", ("in_takeover",)),
    ):
        stage.transcript.expect(name, _part(wanted, kinds), _part(added, kinds))


def _part(figures: Figures, kinds: tuple[str, ...]) -> dict[str, int]:
    return {
        name: count
        for name, count in sorted(figures.items())
        if name in kinds or name.partition(".")[0] + "." in kinds
    }


def _sum(figures: Figures, prefix: str) -> int:
    return sum(count for name, count in figures.items() if name.startswith(prefix))


async def _report(stage: Stage) -> dict[str, Any]:
    path = f"/pages/{stage.page}/metrics?days={DAYS}"
    return (await stage.asks("analytics", "GET", path)).body
