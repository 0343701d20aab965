"""What must stand in no log, and whether it does."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.secrets_file import parse

SHORTEST = 8  # shorter ones could be anywhere by chance

_NAMES = (
    "FACEBOOK_APP_SECRET",
    "FACEBOOK_APP_SECRET_PREVIOUS",
    "WEBHOOK_VERIFY_TOKEN",
    "SERVICE_TOKEN",
    "SERVICE_TOKEN_PREVIOUS",
    "LOG_HASH_KEY",
    "ADMIN_PASSWORD",
)
_TOKEN = re.compile(r"EAA[A-Za-z0-9]{40,}")  # as Facebook's, and the simulator's, begin
_CODE = re.compile(r"[?&]code=AQ[\w-]{20,}")


@dataclass
class Canaries:
    """What must not be found, by what it is."""

    secrets: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)  # which pages and answers do show

    def in_text(self, text: str, *, texts_too: bool) -> list[str]:
        wanted = self.secrets | (self.texts if texts_too else {})
        found = [name for name, value in wanted.items() if value in text]
        found += ["a token" for _ in _TOKEN.findall(text)[:1]]
        return found + ["a login code" for _ in _CODE.findall(text)[:1]]


def secrets_of(environment: Mapping[str, str]) -> dict[str, str]:
    """The stack's own."""
    found = {name: environment[name] for name in _NAMES if name in environment}
    for number, key in enumerate(environment.get("ENCRYPTION_KEYS", "").split(",")):
        found[f"ENCRYPTION_KEYS[{number}]"] = key.partition(":")[2]
    return {name: value for name, value in found.items() if len(value) >= SHORTEST}


def found_in_logs(folder: Path, canaries: Canaries | None = None) -> list[str]:
    """Which log has what; without `canaries`, the secrets that the stack made for itself."""
    if canaries is None:
        made = parse((folder / "env").read_text(encoding="utf-8"))
        canaries = Canaries(secrets_of(made))
    return [
        f"{log.name}: {what}"
        for log in sorted((folder / "logs").glob("*.log"))
        for what in canaries.in_text(
            log.read_text(encoding="utf-8", errors="replace"), texts_too=True
        )
    ]
