"""`docs/configuration.md` tells every variable, and nothing that is not there."""

import re
from pathlib import Path

import pytest
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from libs.common.settings import SettingsGroup
from tests.unit.docs import variables as module
from tests.unit.docs.variables import (
    BEGIN,
    END,
    ROOTS,
    channel_settings,
    part_of,
    table,
    variables,
    with_tables,
)

PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"


class Inner(SettingsGroup):
    model_config = SettingsConfigDict(env_prefix="INNER_")

    wait_s: float = Field(2.0, gt=0, le=9, description="then it has failed")
    key: SecretStr | None = Field(None, min_length=8)


class Outer(SettingsGroup):
    model_config = SettingsConfigDict(env_prefix="OUTER_")

    inner: Inner = Field(default_factory=Inner)
    count: int = Field(ge=1)
    loud: bool = True
    site_url: str = Field("", pattern=r"^https?://[^\s]+$")


def test_the_tables_are_what_the_settings_say() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_tables(page), "write it anew: make docs"


def test_every_variable_has_a_meaning() -> None:
    every = [each for root in ROOTS.values() for each in variables(root)]
    told = {each.name for each in every if each.meaning}
    untold = {each.name for each in every} - told
    assert untold == set(), "say it in the field's description or in variables.py"


def test_meanings_are_those_of_variables_that_exist() -> None:
    names = {each.name for root in ROOTS.values() for each in variables(root)}
    assert set(module.MEANINGS) <= names


def test_no_variable_is_told_beside_the_table_that_nobody_reads() -> None:
    told = set(re.findall(r"^\| `([A-Z][A-Z0-9_]+)`", table(), re.MULTILINE))
    page = PAGE.read_text(encoding="utf-8")
    prefixes = (
        "KAFKA_",
        "MONGODB_",
        "GATEWAY_",
        "SENDER_",
        "CONVERSATION_",
        "TAKEOVER_",
        "ANALYTICS_",
        "LLM_",
        "HTTP_",
    )
    mentioned = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", page))
    assert {name for name in mentioned if name.startswith(prefixes)} <= told


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("GATEWAY_MAX_BODY_BYTES", "gateway"),
        ("GATEWAY_URL", "console"),
        ("WEBHOOK_VERIFY_TOKEN", "Meta's app, and where it finds us"),
        ("WEBHOOK_TARGET_URL", "simulator"),
        ("SOMETHING_NEW", "Others"),
    ],
)
def test_a_variable_stands_where_its_reader_looks(name: str, part: str) -> None:
    assert part_of(name) == part


def test_groups_of_a_service_are_read_under_their_own_prefix() -> None:
    found = {each.name: each for each in variables(Outer)}
    assert set(found) == {
        *("OUTER_COUNT", "OUTER_LOUD", "OUTER_SITE_URL", "INNER_WAIT_S", "INNER_KEY")
    }
    assert found["OUTER_COUNT"].default is None
    assert found["INNER_WAIT_S"].takes == "seconds > 0, ≤ 9"
    assert found["INNER_WAIT_S"].default == "2"
    assert (found["OUTER_LOUD"].takes, found["OUTER_LOUD"].default) == ("`true`, `false`", "true")
    assert found["OUTER_SITE_URL"].takes == "http(s) address"
    assert found["INNER_KEY"].is_secret
    assert found["INNER_KEY"].default == ""


def test_every_setting_of_a_channel_has_a_meaning() -> None:
    settings = channel_settings()
    untold = {each.name for each in settings if not each.meaning}
    assert untold == set(), "say it in the field's description or in variables.py"
    assert set(module.CHANNEL_MEANINGS) <= {each.name for each in settings}


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="no <!-- variables"):
        with_tables("nothing to replace")
    names = ("variables", "channel settings")
    page = " ".join(f"{BEGIN.format(name)} old {END.format(name)}" for name in names)
    assert " old " not in with_tables(page)
