"""Processes of a benchmark: started with an environment, waited for, asked for their CPU, ended."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import aiohttp

HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parents[2]
READY_WITHIN_S = 90.0
STOP_WITHIN_S = 30.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def busy_share(for_s: float) -> float:
    """The share of all CPUs that is at work now; looks for so many seconds. Where the system does
    not tell, its load average, which is late by a minute."""

    def ticks() -> tuple[int, int]:
        """All, and those without work: idle, and waiting for a disk."""
        first = Path("/proc/stat").read_text(encoding="utf-8").partition("\n")[0]
        counts = [int(each) for each in first.split()[1:9]]
        return sum(counts), counts[3] + counts[4]

    try:
        all_before, idle_before = ticks()
        time.sleep(for_s)
        all_now, idle_now = ticks()
    except FileNotFoundError:
        return os.getloadavg()[0] / (os.cpu_count() or 1)
    return 1 - (idle_now - idle_before) / max(1, all_now - all_before)


def cpu_seconds(pid: int) -> float | None:
    """CPU time that a process has used, in steps of 10 ms; None where the system doesn't tell."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name before it may hold blanks
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def server(module: str, environment: Mapping[str, str]) -> AbstractAsyncContextManager[int]:
    """`python -m module` from the moment it is ready; its pid. It listens on `HTTP_PORT`."""
    return program((sys.executable, "-m", module), environment, ROOT)


@asynccontextmanager
async def program(
    command: Sequence[str], environment: Mapping[str, str], folder: Path
) -> AsyncIterator[int]:
    """A server of any kind, run in `folder`: as `server`."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=_environment(environment),
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        await _wait_until_ready(process, environment["HTTP_PORT"])
        yield process.pid
    finally:
        await _end(process)


async def output_of(module: str, *arguments: str, within_s: float) -> str:
    """What `python -m module` prints.

    Raises:
        RuntimeError: it failed.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        cwd=ROOT,
        env=_environment({}),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), within_s)
    finally:
        await _end(process)
    if process.returncode:
        raise RuntimeError(f"{module} ended with {process.returncode}")
    return out.decode()


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, **own}


async def _wait_until_ready(process: asyncio.subprocess.Process, port: str) -> None:
    url = f"http://{HOST}:{port}/readyz"
    async with asyncio.timeout(READY_WITHIN_S), aiohttp.ClientSession() as session:
        while True:
            if process.returncode is not None:
                raise RuntimeError(f"the server ended with {process.returncode}")
            try:
                async with session.get(url) as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass  # does not listen yet
            await asyncio.sleep(0.05)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_WITHIN_S)
    except TimeoutError:
        process.kill()
        await process.wait()
