"""Every environment variable and every setting of a channel, from the code: the documented tables.

`python -m tests.unit.docs.variables docs/configuration.md` writes them between their markers.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

import libs.common.kafka.topics
import services.analytics.settings
import services.console.settings
import services.conversation.settings
import services.gateway.settings
import services.sender.settings
import services.takeover.settings
import simulator.settings
from libs.common.channels import ChannelSettings

ROOTS: dict[str, type[BaseSettings]] = {
    "gateway": services.gateway.settings.Settings,
    "conversation": services.conversation.settings.Settings,
    "sender": services.sender.settings.Settings,
    "takeover": services.takeover.settings.Settings,
    "analytics": services.analytics.settings.Settings,
    "console": services.console.settings.Settings,
    "simulator": simulator.settings.Settings,
    "topics": libs.common.kafka.topics.Settings,
}
COMMANDS = {"topics"}
BEGIN, END = "<!-- {}: written by `make docs` -->", "<!-- end of {} -->"
LONGEST_SHOWN = 40
HEAD = ("| Variable | Meaning | Takes | Default | Read by |", "|---|---|---|---|---|")

# Where the code's own description is too short for a reader who has only the table.
MEANINGS = {
    "ADMIN_EMAIL": "of the first administrator, who is made when nobody is there yet",
    "ADMIN_PASSWORD": "theirs, 12 characters at least; nobody's password is ever changed by it",
    "CONVERSATION_HISTORY_TOKENS": "how much of the session the model is shown, roughly",
    "CONVERSATION_MAX_BURST_S": "how long a burst of messages is waited for at most",
    "CONVERSATION_MAX_TURNS_IN_FLIGHT": "conversations answered side by side",
    "CONVERSATION_MODEL_ATTEMPTS": "calls of the model for one answer",
    "CONVERSATION_TURN_DEADLINE_S": "for all attempts at one answer together",
    "ENCRYPTION_KEYS": "keys for stored tokens: `id:base64 of 32 bytes, …`; the first encrypts",
    "ENV": "production: https in `PUBLIC_URL` and `CONSOLE_URL`, no local stack nor its database",
    "FACEBOOK_APP_ID": "the app's id, decimal digits; tells our own echoes from those of others",
    "FACEBOOK_APP_SECRET": "the app's secret: signs webhooks, proves that our calls are ours",
    "FACEBOOK_APP_SECRET_PREVIOUS": "accepted as well, while a new secret is rolled out",
    "GATEWAY_BODY_TIMEOUT_S": "how long a body may take to be complete",
    "GATEWAY_HEADER_TIMEOUT_S": "how long a header block may take to be complete",
    "GATEWAY_IDLE_TIMEOUT_S": "how long a connection may rest between two requests",
    "GATEWAY_MAX_BODY_BYTES": "the largest body; larger ones get 413",
    "GATEWAY_MAX_CONNECTIONS": "open connections of one process",
    "GATEWAY_PUBLISH_TIMEOUT_S": "how long Kafka may take; then Meta gets 503: promised within 3 s",
    "GRAPH_API_URL": "address of Meta's Graph API, or of the simulator",
    "GRAPH_API_VERSION": "its version, as Meta writes it",
    "HTTP_HOST": "the address that the service listens on",
    "HTTP_PORT": "the port that the service listens on",
    "KAFKA_BOOTSTRAP_SERVERS": "`host:port`, comma separated",
    "KAFKA_INSTANCE_ID": "static group membership: a restarted process goes on at once",
    "KAFKA_PUBLISH_TIMEOUT_S": "how long Kafka may take to acknowledge; then publishing has failed",
    "KAFKA_SASL_MECHANISM": "with SASL only",
    "KAFKA_SASL_PASSWORD": "with SASL only",
    "KAFKA_SASL_USERNAME": "with SASL only",
    "KAFKA_SECURITY_PROTOCOL": "how Kafka is reached",
    "KAFKA_SESSION_TIMEOUT_S": "silence after which Kafka gives a consumer's partitions away",
    "LLM_API_KEY": "needed by `anthropic`, and by `openai` without `LLM_BASE_URL`",
    "LLM_BASE_URL": "address of a server with OpenAI's protocol; needed by `simulator`",
    "LLM_MAX_OUTPUT_TOKENS": "the longest answer the model may write",
    "LLM_MODEL": "as the provider names it; needed by `openai` and `anthropic`",
    "LLM_PROVIDER": "who answers; `offline` needs neither a key nor a network",
    "LLM_TIMEOUT_S": "how long one call of the model may take",
    "LOG_LEVEL": "the least important lines that are written",
    "MONGODB_DATABASE": "name of the database",
    "MONGODB_TIMEOUT_S": "how long one operation may take",
    "MONGODB_URI": "address of the database, with its credentials",
    "SENDER_ACTION_MAX_AGE_S": "typing and seen are not shown when they are older",
    "SENDER_ACTION_TIMEOUT_S": "how long showing typing or seen may take: it delays what follows",
    "SENDER_CLAIM_MARGIN_S": "by how much the clocks of two senders may differ",
    "SENDER_EVIDENCE_GAP_S": "between two readings of a thread that do not show a part",
    "SENDER_HOLD_AFTER_S": "how long there may be no evidence either way; then the part is held",
    "SENDER_HTTP_TIMEOUT_S": "how long one call to the Graph API may take",
    "SENDER_MAX_CONVERSATIONS_IN_FLIGHT": "people served side by side",
    "SENDER_TEXT_PER_S": "calls a second for each Page",
    "SERVICE_TOKEN": "what callers of internal APIs send as `Authorization: Bearer …`",
    "SERVICE_TOKEN_PREVIOUS": "accepted as well, and sent where the new one is refused, during a "
    "rollout",
    "STATE_DIR": "folder of the simulator's world",
    "WEBHOOK_TARGET_URL": "the gateway's webhook address",
    "WEBHOOK_VERIFY_TOKEN": "what Meta sends to verify the address; as in the app's dashboard",
}

CHANNEL_MEANINGS = {
    "fallback_text": "answers when the model gives no answer",
    "get_started_payload": "payload of the button Get Started",
    "handover_text": "answers who asks for a person",
    "max_message_length": "the longest part, in UTF-16 code units",
    "prompt_addition": "added to the assistant's system prompt",
    "quiet_window_s": "how long the person has to be quiet before the assistant answers",
    "session_idle_s": "silence after which a new session begins",
    "text_only_reply": "answers an attachment without text",
    "welcome_prompt": "what the model is asked when somebody taps Get Started",
}

_SAYS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}

# The table's parts, in their order: a title, and how the names of its variables begin. The longest
# beginning that fits decides.
PARTS = (
    ("Every process", ("ENV", "HTTP_", "LOG_", "DRAIN_", "SECRETS_")),
    (
        "Meta's app, and where it finds us",
        ("FACEBOOK_", "GRAPH_", "WEBHOOK_", "PUBLIC_URL", "CONSOLE_URL"),
    ),
    ("What the services share among themselves", ("SERVICE_TOKEN", "ENCRYPTION_KEYS")),
    ("Kafka", ("KAFKA_",)),
    ("MongoDB", ("MONGODB_",)),
    ("gateway", ("GATEWAY_",)),
    ("conversation", ("CONVERSATION_",)),
    ("The model, unless an assistant names its own", ("LLM_",)),
    ("sender", ("SENDER_",)),
    ("takeover", ("TAKEOVER_",)),
    ("analytics", ("ANALYTICS_",)),
    (
        "console",
        (
            *("CONSOLE_", "ADMIN_", "GATEWAY_URL", "CONVERSATION_URL", "SENDER_URL"),
            *("TAKEOVER_URL", "ANALYTICS_URL"),
        ),
    ),
    ("Traces", ("OTEL_",)),
    ("simulator", ("SIMULATOR_", "STATE_DIR", "WEBHOOK_TARGET_URL")),
)
OTHERS = "Others"
_UNITS = {
    "_per_s": "calls a second",
    "_s": "seconds",
    "_bytes": "bytes",
    "_tokens": "tokens",
    "_minutes": "minutes",
    "_days": "days",
}


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
            yield _variable(f"{prefix}{name}".upper(), field, MEANINGS)
    for group in groups:
        yield from variables(group)


def table() -> str:
    """All services' variables, part by part and in the order of their names, as Markdown."""
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
    parts = []
    for title in (*(title for title, _ in PARTS), OTHERS):
        names = [name for name in sorted(found) if part_of(name) == title]
        if names:
            rows = [_row(found[name], readers[name]) for name in names]
            parts.append("\n".join([f"### {title}", "", *HEAD, *rows]))
    return "\n\n".join(parts)


