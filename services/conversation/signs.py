"""Seen, and typing: what the person is shown while an answer is on its way."""

import asyncio
from collections.abc import Callable
from datetime import datetime

from libs.common.events import SendAction, SenderAction, derived_id
from libs.common.kafka import Publisher

TYPING_EVERY_S = 15.0  # Messenger shows it for 20 s


class Signs:
    """Worth a try, never worth waiting for."""

    def __init__(
        self, publisher: Publisher, page_id: str, psid: str, clock: Callable[[], datetime]
    ) -> None:
        self._publisher = publisher
        self._page_id = page_id
        self._psid = psid
        self._clock = clock
        self._typing_again_at = 0.0

    def show(self, *actions: SenderAction) -> None:
        """Put the actions on the log, behind nothing."""
        now = self._clock()
        self._typing_again_at = _now() + TYPING_EVERY_S
        self._publisher.publish_soon(
            SendAction(
                event_id=derived_id(
                    "action", f"{self._page_id}:{self._psid}", now.isoformat(), *actions
                ),
                page_id=self._page_id,
                psid=self._psid,
                occurred_at=now,
                actions=actions,
            )
        )

    def keep_typing(self) -> None:
        """Show typing again before it fades."""
        if self.typing_fades_in_s() <= 0:
            self.show("typing_on")

    def typing_fades_in_s(self) -> float:
        """Seconds until typing has to be shown again."""
        return max(0.0, self._typing_again_at - _now())


def _now() -> float:
    """The loop's own clock, which is the monotonic one but in tests."""
    return asyncio.get_running_loop().time()
