"""Without a browser there is a word about it, not a riddle."""

import pytest

from tests.browser.chromium import NoBrowserError, chromium_path


def test_a_missing_browser_is_said_with_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NoBrowserError, match="CHROMIUM"):
        chromium_path()


def test_a_wrong_variable_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHROMIUM", "/nowhere/chromium")
    with pytest.raises(NoBrowserError, match="CHROMIUM=/nowhere/chromium"):
        chromium_path()
