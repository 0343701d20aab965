"""Health: what the connection doctor finds, and what changes of it while somebody watches.

For administrators: what it says can be mended by them or by whoever runs the console, and each look
asks Facebook and the model, which is limited and may cost. Members see a Page's status under Pages.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web

from services.console.doctor.domain.findings import Finding, Report, State, worst
from services.console.doctor.printing import as_text
from services.console.domain.health_cards import Card, NotSent, summary
from services.console.internal import ServiceAwayError, ServiceRefusedError
from services.console.watching import COUNTING
from services.console.web.access import Access, add_page, visitor_of
from services.console.web.pages import (
    CHANNELS,
    DELIVERIES,
    REPORTS,
    WATCH,
    go_to,
    is_htmx,
    moment,
    render,
    show,
)

# of the badge
KINDS: dict[State, tuple[str, str]] = {
    "ok": ("good", "OK"),
    "waiting": ("warn", "Waiting"),
    "unknown": ("calm", "Unknown"),
    "failed": ("bad", "Failed"),
}
WATCH_S, GLANCE_S = 3, 30
ASKS_ELSEWHERE = ("facebook", "model")  # only the doctor asks those, and only when it is told to


def add_routes(app: web.Application) -> None:
    add_page(app, "GET", "/health", show_health, Access.ADMIN)
    add_page(app, "POST", "/health", run_again, Access.ADMIN)
    add_page(app, "GET", "/health/parts", show_parts, Access.ADMIN)
    add_page(app, "GET", "/health/live/{channel:[0-9]+}", show_live, Access.ADMIN)


async def show_health(request: web.Request) -> web.StreamResponse:
    report = await request.app[REPORTS].get().latest(visitor_of(request).workspace.id)
    return await show(request, "health.html", **await _whole(request, report))


async def run_again(request: web.Request) -> web.StreamResponse:
    report = await request.app[REPORTS].get().anew(visitor_of(request).workspace.id)
    if is_htmx(request):
        return render(request, "health.html", **await _whole(request, report))
    return go_to(request, "/health")


async def show_parts(request: web.Request) -> web.StreamResponse:
    """The parts as they are now, for whoever watches: it asks neither Facebook nor the model."""
    report = await request.app[REPORTS].get().known(visitor_of(request).workspace.id)
    await request.app[WATCH].get().look()
    return render(request, "health_watched.html", **await _whole(request, report))


async def show_live(request: web.Request) -> web.StreamResponse:
    """A Page's lines that change, for whoever has seen others; 204: they have not changed."""
    page_id = request.match_info["channel"]
    workspace_id = visitor_of(request).workspace.id
    report, findings = await request.app[REPORTS].get().live(workspace_id, page_id)
    if request.query.get("seen") == seen(findings):
        return web.Response(status=204)
    watch = request.app[WATCH].get()
    merged = watch.merged(report)
    told = summary(merged, watch.cards(merged.findings))
    return render(
        request, "health_live.html", **_shown(told=told, page_id=page_id, findings=findings)
    )


@dataclass(frozen=True)
class Part:
    """A card, with the moments that go with it."""

    card: Card
    since: datetime
    looked_at: datetime


async def _whole(request: web.Request, report: Report) -> dict[str, Any]:
    """All of the page."""
    watch = request.app[WATCH].get()
    await watch.count()
    merged = watch.merged(report)
    not_sent = await _not_sent(request)
    parts = []
    for card in watch.cards(merged.findings, not_sent, moment):
        asked_at = report.at if card.name in ASKS_ELSEWHERE else watch.looked_at or report.at
        looked_at = max(asked_at, report.at)
        parts.append(Part(card, watch.since(card.name, card.state, looked_at), looked_at))
    return _shown(
        report=merged,
        told=summary(merged, [each.card for each in parts]),
        text=as_text(merged),
        parts=parts,
        watched_since=watch.began_at,
        processes=max(watch.figures.processes(each) for each in COUNTING),
    )


async def _not_sent(request: web.Request) -> NotSent | None:
    """None: nobody can tell."""
    channels = await request.app[CHANNELS].get().of_workspace(visitor_of(request).workspace.id)
    page_ids = [each.channel.id for each in channels]
    try:
        listed = await request.app[DELIVERIES].get().of_pages(page_ids)
    except (ServiceAwayError, ServiceRefusedError):
        return None
    states = [each.state for each in listed.deliveries]
    coded = next((each for each in listed.deliveries if each.error_code is not None), None)
    return NotSent(
        held=states.count("held"),
        failed=states.count("failed"),
        is_cut=listed.next is not None,
        code=coded.error_code if coded else None,
        code_at=coded.at if coded else None,
    )


def seen(findings: Iterable[Finding]) -> str:
    """Another text as soon as one of them reads otherwise."""
    digest = hashlib.sha256()
    for each in findings:
        digest.update(f"{each.id}\n{each.state}\n{each.verdict.words}\n".encode())
    return digest.hexdigest()[:16]


def _shown(**context: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        **context,
        "kinds": KINDS,
        "worst": worst,
        "seen": seen,
        "every_s": lambda findings: WATCH_S if _is_waiting(findings) else GLANCE_S,
    }


def _is_waiting(findings: Iterable[Finding]) -> bool:
    return any(each.state == "waiting" for each in findings)