def part_of(name: str) -> str:
    """The title of the table's part that a variable belongs to."""
    fits = ((len(each), title) for title, all_ in PARTS for each in all_ if name.startswith(each))
    return max(fits, default=(0, OTHERS))[1]


def channel_table() -> str:
    """What an administrator may set for one Page, as Markdown."""
    head = ["| Setting | Meaning | Takes | Default |", "|---|---|---|---|"]
    return "\n".join([*head, *map(_setting_row, channel_settings())])


def channel_settings() -> list[Variable]:
    fields = ChannelSettings.model_fields.items()
    return [_variable(name, field, CHANNEL_MEANINGS) for name, field in fields]


def with_tables(page: str) -> str:
    """The page, with what stands between the markers written anew."""
    return _between("channel settings", channel_table(), _between("variables", table(), page))


def _between(name: str, text: str, page: str) -> str:
    begin, end = BEGIN.format(name), END.format(name)
    head, _, rest = page.partition(begin)
    _, found, tail = rest.partition(end)
    if not found:
        raise ValueError(f"no {begin} … {end}")
    return f"{head}{begin}\n\n{text}\n\n{end}{tail}"


def _variable(name: str, field: FieldInfo, meanings: Mapping[str, str]) -> Variable:
    kinds = _alternatives(field.annotation)
    return Variable(
        name,
        default=None if field.is_required() else _shown(field.default),
        takes=_takes(name.lower(), kinds, field),
        meaning=meanings.get(name) or field.description or "",
        is_secret=SecretStr in kinds,
    )


