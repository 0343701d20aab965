"""Every environment variable that a service reads, taken from its settings: the documented table.

`python -m tests.unit.docs.variables docs/configuration.md` writes it between the two markers.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

import services.conversation.settings
import services.gateway.settings
import services.sender.settings
import simulator.settings

ROOTS: dict[str, type[BaseSettings]] = {
    "gateway": services.gateway.settings.Settings,
    "conversation": services.conversation.settings.Settings,
    "sender": services.sender.settings.Settings,
    "simulator": simulator.settings.Settings,
}
BEGIN = "<!-- variables: written by `make docs` -->"
END = "<!-- end of variables -->"

# where the code needs no description and a reader of the table does
MEANINGS = {
    "CONVERSATION_HISTORY_TOKENS": "how much of the session the model is shown, roughly",
    "CONVERSATION_MAX_TURNS_IN_FLIGHT": "conversations answered side by side",
    "CONVERSATION_MODEL_ATTEMPTS": "calls of the model for one answer",
    "ENV": "production: the gateway wants https in `PUBLIC_URL`; the local stack refuses to start",
    "FACEBOOK_APP_ID": "decimal digits; tells our own echoes from those of others",
    "GRAPH_API_URL": "Meta, or the simulator",
    "GRAPH_API_VERSION": "as Meta writes it",
    "HTTP_HOST": "where the service listens",
    "HTTP_PORT": "where the service listens",
    "KAFKA_SASL_MECHANISM": "with SASL only",
    "KAFKA_SASL_PASSWORD": "with SASL only",
    "KAFKA_SASL_USERNAME": "with SASL only",
    "KAFKA_SECURITY_PROTOCOL": "how Kafka is reached",
    "KAFKA_SESSION_TIMEOUT_S": "silence after which Kafka gives a consumer's partitions away",
    "LLM_MAX_OUTPUT_TOKENS": "the longest answer the model may write",
    "LLM_PROVIDER": "who answers; offline needs neither a key nor a network",
    "LOG_LEVEL": "the least important lines that are written",
    "MONGODB_DATABASE": "name of the database",
    "MONGODB_URI": "address of the database, with its credentials",
    "SENDER_MAX_CONVERSATIONS_IN_FLIGHT": "people served side by side",
}

_SAYS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


@dataclass(frozen=True)
class Variable:
    """One variable as one service reads it. `default` None: it has to be set."""

    name: str
    default: str | None
    takes: str
    meaning: str
    is_secret: bool


def variables(settings: type[BaseSettings]) -> Iterator[Variable]:
    """The settings' own variables, then those of the groups in them."""
    prefix = settings.model_config.get("env_prefix") or ""
    groups = []
    for name, field in settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseSettings):
            groups.append(field.annotation)
        else:
            yield _variable(f"{prefix}{name}".upper(), field)
    for group in groups:
        yield from variables(group)


def table() -> str:
    """All services' variables, in the order of their names, as Markdown."""
    readers: dict[str, list[str]] = {}
    found: dict[str, Variable] = {}
    for service, settings in ROOTS.items():
        for variable in variables(settings):
            names = readers.setdefault(variable.name, [])
            if service not in names:
                names.append(service)
            known = found.setdefault(variable.name, variable)
            if len(variable.meaning) > len(known.meaning):
                found[variable.name] = variable
    rows = [_row(found[name], readers[name]) for name in sorted(found)]
    return "\n".join(["| Variable | Default | Takes | Read by |", "|---|---|---|---|", *rows])


def with_table(page: str) -> str:
    """The page, with what stands between the markers written anew."""
    head, _, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not end:
        raise ValueError(f"no {BEGIN} … {END}")
    return f"{head}{BEGIN}\n\n{table()}\n\n{END}{tail}"


def _variable(name: str, field: FieldInfo) -> Variable:
    kinds = _alternatives(field.annotation)
    return Variable(
        name,
        default=None if field.is_required() else _shown(field.default),
        takes=_takes(kinds, field),
        meaning=MEANINGS.get(name) or field.description or "",
        is_secret=SecretStr in kinds,
    )


def _row(variable: Variable, readers: list[str]) -> str:
    required = variable.default is None
    default = "**required**" if required else f"`{variable.default}`" if variable.default else "–"
    meaning = [variable.takes, variable.meaning, "secret" if variable.is_secret else ""]
    who = "all" if len(readers) == len(ROOTS) else ", ".join(readers)
    words = "; ".join(part for part in meaning if part).replace("|", "\\|")
    return f"| `{variable.name}` | {default} | {words} | {who} |"


def _alternatives(annotation: Any) -> tuple[Any, ...]:  # noqa: ANN401 - any type
    if get_origin(annotation) in (Union, UnionType):
        return tuple(kind for kind in get_args(annotation) if kind is not NoneType)
    return (annotation,)


def _shown(default: Any) -> str:  # noqa: ANN401 - whatever a field has
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    return "" if default is None or default is PydanticUndefined else str(default)


def _takes(kinds: tuple[Any, ...], field: FieldInfo) -> str:
    if get_origin(kinds[0]) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kinds[0]))
    words = {int: "whole number", float: "number", Path: "path"}.get(kinds[0], "")
    limits = [
        f"{sign} {getattr(item, name)}"
        for item in field.metadata
        for name, sign in _SAYS.items()
        if getattr(item, name, None) is not None
    ]
    if lengths := [item.min_length for item in field.metadata if hasattr(item, "min_length")]:
        words = f"at least {lengths[0]} characters" if lengths[0] > 1 else words
    return " ".join(part for part in (words, ", ".join(limits)) if part)


def main() -> None:
    page = Path(sys.argv[1])
    page.write_text(with_table(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
