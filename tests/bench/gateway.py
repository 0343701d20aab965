"""The gateway beside the least that could stand in for it: requests a second, CPU a request."""

import json
import secrets
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from tests.bench import webhooks
from tests.bench.figures import Figure, Goal, ratios
from tests.bench.processes import cpu_seconds, free_port, output_of, server
from tests.bench.rounds import Say, interleaved
from tests.stack import Servers

REQUESTS = 3000
WARM_UP = 500
CONNECTIONS = 64
WITHIN_S = 120.0
LEAST_SHARE = Goal("at least", 0.90)
MOST_CPU = Goal("at most", 1.15)


@dataclass(frozen=True)
class Server:
    """One of the two, running."""

    pid: int
    port: int


@dataclass(frozen=True)
class Run:
    """What one run of `REQUESTS` showed."""

    per_s: float
    cpu_ms: float  # a request; 0 where the system doesn't tell
    p50_ms: float
    p99_ms: float


async def measure(servers: Servers, rounds: int, say: Say) -> list[Figure]:
    async with AsyncExitStack() as stack:
        modules = {"gateway": "services.gateway", "minimal": "tests.bench.bare"}
        running: dict[str, Server] = {}
        for name, module in modules.items():
            environment = server_environment(servers, free_port())
            pid = await stack.enter_async_context(server(module, environment))
            running[name] = Server(pid, int(environment["HTTP_PORT"]))
            await _post(running[name], WARM_UP)

        async def run(name: str) -> Run:
            result = await _run(running[name])
            say(f"{name}: {result.per_s:.0f} webhooks/s, {result.cpu_ms:.3f} ms CPU each")
            return result

        runs = await interleaved(list(modules), rounds, run)
    return _figures(runs["gateway"], runs["minimal"])


def server_environment(servers: Servers, port: int) -> dict[str, str]:
    """Both get the same; the minimal one reads two of these."""
    return {
        "KAFKA_BOOTSTRAP_SERVERS": servers.bootstrap_servers,
        "HTTP_PORT": str(port),
        "FACEBOOK_APP_SECRET": webhooks.SECRET,
        "WEBHOOK_VERIFY_TOKEN": secrets.token_hex(16),
        "ENV": "test",
        "LOG_LEVEL": "warning",
    }


async def _run(target: Server) -> Run:
    before = cpu_seconds(target.pid)
    seen = await _post(target, REQUESTS)
    after = cpu_seconds(target.pid)
    used_s = 0.0 if before is None or after is None else after - before
    return Run(
        per_s=REQUESTS / seen["seconds"],
        cpu_ms=used_s / REQUESTS * 1000,
        p50_ms=seen["p50_ms"],
        p99_ms=seen["p99_ms"],
    )


async def _post(target: Server, count: int) -> Mapping[str, Any]:
    """Post that many webhooks over `CONNECTIONS` connections, from a process of its own."""
    arguments = {
        "--port": target.port,
        "--requests": count,
        "--connections": CONNECTIONS,
        "--run": secrets.token_hex(4),
        "--within-s": WITHIN_S,
    }
    flat = [str(item) for pair in arguments.items() for item in pair]
    output = await output_of("tests.bench.load", *flat, within_s=WITHIN_S + 10)
    seen: dict[str, Any] = json.loads(output)
    if seen["statuses"] != {"200": count}:
        raise RuntimeError(f"not every webhook was accepted: {seen['statuses']}")
    return seen


def _figures(gateway: list[Run], minimal: list[Run]) -> list[Figure]:
    name = "gateway : minimal handler, webhooks/s"
    rates = ratios(
        name, [run.per_s for run in gateway], [run.per_s for run in minimal], goal=LEAST_SHARE
    )
    figures = [rates]
    if all(run.cpu_ms for run in [*gateway, *minimal]):
        name = "gateway : minimal handler, CPU a webhook"
        ours, theirs = [run.cpu_ms for run in gateway], [run.cpu_ms for run in minimal]
        figures.append(ratios(name, ours, theirs, goal=MOST_CPU))
    for title, runs in (("gateway", gateway), ("minimal handler", minimal)):
        figures += [
            Figure(f"  {title}, webhooks/s", tuple(run.per_s for run in runs), "/s"),
            Figure(f"  {title}, CPU a webhook", tuple(run.cpu_ms for run in runs), "ms"),
            Figure(f"  {title}, p50", tuple(run.p50_ms for run in runs), "ms"),
            Figure(f"  {title}, p99", tuple(run.p99_ms for run in runs), "ms"),
        ]
    return figures
