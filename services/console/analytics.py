"""The figures of a workspace's Pages, as the analytics service has them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from libs.common.errors import PermanentError
from services.console.audit import Clock
from services.console.channels_store import ChannelStore, UnknownChannelError
from services.console.domain.figures import Report
from services.console.internal import Internal, ServiceRefusedError
from services.console.records import ConnectedChannel

PATH = "/internal/v1/metrics"


class FiguresRefusedError(PermanentError):
    """What is asked for can't be given; `field` names the parameter to change."""

    code = "figures_refused"

    def __init__(self, message: str, field: str | None) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class Wanted:
    """Of which Pages, which days. Either `days`, the last of them today, or `first` and `last`."""

    pages: tuple[str, ...]
    timezone: str
    days: int | None = None
    first: date | None = None
    last: date | None = None

    @property
    def query(self) -> Mapping[str, str]:
        given = {"days": self.days, "from": self.first, "to": self.last}
        return {
            "pages": ",".join(self.pages),
            "timezone": self.timezone,
            **{name: str(value) for name, value in given.items() if value is not None},
        }


class Analytics:
    """Asks for figures, of Pages of one workspace only."""

    def __init__(self, internal: Internal, channels: ChannelStore, clock: Clock) -> None:
        self._internal = internal
        self._channels = channels
        self._clock = clock

    def now(self) -> datetime:
        return self._clock()

    async def channels(self, workspace_id: str) -> list[ConnectedChannel]:
        """All of the workspace, disconnected ones too: their figures are kept."""
        return [each.channel for each in await self._channels.of_workspace(workspace_id)]

    async def report(self, wanted: Wanted) -> Report:
        """Raises:
        ServiceAwayError
        FiguresRefusedError: days or Pages are too many, or the time zone is unknown there.
        """
        try:
            answer = await self._internal.call("analytics", "GET", PATH, query=wanted.query)
        except ServiceRefusedError as error:
            raise FiguresRefusedError(str(error), error.field) from None
        return Report.model_validate(answer)

    async def csv(self, wanted: Wanted) -> str:
        """A line a day. Raises: as `report`."""
        try:
            return await self._internal.text("analytics", f"{PATH}.csv", wanted.query)
        except ServiceRefusedError as error:
            raise FiguresRefusedError(str(error), error.field) from None


def chosen(channels: list[ConnectedChannel], page_id: str | None) -> tuple[str, ...]:
    """The ids of the Pages that are asked for: one, or all.

    Raises: UnknownChannelError: it is none of them.
    """
    ids = tuple(each.id for each in channels)
    if page_id is None:
        return ids
    if page_id not in ids:
        raise UnknownChannelError("there is no such Page in the workspace")
    return (page_id,)
