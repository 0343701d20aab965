"""How an erasure stands, in the words of whoever asked for it; when it goes on."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

How = Literal["facebook", "administrator"]
Lookup = Literal["none", "pending", "found", "nothing", "refused"]
"""What Facebook says about who an app-scoped id is on our Pages; `none`: nobody has to ask."""
State = Literal["received", "working", "waiting", "done"]
Kind = Literal["good", "warn", "bad", "calm"]

LOOKUP_FOR = timedelta(hours=24)
"""How long Facebook is asked who somebody is on our Pages, if it doesn't say at once."""
_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=10)


@dataclass(frozen=True)
class Shown:
    """For people. `kind` is the badge's."""

    state: State
    kind: Kind
    label: str
    words: str


def pause_after(attempts: int) -> timedelta:
    """Until the next attempt: something was away, or was left."""
    return min(_FIRST_PAUSE * (1 << min(attempts, 10)), _LONGEST_PAUSE)


def lookup_pause(attempts: int) -> timedelta:
    return min(timedelta(minutes=1) * (1 << min(attempts, 6)), timedelta(hours=1))


def lookup_is_over(lookup: Lookup, requested_at: datetime, now: datetime) -> bool:
    """Whether nothing more is to be had from Facebook. However old a request, it was asked once."""
    if lookup == "pending":
        return False
    return lookup != "refused" or now - requested_at >= LOOKUP_FOR


def shown(
    *,
    done_at: datetime | None,
    erased_at: datetime | None,
    waits_for: str | None,
    lookup: Lookup,
    found_anything: bool,
) -> Shown:
    if done_at is not None:
        return _done(lookup, found_anything=found_anything)
    if waits_for == "facebook":
        words = (
            "What could be matched at once is erased. Facebook has not said yet which "
            "conversations belong to this account; it is asked again for a day."
        )
        return Shown("waiting", "warn", "Waiting for Facebook", words)
    if waits_for is not None:
        words = "A part of the system does not answer at the moment. The erasure goes on by itself."
        return Shown("waiting", "warn", "Waiting", words)
    if erased_at is not None:
        words = "The data are being erased, and looked for once more before this says “done”."
        return Shown("working", "calm", "Being erased", words)
    return Shown("received", "calm", "Received", "The request has arrived and is about to begin.")


def _done(lookup: Lookup, *, found_anything: bool) -> Shown:
    if found_anything and lookup == "refused":
        words = (
            "What could be matched was erased, and a search afterwards found nothing left of it. "
            "Facebook did not say which conversations belong to this account: if you have written "
            "to another Page, ask that Page to erase your data."
        )
    elif found_anything:
        words = "Everything was erased, and a search afterwards found nothing left."
    elif lookup == "refused":
        words = (
            "Facebook did not say which conversations belong to this account, and none could be "
            "matched without it. If you have written to a Page, ask the Page to erase your data."
        )
    else:
        words = "Nothing was stored that belongs to this account."
    return Shown("done", "good", "Done", words)
