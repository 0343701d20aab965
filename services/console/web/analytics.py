"""Analytics: the figures of 7, 30 or 90 days, as cards, charts, tables and CSV."""

from typing import Any

from aiohttp import web
from pydantic import Field, field_validator

from services.console.analytics import Analytics, FiguresRefusedError, Wanted, chosen
from services.console.domain import analytics as shown
from services.console.domain import charts, zones
from services.console.domain.analytics_words import duration
from services.console.domain.figures import Report
from services.console.internal import ServiceAwayError
from services.console.web.access import Access, add_page, visitor_of
from services.console.web.forms import Form, FormModel
from services.console.web.pages import ACCOUNTS, ANALYTICS, go_and_say, show

DEFAULT_DAYS = "7"
HOME = "/analytics"


class ZoneForm(FormModel):
    timezone: str = Field(max_length=64)

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        return zones.known_zone(name)


def add_routes(app: web.Application) -> None:
    add_page(app, "GET", HOME, show_analytics, Access.ADMIN)
    add_page(app, "GET", f"{HOME}.csv", download, Access.ADMIN)
    add_page(app, "GET", f"{HOME}/time-zone", show_zone, Access.ADMIN)
    add_page(app, "POST", f"{HOME}/time-zone", change_zone, Access.ADMIN)


async def show_analytics(request: web.Request) -> web.StreamResponse:
    """The frame is there whatever happens; figures where there are any."""
    office = request.app[ANALYTICS].get()
    page_id = request.query.get("page") or None
    channels = await office.channels(visitor_of(request).workspace.id)
    wanted = _wanted(request, chosen(channels, page_id))
    context: dict[str, Any] = {
        "channels": channels,
        "page_id": page_id,
        "days": wanted.days,
        "ranges": shown.RANGES,
        "zone": wanted.timezone,
        "trouble": None,
        "report": None,
    }
    status = 200
    if channels:
        try:
            context |= await _figures(office, wanted)
        except ServiceAwayError:
            context["trouble"], status = "away", 503
        except FiguresRefusedError as error:
            context["trouble"] = str(error)
    return await show(request, "analytics.html", status=status, **context)


async def download(request: web.Request) -> web.StreamResponse:
    """The table of the days, for a spreadsheet."""
    office = request.app[ANALYTICS].get()
    page_id = request.query.get("page") or None
    channels = await office.channels(visitor_of(request).workspace.id)
    if not channels:
        raise web.HTTPNotFound
    wanted = _wanted(request, chosen(channels, page_id))
    try:
        text = await office.csv(wanted)
    except FiguresRefusedError as error:
        raise web.HTTPBadRequest(text=str(error)) from None
    name = f"messages_{page_id or 'all-pages'}_{wanted.days}-days.csv"
    return web.Response(
        text=text,
        content_type="text/csv",
        charset="utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


async def show_zone(request: web.Request) -> web.StreamResponse:
    form = Form.empty(ZoneForm, timezone=visitor_of(request).workspace.timezone)
    return await _zone_page(request, form)


async def change_zone(request: web.Request) -> web.StreamResponse:
    form = await Form.read(ZoneForm, request)
    if form.value is None:
        return await _zone_page(request, form, status=422)
    visitor, zone = visitor_of(request), form.value.timezone
    await request.app[ACCOUNTS].get().change_timezone(visitor.actor, zone)
    return await go_and_say(request, HOME, f"Days are now those of {zone}.")


async def _zone_page(
    request: web.Request, form: Form[ZoneForm], status: int = 200
) -> web.StreamResponse:
    return await show(request, "analytics_zone.html", status=status, form=form, zones=zones.zones())


def _wanted(request: web.Request, pages: tuple[str, ...]) -> Wanted:
    """A range that isn't offered is a link that somebody has changed: the first one, then."""
    offered = {str(days): days for days in shown.RANGES}
    days = offered.get(request.query.get("days", ""), offered[DEFAULT_DAYS])
    return Wanted(pages, visitor_of(request).workspace.timezone, days)


async def _figures(office: Analytics, wanted: Wanted) -> dict[str, Any]:
    """Raises: ServiceAwayError, FiguresRefusedError."""
    report = await office.report(wanted)
    at = office.now()
    return {
        "report": report,
        "is_new": _is_new(report),
        "card_groups": shown.card_groups(report),
        "chart": charts.daily_chart(report.daily),
        "troubles": shown.troubles(report),
        "hand_overs": shown.hand_over_tables(report),
        "who": shown.who_tables(report),
        "heat": charts.heat(report.inbound_by_hour),
        "busiest": charts.busiest_hour(report.inbound_by_hour),
        "period": charts.period_words(report.period.first, report.period.last),
        "period_before": charts.period_words(
            report.previous.period.first, report.previous.period.last
        ),
        "at": at,
        "clock": zones.clock_in(report.timezone, at),
        "duration": duration,
    }


def _is_new(report: Report) -> bool:
    """Whether nobody has ever written."""
    return report.is_empty and not report.conversations.total
