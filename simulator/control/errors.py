"""Errors of the control API: 4xx with the field in words."""

from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import ValidationError

from simulator.control.reading import PREFIX
from simulator.webhooks import QueueFullError
from simulator.world.world import NotInWorldError


@web.middleware
async def control_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer errors under the control API's prefix; other sites' pages may not call it."""
    if not request.path.startswith(PREFIX):
        return await handler(request)
    if is_from_another_site(request):
        return _error(403, "origin: only the simulator's own pages may call this from a browser")
    try:
        return await handler(request)
    except ValidationError as error:
        return _error(400, "; ".join(_words(error)))
    except NotInWorldError as error:
        return _error(404, str(error))
    except QueueFullError as error:
        return _error(503, f"webhooks: {error}")
    except web.HTTPException as error:
        return _error(error.status, error.text or error.reason)


def is_from_another_site(request: web.Request) -> bool:
    """Browsers name the page that calls; scripts name none."""
    origin = request.headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc != request.host


def _words(error: ValidationError) -> list[str]:
    return [
        f"{'.'.join(str(part) for part in item['loc']) or 'body'}: {item['msg']}"
        for item in error.errors(include_url=False, include_input=False, include_context=False)
    ]


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)
