"""How long to wait before a component that died is started again."""

FIRST_S = 1.0
LONGEST_S = 30.0
FORGIVEN_AFTER_S = 60.0  # healthy for that long: the next death starts from the beginning


class Backoff:
    """1, 2, 4 ... 30 seconds."""

    def __init__(self) -> None:
        self._next_s = FIRST_S

    def pause_s(self, healthy_s: float) -> float:
        """The pause after a death; `healthy_s` is how long it had been ready before."""
        if healthy_s >= FORGIVEN_AFTER_S:
            self._next_s = FIRST_S
        pause_s = self._next_s
        self._next_s = min(pause_s * 2, LONGEST_S)
        return pause_s
