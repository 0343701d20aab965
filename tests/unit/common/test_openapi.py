"""OpenAPI documents: every model has a name of its own."""

import pytest
from pydantic import BaseModel

from libs.common.openapi import Operation, document


def answering(name: str, field: str) -> Operation:
    model = type(name, (BaseModel,), {"__annotations__": {field: str}, "__module__": field})
    return Operation("GET", f"/{field}", "Ask", {200: ("Done.", model)})


def test_two_models_of_one_name_are_refused() -> None:
    """Their schemas would have other names than what refers to them."""
    with pytest.raises(ValueError, match="two models have the name Things"):
        document("T", "D", "1", [answering("Things", "one"), answering("Things", "other")])
    schemas = document("T", "D", "1", [answering("Things", "one"), answering("Others", "other")])
    assert {"Things", "Others"} <= set(schemas["components"]["schemas"])
