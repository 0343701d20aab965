"""The document of the log: up to date, whole, and true to the models."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from libs.common.events import ALL_RECORDS
from libs.common.events.asyncapi import document, text
from libs.common.topics import TOPICS

FILE = Path(__file__).parents[4] / "docs" / "asyncapi.yaml"
SAMPLES = sorted((Path(__file__).parents[1] / "samples").glob("*/*.json"))


def test_file_is_up_to_date() -> None:
    written = FILE.read_text(encoding="utf-8")
    assert written == text(), "docs/asyncapi.yaml is stale: run `make docs`"
    assert yaml.safe_load(written) == document()


def test_every_topic_and_every_record_is_in_it() -> None:
    whole = document()
    channels = {channel["address"]: channel for channel in whole["channels"].values()}
    assert set(channels) == {topic.name for topic in TOPICS}
    for topic, models in ALL_RECORDS.items():
        types = [model.model_fields["type"].default for model in models]
        assert list(channels[topic]["messages"]) == types
        for model, name in zip(models, types, strict=True):
            message = whole["components"]["messages"][name]
            assert message["headers"]["properties"]["type"]["const"] == name
            assert message["payload"]["$ref"].endswith(f"/{model.__name__}")
            assert message["summary"]


def test_every_record_has_a_service_that_says_it() -> None:
    said = {
        message["$ref"].rpartition("/")[2]
        for operation in document()["operations"].values()
        for message in operation["messages"]
    }
    assert said == {*document()["components"]["messages"]}


def test_every_reference_leads_somewhere() -> None:
    whole = document()
    references = [*references_in(whole)]
    assert len(references) > 100
    for reference in references:
        place: Any = whole
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
        assert place


def references_in(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        for name, value in part.items():
            if name == "$ref":
                yield value
            else:
                yield from references_in(value)
    elif isinstance(part, list):
        for each in part:
            yield from references_in(each)


def test_schemas_fit_the_samples() -> None:
    """Every field that must be there is there, and every field that is there is known."""
    whole = document()
    for path in SAMPLES:
        message = whole["components"]["messages"][path.stem]
        schema = whole["components"]["schemas"][message["payload"]["$ref"].rpartition("/")[2]]
        for sample in json.loads(path.read_text(encoding="utf-8")):
            assert {*schema["required"]} <= {*sample["value"]} <= {*schema["properties"]}
            assert {*message["headers"]["required"]} == {*sample["headers"]}


def test_nothing_is_nullable() -> None:
    """None is left out on the wire."""
    assert '"null"' not in json.dumps(document())
