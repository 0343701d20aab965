"""Who a person is at Facebook: when to ask, what to keep, and how often a Page may ask. Pure.

Meta lets a Page ask for few profiles, gives none for many people, and its pictures' addresses
expire. Nobody is ever called by a name that Meta did not give.

Source: Messenger Platform, "User Profile API".
"""

import unicodedata
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from libs.common.events import Model
from libs.common.text import beginning

REFRESH_AFTER = timedelta(days=7)
ASK_AGAIN_AFTER = timedelta(days=1)  # Meta shows no profile, or none to this app
TROUBLE_PAUSE = timedelta(minutes=1)  # doubles with every failure in a row
LONGEST_TROUBLE_PAUSE = timedelta(hours=1)
LEASE = timedelta(minutes=1)  # somebody asks right now
BUDGET_WINDOW = timedelta(minutes=10)
LONGEST_NAME = 200
_JOINERS = "\u200c\u200d"
LONGEST_URL = 2048

_NO_NAMES = frozenset({"facebook user", "messenger user"})  # what Meta calls those it can't name

ProfileState = Literal["unknown", "known", "hidden"]


class Profile(Model):
    """What Meta said of a person, and when to ask again.

    `picture_url` expires some days after `fetched_at`: show it, and expect it to fail.
    `is_waiting`: nobody could be asked, or there was no answer; somebody should at `next_at`.
    """

    state: ProfileState = "unknown"
    first_name: str | None = None
    last_name: str | None = None
    name: str | None = None
    picture_url: str | None = None
    fetched_at: datetime | None = None
    next_at: datetime | None = None
    is_waiting: bool = False
    failures: int = 0
    reason: str | None = None

    @property
    def shown_name(self) -> str | None:
        """The full name: in two parts, or as Meta put it together, or what there is of it."""
        parts = " ".join(filter(None, (self.first_name, self.last_name)))
        return self.name or parts or None


def is_due(profile: Profile, now: datetime) -> bool:
    return profile.next_at is None or profile.next_at <= now


def asking(profile: Profile, now: datetime) -> Profile:
    """Before the call: another process leaves it to us, and asks itself should we die."""
    return profile.model_copy(update={"next_at": now + LEASE, "is_waiting": True})


def given(
    now: datetime,
    *,
    first_name: str | None = None,
    last_name: str | None = None,
    name: str | None = None,
    picture_url: str | None = None,
) -> Profile | None:
    """What to keep of Meta's answer; None: it says nothing."""
    cleaned = {
        "first_name": _clean(first_name),
        "last_name": _clean(last_name),
        "name": _clean(name),
    }
    if not any(cleaned.values()):
        return None
    return Profile(
        state="known",
        **cleaned,
        picture_url=_clean_url(picture_url),
        fetched_at=now,
        next_at=now + REFRESH_AFTER,
    )


def refused(profile: Profile, now: datetime, reason: str) -> Profile:
    """Meta shows nothing. What it showed before is kept: the person is still called that."""
    state = "known" if profile.state == "known" else "hidden"
    change = {"state": state, "next_at": now + ASK_AGAIN_AFTER, "reason": reason}
    return profile.model_copy(update={**change, "is_waiting": False, "failures": 0})


def troubled(profile: Profile, now: datetime, reason: str) -> Profile:
    """No answer, or none that says anything of the person."""
    pause = min(TROUBLE_PAUSE * 2 ** min(profile.failures, 10), LONGEST_TROUBLE_PAUSE)
    waiting = waiting_until(profile, now + pause, reason)
    return waiting.model_copy(update={"failures": profile.failures + 1})


def waiting_until(profile: Profile, at: datetime, reason: str) -> Profile:
    """Nobody was asked: the Page has no call left, or no token."""
    return profile.model_copy(update={"next_at": at, "is_waiting": True, "reason": reason})


def spend(calls: Sequence[datetime], now: datetime, most: int) -> tuple[datetime, ...] | None:
    """The Page's calls of the last ten minutes with one more; None: there are `most` already.

    A clock that is ahead of ours spends what it has spent: calls of the future count.
    """
    recent = tuple(at for at in calls if at > now - BUDGET_WINDOW)
    return (*recent, now) if len(recent) < most else None


def next_call_at(calls: Sequence[datetime], now: datetime, most: int) -> datetime:
    """When the oldest call that is in the way leaves the window."""
    recent = sorted(at for at in calls if at > now - BUDGET_WINDOW)
    return recent[-most] + BUDGET_WINDOW if len(recent) >= most else now


def name_key(name: str | None) -> str:
    """How names are compared: without case, doubled spaces and ways to write the same character.

    Accents stay: in many languages they tell two names apart. Empty: there is no name.
    """
    key = " ".join(unicodedata.normalize("NFKC", name or "").casefold().split())
    return "" if key in _NO_NAMES else key


def is_full_name(key: str) -> bool:
    """Whether a name says enough to look for it: one word is shared by too many."""
    return len(key.split()) >= 2


def _clean(name: str | None) -> str | None:
    shown = "".join(each if _is_shown(each) else " " for each in name or "")
    return beginning(" ".join(shown.split()), LONGEST_NAME) or None


def _is_shown(char: str) -> bool:
    """Joiners make letters and emoji one: many a Persian or Indian name is written with them."""
    return char.isprintable() or char in _JOINERS or "\U000e0020" <= char <= "\U000e007f"


def _clean_url(url: str | None) -> str | None:
    is_usable = url is not None and len(url) <= LONGEST_URL and url.isprintable()
    return url if is_usable and str(url).startswith(("https://", "http://")) else None
