"""What the console reads from the environment."""

import ipaddress
from functools import cached_property
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from libs.common.settings import (
    CryptoSettings,
    GraphSettings,
    HttpSettings,
    InternalSettings,
    KafkaSettings,
    ModelHostSettings,
    MongoSettings,
    RuntimeSettings,
    SettingsGroup,
    WebhookSettings,
)
from libs.common.tracing import TracingSettings

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_ADDRESS = r"^https?://[^\s/?#@]+/?$"
LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})


class SiteSettings(SettingsGroup):
    """Where people find the console."""

    env: Literal["development", "test", "production"] = "production"
    console_url: str = Field(
        "http://127.0.0.1:8080",
        description="where people reach the console, e.g. https://console.example.org",
        validate_default=True,
    )

    @field_validator("console_url")
    @classmethod
    def _is_safe(cls, value: str, info: ValidationInfo) -> str:
        url = urlsplit(value)
        if url.scheme not in ("http", "https") or not url.hostname or url.path not in ("", "/"):
            raise ValueError("not http(s)://host or http(s)://host:port")
        if url.query or url.fragment or url.username:
            raise ValueError("not http(s)://host or http(s)://host:port")
        if url.scheme == "http":
            if info.data.get("env") == "production":
                raise ValueError("must be https in production")
            if url.hostname not in LOOPBACK_NAMES:
                raise ValueError("must be https, except on 127.0.0.1 or localhost")
        return value.rstrip("/")

    @cached_property
    def is_secure(self) -> bool:
        """Whether browsers come over https."""
        return self.console_url.startswith("https:")

    @cached_property
    def hosts(self) -> frozenset[str]:
        """What may stand in `Host`. Every loopback name, as long as it's plain http there."""
        url = urlsplit(self.console_url)
        usual = 443 if self.is_secure else 80
        port = f":{url.port}" if url.port not in (None, usual) else ""  # as browsers leave it out
        names = (url.hostname or "",) if self.is_secure else ("127.0.0.1", "localhost", "[::1]")
        return frozenset(f"{name}{port}" for name in names)


class FirstAdminSettings(SettingsGroup):
    """Who may sign in first. Without these, a one-time code is printed at the start."""

    admin_email: str = Field("", description="of the first administrator, made when nobody is yet")
    admin_password: SecretStr = Field(
        SecretStr(""), description="of the first administrator; nobody's password is ever changed"
    )


class FacebookLoginSettings(SettingsGroup):
    """Where people log in to Facebook to connect their Pages."""

    facebook_dialog_url: str = Field(
        "https://www.facebook.com",
        pattern=r"^https?://[^\s/?#@]+/?$",
        description="host of Facebook's login dialog, or the simulator",
    )
    facebook_login_config_id: str = Field(
        "",
        pattern=r"^\d{0,32}$",
        description="of Facebook Login for Business, if the app uses it; it fixes the permissions",
    )
    facebook_extra_permissions: str = Field(
        "",
        pattern=r"^([a-z_]+(, ?[a-z_]+)*)?$",
        description="asked for as well where no configuration fixes them, comma separated: "
        "business_management, if Pages of a business are not listed",
    )

    @cached_property
    def extra_permissions(self) -> tuple[str, ...]:
        return tuple(name.strip() for name in self.facebook_extra_permissions.split(",") if name)


class ServicesSettings(SettingsGroup):
    """Where the console finds the other services' internal APIs."""

    gateway_url: str = Field(
        "http://gateway:8081",
        pattern=_ADDRESS,
        description="the gateway service, as the console reaches it",
    )
    conversation_url: str = Field(
        "http://conversation:8082",
        pattern=_ADDRESS,
        description="the conversation service, as the console reaches it",
    )
    sender_url: str = Field(
        "http://sender:8083",
        pattern=_ADDRESS,
        description="the sender service, as the console reaches it",
    )
    takeover_url: str = Field(
        "http://takeover:8084",
        pattern=_ADDRESS,
        description="the takeover service, as the console reaches it",
    )
    analytics_url: str = Field(
        "http://analytics:8085",
        pattern=_ADDRESS,
        description="the analytics service, as the console reaches it",
    )

    def of(self, service: str) -> str:
        """The address of a service, without a slash at the end."""
        address: str = getattr(self, f"{service}_url")
        return address.rstrip("/")


class Settings(SettingsGroup):
    """`CONSOLE_*` and the shared groups. Times in seconds."""

    model_config = SettingsConfigDict(env_prefix="CONSOLE_")

    http: HttpSettings = Field(default_factory=HttpSettings)
    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings)
    tracing: TracingSettings = Field(default_factory=TracingSettings)
    mongo: MongoSettings = Field(default_factory=MongoSettings)
    kafka: KafkaSettings = Field(default_factory=KafkaSettings)
    graph: GraphSettings = Field(default_factory=GraphSettings)
    crypto: CryptoSettings = Field(default_factory=CryptoSettings)
    hosts: ModelHostSettings = Field(default_factory=ModelHostSettings)
    internal: InternalSettings = Field(default_factory=InternalSettings)
    services: ServicesSettings = Field(default_factory=ServicesSettings)
    webhook: WebhookSettings = Field(default_factory=WebhookSettings)
    facebook: FacebookLoginSettings = Field(default_factory=FacebookLoginSettings)
    site: SiteSettings = Field(default_factory=SiteSettings)
    first_admin: FirstAdminSettings = Field(default_factory=FirstAdminSettings)

    session_idle_s: int = Field(
        12 * 3600, ge=300, le=30 * 86_400, description="signed out after so long without a click"
    )
    session_absolute_s: int = Field(
        7 * 86_400, ge=300, le=90 * 86_400, description="signed out after so long in any case"
    )
    trusted_proxies: str = Field(
        "",
        description="networks whose X-Forwarded-For is believed, comma separated: 10.0.0.0/8",
    )

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        _networks(value)
        return value

    @cached_property
    def proxies(self) -> tuple[Network, ...]:
        return _networks(self.trusted_proxies)


def _networks(text: str) -> tuple[Network, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    try:
        return tuple(ipaddress.ip_network(part) for part in parts)
    except ValueError:
        raise ValueError("not networks like 10.0.0.0/8, comma separated") from None
