"""Reports for those who look at the console: one look serves everybody who asks meanwhile."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from services.console.doctor.doctor import Doctor, UnknownPageError
from services.console.doctor.domain.findings import Finding, Report

FRESH = timedelta(seconds=60)
ANEW_AFTER = timedelta(seconds=1)
RECENT = timedelta(seconds=15)
"""Programs may ask without end, and each look costs calls that Facebook counts."""
LIVE_AFTER = timedelta(seconds=1)


class Reports:
    """The latest of each workspace. Pages of others are in none of them."""

    def __init__(self, doctor: Doctor, clock: Callable[[], datetime]) -> None:
        self._doctor = doctor
        self._clock = clock
        self._latest: dict[str, Report] = {}
        self._live_at: dict[str, datetime] = {}
        self._looking: dict[str, asyncio.Lock] = {}

    async def latest(self, workspace_id: str) -> Report:
        """One of the last minute, or a new one."""
        return await self._report(workspace_id, FRESH)

    async def anew(self, workspace_id: str) -> Report:
        """A new one, unless somebody had one made in the last seconds."""
        return await self._report(workspace_id, ANEW_AFTER)

    async def recent(self, workspace_id: str) -> Report:
        """One of the last seconds, or a new one: for programs."""
        return await self._report(workspace_id, RECENT)

    async def known(self, workspace_id: str) -> Report:
        """The latest there is, however old: a browser that is left open asks nobody anew."""
        return self._latest.get(workspace_id) or await self.latest(workspace_id)

    async def live(self, workspace_id: str, page_id: str) -> tuple[Report, tuple[Finding, ...]]:
        """The latest report, and in it what changes on a Page while somebody watches, as it is now.

        However old the rest is: a browser that is left open asks Facebook and the model nothing.

        Raises:
            UnknownPageError: the Page is not among those that were looked at.
        """
        report = await self.known(workspace_id)
        async with self._lock(workspace_id):
            now = self._clock()
            if now - self._live_at.get(workspace_id, report.at) >= LIVE_AFTER:
                newer = await self._doctor.look_again(workspace_id)
                report = self._latest[workspace_id].updated(newer)
                self._latest[workspace_id] = report
                self._live_at[workspace_id] = now
        report = self._latest[workspace_id]
        found = [each for each in report.findings if each.line.page_id == page_id]
        if not found:
            raise UnknownPageError("no Page with this id was looked at")
        return report, tuple(each for each in found if each.line.is_live)

    async def _report(self, workspace_id: str, fresh: timedelta) -> Report:
        async with self._lock(workspace_id):
            known = self._latest.get(workspace_id)
            if known is not None and self._clock() - known.at < fresh:
                return known
            report = await self._doctor.examine(workspace_id)
            self._latest[workspace_id] = report
            return report

    def _lock(self, workspace_id: str) -> asyncio.Lock:
        return self._looking.setdefault(workspace_id, asyncio.Lock())


def of_page(report: Report, page_id: str) -> Report:
    """Without the lines of other Pages.

    Raises:
        UnknownPageError: it has none of this Page.
    """
    if all(each.line.page_id != page_id for each in report.findings):
        raise UnknownPageError("no Page with this id is connected")
    chosen = [each for each in report.findings if each.line.page_id in (None, page_id)]
    return replace(report, findings=tuple(chosen))
