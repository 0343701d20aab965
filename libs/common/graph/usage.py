"""How much of Meta's allowance is used, from the headers of every answer.

Source: Graph API, "Rate limits". Shares are whole percents and may pass 100; the time to regain
access is in minutes there and in seconds here. Headers come from outside: whatever makes no sense
counts for nothing and disturbs nobody.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

APP_USAGE = "X-App-Usage"
BUSINESS_USAGE = "X-Business-Use-Case-Usage"
_SHARES = ("call_count", "total_cputime", "total_time")
_REGAIN_MINUTES = "estimated_time_to_regain_access"
_LARGEST = 1e6  # percents or minutes (two years); beyond is nonsense


@dataclass(frozen=True, slots=True)
class Usage:
    """The largest share of any limit, in percent, and for how many seconds nothing more is let in.

    `regain_s` is 0 as long as nothing is blocked.
    """

    percent: float
    regain_s: float = 0.0


def parse_usage(headers: Mapping[str, str]) -> Usage | None:
    """What the headers say; None if they say nothing, as Meta does until enough is used."""
    reports = [*_app_reports(headers.get(APP_USAGE)), *_reports(headers.get(BUSINESS_USAGE))]
    if not reports:
        return None
    percent = max(_number(report.get(share)) for report in reports for share in _SHARES)
    regain_minutes = max(_number(report.get(_REGAIN_MINUTES)) for report in reports)
    return Usage(percent, regain_minutes * 60)


def _app_reports(header: str | None) -> Iterator[dict[str, Any]]:
    report = _json(header)
    if isinstance(report, dict):
        yield report


def _reports(header: str | None) -> Iterator[dict[str, Any]]:
    """Each report of each business or Page: up to 32 of them, by type inside."""
    businesses = _json(header)
    if not isinstance(businesses, dict):
        return
    for reports in businesses.values():
        if isinstance(reports, list):
            yield from (report for report in reports if isinstance(report, dict))


def _json(header: str | None) -> object:
    try:
        return from_json(header or "null")
    except ValueError:
        return None


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(value) if 0 <= value <= _LARGEST else 0.0  # false for NaN, too
