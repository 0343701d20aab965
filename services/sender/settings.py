"""What the sender reads from the environment."""

from datetime import timedelta

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from libs.common.settings import (
    CryptoSettings,
    GraphSettings,
    HttpSettings,
    InternalSettings,
    KafkaSettings,
    MongoSettings,
    RuntimeSettings,
    SettingsGroup,
)
from libs.common.tracing import TracingSettings


class SendingSettings(SettingsGroup):
    """`SENDER_*`: how patiently and how fast."""

    model_config = SettingsConfigDict(env_prefix="SENDER_")

    http_timeout_s: float = Field(10.0, gt=0, le=60, description="of one call to the Graph API")
    claim_margin_s: float = Field(
        2.0, gt=0, le=60, description="clocks of two senders may differ by this much"
    )
    evidence_gap_s: float = Field(
        5.0, gt=0, le=300, description="between two readings of a thread that show nothing"
    )
    hold_after_s: float = Field(
        120.0, gt=0, le=3600, description="without evidence either way; then the part is held"
    )
    text_per_s: float = Field(300.0, ge=2, le=300, description="calls per Page")
    media_per_s: float = Field(
        10.0, ge=0.1, le=10, description="calls per Page that send audio or video"
    )
    action_max_age_s: float = Field(15.0, gt=0, le=60, description="older signs are not shown")
    action_timeout_s: float = Field(3.0, gt=0, le=20, description="a sign delays what follows it")
    max_conversations_in_flight: int = Field(10_000, ge=1, le=100_000)

    @property
    def http_timeout(self) -> timedelta:
        return timedelta(seconds=self.http_timeout_s)

    @property
    def claim_lifetime(self) -> timedelta:
        """How long a claim's request may be on its way, as another process reckons."""
        return timedelta(seconds=self.http_timeout_s + self.claim_margin_s)


class Settings(SettingsGroup):
    """The sender's own group and the shared ones."""

    http: HttpSettings = Field(default_factory=HttpSettings)
    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings)
    tracing: TracingSettings = Field(default_factory=TracingSettings)
    kafka: KafkaSettings = Field(default_factory=KafkaSettings)
    mongo: MongoSettings = Field(default_factory=MongoSettings)
    internal: InternalSettings = Field(default_factory=InternalSettings)
    graph: GraphSettings = Field(default_factory=GraphSettings)
    crypto: CryptoSettings = Field(default_factory=CryptoSettings)
    sending: SendingSettings = Field(default_factory=SendingSettings)
