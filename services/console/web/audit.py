"""The audit log as a page."""

from aiohttp import web
from pydantic import BaseModel, Field, ValidationError

from libs.common.paging import Cursor, cursor_of
from services.console.audit import ACTIONS
from services.console.web.access import Access, add_page, visitor_of
from services.console.web.pages import AUDIT, show


class AuditQuery(BaseModel):
    """Which stretch of the log."""

    cursor: Cursor | None = None
    limit: int = Field(50, ge=1, le=200)


def add_routes(app: web.Application) -> None:
    add_page(app, "GET", "/audit", list_entries, Access.ADMIN)


async def list_entries(request: web.Request) -> web.StreamResponse:
    try:
        query = AuditQuery.model_validate(dict(request.query))
    except ValidationError:
        query = AuditQuery()  # a link that somebody has changed: from the beginning
    workspace = visitor_of(request).workspace
    audit = request.app[AUDIT].get()
    entries = await audit.entries(workspace.id, query.cursor, query.limit + 1)
    shown = entries[: query.limit]
    more = cursor_of(shown[-1].at, shown[-1].id) if len(entries) > query.limit else None
    return await show(
        request,
        "audit.html",
        entries=shown,
        actions=ACTIONS,
        more=more,
        is_first=query.cursor is None,
    )
