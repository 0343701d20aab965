"""The gateway beside Bottender and Botkit's Facebook adapter, which store nothing.

Both check the signature and hand each event to a handler that does nothing. Node and npm have to
be there; the packages go into `.local/peers` once. Where they can't, nothing is measured.
"""

import asyncio
import shutil
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from tests.bench.figures import Figure, Goal, ratios
from tests.bench.posting import Run, Server, details, posted, server_environment
from tests.bench.processes import ROOT, program, server
from tests.bench.rounds import Say, interleaved
from tests.ports import free_port
from tests.stack import Servers

HERE = Path(__file__).parent
FOLDER = ROOT / ".local" / "peers"
PACKAGES = "package.json"
INSTALL = (
    *("npm", "install", "--no-audit", "--no-fund", "--no-package-lock"),
    *("--ignore-scripts", "--omit=optional"),
)
INSTALL_WITHIN_S = 900.0

REQUESTS = 1000
WARM_UP = 500
TIMES_BOTTENDER = Goal("at least", 2.8)
TIMES_BOTKIT = Goal("at least", 3.5)
GOALS = {
    "Bottender": ("bottender.js", TIMES_BOTTENDER),
    "Botkit": ("botkit.js", TIMES_BOTKIT),
}


async def measure(servers: Servers, rounds: int, say: Say) -> list[Figure]:
    if reason := await _why_not_installed(say):
        say(f"Bottender, Botkit: not measured, {reason}")
        return []
    commands: dict[str, Sequence[str] | None] = {"gateway": None}
    commands |= {name: ("node", script) for name, (script, _) in GOALS.items()}
    async with AsyncExitStack() as stack:
        running: dict[str, Server] = {}
        for name, command in commands.items():
            environment = server_environment(servers, free_port()) | {"NODE_ENV": "production"}
            started = (
                server("services.gateway", environment)
                if command is None
                else program(command, environment, FOLDER)
            )
            pid = await stack.enter_async_context(started)
            running[name] = Server(pid, int(environment["HTTP_PORT"]))
            await posted(running[name], WARM_UP)

        async def run(name: str) -> Run:
            result = await posted(running[name], REQUESTS)
            say(f"{name}: {result.per_s:.0f} webhooks/s, {result.cpu_ms:.3f} ms CPU each")
            return result

        runs = await interleaved(list(commands), rounds, run)
    return _figures(runs)


def _figures(runs: dict[str, list[Run]]) -> list[Figure]:
    ours = [run.per_s for run in runs["gateway"]]
    figures = [
        ratios(f"gateway : {name}, webhooks/s", ours, [run.per_s for run in runs[name]], goal=goal)
        for name, (_, goal) in GOALS.items()
    ]
    for name in GOALS:
        figures += details(name, runs[name])
    return figures


async def _why_not_installed(say: Say) -> str:
    """Install what is not there yet; empty when all of it is."""
    missing = [tool for tool in ("node", "npm") if shutil.which(tool) is None]
    if missing:
        return f"not on this machine: {', '.join(missing)}"
    FOLDER.mkdir(parents=True, exist_ok=True)
    for script, _ in GOALS.values():
        shutil.copy(HERE / script, FOLDER)
    wanted = (HERE / PACKAGES).read_text(encoding="utf-8")
    installed = FOLDER / "installed.json"
    if installed.exists() and installed.read_text(encoding="utf-8") == wanted:
        return ""
    shutil.copy(HERE / PACKAGES, FOLDER)
    say("npm install, for minutes …")
    process = await asyncio.create_subprocess_exec(
        *INSTALL, cwd=FOLDER, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        code = await asyncio.wait_for(process.wait(), INSTALL_WITHIN_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        return f"npm install took more than {INSTALL_WITHIN_S:.0f} s"
    if code:
        return f"npm install ended with {code}"
    installed.write_text(wanted, encoding="utf-8")
    return ""
