"""An OpenAPI document taken at its word: requests made up from it, and answers held against it.

The schemas are of the kind that pydantic writes. Everything comes from one `random.Random`, so that
a run can be played again.
"""

import json
import random
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

Json = dict[str, Any]

ODD_TEXTS = (
    "",
    " ",
    "\x00",
    "a\x00b",
    "\ud800",  # half a character: JSON can say it, UTF-8 can't
    "‮\u200b",
    "'; drop table users; --",
    "$where",
    "a.b$c",
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "null",
    "0",
    "-1",
    "é" * 300,
    "x" * 5000,
    "👩‍👩‍👧‍👦",
)
ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**63,
    10**40,
    1e308,
    1.5,
    [],
    [None],
    {},
    {"$gt": ""},
    [[[[[]]]]],
    *ODD_TEXTS,
)
ODD_BODIES = (
    b"",
    b"null",
    b"[]",
    b'"text"',
    b"{",
    b"\xff\xfe",
    b'{"a": NaN}',
    b'{"\\ud800": 1}',
    b"[" * 100_000,
    b"{" + b'"a":{' * 3000,
    b"x" * ((1 << 20) + 1),
)


@dataclass(frozen=True)
class Operation:
    """One method of one path, as the document has it."""

    method: str
    path: str
    described: Json

    @property
    def name(self) -> str:
        return str(self.described["operationId"])

    @property
    def answers(self) -> Mapping[str, Json]:
        answers: Mapping[str, Json] = self.described["responses"]
        return answers

    @property
    def body(self) -> Json | None:
        found = self.described.get("requestBody")
        return found["content"]["application/json"]["schema"] if found else None

    def parameters(self, where: str) -> list[Json]:
        return [each for each in self.described.get("parameters", []) if each["in"] == where]


@dataclass(frozen=True)
class Request:
    """What is sent. `with_token` False: by nobody in particular."""

    method: str
    path: str
    body: bytes | None = None
    with_token: bool = True


