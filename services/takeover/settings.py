"""What the takeover service reads from the environment."""

from pydantic import Field

from libs.common.settings import (
    HttpSettings,
    InternalSettings,
    KafkaSettings,
    MongoSettings,
    RuntimeSettings,
    SettingsGroup,
)
from libs.common.tracing import TracingSettings


class AppSettings(SettingsGroup):
    """The app whose echoes are our own, and to which a thread can belong."""

    facebook_app_id: str = Field(pattern=r"^\d{1,32}$", description="decimal digits")


class Settings(SettingsGroup):
    """The shared groups."""

    http: HttpSettings = Field(default_factory=HttpSettings)
    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings)
    tracing: TracingSettings = Field(default_factory=TracingSettings)
    kafka: KafkaSettings = Field(default_factory=KafkaSettings)
    mongo: MongoSettings = Field(default_factory=MongoSettings)
    internal: InternalSettings = Field(default_factory=InternalSettings)
    app: AppSettings = Field(default_factory=AppSettings)
