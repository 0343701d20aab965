import base64
import stat
from pathlib import Path

import pytest

from deploy.local.errors import StackError
from deploy.local.secrets_file import MADE, load_or_make, parse


def test_first_start_makes_every_secret_for_the_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "env"
    made = load_or_make(path)
    assert set(made) == set(MADE)
    assert all(made.values())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert parse(path.read_text()) == made


def test_made_secrets_have_the_shape_that_services_ask_for(tmp_path: Path) -> None:
    made = load_or_make(tmp_path / "env")
    name, _, key = made["ENCRYPTION_KEYS"].partition(":")
    assert name == "k1"
    assert len(base64.b64decode(key, validate=True)) == 32
    assert made["FACEBOOK_APP_ID"].isdecimal()
    assert len(made["SERVICE_TOKEN"]) >= 32
    assert "@" in made["ADMIN_EMAIL"]


def test_later_starts_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "env"
    first = load_or_make(path)
    text = path.read_text()
    assert load_or_make(path) == first
    assert path.read_text() == text


def test_values_and_lines_of_a_person_are_kept_and_the_rest_is_added(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("# mine\nSERVICE_TOKEN=a=b\nLLM_PROVIDER=openai")
    path.chmod(0o644)
    values = load_or_make(path)
    assert values["SERVICE_TOKEN"] == "a=b"
    assert values["LLM_PROVIDER"] == "openai"
    assert set(MADE) <= set(values)
    assert path.read_text().startswith("# mine\nSERVICE_TOKEN=a=b\nLLM_PROVIDER=openai\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_empty_value_counts_as_missing(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("ADMIN_PASSWORD=\n")
    password = load_or_make(path)["ADMIN_PASSWORD"]
    assert password
    assert load_or_make(path)["ADMIN_PASSWORD"] == password


def test_line_that_is_no_setting_is_told_by_number_without_its_text(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("SERVICE_TOKEN=x\n\nhunter2\n")
    with pytest.raises(StackError, match="line 3 is not KEY=VALUE") as error:
        load_or_make(path)
    assert "hunter2" not in str(error.value)
