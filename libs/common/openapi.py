"""Writes the OpenAPI document of an internal API from its pydantic models.

An API lists its `Operation`s beside its handlers; a test compares the document in `docs/` with what
`text` makes of them, and another the paths with those that the application answers.
"""

import inspect
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

Json = dict[str, Any]

_PARAMETER = re.compile(r"{(\w+)}")


class Problem(BaseModel):
    """What is wrong. Some codes come with further facts."""

    code: str
    message: str
    field: str | None = None


class ErrorAnswer(BaseModel):
    """Every answer from 400 on."""

    error: Problem


@dataclass(frozen=True)
class Operation:
    """One method of one path.

    `answers`: what comes with each status; None: our error envelope, and with 204 nothing.
    """

    method: str
    path: str
    summary: str
    answers: Mapping[int, tuple[str, type[BaseModel] | None]]
    description: str = ""
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    operation_id: str = ""
    tag: str = ""


def document(
    title: str,
    description: str,
    version: str,
    operations: Iterable[Operation],
    scheme: str = "serviceToken",
) -> Json:
    """An OpenAPI 3.1 document; every operation needs a Bearer token, called `scheme`."""
    listed = list(operations)
    paths: Json = {}
    for operation in listed:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "description": description, "version": version},
        "security": [{scheme: []}],
        "paths": paths,
        "components": {
            "securitySchemes": {scheme: {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(listed),
        },
    }


def text(document: Json) -> str:
    """The document as it stands in its file."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _operation(operation: Operation) -> Json:
    shown: Json = {"summary": operation.summary}
    if operation.operation_id:
        shown["operationId"] = operation.operation_id
    if operation.tag:
        shown["tags"] = [operation.tag]
    if operation.description:
        shown["description"] = inspect.cleandoc(operation.description)
    if parameters := [*_path(operation), *_headers(operation), *_query(operation)]:
        shown["parameters"] = parameters
    if operation.body is not None:
        shown["requestBody"] = {"required": True, "content": _content(operation.body)}
    shown["responses"] = {
        str(status): {"description": what}
        | ({} if status == 204 else {"content": _content(model or ErrorAnswer)})
        for status, (what, model) in operation.answers.items()
    }
    return shown


def _path(operation: Operation) -> list[Json]:
    names = _PARAMETER.findall(operation.path)
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in names
    ]


def _headers(operation: Operation) -> list[Json]:
    return [
        {
            "name": name,
            "in": "header",
            "required": True,
            "description": what,
            "schema": {"type": "string"},
        }
        for name, what in operation.headers.items()
    ]


def _query(operation: Operation) -> list[Json]:
    if operation.query is None:
        return []
    schema = operation.query.model_json_schema()
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": each}
        for name, each in schema["properties"].items()
    ]


def _content(model: type[BaseModel]) -> Json:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}


def _schemas(operations: Iterable[Operation]) -> Json:
    modes: dict[type[BaseModel], JsonSchemaMode] = {ErrorAnswer: "serialization"}
    for operation in operations:
        if operation.body is not None:
            modes[operation.body] = "validation"
        for _, model in operation.answers.values():
            if model is not None:
                modes[model] = "serialization"
    _, definitions = models_json_schema(
        list(modes.items()), ref_template="#/components/schemas/{model}"
    )
    found = definitions["$defs"]
    if strangers := sorted({model.__name__ for model in modes} - set(found)):
        raise ValueError(f"two models have the name {strangers[0]}: rename one")
    return dict(sorted(found.items()))
