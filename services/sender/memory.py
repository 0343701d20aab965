"""What this process knows and the database does not: lost in a crash, and then found by evidence.

It spares the long way in the harmless cases: the database was away when a result was to be
recorded, or a claim was made and Meta then said a clear no, or evidence had told that nothing came
of a claim when something else was away.
"""

from collections import OrderedDict
from typing import TypeVar

from services.sender.domain.deliveries import Delivery

KEPT = 10_000
ABSENT_FOR_S = 120.0
"""What is not there now may be there later: an echo or a thread can be later than all patience."""

K = TypeVar("K")
V = TypeVar("V")


class Memory:
    """Results not recorded yet, by send id, and claims under which nothing can have been sent."""

    def __init__(self) -> None:
        self._results: OrderedDict[str, Delivery] = OrderedDict()
        self._unused: OrderedDict[str, None] = OrderedDict()
        self._absent: OrderedDict[tuple[str, str], float] = OrderedDict()

    def keep_result(self, delivery: Delivery) -> None:
        """The part is final; the record of it is still to be written."""
        _keep(self._results, delivery.send_id, delivery)

    def result(self, send_id: str) -> Delivery | None:
        return self._results.get(send_id)

    def recorded(self, send_id: str) -> None:
        self._results.pop(send_id, None)

    def keep_unused(self, claim_id: str) -> None:
        """Nothing was posted under this claim, or Meta surely did not take it."""
        _keep(self._unused, claim_id, None)

    def use(self, claim_id: str) -> None:
        """From here on only the answer, the database or the evidence can tell."""
        self._unused.pop(claim_id, None)

    def is_unused(self, claim_id: str) -> bool:
        return claim_id in self._unused

    def keep_absent(self, send_id: str, claim_id: str, now_s: float) -> None:
        """Evidence says that the part has not arrived, whatever was posted up to this claim.

        Found out anew by each run, it would be so for ever where each run fails soon afterwards.
        """
        self._absent.pop((send_id, claim_id), None)
        _keep(self._absent, (send_id, claim_id), now_s)

    def is_absent(self, send_id: str, claim_id: str, now_s: float) -> bool:
        """Whether that was so a moment ago; by a clock that nobody sets."""
        found_at = self._absent.get((send_id, claim_id))
        return found_at is not None and now_s - found_at < ABSENT_FOR_S


def _keep(kept: OrderedDict[K, V], key: K, value: V) -> None:
    kept[key] = value
    if len(kept) > KEPT:
        kept.popitem(last=False)
