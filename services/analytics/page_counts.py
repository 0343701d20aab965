"""The figures as metrics, Page by Page: what came, what went, what failed, who took over.

As the events are folded, and so once each, however often they come: but a process that is killed
between two writes has counted less than the figures. Those are in the database; these are for
seeing what changes. People are in no label, and of Pages the first `MOST_LABELS`.
"""

from collections import defaultdict
from collections.abc import Iterable

from prometheus_client import Counter

from services.analytics.domain.rollups import Advance

MOST_LABELS = 500
OTHER = "other"

MESSAGES = Counter(
    "assistant_page_messages_total",
    "Messages of a Page, by what is known of them.",
    # what: received, assistant, human, human_facebook (sent by these), delivered, read
    ["page", "what"],
)
ANSWERED = Counter(
    "assistant_page_answered_total",
    "First messages of the Page after somebody wrote, by who gave them.",
    ["page", "origin"],  # origin: assistant, human, human_facebook
)
FAILURES = Counter(
    "assistant_page_failures_total", "Parts that failed, by why.", ["page", "reason"]
)
TAKEOVERS = Counter("assistant_page_takeovers_total", "Takeovers that began.", ["page", "reason"])
REQUESTS = Counter("assistant_page_human_requests_total", "Calls for a human.", ["page", "reason"])

_WHOLE = {
    "in": (MESSAGES, "received"),
    "delivered": (MESSAGES, "delivered"),
    "read": (MESSAGES, "read"),
}
_BY_WORD = {
    "out": MESSAGES,
    "answered": ANSWERED,
    "failed": FAILURES,
    "started": TAKEOVERS,
    "requested": REQUESTS,
}


class PageCounts:
    """What one process has folded. Figures may also go down: a part that failed is sent after all.
    Counters can't, so that is taken off what comes next."""

    def __init__(self) -> None:
        self._pages: set[str] = set()
        self._owed: defaultdict[tuple[Counter, str, str], int] = defaultdict(int)

    def count(self, advances: Iterable[Advance]) -> None:
        """Count what was folded; what was folded before is not among it."""
        totals: defaultdict[tuple[Counter, str, str], int] = defaultdict(int)
        for advance in advances:
            for arrival, increments in advance.counted:
                page = self._label(arrival.event.page_id)
                for _, name, number in increments:
                    if (found := _counter_of(name)) is not None:
                        totals[found[0], page, found[1]] += number
        for key, number in totals.items():
            self._add(key, number)

    def _add(self, key: tuple[Counter, str, str], number: int) -> None:
        counter, page, value = key
        number += self._owed.pop(key, 0)
        if number < 0:
            self._owed[key] = number
        counter.labels(page, value).inc(max(0, number))

    def _label(self, page_id: str) -> str:
        if page_id not in self._pages and len(self._pages) >= MOST_LABELS:
            return OTHER
        if page_id not in self._pages:
            self._pages.add(page_id)
            _begin(page_id)
        return page_id


def _begin(page: str) -> None:
    """From here on the Page has a rate of everything that a Page always has."""
    for what in ("received", "assistant", "human", "human_facebook", "delivered", "read"):
        MESSAGES.labels(page, what)
    for origin in ("assistant", "human", "human_facebook"):
        ANSWERED.labels(page, origin)
    for reason in ("taken", "facebook_reply"):
        TAKEOVERS.labels(page, reason)


def _counter_of(name: str) -> tuple[Counter, str] | None:
    """Of a counter of `domain/fold.py`: the metric and its label."""
    if name in _WHOLE:
        return _WHOLE[name]
    word, _, value = name.partition(".")
    counter = _BY_WORD.get(word)
    return (counter, value) if counter is not None else None
