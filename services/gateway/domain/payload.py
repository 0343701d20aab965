"""From the bytes of a webhook to a JSON value."""

import json
from collections.abc import Iterable
from typing import NoReturn

from libs.common.errors import PermanentError
from services.gateway.domain.values import MAX_DEPTH


class MalformedPayloadError(PermanentError):
    """The body is not JSON, or is nested beyond reason. Its text never quotes the body."""

    code = "malformed"


def parse(body: bytes) -> object:
    """Parse a webhook's body, once.

    Broken surrogates and bytes that are no UTF-8 are let through for the reader to replace: they
    stand in what a person wrote, and refusing them would cost the subscription. That is why this
    is `json`: pydantic's parser, one to two microseconds faster on a webhook, refuses them.

    Raises:
        MalformedPayloadError: no JSON (`NaN` and the like included), or more than `MAX_DEPTH` deep.
    """
    try:
        value: object = _DECODER.decode(body.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise MalformedPayloadError("the body is not JSON") from None
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _is_too_deep(value):
        raise MalformedPayloadError(f"the body is nested deeper than {MAX_DEPTH}")
    return value


def _is_too_deep(value: object) -> bool:
    """Looks level by level: recursion is what we guard against."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in _children(node) if type(child) in _NESTING]
        if not level:
            return False
    return True


def _children(node: object) -> Iterable[object]:
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, list) else ()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_NESTING = (dict, list)
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
