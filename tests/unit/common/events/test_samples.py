"""Records as they once stood on the log. They must be understood for ever: never edit a sample.

A new shape gets a sample beside the old ones, in the folder of its version.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from libs.common.events import (
    ALL_RECORDS,
    decode,
    encode,
    headers_of,
    is_readable,
    key_of,
    topic_of,
)

SAMPLES = Path(__file__).parents[1] / "samples"
FILES = sorted(SAMPLES.glob("*/*.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_sample_is_understood_as_it_was_meant(path: Path) -> None:
    for sample in json.loads(path.read_text(encoding="utf-8")):
        record = decode(json.dumps(sample["value"]).encode())
        assert record.type == path.stem
        assert record.version == path.parent.name
        assert topic_of(record) == sample["topic"]
        assert key_of(record).decode() == sample["key"]
        headers = {name: value.decode() for name, value in headers_of(record)}
        assert headers.items() >= sample["headers"].items()
        assert is_readable({name: value.encode() for name, value in sample["headers"].items()})
        assert lost(sample["value"], json.loads(encode(record))) == []


def lost(before: Any, after: Any, at: str = "record") -> list[str]:  # noqa: ANN401 - JSON
    """Where something of `before` is missing from `after`, which may hold more (defaults)."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            place
            for name, value in before.items()
            for place in lost(value, after.get(name), f"{at}.{name}")
        ]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [
            place
            for number, pair in enumerate(zip(before, after, strict=True))
            for place in lost(*pair, f"{at}[{number}]")
        ]
    return [] if before == after else [at]


def test_every_type_has_a_sample_that_uses_all_its_fields() -> None:
    for models in ALL_RECORDS.values():
        for model in models:
            file = SAMPLES / "1.0" / f"{model.model_fields['type'].default}.json"
            samples = json.loads(file.read_text(encoding="utf-8"))
            used = {name for sample in samples for name in sample["value"]}
            assert used == {*model.model_fields}, file.name


def test_comparison_finds_what_is_lost() -> None:
    before = {"a": 1, "b": [{"c": None}, 2]}
    assert lost(before, before | {"more": 1}) == []
    assert lost(before, {"a": 2, "b": [{"c": 1}, 2]}) == ["record.a", "record.b[0].c"]
    assert lost(before, {"a": 1, "b": [2]}) == ["record.b"]
