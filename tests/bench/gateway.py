"""The gateway beside the least that could stand in for it: requests a second, CPU a request."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from tests.bench.figures import Figure, Goal, ratios
from tests.bench.posting import Run, Server, details, posted, server_environment
from tests.bench.processes import server
from tests.bench.rounds import Say, interleaved
from tests.ports import free_port
from tests.stack import Servers

WARM_UP = 500
LEAST_SHARE = Goal("at least", 0.90)
MOST_CPU = Goal("at most", 1.15)
MODULES = {"gateway": "services.gateway", "minimal handler": "tests.bench.bare"}


@dataclass(frozen=True)
class Workload:
    """What is posted in one run. Meta gathers events when there are many."""

    events: int  # of one webhook
    requests: int
    title: str
    most_cpu: Goal | None


WORKLOADS = (
    Workload(events=1, requests=3000, title="webhooks", most_cpu=MOST_CPU),
    Workload(events=20, requests=400, title="webhooks of 20 events", most_cpu=None),
)


async def measure(servers: Servers, rounds: int, say: Say) -> list[Figure]:
    async with AsyncExitStack() as stack:
        running: dict[str, Server] = {}
        for name, module in MODULES.items():
            environment = server_environment(servers, free_port())
            pid = await stack.enter_async_context(server(module, environment))
            running[name] = Server(pid, int(environment["HTTP_PORT"]))
            await posted(running[name], WARM_UP)
        figures: list[Figure] = []
        for workload in WORKLOADS:
            figures += await _measure(workload, running, rounds, say)
    return figures


async def _measure(
    workload: Workload, running: dict[str, Server], rounds: int, say: Say
) -> list[Figure]:
    async def run(name: str) -> Run:
        result = await posted(running[name], workload.requests, workload.events)
        say(f"{name}: {result.per_s:.0f} {workload.title}/s, {result.cpu_ms:.3f} ms CPU each")
        return result

    runs = await interleaved(list(MODULES), rounds, run)
    ours, theirs = runs["gateway"], runs["minimal handler"]
    figures = [
        ratios(
            f"gateway : minimal handler, {workload.title}/s",
            [run.per_s for run in ours],
            [run.per_s for run in theirs],
            goal=LEAST_SHARE,
        )
    ]
    if all(run.cpu_ms for run in [*ours, *theirs]):
        figures.append(
            ratios(
                f"gateway : minimal handler, CPU of {workload.title}",
                [run.cpu_ms for run in ours],
                [run.cpu_ms for run in theirs],
                goal=workload.most_cpu,
            )
        )
    for name in MODULES:
        figures += details(name, runs[name])
    return figures
