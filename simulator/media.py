"""Pictures: those that people send, and faces for those who have none."""

import hashlib
import secrets
from html import escape
from pathlib import Path

from aiohttp import web

from simulator.control.reading import PREFIX
from simulator.state import SIMULATOR
from simulator.world.world import NotInWorldError

KEPT_PICTURES = 500
_NAME = r"{name:[0-9a-f]{32}\.(?:png|jpg|gif|webp)}"
_IMAGES = {  # what a file begins with, and what it is called then
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpg",
    b"GIF8": "gif",
    b"RIFF": "webp",
}
_GRADIENTS = (
    ("#ff9a6c", "#e0506e"),
    ("#6ea8fe", "#5b5fd6"),
    ("#58c9a8", "#1f8a8a"),
    ("#f6c453", "#e07b39"),
    ("#b28dff", "#7b4fd0"),
    ("#f78fb3", "#c2417c"),
    ("#7ed6df", "#2b7fb8"),
)
_FACE = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 96 96" width="96" height="96">
<defs><linearGradient id="g" x1="0" y1="0" x2="1" y2="1">
<stop offset="0" stop-color="{first}"/><stop offset="1" stop-color="{second}"/>
</linearGradient></defs><rect width="96" height="96" fill="url(#g)"/>
<text x="48" y="50" fill="#fff" font-size="38" font-weight="600"
font-family="Inter,system-ui,Segoe UI,Roboto,sans-serif"
text-anchor="middle" dominant-baseline="central">{letters}</text></svg>"""


def add_routes(app: web.Application) -> None:
    app.router.add_get("/avatars/{page}.svg", page_face)
    app.router.add_get("/avatars/{page}/{psid}.svg", person_face)
    app.router.add_get(f"/media/{_NAME}", show_media)
    app.router.add_post(f"{PREFIX}/uploads", upload)


async def page_face(request: web.Request) -> web.Response:
    page = request.app[SIMULATOR].world.find_page(request.match_info["page"])
    if page is None:
        raise web.HTTPNotFound
    return _face(page.name)


async def person_face(request: web.Request) -> web.Response:
    world = request.app[SIMULATOR].world
    try:
        page = world.page(request.match_info["page"])
        person = world.person(page, request.match_info["psid"])
    except NotInWorldError as error:
        raise web.HTTPNotFound from error
    return _face(person.name)


def _face(name: str) -> web.Response:
    """Initials on colours that stay the same for one name."""
    digest = hashlib.sha256(name.encode()).digest()
    first, second = _GRADIENTS[digest[0] % len(_GRADIENTS)]
    letters = "".join(word[0] for word in name.split()[:2]).upper()
    svg = _FACE.format(first=first, second=second, letters=escape(letters))
    return web.Response(text=svg, content_type="image/svg+xml")


async def upload(request: web.Request) -> web.Response:
    """POST raw bytes of an image: `{url}`, to be sent as an attachment's payload."""
    simulator = request.app[SIMULATOR]
    content = await request.read()
    ending = next((_IMAGES[start] for start in _IMAGES if content.startswith(start)), None)
    if ending is None:
        raise web.HTTPUnsupportedMediaType(text="body: must be a PNG, JPEG, GIF or WebP image")
    simulator.media_dir.mkdir(parents=True, exist_ok=True)
    name = f"{secrets.token_hex(16)}.{ending}"
    (simulator.media_dir / name).write_bytes(content)
    _forget_oldest(simulator.media_dir)
    return web.json_response({"url": f"{simulator.base_url}/media/{name}"})


def _forget_oldest(directory: Path) -> None:
    pictures = sorted(directory.iterdir(), key=lambda path: path.stat().st_mtime)
    for picture in pictures[:-KEPT_PICTURES]:
        picture.unlink(missing_ok=True)


async def show_media(request: web.Request) -> web.StreamResponse:
    path = request.app[SIMULATOR].media_dir / request.match_info["name"]
    if not path.is_file():
        raise web.HTTPNotFound
    return web.FileResponse(path)
