"""How the control API takes its requests."""

from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel

PREFIX = "/simulator/api"

T = TypeVar("T", bound=BaseModel)


async def read_body(request: web.Request, model: type[T]) -> T:
    """The JSON body. Raises: ValidationError: it is not what is expected."""
    return model.model_validate_json(await request.read())
