"""What time it is at Meta: threads are read back with Meta's moments, and this host's clock may be
wrong by minutes.

Meta's answers say when they were made. From then on the event loop's clock, which nobody sets,
carries the time on.
"""

import asyncio
from datetime import datetime, timedelta


class MetaClock:
    """Never ahead of Meta: an answer was made before it came, and this machine may have slept."""

    def __init__(self) -> None:
        self._heard: tuple[datetime, float] | None = None

    def heard(self, date: datetime) -> None:
        """An answer that was made at this moment has come just now."""
        self._heard = date, _now()

    def now(self) -> datetime | None:
        """Meta's time in whole milliseconds, or up to as much earlier as the latest answer took to
        come; None until Meta has answered for the first time."""
        if self._heard is None:
            return None
        date, heard_at = self._heard
        return date + timedelta(milliseconds=int((_now() - heard_at) * 1000))


def _now() -> float:
    return asyncio.get_running_loop().time()
