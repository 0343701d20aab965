"""Webhooks posted to a server that runs: what came back, how fast, and what CPU it took."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.bench import webhooks
from tests.bench.figures import Figure
from tests.bench.processes import cpu_seconds, output_of
from tests.stack import Servers

CONNECTIONS = 64
WITHIN_S = 120.0


@dataclass(frozen=True)
class Server:
    """A server that takes webhooks, running."""

    pid: int
    port: int


@dataclass(frozen=True)
class Run:
    """What one run showed."""

    per_s: float
    cpu_ms: float  # a request; 0 where the system doesn't tell
    p50_ms: float
    p99_ms: float


def server_environment(servers: Servers, port: int) -> dict[str, str]:
    """All get the same, and read of it what they know."""
    return {
        "KAFKA_BOOTSTRAP_SERVERS": servers.bootstrap_servers,
        "HTTP_PORT": str(port),
        "FACEBOOK_APP_SECRET": webhooks.SECRET,
        "WEBHOOK_VERIFY_TOKEN": secrets.token_hex(16),
        "ENV": "test",
        "LOG_LEVEL": "warning",
    }


async def posted(target: Server, requests: int, events: int = 1) -> Run:
    """Post so many webhooks, each with so many events, and see.

    Raises:
        RuntimeError: not every one was answered with 200.
    """
    before = cpu_seconds(target.pid)
    seen = await _post(target, requests, events)
    after = cpu_seconds(target.pid)
    used_s = 0.0 if before is None or after is None else after - before
    return Run(
        per_s=requests / seen["seconds"],
        cpu_ms=used_s / requests * 1000,
        p50_ms=seen["p50_ms"],
        p99_ms=seen["p99_ms"],
    )


async def _post(target: Server, requests: int, events: int) -> Mapping[str, Any]:
    """Over `CONNECTIONS` connections, from a process of its own."""
    arguments = {
        "--port": target.port,
        "--requests": requests,
        "--events": events,
        "--connections": CONNECTIONS,
        "--run": secrets.token_hex(4),
        "--within-s": WITHIN_S,
    }
    flat = [str(item) for pair in arguments.items() for item in pair]
    output = await output_of("tests.bench.load", *flat, within_s=WITHIN_S + 10)
    seen: dict[str, Any] = json.loads(output)
    if seen["statuses"] != {"200": requests}:
        raise RuntimeError(f"not every webhook was accepted: {seen['statuses']}")
    return seen


def details(title: str, runs: list[Run]) -> list[Figure]:
    """The lines about one server alone."""
    return [
        Figure(f"  {title}, webhooks/s", tuple(run.per_s for run in runs), "/s"),
        Figure(f"  {title}, CPU a webhook", tuple(run.cpu_ms for run in runs), "ms"),
        Figure(f"  {title}, p50", tuple(run.p50_ms for run in runs), "ms"),
        Figure(f"  {title}, p99", tuple(run.p99_ms for run in runs), "ms"),
    ]
