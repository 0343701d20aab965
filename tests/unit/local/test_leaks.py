"""That a secret in a log is found, so that a run without one says something."""

from pathlib import Path

import pytest

from deploy.local.secrets_file import load_or_make
from tests.leaks import Canaries, found_in_logs


@pytest.fixture
def made(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "logs").mkdir()
    return load_or_make(tmp_path / "env")


@pytest.mark.parametrize(
    "name", ["FACEBOOK_APP_SECRET", "SERVICE_TOKEN", "ADMIN_PASSWORD", "WEBHOOK_VERIFY_TOKEN"]
)
def test_a_secret_in_a_log_is_found_and_not_told(
    tmp_path: Path, made: dict[str, str], name: str
) -> None:
    log = tmp_path / "logs" / "sender.log"
    log.write_text(f"asking with {made[name]}, failed", encoding="utf-8")
    assert found_in_logs(tmp_path) == [f"sender.log: {name}"]
    log.write_text("asking, failed", encoding="utf-8")
    assert found_in_logs(tmp_path) == []


def test_so_are_keys_tokens_and_codes(tmp_path: Path, made: dict[str, str]) -> None:
    key = made["ENCRYPTION_KEYS"].partition(":")[2]
    code = f"GET /channels/connect/callback?state=s&code=AQ{'b' * 60}"
    for number, text in enumerate((f"k1 is {key}", f"EAA{'x' * 96}", code)):
        (tmp_path / "logs" / f"{number}.log").write_text(text, encoding="utf-8")
    assert found_in_logs(tmp_path) == [
        "0.log: ENCRYPTION_KEYS[0]",
        "1.log: a token",
        "2.log: a login code",
    ]


def test_a_persons_text_may_stand_on_a_page_and_in_no_log(tmp_path: Path) -> None:
    canaries = Canaries(texts={"a text": "when are you open"})
    assert canaries.in_text("Ada: when are you open", texts_too=False) == []
    assert canaries.in_text("Ada: when are you open", texts_too=True) == ["a text"]
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.log").write_text("text=when are you open", encoding="utf-8")
    assert found_in_logs(tmp_path, canaries) == ["a.log: a text"]
