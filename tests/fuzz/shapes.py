"""Webhooks in every shape that Meta documents, in `corpus/`, and what can be made of them."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.unit.gateway.test_splitting_laws import JSON, places, put
from tests.unit.gateway.webhooks import encode

FOLDER = Path(__file__).parent / "corpus"
SHAPES: dict[str, Any] = {
    file.stem: json.loads(file.read_text(encoding="utf-8"))
    for file in sorted(FOLDER.glob("*.json"))
}
BODIES: dict[str, bytes] = {name: encode(shape) for name, shape in SHAPES.items()}
"""As Meta writes them."""

ODD_BYTES = (
    b"\x00",
    b"\xff",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xef\xbb\xbf",
    b"\\ud800",
    b"\\u0000",
    b"\\udc00\\ud800",
    b"1e400",
    b"-0",
    b"9" * 4400,
    b"NaN",
    b"[" * 300,
    b'"a":1,"a":2,',
    b"\\",
    b'"',
    b"null",
)


def elements(payload: Any) -> list[Any]:  # noqa: ANN401 - JSON
    """Every element of a webhook of well-formed entries."""
    return [
        element
        for entry in payload["entry"]
        for name in ("messaging", "standby", "changes")
        for element in entry.get(name, [])
    ]


@st.composite
def shape_mutants(draw: st.DrawFn) -> Any:  # noqa: ANN401 - JSON
    """A webhook in which up to four values became anything, or went."""
    payload = deepcopy(SHAPES[draw(st.sampled_from(sorted(SHAPES)))])
    for _ in range(draw(st.integers(0, 4))):
        if not (found := places(payload)):
            break
        path = draw(st.sampled_from(found))
        if draw(st.booleans()):
            payload = put(payload, path, draw(JSON))
        else:
            _remove(payload, path)
    return payload


def _remove(value: Any, path: tuple[Any, ...]) -> None:  # noqa: ANN401 - JSON
    for key in path[:-1]:
        value = value[key]
    del value[path[-1]]


@st.composite
def byte_mutants(draw: st.DrawFn) -> bytes:
    """A webhook's bytes with pieces cut out, doubled, or put in."""
    body = draw(st.sampled_from(sorted(BODIES.values())))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(body)))
        end = min(len(body), start + draw(st.integers(0, 30)))
        odd = draw(st.sampled_from(ODD_BYTES) | st.binary(max_size=12))
        piece = draw(st.sampled_from((b"", odd, odd + body[start:end], body[start:end] * 2)))
        body = body[:start] + piece + body[end:]
    return body
