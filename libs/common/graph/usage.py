"""How much of Meta's allowance is used, from the headers of every answer.

Source: Graph API, "Rate limits". Shares are whole percents and may pass 100; the time to regain
access is in minutes there and in seconds here. Headers come from outside: whatever makes no sense
counts for nothing and disturbs nobody.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from pydantic_core import from_json

APP_USAGE = "X-App-Usage"
BUSINESS_USAGE = "X-Business-Use-Case-Usage"
_SHARES = ("call_count", "total_cputime", "total_time")
_TYPES = ("messenger", "pages")  # instagram, ads and others have allowances of their own
_REGAIN_MINUTES = "estimated_time_to_regain_access"
_LARGEST = 1e6  # percents or minutes (two years); beyond is nonsense


@dataclass(frozen=True, slots=True)
class Usage:
    """The largest share of a Page's limits, in percent, and for how long it is let in no more.

    `regain_s` is 0 as long as nothing is blocked.
    """

    percent: float
    regain_s: float = 0.0


def parse_usage(headers: Mapping[str, str], page_id: str | None) -> Usage | None:
    """What the headers say of this Page; None if they say nothing, as Meta does until enough is
    used."""
    by_owner = headers.get(BUSINESS_USAGE)
    reports = [*_app_reports(headers.get(APP_USAGE)), *_reports(by_owner, page_id)]
    if not reports:
        return None
    percent = max(_number(report.get(share)) for report in reports for share in _SHARES)
    regain_minutes = max(_number(report.get(_REGAIN_MINUTES)) for report in reports)
    return Usage(percent, regain_minutes * 60)


def _app_reports(header: str | None) -> Iterator[dict[str, Any]]:
    report = _json(header)
    if isinstance(report, dict):
        yield report


def _reports(header: str | None, page_id: str | None) -> Iterator[dict[str, Any]]:
    """Those that say what the Page may do. Up to 32 owners, which are Pages, businesses and others,
    have a list each of reports by type. Another one's counts only where the Page itself is not
    among them: it may be its business.
    """
    by_owner = _json(header)
    if not isinstance(by_owner, dict):
        return
    wanted = [by_owner[page_id]] if page_id in by_owner else by_owner.values()
    for reports in wanted:
        if isinstance(reports, list):
            yield from (report for report in reports if _is_of_a_page(report))


def _is_of_a_page(report: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(report, dict) and report.get("type") in _TYPES


def _json(header: str | None) -> object:
    try:
        return from_json(header or "null")
    except ValueError:
        return None


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(value) if 0 <= value <= _LARGEST else 0.0  # false for NaN, too
