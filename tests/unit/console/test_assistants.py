"""What an assistant may be set to, and when its key is kept."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.channels import Assistant
from libs.common.outbound import Inside
from services.console.domain.assistants import (
    WrongSettingError,
    fingerprint,
    keeps_key,
    lacks_key,
    providers,
    settled,
    told,
)

ANYWHERE, PRODUCTION = Inside(everything=True), Inside(hosts=frozenset({"ollama"}))
CRUMB = Assistant(id="a", workspace_id="w", name="Crumb", system_prompt="x", version=1)
PROVIDERS = st.sampled_from([None, "offline", "simulator", "openai", "anthropic"])
URLS = st.sampled_from([None, "https://one.example/v1", "https://two.example/v1"])


def assistant(**values: Any) -> Assistant:  # noqa: ANN401
    return CRUMB.model_copy(update=values)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"provider": "openai"}, "model"),
        ({"provider": "anthropic"}, "model"),
        ({"provider": "simulator", "base_url": "https://s.example/v1"}, "provider"),
        ({"provider": "openai", "model": "m", "base_url": "http://m.example/v1"}, "base_url"),
        ({"provider": "openai", "model": "m", "base_url": "https://10.0.0.1/v1"}, "base_url"),
        ({"provider": "openai", "model": "m", "base_url": "https://m.example/?k=1"}, "base_url"),
        ({"provider": "openai", "model": "m", "base_url": "https://m.example/#"}, "base_url"),
    ],
)
def test_what_production_refuses_and_at_which_field(values: dict[str, Any], field: str) -> None:
    with pytest.raises(WrongSettingError) as raised:
        settled(assistant(**values), PRODUCTION)
    assert raised.value.field == field


@pytest.mark.parametrize(
    "values",
    [
        {"provider": None, "model": "m"},
        {"provider": "offline"},
        {"provider": "openai", "model": "m"},
        {"provider": "openai", "model": "m", "base_url": "http://ollama:11434/v1"},
        {"provider": "anthropic", "model": "m", "base_url": "https://proxy.example"},
    ],
)
def test_what_production_takes_as_it_is(values: dict[str, Any]) -> None:
    assert settled(assistant(**values), PRODUCTION) == assistant(**values)


def test_what_a_provider_has_no_use_for_is_left_out() -> None:
    offline = settled(
        assistant(provider="offline", model="m", base_url="https://m.example"), ANYWHERE
    )
    assert (offline.model, offline.base_url) == (None, None)
    own = settled(assistant(provider=None, model="m", base_url="https://m.example"), ANYWHERE)
    assert (own.model, own.base_url) == ("m", None)


def test_only_development_has_the_simulated_model() -> None:
    assert "simulator" in providers(ANYWHERE)
    assert "simulator" not in providers(PRODUCTION)


@given(PROVIDERS, URLS, PROVIDERS, URLS)
def test_a_key_is_kept_exactly_where_it_would_be_sent_to_the_same_place(
    provider: Any,  # noqa: ANN401
    url: str | None,
    other_provider: Any,  # noqa: ANN401
    other_url: str | None,
) -> None:
    before = assistant(provider=provider, base_url=url)
    after = assistant(provider=other_provider, base_url=other_url)
    same_place = (provider, url) == (other_provider, other_url)
    assert keeps_key(before, after) is (same_place and provider in ("openai", "anthropic"))
    assert (before.key_context == after.key_context) is same_place


@given(PROVIDERS, URLS)
def test_a_key_is_missed_where_the_provider_itself_asks_for_one(
    provider: Any,  # noqa: ANN401
    url: str | None,
) -> None:
    asks = provider == "anthropic" or (provider == "openai" and url is None)
    assert lacks_key(assistant(provider=provider, base_url=url)) is asks
    assert not lacks_key(assistant(provider=provider, base_url=url, api_key="sealed"))


def test_a_fingerprint_is_of_the_named_settings_only() -> None:
    fields = ("name", "system_prompt")
    assert fingerprint(CRUMB, fields) == fingerprint(assistant(knowledge="more"), fields)
    assert fingerprint(CRUMB, fields) != fingerprint(assistant(name="Loaf"), fields)


def test_the_audit_log_is_told_no_text_and_no_key() -> None:
    after = assistant(
        name="Loaf", system_prompt="a secret recipe", knowledge="more", api_key="sealed"
    )
    changes = told(CRUMB, after)
    assert changes == {
        "name": "Crumb → Loaf",
        "system_prompt": "1 → 15 characters",
        "knowledge": "0 → 4 characters",
        "key": "stored",
    }
