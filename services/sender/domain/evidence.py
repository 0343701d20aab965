"""Did a part whose answer we never saw reach the person? What the thread itself says about it.

Meta has no idempotency key, and the Conversations API does not give our `metadata` back: a message
is recognised by its text, its sender, its time, and by not belonging to another delivery.

Source: Conversations API (the 20 latest messages of a thread, times in whole seconds).
"""

import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

CLOCK_TOLERANCE = timedelta(seconds=5)
"""How much earlier than our claim Meta may say that the message was created, if both clocks are
right: Meta counts whole seconds, and has more than one machine."""

CLOCKS_APART = timedelta(minutes=15)
"""How wrong a clock may be that is not Meta's."""

ORDER_TOLERANCE = timedelta(seconds=2)
"""How far apart Meta's moments of two messages of one thread may lie against their order: it counts
whole seconds, and has more than one machine."""

META_APART = timedelta(minutes=1)
"""How wrong our idea of Meta's clock may be."""


def margin(*, by_meta: bool) -> timedelta:
    """How much earlier than `since` the message may stand in the thread at all."""
    return META_APART if by_meta else CLOCKS_APART


@dataclass(frozen=True, slots=True)
class Seen:
    """One message of the thread, as it was read back."""

    mid: str
    from_page: bool
    text: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Found:
    """It is there. `by`: what told."""

    mid: str
    by: Literal["read_back", "echo", "receipt"] = "read_back"


@dataclass(frozen=True, slots=True)
class Absent:
    """The reading covers the time in question, and the message is not in it."""


@dataclass(frozen=True, slots=True)
class Unclear:
    """The reading proves nothing: it is empty, does not reach back far enough, or fits another part
    too."""


Evidence = Found | Absent | Unclear


def candidates(thread: Sequence[Seen], text: str, earliest: datetime) -> list[Seen]:
    """The Page's messages of this text from that time on, the oldest first."""
    wanted = _plain(text)
    fitting = [
        seen
        for seen in thread
        if seen.from_page and seen.created_at >= earliest and _plain(seen.text) == wanted
    ]
    # by the mid as well: Meta's moments are whole seconds, and every reading has to find the same
    return sorted(fitting, key=lambda seen: (seen.created_at, seen.mid))


def judge(
    thread: Sequence[Seen],
    text: str,
    since: datetime,
    *,
    by_meta: bool,
    recorded_mids: Collection[str],
    held_alike: int,
    covers: int,
    earlier_mids: Collection[str] = (),
) -> Evidence:
    """Judge by one healthy reading of the thread.

    Args:
        thread: what was read, in any order.
        text: of the part in doubt.
        since: when the part may first have been sent.
        by_meta: whether `since` is by Meta's clock. If it is by another, a message of the text that
            lies before it may be ours all the same: then nothing is certain.
        recorded_mids: the mids that belong to other deliveries of this conversation.
        held_alike: how many other parts of the same text were given up as held since then: each may
            be one of the messages in the thread.
        covers: how many messages one reading can hold at most.
        earlier_mids: of messages that surely came before the part. A reading that holds such a one,
            and something older, holds all that came after it, whatever any clock says: somebody in
            a hurry may fill a thread's twenty within the time that clocks can be wrong by.
    """
    earliest = since - margin(by_meta=by_meta)
    possible = [s for s in candidates(thread, text, earliest) if s.mid not in recorded_mids]
    likely = [seen for seen in possible if seen.created_at >= since - CLOCK_TOLERANCE]
    if len(likely) > held_alike:
        return Found(likely[-1].mid)  # held ones are older: order is kept within a conversation
    if possible:
        return Unclear()
    earlier = [seen.created_at for seen in thread if seen.mid in earlier_mids]
    begin = max([earliest, *(moment - ORDER_TOLERANCE for moment in earlier)])
    return Absent() if _reaches_back(thread, begin, covers) else Unclear()


def _reaches_back(thread: Sequence[Seen], earliest: datetime, covers: int) -> bool:
    """Whether nothing from `earliest` on can have fallen out of the reading.

    An empty reading shows nothing at all: a Page may write only to somebody who has written to it,
    so their thread has messages. Meta leaves threads out (the request folder, a Page that it calms
    down, a person who cannot be seen just now), and what it hides may hold ours.
    """
    if not thread:
        return False
    if len(thread) < covers:
        return True
    return min(seen.created_at for seen in thread) < earliest


def _plain(text: str) -> str:
    """Texts are compared without regard to what Meta may change: whitespace and composition."""
    return " ".join(unicodedata.normalize("NFC", text).split())
