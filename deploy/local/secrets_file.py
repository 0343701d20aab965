"""`.local/env`: the secrets of a local stack, made on the first start and kept from then on."""

import base64
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from deploy.local.errors import StackError

_HEADER = "# Made on the first start of the local stack; the environment overrides what is here.\n"


def _app_id() -> str:
    return str(10**15 + secrets.randbelow(9 * 10**15))


def _encryption_keys() -> str:
    """One key named k1, as `libs.common.crypto` reads it."""
    return f"k1:{base64.b64encode(secrets.token_bytes(32)).decode()}"


MADE: Mapping[str, Callable[[], str]] = {
    "FACEBOOK_APP_ID": _app_id,
    "FACEBOOK_APP_SECRET": lambda: secrets.token_hex(16),
    "WEBHOOK_VERIFY_TOKEN": lambda: secrets.token_urlsafe(24),
    "SERVICE_TOKEN": lambda: secrets.token_urlsafe(32),
    "ENCRYPTION_KEYS": _encryption_keys,
    "LOG_HASH_KEY": lambda: secrets.token_urlsafe(24),
    "ADMIN_EMAIL": lambda: "admin@example.com",
    "ADMIN_PASSWORD": lambda: secrets.token_urlsafe(12),
}

PREVIOUS = ("FACEBOOK_APP_SECRET_PREVIOUS", "SERVICE_TOKEN_PREVIOUS")
"""What a person may write there as well, while a secret is replaced."""


def parse(text: str) -> dict[str, str]:
    """`KEY=VALUE` lines; empty ones and comments are skipped.

    Raises:
        StackError: a line is none of these; its number is told, not what stands there.
    """
    values = {}
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        name, separator, value = stripped.partition("=")
        if not separator or not name.strip().isidentifier():
            raise StackError(f"line {number} is not KEY=VALUE")
        values[name.strip()] = value.strip()
    return values


def load_or_make(path: Path) -> dict[str, str]:
    """Read the file and add what is missing, readable for its owner only. Kept values stay as is.

    Raises:
        StackError: the file can't be understood.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else _HEADER
    try:
        values = parse(text)
    except StackError as error:
        raise StackError(f"{path}: {error}") from error
    missing = {name: make() for name, make in MADE.items() if not values.get(name)}
    if missing:
        if not text.endswith("\n"):
            text += "\n"
        text += "".join(f"{name}={value}\n" for name, value in missing.items())
        _write_private(path, text)
    path.chmod(0o600)
    return values | missing


def _write_private(path: Path, text: str) -> None:
    """All or nothing, and at no moment readable for others."""
    part = path.with_name(f"{path.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    part.replace(path)
