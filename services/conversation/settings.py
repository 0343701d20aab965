"""What the conversation service reads from the environment."""

from pydantic import Field
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
)
from libs.common.tracing import TracingSettings
from services.conversation.assistants.settings import AssistantSettings


class AppSettings(SettingsGroup):
    """The app whose echoes are our own."""

    facebook_app_id: str = Field(pattern=r"^\d{1,32}$", description="decimal digits")


class Settings(SettingsGroup):
    """`CONVERSATION_*` and the shared groups."""

    model_config = SettingsConfigDict(env_prefix="CONVERSATION_")

    http: HttpSettings = Field(default_factory=HttpSettings)
    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings)
    tracing: TracingSettings = Field(default_factory=TracingSettings)
    kafka: KafkaSettings = Field(default_factory=KafkaSettings)
    mongo: MongoSettings = Field(default_factory=MongoSettings)
    internal: InternalSettings = Field(default_factory=InternalSettings)
    app: AppSettings = Field(default_factory=AppSettings)
    graph: GraphSettings = Field(default_factory=GraphSettings)
    crypto: CryptoSettings = Field(default_factory=CryptoSettings)
    assistant: AssistantSettings = Field(default_factory=AssistantSettings)
    hosts: ModelHostSettings = Field(default_factory=ModelHostSettings)

    turn_deadline_s: float = Field(60.0, gt=0, le=600, description="for all attempts together")
    model_attempts: int = Field(3, ge=1, le=10)
    history_tokens: int = Field(3000, ge=0, le=200_000)
    max_burst_s: float = Field(8.0, gt=0, le=60, description="longest wait for a burst to end")
    max_turns_in_flight: int = Field(2000, ge=1, le=100_000)
    profile_timeout_s: float = Field(
        3.0, gt=0, le=20, description="of one call for a person's name and picture"
    )
    profile_calls: int = Field(
        300, ge=1, le=1000, description="for names and pictures, of one Page in ten minutes"
    )
