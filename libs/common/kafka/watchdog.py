"""Tells a consumer that is stuck from one that has nothing to do, or no Kafka to do it with."""

from collections.abc import Collection, Mapping


class Watchdog:
    """Looks at where a consumer stands, every few seconds, and says when it no longer moves.

    aiokafka's consumer can stay alive, keep its partitions and fetch nothing (its issues 847 and
    1154). A partition is stuck when Kafka has records beyond the consumer's position, the position
    has not moved for `patience_s`, and fetching from it is not paused.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._since: dict[int, tuple[int | None, float]] = {}

    def observe(
        self,
        now: float,
        positions: Mapping[int, int | None],
        ends: Mapping[int, int],
        paused: Collection[int] = (),
    ) -> bool:
        """True if a partition is stuck.

        Args:
            now: seconds, on any clock that only goes forward.
            positions: for each assigned partition the next offset to fetch; None: unknown still.
            ends: for each assigned partition the offset behind its last record.
            paused: partitions that are not fetched from on purpose.
        """
        idle = {
            partition
            for partition, position in positions.items()
            if partition in paused or (position is not None and position >= ends[partition])
        }
        for partition in [p for p in self._since if p not in positions or p in idle]:
            del self._since[partition]
        stuck = False
        for partition, position in positions.items():
            if partition in idle:
                continue
            known = self._since.get(partition)
            if known is None or known[0] != position:
                self._since[partition] = (position, now)
            elif now - known[1] >= self._patience_s:
                stuck = True
        return stuck

    def reset(self) -> None:
        """Forget everything: Kafka did not answer, so nobody could have moved."""
        self._since.clear()
