"""The internal HTTP API: the figures of a Page, or of several together, as JSON or CSV.

Asked for with `days` (7, 30 or 90, the last of them today) or `from` and `to` (dates, both
included), and `timezone` (an IANA name; UTC by default). What is wrong is answered with 422 and
the parameter's name.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Protocol

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from libs.common.mongo import Document
from libs.common.web import Late, invalid, problem
from services.analytics.domain.figures import Json, report, tally
from services.analytics.domain.periods import (
    Period,
    PeriodError,
    between,
    latest_days,
    today,
    zone_of,
)
from services.analytics.domain.rollups import ids_for, total_id

DEFAULT_DAYS = 7
OFFERED_DAYS = (7, 30, 90)
MAX_PAGES = 100
MAX_ROLLUPS = 25_000
"""Pages times days: what one question may read."""

_PAGE_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")


class Reader(Protocol):
    """What is asked of the database."""

    async def rollups(self, rollup_ids: Iterable[str]) -> list[Document]: ...


Clock = Callable[[], datetime]
READER: web.AppKey[Late[Reader]] = web.AppKey("reader", Late)
CLOCK: web.AppKey[Clock] = web.AppKey("clock")


class MetricsQuery(BaseModel):
    """The parameters, as far as they can be judged one by one."""

    model_config = ConfigDict(extra="forbid")

    days: int | None = None
    first: date | None = Field(None, alias="from")
    last: date | None = Field(None, alias="to")
    timezone: str = "UTC"
    pages: str | None = None

    def period(self, now: datetime) -> Period:
        """Raises: PeriodError."""
        zone = zone_of(self.timezone)
        if self.first is None and self.last is None:
            days = DEFAULT_DAYS if self.days is None else self.days
            if days not in OFFERED_DAYS:
                raise PeriodError("days", "7, 30 or 90; for any other range use `from` and `to`")
            return latest_days(days, zone, now)
        if self.days is not None:
            raise PeriodError("days", "either `days`, or `from` and `to`")
        if self.first is None or self.last is None:
            raise PeriodError("to" if self.last is None else "from", "`from` and `to` go together")
        return between(self.first, self.last, zone, now)


def add_routes(app: web.Application) -> None:
    app[CLOCK] = _utc_now
    app.router.add_get("/internal/v1/pages/{page_id}/metrics", page_metrics)
    app.router.add_get("/internal/v1/pages/{page_id}/metrics.csv", page_metrics_csv)
    app.router.add_get("/internal/v1/metrics", metrics_of_pages)
    app.router.add_get("/internal/v1/metrics.csv", metrics_of_pages_csv)


async def page_metrics(request: web.Request) -> web.Response:
    """GET: `{pages, timezone, period, messages, rates, failures, first_answer, answered,
    hand_overs, conversations, daily, inbound_by_hour, previous}`."""
    return await _answer(request, web.json_response)


async def page_metrics_csv(request: web.Request) -> web.Response:
    """GET: a line a day, with a line of names before them."""
    return await _answer(request, _csv)


async def metrics_of_pages(request: web.Request) -> web.Response:
    """GET: as `page_metrics`, summed up over `pages` (ids, comma separated)."""
    return await _answer(request, web.json_response)


async def metrics_of_pages_csv(request: web.Request) -> web.Response:
    """GET: as `page_metrics_csv`, summed up over `pages`."""
    return await _answer(request, _csv)


async def _answer(request: web.Request, shown: Callable[[Json], web.Response]) -> web.Response:
    now = request.app[CLOCK]()
    try:
        query = MetricsQuery.model_validate(dict(request.query))
        period = query.period(now)
        pages = _pages(request.match_info.get("page_id"), query.pages, period)
    except ValidationError as error:
        return invalid(error, "invalid_query")
    except PeriodError as error:
        return problem(422, "invalid_query", str(error), field=error.field)
    return shown(await _report(request.app[READER].get(), pages, period, now))


def _pages(of_path: str | None, of_query: str | None, period: Period) -> list[str]:
    """Raises: PeriodError."""
    if of_path is not None:
        if of_query is not None:
            raise PeriodError("pages", "the path names the Page already")
        return [of_path]
    pages = list(dict.fromkeys((of_query or "").split(",")))
    if not all(_PAGE_ID.fullmatch(page) for page in pages):
        raise PeriodError("pages", "ids of Pages, comma separated")
    if len(pages) > MAX_PAGES:
        raise PeriodError("pages", f"at most {MAX_PAGES} Pages at once")
    if len(pages) * period.days * 2 > MAX_ROLLUPS:
        raise PeriodError("pages", "so many days of so many Pages are too much: ask for fewer")
    return pages


async def _report(
    reader: Reader, pages: Sequence[str], period: Period, now: datetime
) -> dict[str, Any]:
    before = period.before()
    days = sorted({*before.span.days(), *period.span.days()})
    totals = {total_id(page) for page in pages}
    documents = await reader.rollups([*ids_for(pages, days), *totals])
    daily = [each for each in documents if each["_id"] not in totals]
    ever = [each for each in documents if each["_id"] in totals]
    figures = report(tally(period, daily), tally(before, daily), ever, today(period.zone, now))
    return {"pages": list(pages), **figures}


def _csv(figures: Mapping[str, Any]) -> web.Response:
    lines: Sequence[Json] = figures["daily"]
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(lines[0]), lineterminator="\r\n")
    writer.writeheader()
    writer.writerows({**line, "so_far": "yes" if line["so_far"] else "no"} for line in lines)
    period = figures["period"]
    name = f"messages_{period['from']}_{period['to']}.csv"
    return web.Response(
        text=text.getvalue(),
        content_type="text/csv",
        charset="utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _utc_now() -> datetime:
    return datetime.now(UTC)
