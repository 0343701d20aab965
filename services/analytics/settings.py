"""What the analytics service reads from the environment."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

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
    """The app whose echoes are our own."""

    facebook_app_id: str = Field(pattern=r"^\d{1,32}$", description="decimal digits")


class Settings(SettingsGroup):
    """`ANALYTICS_*` and the shared groups."""

    model_config = SettingsConfigDict(env_prefix="ANALYTICS_")

    http: HttpSettings = Field(default_factory=HttpSettings)
    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings)
    tracing: TracingSettings = Field(default_factory=TracingSettings)
    kafka: KafkaSettings = Field(default_factory=KafkaSettings)
    mongo: MongoSettings = Field(default_factory=MongoSettings)
    internal: InternalSettings = Field(default_factory=InternalSettings)
    app: AppSettings = Field(default_factory=AppSettings)

    flush_events: int = Field(
        500, ge=1, le=20_000, description="so many are written without waiting for more"
    )
    flush_s: float = Field(
        1.0, gt=0, le=60, description="how long the first event of a batch waits for company"
    )
