"""Every Graph call received, in order, with its outcome: the judge of "sent twice"."""

import json
import os
from collections import deque
from collections.abc import Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal, NamedTuple

import structlog

KEPT_CALLS = 200_000  # older ones are forgotten
FILE_NAME = "simulator-calls.jsonl"
_SECRETS = frozenset(
    {
        "access_token",
        "appsecret_proof",
        "client_secret",
        "code",
        "fb_exchange_token",
        "input_token",
        "verify_token",
    }
)

Outcome = Literal["accepted", "refused", "dropped"]

log = structlog.get_logger(__name__)


class _Kept(NamedTuple):
    n: int
    page: str | None
    psid: str | None
    line: bytes  # the call as JSON


class CallLog:
    """Calls in memory, and in two files of which the older one goes: a killed judge remembers.

    A call has `n`, `at`, `method`, `endpoint`, `body`, `outcome` and, where there is one, `page`,
    `psid`, `status`, `mid`, `error`, `fault`. `outcome` says what became of the call in the world,
    whatever the caller was told: `accepted` took effect, `refused` did not, `dropped` was never
    looked at. `fault` names what a fault did to the answer; `status` is missing if the caller got
    none.
    """

    def __init__(self, path: Path | None = None, kept: int = KEPT_CALLS) -> None:
        self._calls: deque[_Kept] = deque(maxlen=kept)
        self._path, self._kept = path, kept
        self._older = path.with_suffix(".old.jsonl") if path is not None else None
        self._file = -1
        self._in_file = 0
        self.count = 0

    def open(self) -> None:
        """Go on where the last run ended. Raises: OSError: the directory cannot be used."""
        if self._path is None or self._older is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        for line in _lines(self._older):
            self._remember(line)
        for line in _lines(self._path):
            self._remember(line)
            self._in_file += 1
        self._file = _append_to(self._path)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def add(
        self,
        *,
        at: int,
        method: str,
        endpoint: str,
        body: Mapping[str, Any],
        outcome: Outcome,
        page: str | None,
        psid: str | None = None,
        status: int | None = None,
        mid: str | None = None,
        error: Mapping[str, Any] | None = None,
        fault: str | None = None,
    ) -> None:
        """Note a call; tokens and proofs in its body are left out."""
        self.count += 1
        call = {
            "n": self.count,
            "at": at,
            "page": page,
            "psid": psid,
            "method": method,
            "endpoint": endpoint,
            "body": {key: value for key, value in body.items() if key not in _SECRETS},
            "outcome": outcome,
            "status": status,
            "mid": mid,
            "error": error,
            "fault": fault,
        }
        told = {key: value for key, value in call.items() if value is not None}
        line = json.dumps(told, default=repr).encode()  # repr: an uploaded file among the fields
        self._calls.append(_Kept(self.count, page, psid, line))
        self._write(line)

    def select(self, page: str | None, psid: str | None, since: int) -> Iterator[bytes]:
        """Calls with a number above `since`, in order, as JSON; None selects all.

        From the newest on: who asks again and again wants the last few of many.
        """
        newer = list(takewhile(lambda call: call.n > since, reversed(self._calls)))
        return (
            call.line
            for call in reversed(newer)
            if page in (None, call.page) and psid in (None, call.psid)
        )

    def clear(self) -> None:
        self._calls.clear()
        self.count = 0
        if self._older is not None and self._file >= 0:
            self._older.unlink(missing_ok=True)
            os.ftruncate(self._file, 0)
            self._in_file = 0

    def _remember(self, line: bytes) -> None:
        try:
            call = json.loads(line)
        except ValueError:  # the disk was full once
            log.error("call_not_readable", bytes=len(line))
            return
        self._calls.append(_Kept(call["n"], call.get("page"), call.get("psid"), line))
        self.count = call["n"]

    def _write(self, line: bytes) -> None:
        if self._path is None or self._older is None or self._file < 0:
            return
        try:
            if self._in_file >= self._kept:
                self.close()
                self._path.replace(self._older)
                self._file, self._in_file = _append_to(self._path), 0
            os.write(self._file, line + b"\n")
            self._in_file += 1
        except OSError as error:  # memory has it: only a killed simulator forgets it
            log.error("call_not_saved", error=type(error).__name__)


def _append_to(path: Path) -> int:
    """The file, without what a killed process has left of a last line."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    content = path.read_bytes()
    os.ftruncate(file, content.rfind(b"\n") + 1)
    return file


def _lines(path: Path) -> list[bytes]:
    if not path.exists():
        return []
    return path.read_bytes().split(b"\n")[:-1]
