"""What the services read from the environment: shared groups, and one clear line on a bad value."""

import re
import sys
from functools import cached_property
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from libs.common.crypto import KeyRing
from libs.common.secret_files import SecretFileError, from_environment

T = TypeVar("T", bound=BaseSettings)

EX_CONFIG = 78  # sysexits.h: something is wrong with the configuration


def _in_one_piece(secret: SecretStr) -> SecretStr:
    value = secret.get_secret_value()
    if not value.isprintable() or value != value.strip():
        raise ValueError("has a line break in it, or a space at its beginning or end")
    return secret


WholeSecret = Annotated[SecretStr, AfterValidator(_in_one_piece)]
"""What travels in a header, or signs: a space that came along when it was copied is lost on the way
or changes every signature, and nothing says why."""


class SettingsGroup(BaseSettings):
    """Base of all settings: frozen, unknown variables ignored, empty ones count as not set.

    The environment goes before the files of `SECRETS_DIR`.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """pydantic's own reading of files tells neither which can't be read nor whose it is."""
        return init_settings, env_settings, from_environment(settings_cls)


class KafkaSettings(SettingsGroup):
    """`KAFKA_*`."""

    model_config = SettingsConfigDict(env_prefix="KAFKA_")

    bootstrap_servers: str = Field(
        "127.0.0.1:19092", min_length=1, description="host:port, comma separated"
    )
    publish_timeout_s: float = Field(3.0, gt=0, le=60, description="then publishing has failed")
    session_timeout_s: float = Field(30.0, ge=6, le=300)
    instance_id: str = Field(
        "", description="static group membership: a restarted process goes on at once"
    )
    leave_on_stop: bool = Field(
        False, description="with an instance id: who is stopped orderly gives its partitions away"
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    ssl_ca_file: str = Field("", description="PEM file; empty: the system's certificates")
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    sasl_username: str = ""
    sasl_password: SecretStr = SecretStr("")


class MongoSettings(SettingsGroup):
    """`MONGODB_*`."""

    model_config = SettingsConfigDict(env_prefix="MONGODB_")

    uri: SecretStr = Field(SecretStr("mongodb://127.0.0.1:27117"))
    database: str = Field("messenger", pattern=r"^[A-Za-z0-9_-]{1,38}$")
    timeout_s: float = Field(5.0, gt=0, le=60, description="of one operation")


class HttpSettings(SettingsGroup):
    """`HTTP_*`: where the service listens."""

    model_config = SettingsConfigDict(env_prefix="HTTP_")

    host: str = Field("127.0.0.1", min_length=1)
    port: int = Field(ge=1, le=65535)


class RuntimeSettings(SettingsGroup):
    """How a service runs, whatever it does."""

    env: Literal["development", "test", "production"] = Field("production")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto: console on a terminal, JSON elsewhere"
    )
    log_hash_key: SecretStr = Field(
        SecretStr(""), description="names people in logs by a hash; the same for every service"
    )
    drain_timeout_s: float = Field(
        20.0, gt=0, le=25, description="how long work in flight may take after SIGTERM"
    )


class InternalSettings(SettingsGroup):
    """What internal HTTP APIs ask for."""

    service_token: WholeSecret = Field(min_length=16, description="Authorization: Bearer …")
    service_token_previous: WholeSecret | None = Field(
        None,
        min_length=16,
        description="accepted as well, and sent where the new one is refused, during a rollout",
    )

    @cached_property
    def tokens(self) -> tuple[SecretStr, ...]:
        """Those that are accepted, and may be sent: the usual one first."""
        return tuple(
            token
            for token in (self.service_token, self.service_token_previous)
            if token is not None
        )


class GraphSettings(SettingsGroup):
    """How Meta's Graph API is reached and what signs our calls."""

    graph_api_url: str = Field(
        "https://graph.facebook.com", pattern=r"^https?://[^\s/?#@]+(/[^\s?#@]*)?$"
    )
    graph_api_version: str = Field("v26.0", pattern=r"^v\d{1,3}\.\d$")
    facebook_app_id: str = Field(pattern=r"^\d{1,32}$")
    facebook_app_secret: WholeSecret = Field(min_length=8)


