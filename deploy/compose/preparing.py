"""The secrets of a Compose project: a file each, made on first use and never written again.

Docker mounts such a file with the owner and the mode that it has here, and the services run as
somebody else. So the files may be read by everybody, and the folder be entered by its owner only.
"""

import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from deploy.local.secrets_file import MADE

FOLDER = Path(__file__).parent
DATABASE_USER = "messenger"
FROM_META = "FACEBOOK_APP_SECRET"
"""What only Meta can make, unless the simulator stands in for it."""
OPTIONAL = (
    "FACEBOOK_APP_SECRET_PREVIOUS",
    "LLM_API_KEY",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "SERVICE_TOKEN_PREVIOUS",
)
"""Empty files, which count as not set: Compose wants each to be there."""
MOUNTED = ("kafka", "mongodb", "../prometheus", "../grafana")
"""Settings of containers that run as other users: a strict umask leaves them unreadable there."""


def _password() -> str:
    return secrets.token_urlsafe(24)


def _mongodb_uri() -> str:
    """The only node of the set; its user is made by mongodb/setup.js, from what stands here."""
    credentials = f"{DATABASE_USER}:{_password()}"
    return f"mongodb://{credentials}@mongodb:27017/?replicaSet=rs0&authSource=admin"


_NOT_SECRET = {"FACEBOOK_APP_ID", "ADMIN_EMAIL"}
SECRETS: Mapping[str, Callable[[], str]] = {
    **{name: make for name, make in MADE.items() if name not in _NOT_SECRET},
    "MONGODB_URI": _mongodb_uri,
    "MONGODB_ROOT_PASSWORD": _password,
    "GRAFANA_ADMIN_PASSWORD": _password,
}


def prepare(folder: Path = FOLDER) -> list[str]:
    """Make what is missing below the folder; what was done, a line each.

    Without an `.env`, one for the simulator is made.
    """
    said = []
    env = folder / ".env"
    if not env.exists():
        text = (folder / ".env.simulator").read_text(encoding="utf-8")
        _write(env, f"{text}FACEBOOK_APP_ID={MADE['FACEBOOK_APP_ID']()}\n", 0o600)
        said.append(f"{env}: for the simulator; for a real Page see .env.example")
    for name in MOUNTED:
        _let_everybody_read(folder / name)
    is_simulated = "simulator" in _profiles(env)
    return [*said, *_prepare_secrets(folder / "secrets", is_simulated=is_simulated)]


def _prepare_secrets(folder: Path, *, is_simulated: bool) -> list[str]:
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    made = []
    for name, make in SECRETS.items():
        if (name != FROM_META or is_simulated) and _is_missing(folder / name):
            _write(folder / name, make(), 0o644)
            made.append(name)
    for name in (*OPTIONAL, FROM_META):
        if not (folder / name).exists():
            _write(folder / name, "", 0o644)
    said = [f"{folder}: {', '.join(made)}"] if made else [f"{folder}: everything is there"]
    if _is_missing(folder / FROM_META):
        said.append(f"{folder / FROM_META} is empty: put the app's secret there, from Meta")
    return said


def _let_everybody_read(folder: Path) -> None:
    """A folder and all in it, which holds no secret."""
    for path in (folder, *folder.rglob("*")) if folder.is_dir() else ():
        mode = path.stat().st_mode
        if (wanted := mode | (0o055 if path.is_dir() else 0o044)) != mode:
            path.chmod(wanted)


def _is_missing(path: Path) -> bool:
    return not path.exists() or not path.read_text(encoding="utf-8").strip()


def _profiles(env: Path) -> set[str]:
    """What COMPOSE_PROFILES names."""
    for line in env.read_text(encoding="utf-8").splitlines():
        name, _, value = line.strip().partition("=")
        if name == "COMPOSE_PROFILES":
            return {profile.strip() for profile in value.strip("\"' ").split(",")}
    return set()


def _write(path: Path, text: str, mode: int) -> None:
    """All or nothing. An empty file may be replaced, a full one never is: see `_is_missing`."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    part.chmod(mode)
    part.replace(path)
