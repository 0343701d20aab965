"""Reading a request's body: bounded in size and in time, exactly as it came."""

import asyncio

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError


class RefusedError(Exception):
    """The request is answered with `status`; `outcome` is its name in the metrics."""

    def __init__(self, outcome: str, status: int, text: str) -> None:
        super().__init__(text)
        self.outcome = outcome
        self.status = status
        self.text = text


async def read_body(request: web.Request, *, max_bytes: int, timeout_s: float) -> bytes:
    """The raw body.

    Raises:
        RefusedError: compressed (400: the signature is over what Meta wrote), too large (413),
            not complete in time (408), or cut short (400).
    """
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise RefusedError("encoded", 400, "compressed bodies are not accepted")
    if (request.content_length or 0) > max_bytes:
        raise _too_large(max_bytes)
    try:
        if request.content.is_eof():  # it came with the header block: nothing to wait for
            body = request.content.read_nowait()
        else:
            async with asyncio.timeout(timeout_s):
                body = await _read(request, max_bytes)
    except TimeoutError:
        raise RefusedError("slow_body", 408, "the body took too long") from None
    except (web.RequestPayloadError, ClientPayloadError, HttpProcessingError, ConnectionError):
        raise RefusedError("broken_body", 400, "the body is not complete") from None
    if len(body) > max_bytes:
        raise _too_large(max_bytes)
    return body


async def _read(request: web.Request, max_bytes: int) -> bytes:
    body = bytearray()
    while len(body) <= max_bytes and (chunk := await request.content.readany()):
        body += chunk
    return bytes(body)


def _too_large(max_bytes: int) -> RefusedError:
    return RefusedError("too_large", 413, f"the body is larger than {max_bytes} bytes")
