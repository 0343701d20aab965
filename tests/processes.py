"""What a process holds at this moment: memory, descriptors, threads, and its loop's tasks."""

import re
from dataclasses import dataclass
from pathlib import Path

import aiohttp

MIB = 1 << 20
ANSWER_WITHIN_S = 2.0
TASKS = "assistant_tasks"

_FIELD = re.compile(r"^(VmRSS|RssAnon|Threads):\s+(\d+)", re.MULTILINE)
_SAMPLE = re.compile(r"^([a-z_]+)(?:\{[^}]*\})? ([0-9.e+-]+|NaN)$", re.MULTILINE)


@dataclass(frozen=True)
class Usage:
    """What the kernel tells of a process."""

    rss_bytes: int
    anonymous_bytes: int
    """The part of `rss_bytes` that is no file: what leaks is in here, and nothing that the kernel
    takes back by itself when memory is short."""
    descriptors: int
    threads: int

    @property
    def rss_mib(self) -> float:
        return self.rss_bytes / MIB

    @property
    def anonymous_mib(self) -> float:
        return self.anonymous_bytes / MIB


def usage(pid: int) -> Usage | None:
    """None: it has ended, or this is no Linux."""
    folder = Path(f"/proc/{pid}")
    try:
        status = (folder / "status").read_text(encoding="utf-8")
        descriptors = sum(1 for _ in (folder / "fd").iterdir())
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    found = {name: int(value) for name, value in _FIELD.findall(status)}
    if "VmRSS" not in found:  # a zombie has no memory any more
        return None
    return Usage(found["VmRSS"] << 10, found["RssAnon"] << 10, descriptors, found["Threads"])


async def metrics(session: aiohttp.ClientSession, url: str) -> dict[str, float]:
    """What `/metrics` of a service says, each metric over all its labels; nothing if it is away."""
    timeout = aiohttp.ClientTimeout(total=ANSWER_WITHIN_S)
    try:
        async with session.get(f"{url}/metrics", timeout=timeout) as response:
            return sums(await response.text())
    except (aiohttp.ClientError, TimeoutError):
        return {}


async def tasks(session: aiohttp.ClientSession, url: str) -> int | None:
    """How many tasks a service's loop holds; None: it is away."""
    found = (await metrics(session, url)).get(TASKS)
    return None if found is None else int(found)


def sums(text: str) -> dict[str, float]:
    """Prometheus text, each metric over all its labels."""
    found: dict[str, float] = {}
    for name, value in _SAMPLE.findall(text):
        found[name] = found.get(name, 0.0) + float(value)
    return found
