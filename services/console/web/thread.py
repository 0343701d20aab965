"""The conversation itself. A placeholder: the thread takes its place."""

from typing import Any

from aiohttp import web

from services.console.domain.inbox import Row


def add_routes(_app: web.Application) -> None:
    """None yet."""


async def thread_context(_request: web.Request, row: Row) -> dict[str, Any]:
    """What `thread.html` is made of."""
    return {"row": row}
