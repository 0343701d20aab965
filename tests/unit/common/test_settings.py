"""A bad value ends the start with one line that names the variable and never shows the value."""

import base64

import pytest
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from libs.common.settings import (
    EX_CONFIG,
    CryptoSettings,
    GraphSettings,
    HttpSettings,
    InternalSettings,
    KafkaSettings,
    MongoSettings,
    RuntimeSettings,
    SettingsGroup,
    load,
)

KEY = base64.b64encode(bytes(range(32))).decode()
GOOD = {
    "HTTP_PORT": "8083",
    "SERVICE_TOKEN": "service-token-of-the-tests",
    "FACEBOOK_APP_ID": "1517776481860111",
    "FACEBOOK_APP_SECRET": "app-secret-of-the-tests",
    "ENCRYPTION_KEYS": f"k1:{KEY}",
    "PARCELS_LONGEST_S": "1.5",
}
OTHERS = (
    "ENV",
    "LOG_LEVEL",
    "LOG_FORMAT",
    "LOG_HASH_KEY",
    "DRAIN_TIMEOUT_S",
    "HTTP_HOST",
    "GRAPH_API_URL",
    "GRAPH_API_VERSION",
    "KAFKA_BOOTSTRAP_SERVERS",
    "KAFKA_PUBLISH_TIMEOUT_S",
    "MONGODB_URI",
    "MONGODB_DATABASE",
    "KAFKA",
)


class Settings(SettingsGroup):
    """As a service has it."""

    model_config = SettingsConfigDict(env_prefix="PARCELS_")

    http: HttpSettings = Field(default_factory=HttpSettings)
    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings)
    kafka: KafkaSettings = Field(default_factory=KafkaSettings)
    mongo: MongoSettings = Field(default_factory=MongoSettings)
    internal: InternalSettings = Field(default_factory=InternalSettings)
    graph: GraphSettings = Field(default_factory=GraphSettings)
    crypto: CryptoSettings = Field(default_factory=CryptoSettings)
    longest_s: float = Field(gt=0, description="of one parcel")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in OTHERS:
        monkeypatch.delenv(name, raising=False)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_good_settings_come_from_the_environment(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("KAFKA_BOOTSTRAP_SERVERS", "kafka-1:9092,kafka-2:9092")
    settings = load(Settings)
    assert settings.http.port == 8083
    assert settings.kafka.bootstrap_servers == "kafka-1:9092,kafka-2:9092"
    assert settings.internal.service_token.get_secret_value() == "service-token-of-the-tests"
    assert settings.runtime.env == "production"
    assert settings.longest_s == 1.5


def test_empty_variable_counts_as_not_set(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("LOG_LEVEL", "")
    assert load(Settings).runtime.log_level == "info"


def test_secrets_are_not_shown(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("MONGODB_URI", "mongodb://somebody:hunter2@mongo")
    shown = repr(load(Settings))
    for secret in ("service-token-of", "app-secret-of", KEY, "hunter2"):
        assert secret not in shown


def test_settings_cannot_be_changed(environment: pytest.MonkeyPatch) -> None:
    settings = load(Settings)
    with pytest.raises(ValueError, match="frozen"):
        setattr(settings.http, "port", 1)  # noqa: B010 - mypy forbids it already


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("HTTP_PORT", None, "is not set"),
        ("HTTP_PORT", "", "is not set"),
        ("HTTP_PORT", "70123", "is wrong: Input should be less than or equal to 65535"),
        ("HTTP_PORT", "secret", "is wrong: Input should be a valid integer"),
        ("SERVICE_TOKEN", None, "is not set (Authorization: Bearer …)"),
        ("SERVICE_TOKEN", "too-secret", "is wrong: Value should have at least 16"),
        ("SERVICE_TOKEN", "secret-token-of-tests ", "is wrong: has a line break in it, or a space"),
        ("FACEBOOK_APP_SECRET", "secret-of-tests\n", "is wrong: has a line break in it, or a"),
        ("FACEBOOK_APP_ID", "secret", "is wrong: String should match pattern"),
        ("FACEBOOK_APP_SECRET", "secret", "is wrong: Value should have at least 8"),
        ("GRAPH_API_URL", "secret.example.org", "is wrong: String should match pattern"),
        ("GRAPH_API_URL", "https://me:secret@example.org", "is wrong: String should match"),
        ("GRAPH_API_URL", "https://example.org/?x=secret", "is wrong: String should match"),
        ("GRAPH_API_VERSION", "secret", "is wrong: String should match pattern"),
        ("ENCRYPTION_KEYS", f"secret{KEY}", "is wrong: entry 1 does not begin with an id"),
        ("ENCRYPTION_KEYS", "k1:secret", "is wrong: the key of entry 1 has 4 bytes"),
        ("ENV", "secret", "is wrong: Input should be 'development', 'test' or 'production'"),
        ("LOG_LEVEL", "secret", "is wrong: Input should be 'debug', 'info',"),
        ("DRAIN_TIMEOUT_S", "26", "is wrong: Input should be less than or equal to 25"),
        ("KAFKA_PUBLISH_TIMEOUT_S", "nan", "is wrong: Input should be less than or equal to 60"),
        ("MONGODB_DATABASE", "secret!", "is wrong: String should match pattern"),
        ("PARCELS_LONGEST_S", None, "is not set (of one parcel)"),
        ("PARCELS_LONGEST_S", "0", "is wrong: Input should be greater than 0 (of one parcel)"),
        ("KAFKA", "secret", "is wrong: it is the name of a group"),
    ],
)
def test_each_bad_value_is_named_and_not_shown(
    environment: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str | None,
    complaint: str,
) -> None:
    if value is None:
        environment.delenv(name)
    else:
        environment.setenv(name, value)
    settings = OnlyKafka if name == "KAFKA" else Settings
    with pytest.raises(SystemExit) as ended:
        load(settings)
    assert ended.value.code == EX_CONFIG
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{name} {complaint}")
    assert "secret" not in line
    assert KEY not in line


def test_all_that_is_wrong_is_told_at_once(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In two groups and in the settings themselves; what two groups read is told once."""
    environment.delenv("SERVICE_TOKEN")
    environment.setenv("FACEBOOK_APP_ID", "secret")
    environment.setenv("PARCELS_LONGEST_S", "0")
    with pytest.raises(SystemExit) as ended:
        load(Twice)
    assert ended.value.code == EX_CONFIG
    names = [line.partition(" ")[0] for line in capsys.readouterr().err.splitlines()]
    assert names == ["SERVICE_TOKEN", "FACEBOOK_APP_ID", "PARCELS_LONGEST_S"]


class Twice(Settings):
    """Two of its groups want to know the app."""

    again: GraphSettings = Field(default_factory=GraphSettings)


class OnlyKafka(SettingsGroup):
    """Without a prefix, a group can be mistaken for a variable."""

    kafka: KafkaSettings = Field(default_factory=KafkaSettings)


def test_values_may_be_given_by_tests(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("SERVICE_TOKEN")
    internal = InternalSettings(service_token=SecretStr("given-by-a-test-16"))
    assert load(Settings, internal=internal).internal is internal
