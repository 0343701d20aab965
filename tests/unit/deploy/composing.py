"""deploy/compose/compose.yaml as Compose reads it, as far as ours goes: merges and variables."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from deploy.local.secrets_file import parse

FOLDER = Path(__file__).resolve().parents[3] / "deploy" / "compose"
FILE = FOLDER / "compose.yaml"
OURS = ("gateway", "conversation", "sender", "takeover", "analytics", "console", "simulator")
ONE_SHOT = ("topics", "mongodb-setup")
EXAMPLE = {  # what somebody fills in
    "FACEBOOK_APP_ID": "1517776481860111",
    "PUBLIC_URL": "https://hooks.example.org",
    "CONSOLE_URL": "https://console.example.org",
}

_VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


@cache
def project() -> Mapping[str, Any]:
    """The whole file; nobody may change what comes back."""
    return dict(yaml.safe_load(FILE.read_text(encoding="utf-8")))


def services() -> Mapping[str, Mapping[str, Any]]:
    return dict(project()["services"])


def interpolated(text: str, env: Mapping[str, str]) -> str:
    """`${A}`, `${A:-default}` and `${A:?complaint}`. Raises LookupError with the complaint."""

    def value(found: re.Match[str]) -> str:
        name, kind, rest = found.groups()
        if env.get(name):
            return env[name]
        if kind == "?":
            raise LookupError(f"{name}: {rest}")
        return rest or ""

    return _VARIABLE.sub(value, text)


def environment_of(service: str, env: Mapping[str, str]) -> dict[str, str]:
    """What the container gets, its image's own variables aside."""
    given = services()[service].get("environment", {})
    return {name: interpolated(str(value), env) for name, value in given.items()}


def secrets_of(service: str) -> list[str]:
    return list(services()[service].get("secrets", []))


def simulated_env() -> dict[str, str]:
    """As `make compose-secrets` writes it where there is no .env."""
    return parse((FOLDER / ".env.simulator").read_text()) | {"FACEBOOK_APP_ID": "4242"}


def real_env() -> dict[str, str]:
    return parse((FOLDER / ".env.example").read_text()) | EXAMPLE