def _row(variable: Variable, readers: list[str]) -> str:
    takes = ", ".join(filter(None, (variable.takes, "secret" if variable.is_secret else "")))
    who = "all" if ROOTS.keys() - COMMANDS <= {*readers} else ", ".join(readers)
    name, default = f"`{variable.name}`", _default(variable)
    return _cells(name, variable.meaning, takes or "text", default, who)


def _setting_row(setting: Variable) -> str:
    name, default = f"`{setting.name}`", _default(setting)
    return _cells(name, setting.meaning, setting.takes or "text", default)


def _default(variable: Variable) -> str:
    if variable.default is None:
        return "**required**"
    if len(variable.default) > LONGEST_SHOWN:
        return "a sentence"
    return f"`{variable.default}`" if variable.default else "–"


def _cells(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _alternatives(annotation: Any) -> tuple[Any, ...]:  # noqa: ANN401 - any type
    if get_origin(annotation) in (Union, UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not NoneType]
        return tuple(each for kind in kinds for each in _alternatives(kind))
    if get_origin(annotation) is Annotated:
        return _alternatives(get_args(annotation)[0])
    return (annotation,)


def _shown(default: Any) -> str:  # noqa: ANN401 - whatever a field has
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float) and default.is_integer():
        return str(int(default))
    if isinstance(default, tuple):
        return ", ".join(map(str, default))
    return "" if default is None or default is PydanticUndefined else str(default)


def _takes(name: str, kinds: tuple[Any, ...], field: FieldInfo) -> str:
    """The kind of value, its unit and its limits; empty: any text."""
    if get_origin(kinds[0]) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kinds[0]))
    if kinds[0] is bool:
        return "`true`, `false`"
    if get_origin(kinds[0]) is tuple:
        return "list"
    words = {int: "whole number", float: "number", Path: "path"}.get(kinds[0], "")
    unit = next((unit for end, unit in _UNITS.items() if name.endswith(end)), "")
    if words and unit:
        words = unit if kinds[0] is float else f"whole {unit}"
    for item in field.metadata:
        if (lowest := getattr(item, "min_length", None)) and lowest > 1:
            words = f"at least {lowest} characters"
        if pattern := getattr(item, "pattern", None):
            words = _of_pattern(str(pattern))
    if name.endswith("_url") and not words:
        words = "http(s) address"
    limits = [
        f"{sign} {getattr(item, end)}"
        for item in field.metadata
        for end, sign in _SAYS.items()
        if getattr(item, end, None) is not None
    ]
    return " ".join(part for part in (words, ", ".join(limits)) if part)


def _of_pattern(pattern: str) -> str:
    """What the patterns in our settings ask for, in words."""
    if "https?" in pattern:
        return "http(s) address"
    if pattern.startswith(r"^\d"):
        return "digits"
    return ""


def main() -> None:
    page = Path(sys.argv[1])
    page.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
