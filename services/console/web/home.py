"""The first page."""

from aiohttp import web

from services.console.web.access import Access, add_page, visitor_of
from services.console.web.pages import ACCOUNTS, CHANNELS, show


def add_routes(app: web.Application) -> None:
    add_page(app, "GET", "/", show_home, Access.SIGNED_IN)


async def show_home(request: web.Request) -> web.StreamResponse:
    visitor = visitor_of(request)
    users = await request.app[ACCOUNTS].get().users(visitor.workspace.id)
    channels = await request.app[CHANNELS].get().of_workspace(visitor.workspace.id)
    return await show(
        request,
        "home.html",
        channels=channels,
        users=len([user for user in users if user.state == "active"]),
        invited=len([user for user in users if user.state == "invited"]),
    )
