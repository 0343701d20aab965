"""What stands around the composer: who has the conversation, and whether one may write. Pure."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from libs.common.channels import ChannelStatus
from libs.common.window import Refuse, Wait, decide
from services.console.domain.reply_window import ReplyWindow, reply_window, span
from services.console.domain.thread_words import FACEBOOK, name_of

BarKind = Literal["assistant", "mine", "other", "facebook"]
TIMERS = (5, 15, 30, 60, 240, 1440, 4320, 10_080)
"""Minutes that are offered; any number from the first to the last may be typed."""
SHORTEST, LONGEST = TIMERS[0], TIMERS[-1]
LONGEST_TEXT = 20_000


@dataclass(frozen=True)
class Bar:
    """Who has the conversation, for whoever looks."""

    kind: BarKind
    who: str
    by: str | None = None
    until: datetime | None = None
    since: datetime | None = None

    @property
    def words(self) -> str:
        if self.kind == "assistant":
            return "Assistant is replying"
        return "You are replying" if self.kind == "mine" else f"{self.who} is replying"


def bar_of(
    mode: str,
    by: str | None,
    by_name: str | None,
    viewer: str,
    *,
    until: datetime | None = None,
    since: datetime | None = None,
) -> Bar:
    if mode != "human":
        return Bar("assistant", "Assistant")
    if by == viewer:
        return Bar("mine", "You", by, until, since)
    kind: BarKind = "facebook" if by == FACEBOOK else "other"
    return Bar(kind, name_of(by, by_name), by, until, since)


def until_words(until: datetime | None, now: datetime) -> str:
    """When the assistant is back; the script counts on in the same words."""
    if until is None:
        return "until somebody returns it"
    return f"assistant returns in {span(until - now)}" if until > now else "assistant returns now"


def timer_words(minutes: int) -> str:
    """`5 minutes`, `1 hour`, `3 days`, `1 h 30 min`."""
    for length, word in ((1440, "day"), (60, "hour"), (1, "minute")):
        count, rest = divmod(minutes, length)
        if count and not rest:
            return f"{count} {word}" + ("" if count == 1 else "s")
        if count and length == 60:
            return f"{count} h {rest} min"
    return f"{minutes} minutes"


def is_timer(typed: str) -> bool:
    """Whether this is a number of minutes that can be had."""
    is_number = typed.isascii() and typed.isdigit() and len(typed) < 7
    return is_number and SHORTEST <= int(typed) <= LONGEST


def timers(preset: int | None) -> tuple[tuple[str, str], ...]:
    """What is offered, the Page's own number among it: pairs of value and words."""
    minutes = sorted({*TIMERS, *([preset] if preset else [])})
    offered = [(str(each), f"for {timer_words(each)}") for each in minutes]
    return (*offered, ("none", "until it is returned"), ("own", "for … minutes"))


@dataclass(frozen=True)
class Lock:
    """Nothing can be written, and why: `words`, the moment, and what follows it."""

    code: str
    title: str
    words: str
    at: datetime | None = None
    rest: str = ""


@dataclass(frozen=True)
class Strip:
    """Something to know before writing: `words`, the moment, and what follows it."""

    kind: Literal["calm", "warn", "bad"]
    words: str
    at: datetime | None = None
    rest: str = ""
    is_reconnect: bool = False


@dataclass(frozen=True)
class Composer:
    """Whether one may write, and what to know before. `lock` None: one may."""

    window: ReplyWindow
    lock: Lock | None
    strips: tuple[Strip, ...]
    waits: bool = False

    @property
    def revision(self) -> str:
        """Another one as soon as something else stands above the composer."""
        read = repr((self.lock, self.strips))
        return hashlib.sha256(read.encode("utf-8", "replace")).hexdigest()[:12]


@dataclass(frozen=True)
class Situation:
    """What a message to the person depends on."""

    name: str
    last_user_message_at: datetime | None
    is_enabled: bool
    status: ChannelStatus
    status_words: str
    thread_ours: bool
    refused_at: datetime | None = None
    refusal: str = ""
    refusal_advice: str = ""


def composer_of(now: datetime, facts: Situation) -> Composer:
    """By the rules that the sender follows when the message's turn comes."""
    window = reply_window(facts.last_user_message_at, now)
    decision = _decided(now, facts, facts.status)
    waits = isinstance(decision, Wait)
    if waits:
        decision = _decided(now, facts, "active")
    lock = _lock(decision, window, facts) if isinstance(decision, Refuse) else None
    strips = [_waiting(facts)] if waits else []
    if lock is None and window.kind == "human_only":
        strips += _human_agent(window, facts)
    return Composer(window, lock, tuple(strips), waits)


def _decided(now: datetime, facts: Situation, status: ChannelStatus) -> object:
    return decide(
        origin="human",
        channel_enabled=facts.is_enabled,
        channel_status=status,
        mode_now="human",
        mode_epoch_now=0,
        command_epoch=None,
        last_user_message_at=facts.last_user_message_at,
        now=now,
        thread_is_ours=facts.thread_ours,
    )


def _lock(refuse: Refuse, window: ReplyWindow, facts: Situation) -> Lock:
    match refuse.code:
        case "window_closed":
            return Lock(
                refuse.code,
                "Nobody can write here any more.",
                "Closed since",
                window.until,
                f": Facebook lets humans answer for 7 days after somebody wrote. It opens again as "
                f"soon as {facts.name} writes.",
            )
        case "no_user_message":
            words = f"{facts.name} has not written to the Page, and a Page may not write first."
            return Lock(refuse.code, "Nobody can write here yet.", words)
        case "thread_owned_by_other_app":
            return Lock(
                refuse.code,
                "Another app has this conversation.",
                "Facebook lets only one app write, and that is another one, or Meta's own inbox. "
                "Answer there, or mark the conversation there as done: then it comes back.",
            )
    if facts.status == "disconnected":
        words = "The Page is not connected. Connect it to write; the history is kept."
        return Lock(refuse.code, "The Page is disconnected.", words)
    words = "Nothing is sent on this Page while it is paused. Resume it on the Page's own page."
    return Lock(refuse.code, "The Page is paused.", words)


def _waiting(facts: Situation) -> Strip:
    return Strip(
        "warn",
        f"The Page has lost its connection to Facebook. {facts.status_words} What you write waits, "
        "and goes out once the Page is connected again, if the reply window is still open then.",
        is_reconnect=True,
    )


def _human_agent(window: ReplyWindow, facts: Situation) -> Sequence[Strip]:
    strips = [
        Strip(
            "calm",
            f"More than 24 hours since {facts.name} wrote: this goes out as a human's message "
            "(HUMAN_AGENT), which Facebook allows until",
            window.until,
            ".",
        )
    ]
    if facts.refused_at is not None:
        rest = f". {facts.refusal} {facts.refusal_advice}".rstrip()
        strips.append(Strip("bad", "Facebook refused such a message on", facts.refused_at, rest))
    return strips
