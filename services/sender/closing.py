"""Whether a Page can be called before long."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from services.sender.desk import Desk
from services.sender.pages import LONG_STOP_S


@dataclass(frozen=True, slots=True)
class Closing:
    """Why a Page cannot be called for long. `until`: None where nobody knows."""

    why: Literal["channel", "token", "limit"]
    until: datetime | None = None


async def closing_of(desk: Desk, page_id: str) -> Closing | None:
    """None: it can be, or very soon. A Page that is switched off is open: its messages fail."""
    channel = await desk.channels.channel(page_id)
    if channel is not None and channel.enabled and channel.status in ("expired", "revoked"):
        return Closing("channel")
    page = desk.pages[page_id]
    stopped_s = page.stopped_for_s()
    if stopped_s <= LONG_STOP_S:
        return None
    if page.token_is_suspect:
        return Closing("token")
    return Closing("limit", desk.now() + timedelta(seconds=stopped_s))
