"""Watches our own parts: how they are, since when, and how their calls went in the last minutes.

Every process of the console watches for itself and keeps nothing: what it knows begins with its own
start. It asks neither Facebook nor the model; while somebody looks at Health it looks more often.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import aiohttp

from services.console.doctor.doctor import Doctor
from services.console.doctor.domain.findings import Finding, Report, State
from services.console.domain.call_figures import Figures, counts_of
from services.console.domain.health_cards import Card, NotSent, cards

FIRST_S, BEAT_S = 5.0, 60.0
FRESH = timedelta(seconds=10)
WITHIN_S = 3.0
MOST_BYTES = 4 << 20
COUNTING = ("sender", "conversation")
"""Services that call Facebook or the model for people."""


@dataclass(frozen=True)
class Looked:
    """What the latest look found."""

    at: datetime
    findings: tuple[Finding, ...]


class HealthWatch:
    """A worker, and what it knows."""

    def __init__(
        self,
        doctor: Doctor,
        session: aiohttp.ClientSession,
        address_of: Callable[[str], str],
        clock: Callable[[], datetime],
    ) -> None:
        self.figures = Figures()
        self.began_at = clock()
        self._doctor = doctor
        self._session = session
        self._address_of = address_of
        self._clock = clock
        self._looked: Looked | None = None
        self._counted_at: datetime | None = None
        self._states: dict[str, tuple[State, datetime]] = {}
        self._looking = asyncio.Lock()
        self._stopping = asyncio.Event()

    async def look(self) -> Looked:
        """A look of the last seconds, or a new one."""
        async with self._looking:
            now = self._clock()
            if self._looked is None or now - self._looked.at >= FRESH:
                findings, _ = await asyncio.gather(self._doctor.look_around(), self._count(now))
                self._looked = Looked(self._clock(), findings)
            return self._looked

    async def count(self) -> None:
        """Only what services count of their calls."""
        async with self._looking:
            await self._count(self._clock())

    def merged(self, report: Report) -> Report:
        """A doctor's report with what was seen since it was made."""
        looked = self._looked
        return (
            report if looked is None or looked.at < report.at else report.updated(looked.findings)
        )

    @property
    def looked_at(self) -> datetime | None:
        return self._looked.at if self._looked else None

    def since(self, name: str, state: State, at: datetime) -> datetime:
        """Since when a part has been so, as far as this process has seen."""
        before = self._states.get(name)
        if before is None or before[0] != state:
            self._states[name] = before = (state, at)
        return before[1]

    def cards(
        self,
        findings: Sequence[Finding],
        not_sent: NotSent | None = None,
        shown: Callable[[datetime], str] = str,
    ) -> list[Card]:
        """The parts, with the figures as they are now."""
        now, figures = self._clock(), self.figures
        graph, model = figures.calls("graph", now), figures.calls("model", now)
        return cards(findings, graph, model, figures.span(now), not_sent, shown)

    async def run(self) -> None:
        pause_s = FIRST_S
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)
            if not self._stopping.is_set():
                self._note(await self.look())
            pause_s = BEAT_S

    async def stop(self, drain_timeout_s: float) -> None:
        del drain_timeout_s  # nothing is lost that could be kept
        self._stopping.set()

    def _note(self, looked: Looked) -> None:
        for each in self.cards(looked.findings):
            self.since(each.name, each.state, looked.at)

    async def _count(self, now: datetime) -> None:
        if self._counted_at is not None and now - self._counted_at < FRESH:
            return
        self._counted_at = now
        texts: Sequence[str | None] = await asyncio.gather(*map(self._metrics, COUNTING))
        for service, text in zip(COUNTING, texts, strict=True):
            if text:
                self.figures.note(service, counts_of(text), now)

    async def _metrics(self, service: str) -> str | None:
        """None: no answer; its card says so."""
        try:
            async with self._session.get(
                f"{self._address_of(service)}/metrics",
                timeout=aiohttp.ClientTimeout(total=WITHIN_S),
                allow_redirects=False,
            ) as response:
                if response.status != 200:
                    return None
                body = bytearray()
                async for chunk in response.content.iter_chunked(1 << 16):
                    body += chunk
                    if len(body) > MOST_BYTES:
                        return None
        except (aiohttp.ClientError, TimeoutError):
            return None
        return body.decode("utf-8", "replace")
