"""Who was erased, as consumers know it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.common.erasures import (
    KNOWN_FOR_S,
    LEAD,
    LOOK_EVERY_S,
    StaleTombstonesError,
    Tombstones,
    is_erased,
    name_of,
)

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
ANN, BOB = "100:200", "100:201"


class Rows:
    """A collection that is read whole."""

    def __init__(self) -> None:
        self.documents: list[dict[str, Any]] = []

    def __getitem__(self, _name: str) -> "Rows":
        return self

    def find(self, wanted: dict[str, Any]) -> "Rows":
        self.wanted = wanted
        return self

    async def to_list(self, _limit: None) -> list[dict[str, Any]]:
        since = self.wanted.get("written_at", {}).get("$gte")
        return [each for each in self.documents if since is None or each["written_at"] >= since]

    def add(self, conversation: str, erased_at: datetime, written_at: datetime) -> None:
        row = {"_id": name_of(conversation), "erased_at": erased_at, "written_at": written_at}
        self.documents.append(row)


async def test_what_happened_up_to_an_erasure_is_erased_and_nothing_else() -> None:
    rows = Rows()
    rows.add(ANN, NOON, NOON)
    tombstones = Tombstones(rows)  # type: ignore[arg-type]
    await tombstones.look()
    assert is_erased(tombstones, ANN, NOON)
    assert not is_erased(tombstones, ANN, NOON + timedelta(milliseconds=1))
    assert not is_erased(tombstones, BOB, NOON)


async def test_a_later_look_finds_what_is_new_also_from_a_slower_clock() -> None:
    rows = Rows()
    rows.add(ANN, NOON, NOON)
    tombstones = Tombstones(rows)  # type: ignore[arg-type]
    await tombstones.look()
    rows.add(BOB, NOON, NOON - timedelta(minutes=15))
    await tombstones.look()
    assert is_erased(tombstones, BOB, NOON)


async def test_who_could_not_look_for_long_handles_nothing() -> None:
    time_s = 0.0
    tombstones = Tombstones(Rows(), clock=lambda: time_s)  # type: ignore[arg-type]
    with pytest.raises(StaleTombstonesError):
        tombstones.erased_at(ANN)
    await tombstones.look()
    time_s = KNOWN_FOR_S
    assert tombstones.erased_at(ANN) is None
    time_s = KNOWN_FOR_S + 0.1
    with pytest.raises(StaleTombstonesError):
        tombstones.erased_at(ANN)


def test_everybody_knows_of_an_erasure_before_it_happens() -> None:
    assert LOOK_EVERY_S < KNOWN_FOR_S < LEAD.total_seconds()


def test_a_tombstone_names_nobody() -> None:
    assert "200" not in name_of(ANN)
    assert name_of(ANN) != name_of(BOB)
