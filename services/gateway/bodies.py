"""Reading a request's body: bounded in size, in time and in what all of them hold together."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError

SMALL_BYTES = 32 * 1024
"""So much of a body is read for everybody: nearly all of Meta's are smaller."""

ROOM_BYTES = 64 * 1024 * 1024
"""What all bodies that are being read may hold beyond that. Whose they are is known only when they
are complete: without a bound, strangers' unfinished bodies would take all of the memory."""


class RefusedError(Exception):
    """The request is answered with `status`; `outcome` is its name in the metrics."""

    def __init__(self, outcome: str, status: int, text: str) -> None:
        super().__init__(text)
        self.outcome = outcome
        self.status = status
        self.text = text


class Room:
    """What is left for large bodies."""

    def __init__(self, size: int = ROOM_BYTES) -> None:
        self.left = size

    @contextmanager
    def held(self) -> Iterator["Held"]:
        held = Held(self)
        try:
            yield held
        finally:
            self.left += held.size


class Held:
    """One body's share of the room, which grows with it."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.size = 0

    def grow(self, size: int) -> None:
        """Have so much. Raises: RefusedError: that much is not left."""
        more = size - self.size
        if more > self._room.left:
            raise RefusedError("busy", 503, "too many large bodies at once, try again")
        self._room.left -= more
        self.size = size


_room = Room()


async def read_body(request: web.BaseRequest, *, max_bytes: int, timeout_s: float) -> bytes:
    """The raw body.

    Raises:
        RefusedError: compressed (400: the signature is over what Meta wrote), too large (413),
            not complete in time (408), cut short (400), or too many large ones at once (503).
    """
    if _is_recoded(request):
        raise RefusedError("encoded", 400, "compressed bodies are not accepted")
    content = request.content
    try:
        if content.is_eof():  # it came with the header block: nothing to wait for
            body = content.read_nowait()
        elif (request.content_length or 0) > max_bytes:
            raise _too_large(max_bytes)
        else:
            with _room.held() as held:
                async with asyncio.timeout(timeout_s):
                    body = await _read(request, max_bytes, held)
    except TimeoutError:
        raise RefusedError("slow_body", 408, "the body took too long") from None
    except (web.RequestPayloadError, ClientPayloadError, HttpProcessingError, ConnectionError):
        raise RefusedError("broken_body", 400, "the body is not complete") from None
    if len(body) > max_bytes:
        raise _too_large(max_bytes)
    return body


async def _read(request: web.BaseRequest, max_bytes: int, held: Held) -> bytes:
    body = bytearray()
    while len(body) <= max_bytes:
        if request.transport is None and not request.content.is_eof():
            raise ConnectionResetError  # to wait for more would be a RuntimeError of aiohttp's
        if not (chunk := await request.content.readany()):
            break
        if (large := len(body) + len(chunk) - SMALL_BYTES) > 0:
            held.grow(large)
        body += chunk
    return bytes(body)


def _is_recoded(request: web.BaseRequest) -> bool:
    """Whether what came is something else than the body: `gzip`, or in chunks `gzip, chunked`."""
    codings = request.headers.getall("Content-Encoding", ())
    if codings and any(coding.lower() != "identity" for coding in codings):
        return True
    coding = request.headers.get("Transfer-Encoding")
    return coding is not None and coding.lower() != "chunked" and request.content_length is None


def _too_large(max_bytes: int) -> RefusedError:
    return RefusedError("too_large", 413, f"the body is larger than {max_bytes} bytes")
