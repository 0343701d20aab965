"""Settings from files, as Docker and Kubernetes hand out secrets: one file for each variable.

`SECRETS_DIR` names the folder, `/run/secrets` unless it is set. A file is called like its variable.
What the environment says goes before a file, and an empty file counts as not set.
"""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

VARIABLE = "SECRETS_DIR"
USUAL = Path("/run/secrets")
LONGEST_BYTES = 64 * 1024  # a secret is a line; a wrong mount may be anything

STRANGE: dict[str, Callable[[str], object]] = {
    # nobody sees them, and Meta would be refused for them, or we by Meta
    "begins with a byte order mark": re.compile("^\ufeff").search,
    "has more than one line": re.compile(r"[\r\n]").search,
    "holds control characters: is it UTF-16?": re.compile(r"[\x00-\x08\x0b-\x1f\x7f]").search,
}


class SecretFileError(Exception):
    """A variable's file, or the folder itself, can't be used. The words never show a content."""

    def __init__(self, variable: str, reason: str) -> None:
        super().__init__(f"{variable} is wrong: {reason}")


class SecretFiles(PydanticBaseSettingsSource):
    """What stands in the files of one settings class. Groups in it read their own."""

    def __init__(self, settings: type[BaseSettings], environment: Mapping[str, str]) -> None:
        super().__init__(settings)
        self._environment = environment

    def __call__(self) -> dict[str, Any]:
        """Raises SecretFileError."""
        folder = secrets_folder(self._environment)
        if folder is None:
            return {}
        prefix = self.config.get("env_prefix") or ""
        found = {
            name: read(folder, f"{prefix}{name}".upper())
            for name, field in self.settings_cls.model_fields.items()
            if not _is_group(field)
        }
        return {name: value for name, value in found.items() if value}

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        raise NotImplementedError("asked for all fields at once")


def secrets_folder(environment: Mapping[str, str]) -> Path | None:
    """Where the files are; None: there are none.

    Raises:
        SecretFileError: a folder was named that isn't there.
    """
    named = environment.get(VARIABLE)
    if not named:
        return USUAL if USUAL.is_dir() else None
    if not os.path.isdir(named):  # Path's would raise where it may not look
        raise SecretFileError(VARIABLE, "there is no such folder")
    return Path(named)


def read(folder: Path, variable: str) -> str | None:
    """The variable's file without the line break at its end; None: there is no such file.

    Raises:
        SecretFileError: it is there and can't be read, or is no line of text of a sensible length.
    """
    path = folder / variable
    try:
        if not path.is_file():  # of a link: what it leads to, as Kubernetes mounts secrets
            if os.path.lexists(path):  # as Docker makes a folder where a file to mount is missing
                raise SecretFileError(variable, f"what is called so in {folder} is no file")
            return None
        with path.open("rb") as file:
            content = file.read(LONGEST_BYTES + 1)
    except OSError as error:
        reason = f"its file in {folder} can't be read: {error.strerror}"
        raise SecretFileError(variable, reason) from None
    if len(content) > LONGEST_BYTES:
        raise SecretFileError(variable, f"its file in {folder} is longer than 64 KiB")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise SecretFileError(variable, f"its file in {folder} is not UTF-8") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if strange := next((name for name, is_in in STRANGE.items() if is_in(text)), None):
        raise SecretFileError(variable, f"its file in {folder} {strange}")
    return text


def from_environment(settings: type[BaseSettings]) -> SecretFiles:
    return SecretFiles(settings, os.environ)


def _is_group(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseSettings)
