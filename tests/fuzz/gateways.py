"""A gateway on a wire of memory, and the laws that hold whatever comes."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from unittest import mock

import structlog

from libs.common import discreet
from libs.common.events import Record, decode, encode
from libs.common.web import Readiness
from services.gateway import handlers
from services.gateway.app import create_app, create_runner
from services.gateway.handlers import PUBLISHER
from tests.fuzz.wire import Seen, Wire, wire_to
from tests.unit.gateway.conftest import VERIFY_TOKEN, FakePublisher, gateway_settings
from tests.unit.gateway.webhooks import SECRET, sign

PATH = "/webhooks/messenger"
CANARY = "canary-of-a-person"
ANSWERS = frozenset({100, 200, 302, 400, 403, 404, 405, 408, 413, 417, 503})
"""Whatever is sent. 503 says that the log is away, or that too many large bodies come at once."""


class Gateway:
    """Connections to a gateway; after each, the laws are checked."""

    def __init__(self, wire: Wire, publisher: FakePublisher) -> None:
        self._wire = wire
        self._publisher = publisher
        self.log = structlog.testing.CapturingLogger()

    async def send(
        self, *pieces: bytes, leave_after: int | None = None
    ) -> tuple[Seen, list[Record]]:
        """What came of it, and what was published. Raises: AssertionError: a law is broken."""
        self._publisher.calls.clear()
        self.log.calls.clear()
        seen = await self._wire.send(*pieces, leave_after=leave_after)
        self._require_laws(seen)
        return seen, self._publisher.records

    async def post(self, body: bytes, *headers: tuple[str, str]) -> tuple[int, list[Record]]:
        """One webhook, rightly signed: exactly one answer."""
        seen, records = await self.send(webhook_request(body, *headers))
        assert len(seen.answers) == 1, seen
        return seen.statuses[0], records

    def _require_laws(self, seen: Seen) -> None:
        assert seen.faults == []
        assert ANSWERS.issuperset(seen.statuses), seen.statuses
        assert seen.rest == b"", "half an answer"
        published = self._publisher.calls
        assert len(published) <= seen.statuses.count(200)
        for record in self._publisher.records:
            assert encode(decode(encode(record))) == encode(record)
            assert getattr(record, "reason", None) != "gateway_error"
        said = str(self.log.calls)
        assert "request_failed" not in said, said
        for secret in (CANARY, SECRET, VERIFY_TOKEN):
            assert secret not in said


def webhook_request(body: bytes, *headers: tuple[str, str], path: str = PATH) -> bytes:
    """A whole request, signed with the app's secret."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: gateway",
        f"X-Hub-Signature-256: {sign(body)}",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@asynccontextmanager
async def open_gateway() -> AsyncIterator[Gateway]:
    app = create_app(gateway_settings(), Readiness())
    publisher = FakePublisher()
    app[PUBLISHER].set(publisher)
    async with wire_to(app, create_runner) as wire:
        gateway = Gateway(wire, publisher)
        with (
            mock.patch.object(handlers, "log", gateway.log),
            mock.patch.object(discreet, "log", gateway.log),
        ):
            yield gateway


class Fuzzed:
    """The same for callers without an event loop: Hypothesis and atheris."""

    def __init__(self, loop: asyncio.AbstractEventLoop, gateway: Gateway) -> None:
        self._loop = loop
        self._gateway = gateway

    def send(self, *pieces: bytes, leave_after: int | None = None) -> tuple[Seen, list[Record]]:
        return self._loop.run_until_complete(self._gateway.send(*pieces, leave_after=leave_after))

    def post(self, body: bytes, *headers: tuple[str, str]) -> tuple[int, list[Record]]:
        return self._loop.run_until_complete(self._gateway.post(body, *headers))


@contextmanager
def fuzzed_gateway() -> Iterator[Fuzzed]:
    loop = asyncio.new_event_loop()
    try:
        opening = open_gateway()
        gateway = loop.run_until_complete(opening.__aenter__())
        try:
            yield Fuzzed(loop, gateway)
        finally:
            loop.run_until_complete(opening.__aexit__(None, None, None))
    finally:
        loop.close()