class Contract:
    """A document, and what follows from it."""

    def __init__(self, document: Json, chance: random.Random) -> None:
        self._document = document
        self._chance = chance

    def operations(self) -> list[Operation]:
        return [
            Operation(method.upper(), path, described)
            for path, methods in self._document["paths"].items()
            for method, described in methods.items()
        ]

    def requests(
        self, operation: Operation, known: Mapping[str, list[str]], count: int
    ) -> Iterator[Request]:
        """Without a token, then well-formed and spoilt ones by turns.

        Args:
            known: ids that there are, by the name of the path's parameter.
        """
        yield self._request(operation, known, is_good=True, with_token=False)
        for number in range(count):
            yield self._request(operation, known, is_good=number % 2 == 0)

    def _request(
        self,
        operation: Operation,
        known: Mapping[str, list[str]],
        *,
        is_good: bool,
        with_token: bool = True,
    ) -> Request:
        path = operation.path
        for parameter in operation.parameters("path"):
            name = parameter["name"]
            given = self._chance.choice(known[name])
            if not is_good and self._chance.random() < 0.4:
                given = self._chance.choice([text for text in ODD_TEXTS if text.strip(" .")])
            path = path.replace(f"{{{name}}}", _quoted(given))
        query = []
        for parameter in operation.parameters("query"):
            if self._chance.random() < 0.6:
                value = self._some(parameter["schema"], is_good=is_good)
                query.append((parameter["name"], "" if value is None else str(value)))
        if query:
            path += "?" + urlencode(query, errors="replace")
        return Request(operation.method, path, self._body(operation, is_good=is_good), with_token)

    def _body(self, operation: Operation, *, is_good: bool) -> bytes | None:
        if operation.body is None:
            return None
        if not is_good and self._chance.random() < 0.25:
            return self._chance.choice(ODD_BODIES)
        value = self.make(operation.body)
        if not is_good and isinstance(value, dict):
            value = self._spoilt(value)
        return json.dumps(value).encode()

    def _some(self, schema: Json, *, is_good: bool) -> Any:  # noqa: ANN401 - any JSON
        return self.make(schema) if is_good else self._chance.choice(ODD_VALUES)

    def _spoilt(self, value: Json) -> Json:
        name = self._chance.choice([*value, "unknown"])
        if name in value and self._chance.random() < 0.3:
            return {each: value[each] for each in value if each != name}
        return {**value, name: self._chance.choice(ODD_VALUES)}

    def make(self, schema: Any) -> Any:  # noqa: ANN401 - any JSON
        """A value that the schema allows, as far as it says so."""
        schema = self.resolve(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._chance.choice(schema["enum"])
        if "anyOf" in schema:
            return self.make(self._chance.choice(schema["anyOf"]))
        kind = schema.get("type")
        if kind == "object":
            return self._object(schema)
        if kind == "array":
            least = schema.get("minItems", 0)
            most = min(schema.get("maxItems", least + 3), least + 3)
            items = schema.get("items", {"type": "string"})
            return [self.make(items) for _ in range(self._chance.randint(least, most))]
        if kind in ("integer", "number"):
            least = schema.get("minimum", schema.get("exclusiveMinimum", -1))
            most = schema.get("maximum", least + 1000)
            return self._chance.choice([least, most, self._chance.randint(int(least), int(most))])
        if kind == "boolean":
            return self._chance.random() < 0.5
        if kind == "null":
            return None
        return self._text(schema)

    def _object(self, schema: Json) -> Json:
        required = schema.get("required", [])
        return {
            name: self.make(each)
            for name, each in schema.get("properties", {}).items()
            if name in required or self._chance.random() < 0.6
        }

    def _text(self, schema: Json) -> str:
        if schema.get("format") == "email":
            return f"{self._letters(8)}@example.org"
        if schema.get("format") == "date-time":
            return "2026-11-25T12:00:00Z"
        least = schema.get("minLength", 0)
        most = min(schema.get("maxLength", least + 30), least + 30)
        return self._letters(self._chance.randint(least, most))

    def _letters(self, length: int) -> str:
        return "".join(self._chance.choice(string.ascii_letters + "äß𝄞 ") for _ in range(length))

    def resolve(self, schema: Any) -> Any:  # noqa: ANN401 - any JSON
        while "$ref" in schema:
            schema = self._document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return schema

    def faults(self, schema: Json, value: Any, at: str = "$") -> list[str]:  # noqa: ANN401 - any JSON
        """Where a value is not what the schema says; [] if it is."""
        schema = self.resolve(schema)
        if "anyOf" in schema:
            tried = [self.faults(each, value, at) for each in schema["anyOf"]]
            return [] if any(not each for each in tried) else min(tried, key=len)
        if "enum" in schema and value not in schema["enum"]:
            return [f"{at}: {value!r} is none of {schema['enum']}"]
        kind = schema.get("type")
        if kind is not None and not _IS[kind](value):
            return [f"{at}: {value!r} is no {kind}"]
        if kind == "object":
            return self._object_faults(schema, value, at)
        if kind == "array":
            return [
                fault
                for number, each in enumerate(value)
                for fault in self.faults(schema.get("items", {}), each, f"{at}[{number}]")
            ]
        if kind == "string" and schema.get("format") == "date-time":
            return [] if _is_moment(value) else [f"{at}: {value!r} is no moment"]
        return []

    def _object_faults(self, schema: Json, value: Json, at: str) -> list[str]:
        known = schema.get("properties", {})
        missing = [f"{at}: no {name}" for name in schema.get("required", []) if name not in value]
        more = schema.get("additionalProperties", True)
        extra = [f"{at}: unknown {name}" for name in value if name not in known and not more]
        inner = [
            fault
            for name, each in value.items()
            if name in known
            for fault in self.faults(known[name], each, f"{at}.{name}")
        ]
        return [*missing, *extra, *inner]


_IS = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "null": lambda value: value is None,
}


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="replace")
