"""What the console alone can count: Pages by their status, and people who are to be erased."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol, get_args

from prometheus_client import Gauge

from libs.common.channels import ChannelStatus

CHANNELS = Gauge("assistant_channels", "Pages, by status; the same in each replica.", ["status"])
ERASURES = Gauge(
    "assistant_erasures_open", "Requests to erase somebody that are not done; the same in each."
)
OLDEST = Gauge(
    "assistant_erasures_oldest_seconds",
    "For how long the first of them has been asked for; the same in each replica. 0: none is.",
)


class Channels(Protocol):
    """What is needed of `ChannelStore`."""

    async def statuses(self) -> Mapping[str, int]: ...


class Erasures(Protocol):
    """What is needed of `ErasureStore`."""

    async def open(self) -> tuple[int, datetime | None]: ...


async def measure(channels: Channels, erasures: Erasures, now: Callable[[], datetime]) -> None:
    found = await channels.statuses()
    for status in get_args(ChannelStatus):
        CHANNELS.labels(status).set(found.get(status, 0))
    count, first_at = await erasures.open()
    ERASURES.set(count)
    OLDEST.set(max(0.0, (now() - first_at).total_seconds()) if first_at else 0.0)
