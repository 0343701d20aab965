"""Who writes the answers: what is read from `LLM_*`."""

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_core import PydanticKnownError
from pydantic_settings import SettingsConfigDict

from libs.common.channels import AssistantProvider
from libs.common.settings import SettingsGroup, WholeSecret


class AssistantSettings(SettingsGroup):
    """`LLM_*`. `offline` needs nothing else and calls nobody."""

    model_config = SettingsConfigDict(env_prefix="LLM_")

    provider: AssistantProvider = "offline"
    base_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s]+$",
        validate_default=True,
        description="e.g. http://127.0.0.1:11434/v1; needed by LLM_PROVIDER=simulator",
    )
    model: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        validate_default=True,
        description="as the provider names it; needed by LLM_PROVIDER=openai and anthropic",
    )
    api_key: WholeSecret | None = Field(
        None,
        validate_default=True,
        description="needed by LLM_PROVIDER=anthropic, and by openai without LLM_BASE_URL",
    )
    timeout_s: float = Field(30.0, gt=0, le=600, description="of one attempt")
    max_output_tokens: int = Field(2048, ge=16, le=200_000)
    tools: bool = Field(
        True, description="whether the model may hand over by a tool call; some servers refuse any"
    )

    @field_validator("base_url")
    @classmethod
    def _is_there_for_the_simulator(cls, value: str | None, info: ValidationInfo) -> str | None:
        _needed(value, info.data.get("provider") == "simulator")
        return value

    @field_validator("model")
    @classmethod
    def _is_there_for_a_provider(cls, value: str | None, info: ValidationInfo) -> str | None:
        _needed(value, info.data.get("provider") in ("openai", "anthropic"))
        return value

    @field_validator("api_key")
    @classmethod
    def _is_there_to_pay(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        """A server of one's own, at `base_url`, often asks for no key."""
        provider, elsewhere = info.data.get("provider"), info.data.get("base_url") is not None
        _needed(value, provider == "anthropic" or (provider == "openai" and not elsewhere))
        return value


def _needed(value: str | SecretStr | None, is_needed: bool) -> None:
    if value is None and is_needed:
        raise PydanticKnownError("missing")
