from pathlib import Path

import pytest

from deploy.local.environment import for_services, refuse_production
from deploy.local.errors import StackError
from deploy.local.ports import shifted
from deploy.local.secrets_file import MADE

SECRETS = {name: f"made {name}" for name in MADE}
STATE = Path("/somewhere/.local")


def services(**process: str) -> dict[str, str]:
    return for_services(process, SECRETS, shifted(100), STATE)


def test_services_get_the_secrets_and_the_addresses_of_this_stack() -> None:
    environment = services()
    expected = SECRETS | {
        "ENV": "development",
        "HTTP_HOST": "127.0.0.1",
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:19192",
        "MONGODB_URI": "mongodb://127.0.0.1:27217",
        "MONGODB_DATABASE": "messenger",
        "GRAPH_API_URL": "http://127.0.0.1:8190",
        "FACEBOOK_DIALOG_URL": "http://127.0.0.1:8190",
        "PUBLIC_URL": "http://127.0.0.1:8181",
        "WEBHOOK_TARGET_URL": "http://127.0.0.1:8181/webhooks/messenger",
        "LLM_PROVIDER": "offline",
        "LLM_BASE_URL": "http://127.0.0.1:8190/v1",
        "STATE_DIR": str(STATE),
    }
    assert environment.items() >= expected.items()


def test_process_environment_overrides_and_passes_through() -> None:
    environment = services(
        SERVICE_TOKEN="mine", MONGODB_URI="mongodb://elsewhere", LOG_FORMAT="json"
    )
    assert environment["SERVICE_TOKEN"] == "mine"
    assert environment["MONGODB_URI"] == "mongodb://elsewhere"
    assert environment["LOG_FORMAT"] == "json"


def test_empty_variables_count_as_not_set() -> None:
    environment = services(SERVICE_TOKEN="", KAFKA_BOOTSTRAP_SERVERS="")
    assert environment["SERVICE_TOKEN"] == SECRETS["SERVICE_TOKEN"]
    assert environment["KAFKA_BOOTSTRAP_SERVERS"] == "127.0.0.1:19192"


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_real_model_is_not_sent_to_the_simulator(provider: str) -> None:
    assert "LLM_BASE_URL" not in services(LLM_PROVIDER=provider)


def test_port_of_one_service_is_not_passed_to_all() -> None:
    assert "HTTP_PORT" not in services(HTTP_PORT="1234")


@pytest.mark.parametrize("env", ["production", " Production"])
def test_production_is_refused_by_name(env: str) -> None:
    with pytest.raises(StackError, match=r"^ENV=production: "):
        refuse_production({"ENV": env})


@pytest.mark.parametrize("env", ["", "development", "test"])
def test_anything_else_is_not(env: str) -> None:
    refuse_production({"ENV": env})
