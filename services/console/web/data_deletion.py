"""What became of somebody's wish to be forgotten: for whoever has the code, without signing in.

Facebook shows people this address. Nothing here says who they are.
"""

import re

from aiohttp import web

from services.console.web.access import Access, add_page
from services.console.web.pages import ERASURES, render

_CODE = re.compile(r"[a-z2-7]{26}")


def add_routes(app: web.Application) -> None:
    add_page(app, "GET", "/data-deletion/{code}", status, Access.PUBLIC)


async def status(request: web.Request) -> web.StreamResponse:
    code = request.match_info["code"]
    erasure = None
    if _CODE.fullmatch(code):
        erasure = await request.app[ERASURES].get().erasure(code)
    response = render(
        request,
        "data_deletion.html",
        status=200 if erasure else 404,
        erasure=erasure,
        code=code if erasure else "",
    )
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    return response
