"""What this process knows and the database does not: lost in a crash, and then found by evidence.

It spares the long way in the harmless cases: the database was away when a result was to be
recorded, or a claim was made and Meta then said a clear no.
"""

from collections import OrderedDict

from services.sender.domain.deliveries import Delivery

KEPT = 10_000


class Memory:
    """Results not recorded yet, by send id, and claims under which nothing can have been sent."""

    def __init__(self) -> None:
        self._results: OrderedDict[str, Delivery] = OrderedDict()
        self._unused: OrderedDict[str, None] = OrderedDict()

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
        self._unused[claim_id] = None
        if len(self._unused) > KEPT:
            self._unused.popitem(last=False)

    def use(self, claim_id: str) -> None:
        """From here on only the answer, the database or the evidence can tell."""
        self._unused.pop(claim_id, None)

    def is_unused(self, claim_id: str) -> bool:
        return claim_id in self._unused
