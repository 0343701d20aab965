"""The folder of one local stack: who runs it, how it stands, and what can be thrown away."""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from deploy.local.errors import StackError

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_NAME = ".local"
LOCK_PATIENCE_S = 1.0  # somebody may just be looking whether it is taken
# What the stack and its tools keep there. In a folder that isn't our own, nothing else is removed.
KEPT = ("env", "kafka", "mongo", "logs", "stack.json*", "stack.lock", "simulator*", "bench.json")


class StateFolder:
    """`.local/`, or what `STATE_DIR` names."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = path / "stack.lock"
        self._status = path / "stack.json"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "StateFolder":
        given = environment.get("STATE_DIR", "").strip()
        return cls(Path(given).expanduser().resolve() if given else ROOT / DEFAULT_NAME)

    @property
    def secrets(self) -> Path:
        return self.path / "env"

    @property
    def supervisor_log(self) -> Path:
        return self.log_of("stack")

    def log_of(self, name: str) -> Path:
        return self.path / "logs" / f"{name}.log"

    def make(self) -> None:
        """Create the folder, for its owner only."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        (self.path / "logs").mkdir(exist_ok=True, mode=0o700)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be the one supervisor of this folder. The kernel ends that when we die, however.

        Raises:
            StackError: another one is.
        """
        self.make()
        with self._lock.open("a+", encoding="utf-8") as lock:
            until = time.monotonic() + LOCK_PATIENCE_S
            while not _locked(lock.fileno()):
                if time.monotonic() > until:
                    raise StackError(
                        f"the stack in {self.path} is running already (pid {_pid(lock)})"
                    )
                time.sleep(0.05)
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield

    def supervisor(self) -> int | None:
        """The pid of the supervisor that holds this folder, None if there is none."""
        try:
            lock = self._lock.open("r", encoding="utf-8")
        except FileNotFoundError:
            return None
        with lock:
            if _locked(lock.fileno(), fcntl.LOCK_SH):
                return None
            text = _pid(lock)
            return int(text) if text.isdigit() else None

    def write_status(self, status: Mapping[str, Any]) -> None:
        """Replace `stack.json` as a whole: readers never see half of it."""
        part = self._status.with_name(f"{self._status.name}.part")
        part.write_text(json.dumps(status, indent=2) + "\n", encoding="utf-8")
        part.replace(self._status)

    def read_status(self, supervisor: int | None) -> dict[str, Any]:
        """What that supervisor last wrote; empty if it hasn't yet."""
        if supervisor is None:
            return {}
        try:
            status = json.loads(self._status.read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return status if isinstance(status, dict) and status.get("pid") == supervisor else {}

    def remove(self) -> None:
        """Throw the state away. From a folder that a person chose, only what we put there."""
        if self.path == ROOT / DEFAULT_NAME:
            shutil.rmtree(self.path, ignore_errors=True)
            return
        for entry in [entry for name in KEPT for entry in self.path.glob(name)]:
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)
        with suppress(OSError):  # not empty, or not there
            self.path.rmdir()


def _locked(descriptor: int, how: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _pid(lock: Any) -> str:  # noqa: ANN401 - an open text file
    lock.seek(0)
    return str(lock.read()).strip()
