"""A bad configuration ends the start with a line that names the variable."""

import pytest

from libs.common.settings import EX_CONFIG, load
from services.gateway.settings import Settings

GOOD = {
    "ENV": "production",
    "HTTP_PORT": "8081",
    "FACEBOOK_APP_SECRET": "app-secret-of-the-tests",
    "WEBHOOK_VERIFY_TOKEN": "verify-token-of-the-tests",
    "PUBLIC_URL": "https://hooks.example.org/",
    "CONSOLE_URL": "https://console.example.org/",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv("FACEBOOK_APP_SECRET_PREVIOUS", raising=False)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_good_settings(environment: pytest.MonkeyPatch) -> None:
    assert load(Settings).meta.secrets == ("app-secret-of-the-tests",)
    environment.setenv("FACEBOOK_APP_SECRET_PREVIOUS", "the-one-before")
    settings = load(Settings)
    assert settings.meta.secrets == ("app-secret-of-the-tests", "the-one-before")
    assert settings.meta.public_url == "https://hooks.example.org"
    assert settings.meta.console_url == "https://console.example.org"
    assert "app-secret" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FACEBOOK_APP_SECRET", None),
        ("FACEBOOK_APP_SECRET", "short"),
        ("FACEBOOK_APP_SECRET_PREVIOUS", "short"),
        ("WEBHOOK_VERIFY_TOKEN", None),
        ("WEBHOOK_VERIFY_TOKEN", "short"),
        ("PUBLIC_URL", None),  # its default is not for production
        ("PUBLIC_URL", "http://hooks.example.org"),
        ("PUBLIC_URL", "hooks.example.org"),
        ("PUBLIC_URL", "https://"),
        ("CONSOLE_URL", None),
        ("CONSOLE_URL", "http://console.example.org"),
        ("CONSOLE_URL", "https://console.example.org/path"),
        ("HTTP_PORT", "port"),
        ("GATEWAY_MAX_BODY_BYTES", "0"),
        ("GATEWAY_PUBLISH_TIMEOUT_S", "3"),
        ("GATEWAY_HEADER_TIMEOUT_S", "-1"),
        ("GATEWAY_BODY_TIMEOUT_S", "soon"),
        ("GATEWAY_IDLE_TIMEOUT_S", "0"),
        ("GATEWAY_MAX_CONNECTIONS", "0"),
    ],
)
def test_each_bad_value_is_named(
    environment: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str | None,
) -> None:
    if value is None:
        environment.delenv(name)
    else:
        environment.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        load(Settings)
    assert ended.value.code == EX_CONFIG
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{name} is ")
    assert "app-secret" not in line
