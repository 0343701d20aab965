"""What the gateway reads from the environment."""

from functools import cached_property
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from libs.common.settings import (
    HttpSettings,
    KafkaSettings,
    RuntimeSettings,
    SettingsGroup,
    WebhookSettings,
    WholeSecret,
)
from libs.common.tracing import TracingSettings


class MetaSettings(WebhookSettings):
    """What Meta and we know of each other, and where Meta's people find us."""

    facebook_app_secret: WholeSecret = Field(min_length=8, description="signs every webhook")
    facebook_app_secret_previous: WholeSecret | None = Field(
        None, min_length=8, description="accepted as well, while a new secret is rolled out"
    )

    console_url: str = Field(
        "http://127.0.0.1:8080",
        description="where people reach the console, e.g. https://console.example.org",
        validate_default=True,
    )

    @field_validator("console_url")
    @classmethod
    def _is_for_people(cls, value: str, info: ValidationInfo) -> str:
        """There people read what became of their wish to be forgotten."""
        url = urlsplit(value)
        if url.scheme not in ("http", "https") or not url.hostname or url.path not in ("", "/"):
            raise ValueError("not http(s)://host or http(s)://host:port")
        if info.data.get("env") == "production" and url.scheme != "https":
            raise ValueError("must be https in production")
        return value.rstrip("/")

    @cached_property
    def secrets(self) -> tuple[str, ...]:
        """The secrets a signature may be made with, the usual one first."""
        known = (self.facebook_app_secret, self.facebook_app_secret_previous)
        return tuple(secret.get_secret_value() for secret in known if secret)


class Settings(SettingsGroup):
    """`GATEWAY_*` and the shared groups. Times in seconds."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_")

    http: HttpSettings = Field(default_factory=HttpSettings)
    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings)
    tracing: TracingSettings = Field(default_factory=TracingSettings)
    kafka: KafkaSettings = Field(default_factory=KafkaSettings)
    meta: MetaSettings = Field(default_factory=MetaSettings)

    max_body_bytes: int = Field(1 << 20, ge=1024, le=1 << 23, description="larger ones get 413")
    publish_timeout_s: float = Field(
        2.5, gt=0, le=2.7, description="then Meta gets 503, which is promised within 3 s"
    )
    header_timeout_s: float = Field(10.0, gt=0, le=60, description="for a complete header block")
    body_timeout_s: float = Field(10.0, gt=0, le=60, description="for a complete body")
    idle_timeout_s: float = Field(14.0, gt=0, le=600, description="between two requests")
    max_connections: int = Field(2000, ge=1, le=100_000, description="per process")
