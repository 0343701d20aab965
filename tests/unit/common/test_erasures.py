"""Who was erased, as consumers know it."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.common.erasures import (
    KNOWN_FOR_S,
    LEAD,
    LOOK_EVERY_S,
    MOST_LOOKS,
    StaleTombstonesError,
    Tombstones,
    is_erased,
    name_of,
)
from tests.virtual_time import run_virtually

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
SOON_S = 8  # after the start there is one look only, and then the next
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


class SlowRows(Rows):
    """Each answer takes so long, and is as things were when it was asked for."""

    def __init__(self, answer_s: float) -> None:
        super().__init__()
        self._answer_s = answer_s
        self.most_at_once = self._at_once = 0

    async def to_list(self, _limit: None) -> list[dict[str, Any]]:
        found = await super().to_list(None)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        await asyncio.sleep(self._answer_s)
        self._at_once -= 1
        return found


async def watched(rows: SlowRows, for_s: int) -> list[bool]:
    """Each second after the first answer: whether it is known who was erased."""
    loop = asyncio.get_running_loop()
    tombstones = Tombstones(rows, clock=loop.time)  # type: ignore[arg-type]
    await tombstones.look()
    running = asyncio.create_task(tombstones.run())
    known = []
    for _ in range(for_s):
        await asyncio.sleep(1)
        try:
            tombstones.erased_at(ANN)
        except StaleTombstonesError:
            known.append(False)
        else:
            known.append(True)
    await tombstones.stop(0)
    await running
    return known


def test_a_slow_database_stops_nobody() -> None:
    rows = SlowRows(answer_s=3.5)
    assert all(run_virtually(watched(rows, for_s=60))[SOON_S:])
    assert rows.most_at_once <= MOST_LOOKS


def test_one_that_is_slower_than_what_is_known_may_be_old_stops_all_and_is_not_flooded() -> None:
    rows = SlowRows(answer_s=30)
    assert not any(run_virtually(watched(rows, for_s=60)))
    assert rows.most_at_once == MOST_LOOKS


async def test_a_late_answer_takes_nothing_back() -> None:
    rows = Rows()
    rows.add(ANN, NOON, NOON)
    tombstones = Tombstones(rows)  # type: ignore[arg-type]
    later = NOON + timedelta(hours=1)
    before = [dict(each) for each in rows.documents]
    rows.documents[0]["erased_at"] = later
    await tombstones.look()
    rows.documents = before  # as an answer that was asked for earlier
    await tombstones.look()
    assert tombstones.erased_at(ANN) == later


def test_everybody_knows_of_an_erasure_before_it_happens() -> None:
    assert LOOK_EVERY_S < KNOWN_FOR_S < LEAD.total_seconds()


def test_a_tombstone_names_nobody() -> None:
    assert "200" not in name_of(ANN)
    assert name_of(ANN) != name_of(BOB)
