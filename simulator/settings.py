"""What the simulator reads from the environment."""

from pathlib import Path

from pydantic import Field, SecretStr

from libs.common.settings import HttpSettings, RuntimeSettings, SettingsGroup


class Settings(SettingsGroup):
    """The app that the simulated Facebook knows, and where its webhooks go."""

    http: HttpSettings = Field(default_factory=HttpSettings)
    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings)

    facebook_app_id: str = Field(pattern=r"^\d{1,32}$", description="decimal digits")
    facebook_app_secret: SecretStr = Field(min_length=8)
    webhook_verify_token: SecretStr = Field(min_length=1)
    webhook_target_url: str = Field(
        pattern=r"^https?://[^\s]+$", description="the gateway's webhook address"
    )
    simulator_url: str = Field(
        "",
        pattern=r"^(https?://[^\s/]+)?$",
        description="how others reach the simulator, default http://HTTP_HOST:HTTP_PORT",
    )
    state_dir: Path = Field(Path(".local"), description="holds simulator.json between two starts")
