"""What this process knows and the database does not: lost in a crash, and then found by evidence.

It spares the long way in the harmless cases: the database was away when a result was to be
recorded, or a claim was made and Meta then said a clear no, or evidence had told that nothing came
of a claim when something else was away.
"""

from collections import OrderedDict
from typing import TypeVar

from services.sender.domain.deliveries import Delivery

KEPT = 10_000

K = TypeVar("K")


class Memory:
    """Results not recorded yet, by send id, and claims under which nothing can have been sent."""

    def __init__(self) -> None:
        self._results: OrderedDict[str, Delivery] = OrderedDict()
        self._unused: OrderedDict[str, None] = OrderedDict()
        self._absent: OrderedDict[tuple[str, str], None] = OrderedDict()

    def keep_result(self, delivery: Delivery) -> None:
        """The part is final; the record of it is still to be written."""
        self._results[delivery.send_id] = delivery
        if len(self._results) > KEPT:
            self._results.popitem(last=False)

    def result(self, send_id: str) -> Delivery | None:
        return self._results.get(send_id)

    def recorded(self, send_id: str) -> None:
        self._results.pop(send_id, None)

    def keep_unused(self, claim_id: str) -> None:
        """Nothing was posted under this claim, or Meta surely did not take it."""
        _keep(self._unused, claim_id)

    def use(self, claim_id: str) -> None:
        """From here on only the answer, the database or the evidence can tell."""
        self._unused.pop(claim_id, None)

    def is_unused(self, claim_id: str) -> bool:
        return claim_id in self._unused

    def keep_absent(self, send_id: str, claim_id: str) -> None:
        """Evidence says that the part has not arrived, whatever was posted up to this claim.

        Found out anew by each run, it would be so for ever where each run fails soon afterwards.
        """
        _keep(self._absent, (send_id, claim_id))

    def is_absent(self, send_id: str, claim_id: str) -> bool:
        return (send_id, claim_id) in self._absent


def _keep(kept: OrderedDict[K, None], key: K) -> None:
    kept[key] = None
    if len(kept) > KEPT:
        kept.popitem(last=False)
