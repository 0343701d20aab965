"""Every Graph call received, in order, with its outcome: the judge of "sent twice"."""

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

KEPT_CALLS = 100_000  # of each Page; older ones are forgotten
_SECRETS = frozenset({"access_token", "appsecret_proof"})

Outcome = Literal["accepted", "refused", "dropped"]


@dataclass(frozen=True, slots=True)
class Call:
    """One Graph call.

    `outcome` says what became of the call in the world, whatever the caller was told: `accepted`
    took effect, `refused` did not, `dropped` was never looked at. `fault` names what a fault did to
    the answer; `status` is None if the caller got none.
    """

    n: int
    at: int
    page: str | None
    psid: str | None
    method: str
    endpoint: str
    body: Mapping[str, Any]
    outcome: Outcome
    status: int | None
    mid: str | None = None
    error: Mapping[str, Any] | None = None
    fault: str | None = None

    def shown(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if value is not None}


class CallLog:
    """Calls by Page, in memory."""

    def __init__(self) -> None:
        self._by_page: defaultdict[str | None, deque[Call]] = defaultdict(
            lambda: deque(maxlen=KEPT_CALLS)
        )
        self.count = 0

    def add(self, *, body: Mapping[str, Any], page: str | None, **facts: Any) -> Call:  # noqa: ANN401
        """Note a call; tokens and proofs in its body are left out."""
        self.count += 1
        kept = {key: value for key, value in body.items() if key not in _SECRETS}
        call = Call(n=self.count, body=kept, page=page, **facts)
        self._by_page[page].append(call)
        return call

    def select(self, page: str | None, psid: str | None, since: int) -> Iterator[Call]:
        """Calls with a number above `since`, in order; None selects all."""
        if page is not None:
            chosen = list(self._by_page.get(page, ()))
        else:
            chosen = sorted(
                (call for calls in self._by_page.values() for call in calls),
                key=lambda call: call.n,
            )
        return (call for call in chosen if call.n > since and psid in (None, call.psid))

    def clear(self) -> None:
        self._by_page.clear()
        self.count = 0
