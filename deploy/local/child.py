"""One component as a process: started, watched, started again when it dies, stopped."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from deploy.local.backoff import Backoff
from deploy.local.errors import StackError
from deploy.local.probes import Probe

PROBE_EVERY_S = 0.1
TAIL_LINES = 20
KEPT_LOG_BYTES = 10_000_000  # a longer log is put aside at the next start
LEASH = Path(__file__).with_name("leash.py")

State = Literal["stopped", "starting", "ready", "restarting", "stopping"]


@dataclass(frozen=True)
class Component:
    """What to run and how to tell that it works."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    port: int
    ready: Probe
    stage: int  # stopped in descending order
    setup: tuple[str, ...] = ()  # a command that has to succeed before the first start
    start_within_s: float = 120.0
    stop_within_s: float = 25.0
    folder: Path = field(default_factory=Path.cwd)
    renewed: Callable[[], Mapping[str, str]] | None = None  # the environment as it is by now

    def environment_now(self) -> dict[str, str]:
        """What the next process gets: secrets may have been replaced since the last one."""
        return dict(self.environment if self.renewed is None else self.renewed())


class Child:
    """The process of one component. Not for two owners, not for threads."""

    def __init__(self, component: Component, log: Path, changed: Callable[[], None]) -> None:
        self.component = component
        self.log = log
        self.state: State = "stopped"
        self.restarts = 0
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None
        self._ready_at: float | None = None
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process and process.returncode is None else None

    async def start(self) -> None:
        """Start it and return when it is ready.

        Raises:
            StackError: it died, or wasn't ready in time; with the tail of its log.
        """
        _put_aside(self.log)
        if self.component.setup:
            await self._run_setup()
        await self._spawn(self.component.command)
        await self._until_ready()

    async def keep(self) -> None:
        """Start it again whenever it dies, for as long as this runs."""
        backoff = Backoff()
        while self._process is not None:
            status = await self._process.wait()
            pause_s = backoff.pause_s(self._healthy_s())
            self._ready_at = None
            self._note(f"ended with {describe(status)}; starting it again in {pause_s:.0f} s")
            self._set("restarting")
            await asyncio.sleep(pause_s)
            self.restarts += 1
            await self._spawn(self.component.command)
            with suppress(StackError):  # dead: the next round sees it. Slow: perhaps later
                await self._until_ready()

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL if that was not enough in time."""
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            self._set("stopping")
            with suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(self.component.stop_within_s):
                    await process.wait()
            except TimeoutError:
                self._note(f"not stopped after {self.component.stop_within_s:.0f} s: killed")
                self.kill()
                await process.wait()
        self._set("stopped")

    def kill(self) -> None:
        """End it at once, with what it may have started."""
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    async def _run_setup(self) -> None:
        await self._spawn(self.component.setup)
        process = self._process
        assert process is not None  # noqa: S101 - just made
        if status := await process.wait():
            raise StackError(self._told(f"preparing it ended with {describe(status)}"))

    async def _spawn(self, command: tuple[str, ...]) -> None:
        with self.log.open("ab") as log:
            self._log_start = log.seek(0, os.SEEK_END)
            # from the main thread: the kernel's leash is tied to the thread that starts a child
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(LEASH), str(os.getpid())),
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.component.environment_now(),
                cwd=self.component.folder,
                start_new_session=True,  # a terminal's Ctrl-C is for us; we stop them in order
            )
        self._set("starting")

    async def _until_ready(self) -> None:
        process = self._process
        assert process is not None  # noqa: S101 - callers have just started it
        try:
            async with asyncio.timeout(self.component.start_within_s):
                while not await self.component.ready():
                    if process.returncode is not None:
                        raise StackError(self._told(f"ended with {describe(process.returncode)}"))
                    await asyncio.sleep(PROBE_EVERY_S)
        except TimeoutError:
            reason = f"is not ready after {self.component.start_within_s:.0f} s"
            raise StackError(self._told(reason)) from None
        if process.returncode is None:
            self._ready_at = time.monotonic()
            self._set("ready")

    def _healthy_s(self) -> float:
        return 0.0 if self._ready_at is None else time.monotonic() - self._ready_at

    def _set(self, state: State) -> None:
        self.state = state
        self._changed()

    def _note(self, text: str) -> None:
        """A line of ours in the component's log."""
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"--- {time.strftime('%Y-%m-%dT%H:%M:%S%z')} supervisor: {text}\n")

    def _told(self, reason: str) -> str:
        lines = tail(self.log, since=self._log_start)
        shown = "".join(f"\n    {line}" for line in lines) or "\n    (it wrote nothing)"
        return f"{self.component.name} {reason}. The end of {self.log}:{shown}"


def describe(status: int) -> str:
    """An exit status in words: negative ones are signals."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


def tail(log: Path, since: int = 0, lines: int = TAIL_LINES) -> list[str]:
    """The last lines of a log, of those written from the byte `since` on."""
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(since, size - 64 * 1024))
        return file.read().decode("utf-8", errors="replace").splitlines()[-lines:]


def _put_aside(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if log.exists() and log.stat().st_size > KEPT_LOG_BYTES:
        log.replace(log.with_name(f"{log.name}.1"))
