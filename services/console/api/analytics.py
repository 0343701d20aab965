"""`/api/v1`: figures, for programs."""

from datetime import date
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from libs.common.errors import PermanentError
from services.console.analytics import Analytics, Wanted, chosen
from services.console.api.operations import NOT_FOUND, Call, Operation, Refusal
from services.console.domain.figures import Report
from services.console.domain.tokens import Scope
from services.console.internal import ServiceAwayError
from services.console.web.pages import ANALYTICS

Days = Literal["7", "30", "90"]

NO_PAGES = Refusal(409, "no_pages", "No Page was ever connected to the workspace.")
REFUSED = Refusal(
    422, "figures_refused", "There is no such period or time zone, or it is too much; see `field`."
)
SERVICE_AWAY = Refusal(503, "service_away", "The analytics service does not answer; try again.")


class NoPagesError(PermanentError):
    """There is nothing whose figures could be given."""

    code = "no_pages"


class AwayError(PermanentError):
    """The analytics service is away."""

    code = "service_away"


class FiguresWanted(BaseModel):
    """Of which Page, which days."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    days: Days | None = Field(
        None, description="so many days, the last of them today; 7 without `from` and `to`"
    )
    first: date | None = Field(None, alias="from", description="the first day; with `to`")
    last: date | None = Field(None, alias="to", description="the last day, included; with `from`")
    page: str | None = Field(
        None, pattern=r"^[0-9]{1,32}$", description="one Page, by its id; without: all together"
    )
    timezone: str | None = Field(
        None, max_length=64, description="an IANA name; without: the workspace's"
    )

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if (self.first is None) != (self.last is None):
            raise ValueError("`from` and `to` go together")
        if self.days is not None and self.first is not None:
            raise ValueError("either `days`, or `from` and `to`")
        return self


async def show_figures(call: Call) -> Report:
    query: FiguresWanted = call.query
    office: Analytics = call.request.app[ANALYTICS].get()
    pages = chosen(await office.channels(call.workspace_id), query.page)
    if not pages:
        raise NoPagesError("connect a Page first")
    days = None if query.first is not None else int(query.days or 7)
    zone = query.timezone or call.caller.workspace.timezone
    try:
        return await office.report(Wanted(pages, zone, days, query.first, query.last))
    except ServiceAwayError as error:
        raise AwayError(str(error)) from None


ANALYTICS_OPERATIONS = (
    Operation(
        "GET",
        "/analytics",
        "getAnalytics",
        "Figures of a period, of its days, and of the period before",
        "Analytics",
        Scope.ANALYTICS_READ,
        show_figures,
        Report,
        query=FiguresWanted,
        refusals=(NOT_FOUND, NO_PAGES, REFUSED, SERVICE_AWAY),
    ),
)
