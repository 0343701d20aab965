"""The first page: the inbox, for those who may see it, once a Page is connected."""

from aiohttp import web

from services.console.web.access import Access, add_page, visitor_of
from services.console.web.pages import ACCOUNTS, CHANNELS, go_to, show


def add_routes(app: web.Application) -> None:
    add_page(app, "GET", "/", show_home, Access.SIGNED_IN)


async def show_home(request: web.Request) -> web.StreamResponse:
    visitor = visitor_of(request)
    channels = await request.app[CHANNELS].get().of_workspace(visitor.workspace.id)
    if channels and visitor.is_admin:
        return go_to(request, "/inbox")
    users = await request.app[ACCOUNTS].get().users(visitor.workspace.id)
    return await show(
        request,
        "home.html",
        channels=channels,
        users=len([user for user in users if user.state == "active"]),
        invited=len([user for user in users if user.state == "invited"]),
    )
