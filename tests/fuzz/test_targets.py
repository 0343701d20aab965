"""The targets of `make fuzz` run without it: with their seeds, and with what was once found."""

from pathlib import Path

import pytest

from tests.fuzz import targets
from tests.fuzz.targets import TARGETS

FOUND = Path(__file__).parent / "found"
"""`TARGET-what-it-was`: input that broke a law once. It stays."""


@pytest.mark.parametrize("name", TARGETS)
def test_no_seed_breaks_a_law(name: str) -> None:
    target = TARGETS[name]
    with target.open() as send:
        for seed in (*target.seeds, b"", b"\x00", bytes(range(256))):
            send(seed)


def test_what_was_found_once_breaks_no_law_any_more() -> None:
    for file in sorted(FOUND.glob("*-*")):
        with TARGETS[file.name.partition("-")[0]].open() as send:
            send(file.read_bytes())


def test_a_lost_event_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "records_due", lambda _payload: 2)
    with TARGETS["webhook"].open() as send, pytest.raises(AssertionError):
        send(TARGETS["webhook"].seeds[0])
