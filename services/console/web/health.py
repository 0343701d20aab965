"""Health: what the connection doctor finds, and what changes of it while somebody watches.

For administrators: what it says can be mended by them or by whoever runs the console, and each look
asks Facebook and the model, which is limited and may cost. Members see a Page's status under Pages.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from services.console.doctor.domain.findings import Finding, State, worst
from services.console.doctor.printing import as_text
from services.console.web.access import Access, add_page, visitor_of
from services.console.web.pages import REPORTS, go_to, is_htmx, render, show

# of the badge
KINDS: dict[State, tuple[str, str]] = {
    "ok": ("good", "OK"),
    "waiting": ("warn", "Waiting"),
    "unknown": ("calm", "Unknown"),
    "failed": ("bad", "Failed"),
}
WATCH_S, GLANCE_S = 3, 30


def add_routes(app: web.Application) -> None:
    add_page(app, "GET", "/health", show_health, Access.ADMIN)
    add_page(app, "POST", "/health", run_again, Access.ADMIN)
    add_page(app, "GET", "/health/live/{channel:[0-9]+}", show_live, Access.ADMIN)


async def show_health(request: web.Request) -> web.StreamResponse:
    report = await request.app[REPORTS].get().latest(visitor_of(request).workspace.id)
    return await show(request, "health.html", **_shown(report=report, text=as_text(report)))


async def run_again(request: web.Request) -> web.StreamResponse:
    report = await request.app[REPORTS].get().anew(visitor_of(request).workspace.id)
    if is_htmx(request):
        return render(request, "health.html", **_shown(report=report, text=as_text(report)))
    return go_to(request, "/health")


async def show_live(request: web.Request) -> web.StreamResponse:
    """A Page's lines that change, for whoever has seen others; 204: they have not changed."""
    page_id = request.match_info["channel"]
    workspace_id = visitor_of(request).workspace.id
    report, findings = await request.app[REPORTS].get().live(workspace_id, page_id)
    if request.query.get("seen") == seen(findings):
        return web.Response(status=204)
    return render(
        request, "health_live.html", **_shown(report=report, page_id=page_id, findings=findings)
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