class WebhookSettings(SettingsGroup):
    """Where Meta finds the gateway, and how it recognises it."""

    env: Literal["development", "test", "production"] = "production"
    webhook_verify_token: WholeSecret = Field(
        min_length=8, description="the same as in the app's dashboard"
    )
    public_url: str = Field(
        "http://127.0.0.1:8081",
        description="where people reach the gateway, e.g. https://hooks.example.org",
        validate_default=True,
    )

    @field_validator("public_url")
    @classmethod
    def _is_reachable(cls, value: str, info: ValidationInfo) -> str:
        url = urlsplit(value)
        if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment:
            raise ValueError("not an http(s) URL without query and fragment")
        if info.data.get("env") == "production" and url.scheme != "https":
            raise ValueError("must be https in production")
        return value.rstrip("/")


class ModelHostSettings(SettingsGroup):
    """Where administrators may point assistants to, besides public addresses."""

    model_config = SettingsConfigDict(env_prefix="LLM_")

    inside_hosts: str = Field(
        "",
        description="hosts inside the network that assistants may be pointed at in production, "
        "comma separated: ollama, 10.0.0.5:8000",
    )


class CryptoSettings(SettingsGroup):
    """The keys that page tokens and model keys are encrypted with."""

    encryption_keys: SecretStr = Field(
        min_length=1, description="id:base64 of 32 bytes, comma separated; the first one encrypts"
    )

    @field_validator("encryption_keys")
    @classmethod
    def _is_a_key_ring(cls, keys: SecretStr) -> SecretStr:
        KeyRing.parse(keys.get_secret_value())  # its errors show no key
        return keys


def load(settings: type[T], **values: Any) -> T:  # noqa: ANN401 - whatever the fields take
    """Read settings, or end the process with one line for each variable that is wrong.

    Values are never shown: they may be secrets.
    """
    try:
        try:
            return settings(**values)
        except ValidationError:  # of the first group that complains; whoever reads it wants all
            lines = _all_problems(settings, values)
    except SettingsError as error:  # a variable that is called like a group, and is not JSON
        name = re.sub(r'^.*field "(\w+)".*$', r"\1", str(error)).upper()
        lines = [f"{name} is wrong: it is the name of a group and must not be set"]
    except SecretFileError as error:
        lines = [str(error)]
    for line in lines:
        print(line, file=sys.stderr)
    sys.exit(EX_CONFIG)


def _all_problems(settings: type[BaseSettings], values: dict[str, Any]) -> list[str]:
    """Of every group, each variable once: two groups may read the same."""
    read: dict[str, Any] = dict(values)
    lines: list[str] = []
    for name, group in _groups(settings).items():
        if name in values:
            continue
        try:
            read[name] = group()
        except ValidationError as error:
            lines += problems(group, error)
            read[name] = group.model_construct()  # so that the settings' own fields are looked at
    try:
        settings(**read)
    except ValidationError as error:
        lines += problems(settings, error)
    first: dict[str, str] = {}
    for line in lines:
        first.setdefault(line.partition(" ")[0], line)
    return list(first.values())


def problems(settings: type[BaseSettings], error: ValidationError) -> list[str]:
    """One line a wrong variable: its name, what is wrong, what it is for."""
    lines = []
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        name = str(item["loc"][0]) if item["loc"] else ""
        variable = f"{settings.model_config.get('env_prefix') or ''}{name}".upper()
        what = "is not set" if item["type"] == "missing" else f"is wrong: {_words(item['msg'])}"
        field = settings.model_fields.get(name)
        hint = f" ({field.description})" if field and field.description else ""
        lines.append(f"{variable or settings.__name__} {what}{hint}")
    return lines


def _words(message: str) -> str:
    """What pydantic says, without its name for what our own validators say."""
    return message.removeprefix("Value error, ")


def _groups(settings: type[BaseSettings]) -> dict[str, type[BaseSettings]]:
    """The groups in the settings, by the field's name."""
    return {
        name: field.annotation
        for name, field in settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseSettings)
    }
