"""What an assistant may be set to, and what a change does to its key. Pure."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from yarl import URL

from libs.common.channels import Assistant, AssistantProvider
from libs.common.errors import PermanentError
from libs.common.outbound import Inside, Problem, service_problem_of

LONGEST_NAME = 80
LONGEST_PROMPT = 20_000
LONGEST_KNOWLEDGE = 200_000
LONGEST_MODEL = 200
LONGEST_URL = 500
LONGEST_KEY = 500
MOST_ASSISTANTS = 50  # of one workspace

KEY_PATTERN = r"^[\x21-\x7e]+$"  # it travels in a header

PROVIDERS: Mapping[AssistantProvider | None, str] = {
    None: "As this installation was started",
    "openai": "OpenAI, or a server with its protocol",
    "anthropic": "Anthropic",
    "offline": "Offline demo model (searches the knowledge text)",
    "simulator": "Simulated model (for development)",
}
_WITH_CONNECTIONS = ("openai", "anthropic", "simulator")
_WITH_KEY = ("openai", "anthropic")
CONNECTION = frozenset({"provider", "model", "base_url"})
"""Settings that `settled` is about."""

_URL_PROBLEMS: Mapping[Problem, str] = {
    "unreadable": "This is no address. Use one like https://models.example.org/v1.",
    "not_http": "This is no address. Use one like https://models.example.org/v1.",
    "has_credentials": "Leave name and password out of the address: the key has its own field.",
    "not_https": "Use https. Plain http is for hosts that whoever runs this has opened.",
    "address_not_public": "This leads inside the network, where assistants ask nobody. Use a "
    "public address, or ask whoever runs this to open it.",
}


class WrongSettingError(PermanentError):
    """A setting can't be used. `field` says which; the text is for people."""

    code = "wrong_setting"

    def __init__(self, field: str, words: str) -> None:
        super().__init__(words)
        self.field = field


def providers(inside: Inside) -> list[AssistantProvider | None]:
    """Those to choose from: production has no simulated model."""
    return [each for each in PROVIDERS if each != "simulator" or inside.everything]


def settled(changed: Assistant, inside: Inside) -> Assistant:
    """The assistant as it is stored: without what its provider has no use for, and with its key
    only if that is still sent where it was stored for.

    Raises:
        WrongSettingError: it can't be used like this.
    """
    kept: dict[str, Any] = {}
    if changed.provider not in _WITH_CONNECTIONS:
        kept["base_url"] = None
    if changed.provider == "offline":
        kept["model"] = None
    settled = changed.model_copy(update=kept)
    _check(settled, inside)
    return settled


def keeps_key(before: Assistant, after: Assistant) -> bool:
    """Whether a key that was stored for `before` may be used by `after`."""
    return after.provider in _WITH_KEY and before.key_context == after.key_context


def takes_key(assistant: Assistant) -> bool:
    return assistant.provider in _WITH_KEY


def lacks_key(assistant: Assistant) -> bool:
    """Whether its provider asks for a key, and there is none. A server of one's own may not ask."""
    if assistant.api_key is not None:
        return False
    return assistant.provider == "anthropic" or (
        assistant.provider == "openai" and assistant.base_url is None
    )


def fingerprint(assistant: Assistant, fields: Sequence[str]) -> str:
    """Of some settings, to see whether somebody else has changed them meanwhile."""
    values = [getattr(assistant, name) for name in fields]
    return hashlib.sha256(json.dumps(values, default=str).encode()).hexdigest()[:24]


def told(before: Assistant, after: Assistant) -> dict[str, str]:
    """What a change changed, for the audit log: short settings as they are, of texts the length."""
    changes: dict[str, str] = {}
    for name in ("name", "provider", "model", "base_url"):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            changes[name] = f"{old or 'none'} → {new or 'none'}"
    for name in ("system_prompt", "knowledge"):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            changes[name] = f"{len(old)} → {len(new)} characters"
    if before.api_key != after.api_key:
        changes["key"] = "stored" if after.api_key else "forgotten"
    return changes


def _check(assistant: Assistant, inside: Inside) -> None:
    if assistant.provider == "simulator" and not inside.everything:
        raise WrongSettingError("provider", "There is no simulated model in production.")
    if assistant.provider in _WITH_KEY and not assistant.model:
        raise WrongSettingError("model", "Name the model, as the provider does.")
    if assistant.provider == "simulator" and not assistant.base_url:
        raise WrongSettingError("base_url", "Enter the simulator's address, which ends with /v1.")
    if assistant.base_url:
        _check_url(assistant.base_url, inside)


def _check_url(url: str, inside: Inside) -> None:
    if (problem := service_problem_of(url, inside)) is not None:
        raise WrongSettingError("base_url", _URL_PROBLEMS[problem])
    parsed = URL(url)
    if parsed.query_string or parsed.fragment or "?" in url or "#" in url:
        raise WrongSettingError("base_url", "Leave out what follows ? or #.")
