"""The environment that services of the local stack are started with."""

from collections.abc import Mapping
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.ports import HOST
from deploy.local.secrets_file import MADE, PREVIOUS

DATABASE = "messenger"
KAFKA = "KAFKA_BOOTSTRAP_SERVERS"
MONGO = "MONGODB_URI"
_ASKED = ("gateway", "conversation", "sender", "takeover", "analytics")  # by the console
_ENDPOINTS_OF_THEIR_OWN = {"openai", "anthropic"}  # LLM providers that need no address from us


def refuse_production(environment: Mapping[str, str]) -> None:
    """Raises StackError where somebody means it seriously."""
    if environment.get("ENV", "").strip().lower() == "production":
        raise StackError(
            "ENV=production: the local stack is for development only; unset ENV, or deploy "
            "with deploy/k8s"
        )


def for_services(
    process: Mapping[str, str], made: Mapping[str, str], ports: Mapping[str, int], state: Path
) -> dict[str, str]:
    """What every service gets, besides `HTTP_PORT`.

    Args:
        process: our own environment: passed through, and it overrides secrets and addresses.
        made: the secrets of this stack, `secrets_file.PREVIOUS` among them if they are set.
        ports: where the components of this stack listen.
    """
    given = {name: value for name, value in process.items() if value}
    secrets = {name: given.get(name, made[name]) for name in MADE}
    secrets |= {name: made[name] for name in PREVIOUS if made.get(name) and name not in given}
    addresses = _addresses(ports, given.get("LLM_PROVIDER", "offline"))
    return (
        {name: value for name, value in given.items() if name != "HTTP_PORT"}
        | secrets
        | {name: given.get(name, value) for name, value in addresses.items()}
        | {
            "ENV": "development",
            "HTTP_HOST": HOST,
            "STATE_DIR": str(state),
            "PYTHONUNBUFFERED": "1",
        }
    )


def _addresses(ports: Mapping[str, int], llm_provider: str) -> dict[str, str]:
    simulator = f"http://{HOST}:{ports['simulator']}"
    addresses = {
        KAFKA: f"{HOST}:{ports['kafka']}",
        MONGO: f"mongodb://{HOST}:{ports['mongo']}",
        "MONGODB_DATABASE": DATABASE,
        "GRAPH_API_URL": simulator,
        "FACEBOOK_DIALOG_URL": simulator,
        "CONSOLE_URL": f"http://{HOST}:{ports['console']}",
        "PUBLIC_URL": f"http://{HOST}:{ports['gateway']}",
        "WEBHOOK_TARGET_URL": f"http://{HOST}:{ports['gateway']}/webhooks/messenger",
        "LLM_PROVIDER": llm_provider,
    }
    addresses |= {f"{name.upper()}_URL": f"http://{HOST}:{ports[name]}" for name in _ASKED}
    if llm_provider not in _ENDPOINTS_OF_THEIR_OWN:
        addresses["LLM_BASE_URL"] = f"{simulator}/v1"
    return addresses
