"""What a Page's assistant has cost today, and whether that is enough. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime

from libs.common.channels import ChannelSettings


@dataclass(frozen=True)
class Spent:
    """Calls of the model and tokens, in and out, of one Page on one UTC day."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(
            self.calls + other.calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
        )

    def __sub__(self, other: "Spent") -> "Spent":
        return Spent(
            self.calls - other.calls,
            self.input_tokens - other.input_tokens,
            self.output_tokens - other.output_tokens,
        )

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens


def day_of(now: datetime) -> str:
    """The day that limits count by: UTC, so that every replica and every Page agree."""
    return now.astimezone(UTC).date().isoformat()


def has_limits(settings: ChannelSettings) -> bool:
    return settings.daily_model_calls is not None or settings.daily_model_tokens is not None


def is_over(settings: ChannelSettings, spent: Spent) -> bool:
    """Whether no further call may be made today. A limit that is reached is closed."""
    calls, tokens = settings.daily_model_calls, settings.daily_model_tokens
    return (calls is not None and spent.calls >= calls) or (
        tokens is not None and spent.tokens >= tokens
    )
